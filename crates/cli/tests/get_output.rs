//! `overlapped get` into devices, pipes and standard output; the display on a terminal; Ctrl-C.

mod common;
mod site;

use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use testkit::{AMPLE, wait_until};

use common::{Signal, on_each_port, send, text};
use site::{Site, Then, answer, answer_cut, answer_range, bytes, command, get, names, start_get};

const WHOLE: usize = 1_000_000;
const TAG: &str = "ETag: \"v1\"\r\n";

fn results(output: &std::process::Output) -> (Option<i32>, String, String) {
    let (stdout, stderr) = text(output);
    (output.status.code(), stdout, stderr)
}

fn mkfifo(path: &std::path::Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_device_is_written_to_and_stays_one() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let null = folder.path().join("null");
        // Only root can make a device, so the test uses a link to one.
        symlink("/dev/null", &null).unwrap();
        let site = Site::start(|_, out| answer(out, "200 OK", "", &bytes(WHOLE)));
        let url = site.url("/file");
        for flags in [&[][..], &["--overwrite"]] {
            let arguments = [flags, &["-o", "null", &url]].concat();
            let (code, stdout, stderr) = results(&get(port, folder.path(), &arguments));
            assert_eq!(code, Some(0), "{flags:?}: {stdout}{stderr}");
            assert!(fs::symlink_metadata(&null).unwrap().is_symlink(), "{flags:?}");
            assert!(fs::metadata(&null).unwrap().file_type().is_char_device());
            assert_eq!(names(folder.path()), ["null"]);
        }
        let (code, stdout, _) =
            results(&get(port, folder.path(), &["-o", "/dev/null", &url, &url]));
        assert_eq!(code, Some(0));
        assert!(stdout.contains("1 of 1 saved"), "{stdout}");
        let (code, _, stderr) = results(&get(port, folder.path(), &["-o", "/dev/full", &url]));
        assert_eq!(code, Some(1));
        assert!(stderr.contains("No space left on device"), "{stderr}");
    });
}

#[test]
fn a_named_pipe_is_written_to() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        mkfifo(&pipe);
        let site = Site::start(|_, out| answer(out, "200 OK", "", &bytes(WHOLE)));
        let child = start_get(port, folder.path(), &["--overwrite", "-o", "pipe", &site.url("/x")]);
        let mut got = Vec::new();
        fs::File::open(&pipe).unwrap().read_to_end(&mut got).unwrap();
        assert_eq!(results(&child.wait_with_output().unwrap()).0, Some(0));
        assert!(got == bytes(WHOLE));
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    });
}

#[test]
fn standard_output_gets_the_bytes_and_nothing_else() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let asked = std::sync::atomic::AtomicUsize::new(0);
        // Interrupted in the middle: the rest is requested.
        let site = Site::start(move |request, out| {
            match (asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst), request.range()) {
                (_, Some(start)) => answer_range(out, TAG, &bytes(WHOLE), start),
                _ => answer_cut(out, TAG, &bytes(WHOLE), 300_000, Then::Close),
            }
        });
        for name in ["-", "/dev/stdout"] {
            let output = get(port, folder.path(), &["-o", name, &site.url("/x")]);
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(0), "{stderr}");
            assert!(output.stdout == bytes(WHOLE), "{} bytes", output.stdout.len());
            assert!(stderr.contains("1 of 1 saved"), "{stderr}");
        }
        // If standard output is a file, that file is written.
        let file = fs::File::create(folder.path().join("file")).unwrap();
        let mut command = command(port, folder.path(), &["-o", "-", &site.url("/x")]);
        assert!(command.stdout(file).status().unwrap().success());
        assert!(fs::read(folder.path().join("file")).unwrap() == bytes(WHOLE));
        assert_eq!(names(folder.path()), ["file"]);
        let arguments = ["-o", "-", &site.url("/1"), &site.url("/2")];
        let (code, _, stderr) = results(&get(port, folder.path(), &arguments));
        assert_eq!(code, Some(1));
        assert!(stderr.contains("takes one URL, not 2"), "{stderr}");
        // The bytes already written to it are unknown.
        let arguments = ["--resume", "-o", "-", &site.url("/1")];
        let (code, stdout, stderr) = results(&get(port, folder.path(), &arguments));
        assert_eq!((code, stdout.as_str()), (Some(1), ""));
        assert!(stderr.contains("--resume is for files"), "{stderr}");
    });
}

#[test]
fn an_unrequested_transfer_coding_is_refused() {
    on_each_port(|port| {
        for (coding, code) in [
            ("gzip", 1),
            ("gzip, chunked", 1),
            ("x-gzip\r\nTransfer-Encoding: chunked", 1),
            ("chunked", 0),
            ("Chunked", 0),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let site = Site::start(move |_, out| {
                let is_chunked = coding.to_lowercase().ends_with("chunked");
                let body = if is_chunked { "4\r\nbody\r\n0\r\n\r\n" } else { "body" };
                write!(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n")?;
                write!(out, "Connection: close\r\n\r\n{body}")?;
                Ok(Then::Close)
            });
            let output = get(port, folder.path(), &["-o", "file", &site.url("/x")]);
            let (status, stdout, stderr) = results(&output);
            assert_eq!(status, Some(code), "{coding}: {stdout}{stderr}");
            if code == 0 {
                assert_eq!(fs::read(folder.path().join("file")).unwrap(), b"body");
            } else {
                let message = "transfer coding";
                assert!(stdout.contains(message) || stderr.contains(message), "{stdout}{stderr}");
                assert_eq!(names(folder.path()), [""; 0], "{coding}");
                assert_eq!(site.requests().len(), 1, "once: {coding}");
            }
        }
    });
}

/// Written bytes cannot be taken back.
#[test]
fn a_pipe_never_gets_bytes_twice() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(|_, out| answer_cut(out, "", &bytes(WHOLE), 300_000, Then::Close));
    let output = get("poll", folder.path(), &["-o", "-", &site.url("/x")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout == bytes(WHOLE)[..300_000]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("300,000 bytes were already written"), "{stderr}");
}

/// Splits the drawn lines, without control sequences.
fn lines(seen: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut rest = seen.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => {
                rest.next_if_eq(&'[');
                while rest.next_if(|c| !c.is_ascii_alphabetic()).is_some() {}
                rest.next();
            }
            '\r' | '\n' => lines.push(String::new()),
            c => lines.last_mut().unwrap().push(c),
        }
    }
    lines
}

/// Runs `get` on a terminal of this `size`, and returns what it draws. Calls `go_on` as soon as the
/// terminal shows all of `texts`.
fn on_a_terminal(size: &str, arguments: &str, texts: &[&str], go_on: impl Fn()) -> String {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("stty {size}; {} get {arguments}", common::PROGRAM);
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).current_dir(folder.path()).env("TERM", "xterm");
    let mut script = script.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdout, mut drawn) = (script.stdout.take().unwrap(), Vec::new());
    let mut buffer = [0; 4096];
    loop {
        match stdout.read(&mut buffer).unwrap() {
            0 => break,
            count => drawn.extend_from_slice(&buffer[..count]),
        }
        let seen = String::from_utf8_lossy(&drawn);
        if texts.iter().all(|text| seen.contains(text)) {
            go_on();
        }
    }
    script.wait().unwrap();
    String::from_utf8_lossy(&drawn).into_owned()
}

/// Starts a site whose answers stop after 4 bytes of `length`, until the flag is set.
fn pausing_site(length: usize, rest: &'static str) -> (Site, Arc<AtomicBool>) {
    let goes_on = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&goes_on);
    let site = Site::start(move |_, out| {
        write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n0123")?;
        out.flush()?;
        wait_until("the terminal shows the bars", || flag.load(Relaxed));
        out.write_all(rest.as_bytes())?;
        out.flush()?;
        Ok(Then::Close)
    });
    (site, goes_on)
}

#[test]
fn on_a_terminal_there_are_bars() {
    if !common::has_client("script") {
        return;
    }
    let (site, goes_on) = pausing_site(8, "4567");
    let texts = ["4 B of 8 B", "0 of 1"];
    let seen =
        on_a_terminal("columns 120", &site.url("/x"), &texts, || goes_on.store(true, Relaxed));
    assert!(texts.iter().all(|text| seen.contains(text)), "{seen:?}");
    assert!(seen.contains("1 of 1 saved"), "{seen:?}");
}

#[test]
fn a_terminal_of_80_columns_shows_a_line_for_each_file_and_the_total() {
    if !common::has_client("script") {
        return;
    }
    let (site, goes_on) = pausing_site(123_456_789, "");
    let name =
        |page: usize| format!("/{}-{page}", "a-name-that-is-longer-than-its-place".repeat(2));
    let urls: Vec<_> = (0..30).map(|page| site.url(&name(page))).collect();
    let arguments = format!("--port poll --retries 0 {}", urls.join(" "));
    let texts = ["4 B of 117.74 MiB", "0 of 30"];
    let go_on = || goes_on.store(true, Relaxed);
    let seen = on_a_terminal("columns 80 rows 24", &arguments, &texts, go_on);
    let (bars, _) = seen.split_once("0 of 30 saved").unwrap();
    // Lines of the full width follow each other without a line end.
    let rows: Vec<String> = lines(bars)
        .iter()
        .flat_map(|line| {
            let chars: Vec<char> = line.chars().collect();
            chars.chunks(80).map(|row| row.iter().collect::<String>()).collect::<Vec<_>>()
        })
        .filter(|row| !row.trim().is_empty())
        .collect();
    for row in &rows {
        assert!(row.starts_with("a-name-") || row.contains(" of 30 "), "{row:?}");
    }
    assert!(rows.iter().any(|row| row.contains("4 B of 117.74 MiB")), "{rows:?}");
    assert!(rows.iter().any(|row| row.starts_with("0 of 30")), "the total: {rows:?}");
}

#[test]
fn no_password_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(|request, out| {
        if request.path.starts_with("/slow") {
            answer_cut(out, TAG, &bytes(WHOLE), 400_000, Then::Keep)?;
            thread::sleep(AMPLE);
        }
        answer(out, "404 Not Found", "", b"")
    });
    let with_user = |path: &str| site.url(path).replace("//", "//user:S3cret@");
    let urls = [with_user("/none"), site.url("/x?token=S3cret&a=b"), with_user("/slow?sig=S3cret")];
    let mut arguments = vec!["--retries", "0", "-j1", "-H", "X-Own: S3cret"];
    arguments.extend(urls.iter().map(String::as_str));
    let mut command = command("poll", folder.path(), &arguments);
    command.env("RUST_LOG", "trace").stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.stdin(Stdio::null()).spawn().unwrap();
    wait_until("the third file has begun", || {
        site.requests().len() >= 3 && !names(folder.path()).is_empty()
    });
    send(&child, Signal::INT);
    let (code, stdout, stderr) = results(&child.wait_with_output().unwrap());
    assert_eq!(code, Some(130), "{stdout}{stderr}");
    assert!(stderr.contains("USER:PASSWORD@localhost"), "{stderr}");
    assert!(stderr.contains("/x?token=***&a=b"), "{stderr}");
    for secret in ["S3cret", "dXNlcjpTM2NyZXQ"] {
        assert!(!stdout.contains(secret) && !stderr.contains(secret), "{stdout}{stderr}");
    }
}
