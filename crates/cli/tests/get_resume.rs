//! `overlapped get` with interruptions: cut connections, changed files, Ctrl-C.

mod common;
mod site;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use testkit::{AMPLE, ms, report, rounds, wait_until, within};

use common::{Signal, on_each_port, send, text};
use site::{
    Authority, Out, Request, Site, Then, answer, answer_cut, answer_range, bytes, get, names,
    start_get,
};

const WHOLE: usize = 1_000_000;
const CUT: usize = 400_000;
const TAG: &str = "ETag: \"v1\"\r\n";
/// The fields of a file modified long before the response.
const DATED: &str = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
                     Date: Sun, 06 Nov 1994 09:00:00 GMT\r\n";
const TAGGED_AND_DATED: &str = "ETag: \"v1\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

fn results(output: &std::process::Output) -> (Option<i32>, String, String) {
    let (stdout, stderr) = text(output);
    (output.status.code(), stdout, stderr)
}

/// Returns the length of the partial file, the only one of the folder.
fn unfinished(folder: &Path) -> u64 {
    let names = names(folder);
    let [part, note] = &names[..] else { panic!("{names:?}") };
    assert!(part.starts_with("file.") && part.ends_with(".part"), "{names:?}");
    assert_eq!(note, &format!("{part}.note"));
    fs::metadata(folder.join(part)).unwrap().len()
}

/// Starts a server that cuts the first response, and then calls `then`.
fn site_that_cuts_first(
    fields: &'static str,
    then: impl Fn(&Request, Out<'_>) -> io::Result<Then> + Send + Sync + 'static,
) -> Site {
    let asked = AtomicUsize::new(0);
    Site::start(move |request, out| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => answer_cut(out, fields, &bytes(WHOLE), CUT, Then::Close),
        _ => then(request, out),
    })
}

/// Continues at the requested byte, if the version is still the same.
fn continues(request: &Request, out: Out<'_>, fields: &str, validator: &str) -> io::Result<Then> {
    match (request.range(), request.header("if-range")) {
        (Some(start), Some(version)) if version == validator => {
            answer_range(out, fields, &bytes(WHOLE), start)
        }
        _ => answer(out, "200 OK", fields, &bytes(WHOLE)),
    }
}

#[test]
fn a_download_continues_after_a_cut_in_the_same_run() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let site = site_that_cuts_first(TAG, |request, out| continues(request, out, TAG, "\"v1\""));
        let (code, stdout, stderr) = results(&get(port, folder.path(), &[&site.url("/file")]));
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        assert_eq!(fs::read(folder.path().join("file")).unwrap(), bytes(WHOLE));
        assert_eq!(names(folder.path()), ["file"]);
        let requests = site.requests();
        assert_eq!(requests.len(), 2);
        assert_eq!((requests[0].range(), requests[0].header("if-range")), (None, None));
        assert_eq!(requests[1].range(), Some(CUT), "no byte twice");
        assert_eq!(requests[1].header("if-range"), Some("\"v1\""));
    });
}

#[test]
fn a_later_run_continues_where_the_first_ended() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let site = site_that_cuts_first(TAG, |request, out| continues(request, out, TAG, "\"v1\""));
        let url = site.url("/file");
        let (code, _, stderr) = results(&get(port, folder.path(), &["--retries", "0", &url]));
        assert_eq!(code, Some(1));
        assert!(stderr.contains("after 400,000 bytes"), "{stderr}");
        assert!(stderr.contains("the next run continues with file."), "{stderr}");
        assert_eq!(unfinished(folder.path()), CUT as u64);

        let (code, stdout, stderr) = results(&get(port, folder.path(), &["--resume", &url]));
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        assert_eq!(site.requests().last().unwrap().range(), Some(CUT));
        assert_eq!(fs::read(folder.path().join("file")).unwrap(), bytes(WHOLE));
        assert_eq!(names(folder.path()), ["file"]);
    });
}

#[test]
fn no_run_discards_what_an_earlier_one_has_left() {
    on_each_port(|port| {
        for flags in [&[][..], &["--overwrite"]] {
            let folder = tempfile::tempdir().unwrap();
            let site =
                site_that_cuts_first(TAG, |request, out| continues(request, out, TAG, "\"v1\""));
            let url = site.url("/file");
            assert_eq!(get(port, folder.path(), &["--retries", "0", &url]).status.code(), Some(1));
            let (code, stdout, stderr) =
                results(&get(port, folder.path(), &[flags, &[&url]].concat()));
            assert_eq!(code, Some(0), "{stderr}");
            assert_eq!(site.requests().last().unwrap().range(), Some(CUT));
            let message = "  file (after 390.62 KiB of an earlier run)\n";
            assert!(stdout.contains(message), "{stdout}");
            assert_eq!(fs::read(folder.path().join("file")).unwrap(), bytes(WHOLE));
            assert_eq!(names(folder.path()), ["file"]);
        }
    });
}

#[test]
fn dropping_bytes_of_another_version_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let site = site_that_cuts_first(TAG, |_, out| {
        answer(out, "200 OK", "ETag: \"v2\"\r\n", &bytes(WHOLE))
    });
    let url = site.url("/file");
    assert_eq!(get("poll", folder.path(), &["--retries", "0", &url]).status.code(), Some(1));
    let (code, stdout, stderr) = results(&get("poll", folder.path(), &[&url]));
    assert_eq!(code, Some(0), "{stderr}");
    let message = "(from the first byte: the 390.62 KiB of an earlier run are of another version)";
    assert!(stdout.contains(message), "{stdout}");
    assert_eq!(fs::read(folder.path().join("file")).unwrap(), bytes(WHOLE));
}

#[test]
fn a_server_that_cannot_continue_is_not_reported_as_changed() {
    let folder = tempfile::tempdir().unwrap();
    let site = site_that_cuts_first(TAG, |_, out| answer(out, "200 OK", TAG, &bytes(WHOLE)));
    let url = site.url("/file");
    assert_eq!(get("poll", folder.path(), &["--retries", "0", &url]).status.code(), Some(1));
    let (code, stdout, stderr) = results(&get("poll", folder.path(), &["-c", &url]));
    assert_eq!(code, Some(0), "{stderr}");
    let message = "(from the first byte: the server cannot continue after the 390.62 KiB of an \
                earlier run)";
    assert!(stdout.contains(message), "{stdout}");
    assert_eq!(fs::read(folder.path().join("file")).unwrap(), bytes(WHOLE));
}

/// Without a validator each attempt starts at the first byte.
#[test]
fn the_printed_size_is_that_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let asked = AtomicUsize::new(0);
    let site = Site::start(move |_, out| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => answer_cut(out, "", &bytes(102_400), 40_960, Then::Close),
        1 => answer_cut(out, "", &bytes(102_400), 81_920, Then::Close),
        _ => answer(out, "200 OK", "", &bytes(102_400)),
    });
    let (code, stdout, stderr) = results(&get("poll", folder.path(), &[&site.url("/file")]));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains(" 100.00 KiB  file\n"), "{stdout}");
    let message = "1 of 1 saved: 100.00 KiB (220.00 KiB received, some of it more than once) in ";
    assert!(stdout.contains(message), "{stdout}");
}

#[test]
fn a_reliable_modification_date_is_enough_to_continue() {
    let folder = tempfile::tempdir().unwrap();
    let modified = "Sun, 06 Nov 1994 08:49:37 GMT";
    let site = site_that_cuts_first(DATED, |request, out| continues(request, out, DATED, modified));
    assert_eq!(get("poll", folder.path(), &[&site.url("/file")]).status.code(), Some(0));
    assert_eq!(site.requests()[1].header("if-range"), Some(modified));
    assert_eq!(fs::read(folder.path().join("file")).unwrap(), bytes(WHOLE));
}

#[test]
fn bytes_of_two_versions_never_meet() {
    let other = || bytes(WHOLE + 7)[7..].to_vec();
    // The server's reactions to a range request after its file has changed.
    type Behaviour = fn(Out<'_>, &[u8], usize) -> io::Result<Then>;
    let behaviours: &[(&str, &'static str, Behaviour)] = &[
        ("ignores ranges", TAG, |out, other, _| answer(out, "200 OK", "ETag: \"v2\"\r\n", other)),
        ("ignores If-Range, with its tag", TAG, |out, other, start| {
            answer_range(out, "ETag: \"v2\"\r\n", other, start)
        }),
        ("sends another range", TAG, |out, other, start| answer_range(out, TAG, other, start - 1)),
        ("sends a part of no range", TAG, |out, other, start| {
            answer(out, "206 Partial Content", TAG, &other[start..])
        }),
        ("knows no such range", TAG, |out, _, _| {
            answer(out, "416 Range Not Satisfiable", "Content-Range: bytes */3\r\n", b"")
        }),
        ("sends less than the rest, and then another version", TAG, |out, other, start| {
            if start > CUT {
                return answer(out, "200 OK", "ETag: \"v2\"\r\n", other);
            }
            let range = format!("Content-Range: bytes {start}-{}/{WHOLE}\r\n", WHOLE - 1);
            answer(out, "206 Partial Content", &range, b"123")
        }),
        // The next two servers ignore If-Range, too, and send no other tag.
        ("has another date", DATED, |out, other, start| {
            answer_range(out, "Last-Modified: Sun, 06 Nov 1994 08:49:38 GMT\r\n", other, start)
        }),
        ("has another date beside the same tag", TAGGED_AND_DATED, |out, other, start| {
            let fields = format!("{TAG}Last-Modified: Sun, 06 Nov 1994 08:49:38 GMT\r\n");
            answer_range(out, &fields, other, start)
        }),
        ("has a weak tag of that text now", TAG, |out, other, start| {
            answer_range(out, "ETag: W/\"v1\"\r\n", other, start)
        }),
        ("has another length", TAG, |out, other, start| {
            let range = format!("Content-Range: bytes {start}-{WHOLE}/{}\r\n", WHOLE + 1);
            answer(out, "206 Partial Content", &range, &[&other[start..], b"x"].concat())
        }),
        ("goes beyond the length it had", TAG, |out, other, start| {
            let range = format!("Content-Range: bytes {start}-{WHOLE}/*\r\n{TAG}");
            answer(out, "206 Partial Content", &range, &[&other[start..], b"x"].concat())
        }),
        ("packs it now", TAG, |out, other, start| {
            answer_range(out, "Content-Encoding: gzip\r\n", other, start)
        }),
        ("names no version and no length", TAG, |out, other, start| {
            let range = format!("Content-Range: bytes {start}-{}/*\r\n", WHOLE - 1);
            answer(out, "206 Partial Content", &range, &other[start..])
        }),
        // The server cannot continue these two.
        ("has no version", "", |out, other, start| answer_range(out, "", other, start)),
        ("has a weak version", "ETag: W/\"v1\"\r\n", |out, other, start| {
            answer_range(out, "", other, start)
        }),
    ];
    for (name, fields, behaviour) in behaviours {
        let folder = tempfile::tempdir().unwrap();
        let site = site_that_cuts_first(fields, move |request, out| match request.range() {
            Some(start) => behaviour(out, &other(), start),
            None => answer(out, "200 OK", "ETag: \"v2\"\r\n", &other()),
        });
        let (code, stdout, stderr) =
            results(&get("poll", folder.path(), &["--retries", "2", &site.url("/file")]));
        assert_eq!(code, Some(0), "{name}: {stdout}{stderr}");
        let is_other = fs::read(folder.path().join("file")).unwrap() == other();
        assert!(is_other, "bytes of two versions in one file: the server {name}");
        assert_eq!(names(folder.path()), ["file"], "{name}");
    }
}

#[test]
fn a_complete_partial_file_is_only_renamed() {
    let folder = tempfile::tempdir().unwrap();
    // All bytes arrive, but not the announced end.
    let site = Site::start(|request, out| match request.range() {
        None => {
            write!(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{TAG}\r\n")?;
            write!(out, "{WHOLE:x}\r\n")?;
            out.write_all(&bytes(WHOLE))?;
            out.flush()?;
            Ok(Then::Close)
        }
        Some(start) => {
            assert_eq!(start, WHOLE);
            let range = format!("Content-Range: bytes */{WHOLE}\r\n");
            answer(out, "416 Range Not Satisfiable", &range, b"")
        }
    });
    let (code, stdout, stderr) = results(&get("poll", folder.path(), &[&site.url("/file")]));
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert_eq!(fs::read(folder.path().join("file")).unwrap(), bytes(WHOLE));
    assert_eq!(names(folder.path()), ["file"]);
}

/// Bodies that end too early, in every framing.
#[test]
fn an_incomplete_file_never_gets_its_name() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let body = || bytes(WHOLE);
        let cut = move |request: &Request, out: Out<'_>| match request.path.as_str() {
            "/length" => answer_cut(out, "", &body(), CUT, Then::Cut),
            "/length-reset" => answer_cut(out, "", &body(), CUT, Then::Reset),
            "/length-tag" => answer_cut(out, TAG, &body(), 0, Then::Cut),
            "/chunked" => {
                write!(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                write!(out, "{CUT:x}\r\n")?;
                out.write_all(&body()[..CUT])?;
                write!(out, "\r\n")?;
                out.flush()?;
                Ok(Then::Cut)
            }
            "/until-close" => {
                write!(out, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
                out.write_all(&body()[..CUT])?;
                out.flush()?;
                // A reset loses what the client has not read. By then it has probably read all; if
                // not, the file is only cut earlier.
                thread::sleep(ms(100));
                Ok(Then::Reset)
            }
            path => panic!("{path}"),
        };
        let paths = ["/length", "/length-reset", "/length-tag", "/chunked", "/until-close"];
        let authority = Authority::new("trusted");
        let elsewhere = tempfile::tempdir().unwrap();
        let trusted = authority.write(elsewhere.path());
        for site in [Site::start(cut), Site::start_tls(&authority, cut)] {
            let urls = paths.map(|path| site.url(path));
            let mut arguments = vec!["--retries", "1", "--cacert", trusted.to_str().unwrap()];
            arguments.extend(urls.iter().map(String::as_str));
            let (code, stdout, stderr) = results(&get(port, folder.path(), &arguments));
            assert_eq!(code, Some(1), "{stdout}{stderr}");
            assert!(stdout.contains("0 of 5 saved"), "{stdout}{stderr}");
            assert_eq!(names(folder.path()), [""; 0], "{stderr}");
            assert_eq!(site.requests().len(), 10, "each was tried twice");
        }
    });
}

/// TLS signals its end; an end without close_notify may be an attack.
#[test]
fn an_end_of_tls_without_close_notify_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("trusted");
    let trusted = authority.write(folder.path());
    let site = Site::start_tls(&authority, |request, out| {
        write!(out, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nsome of it")?;
        out.flush()?;
        Ok(if request.path == "/said" { Then::Close } else { Then::Cut })
    });
    let arguments = ["--retries", "0", "--cacert", trusted.to_str().unwrap()];
    let (message, cut) = (site.url("/said"), site.url("/cut"));
    let (code, _, stderr) =
        results(&get("poll", folder.path(), &[&arguments[..], &[&message, &cut]].concat()));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("/cut: connection lost: "), "{stderr}");
    assert_eq!(names(folder.path()), ["authority.pem", "said"]);
}

#[test]
fn bodies_in_chunks_and_until_the_close_are_whole() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let site = Site::start(|request, out| {
            if request.path == "/chunked" {
                write!(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                for chunk in bytes(WHOLE).chunks(77_777) {
                    write!(out, "{:x}\r\n", chunk.len())?;
                    out.write_all(chunk)?;
                    write!(out, "\r\n")?;
                }
                write!(out, "0\r\n\r\n")?;
                out.flush()?;
                return Ok(Then::Keep);
            }
            write!(out, "HTTP/1.0 200 OK\r\n\r\n")?;
            out.write_all(&bytes(WHOLE))?;
            out.flush()?;
            Ok(Then::Close)
        });
        let (chunked, close) = (site.url("/chunked"), site.url("/close"));
        let (code, stdout, stderr) = results(&get(port, folder.path(), &[&chunked, &close]));
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        for name in ["chunked", "close"] {
            assert!(fs::read(folder.path().join(name)).unwrap() == bytes(WHOLE), "{name}");
        }
    });
}

#[test]
fn two_processes_do_not_write_into_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let (refused, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let site = Site::start(move |_, out| {
        write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {WHOLE}\r\n\r\n")?;
        out.write_all(&bytes(WHOLE)[..WHOLE - 10])?;
        out.flush()?;
        // Until the second process has ended.
        let _ = wait.lock().unwrap().recv_timeout(Duration::from_secs(60));
        out.write_all(&bytes(WHOLE)[WHOLE - 10..])?;
        out.flush()?;
        Ok(Then::Keep)
    });
    let url = site.url("/file");
    let first = start_get("poll", folder.path(), &[&url]);
    wait_until("the partial file is there", || !names(folder.path()).is_empty());
    let (code, _, stderr) = results(&get("poll", folder.path(), &[&url]));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("is being written by another process"), "{stderr}");
    drop(refused);
    assert_eq!(results(&first.wait_with_output().unwrap()).0, Some(0));
    assert!(fs::read(folder.path().join("file")).unwrap() == bytes(WHOLE));
}

#[test]
fn ctrl_c_keeps_received_bytes_and_prints_how_to_resume() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let seen = asked.clone();
        let site = Site::start(move |request, out| {
            if request.path == "/small" {
                return answer(out, "200 OK", "", b"small");
            }
            if asked.fetch_add(1, Ordering::SeqCst) == 0 {
                answer_cut(out, TAG, &bytes(WHOLE), CUT, Then::Keep)?;
                thread::sleep(AMPLE);
                return Ok(Then::Cut);
            }
            continues(request, out, TAG, "\"v1\"")
        });
        let (small, file) = (site.url("/small"), site.url("/file?a=b&c"));
        let child = start_get(port, folder.path(), &["-o", "./", &small, &file]);
        // The small file's partial file exists beside it for a moment.
        let has_come = || {
            let parts = fs::read_dir(folder.path()).unwrap().flatten();
            let len = |part: fs::DirEntry| part.metadata().map_or(0, |metadata| metadata.len());
            parts
                .filter(|entry| entry.path().extension().is_some_and(|name| name == "part"))
                .any(|part| len(part) == CUT as u64)
        };
        wait_until("the first bytes are on the disk", has_come);
        wait_until("the small file is saved", || folder.path().join("small").exists());
        let begin = Instant::now();
        send(&child, Signal::INT);
        let (code, stdout, stderr) = results(&child.wait_with_output().unwrap());
        assert!(begin.elapsed() < within(Duration::from_secs(2)), "{:?}", begin.elapsed());
        assert_eq!(code, Some(130), "{stdout}{stderr}");
        assert!(stdout.contains("1 of 2 saved"), "{stdout}");
        assert!(stderr.contains("stopped by SIGINT; 1 unfinished file is kept"), "{stderr}");
        let again = stderr.lines().last().unwrap().trim();
        assert!(
            again.starts_with("overlapped --port") && again.contains(" get --resume "),
            "{again}"
        );
        fs::remove_file(folder.path().join("small")).unwrap();
        assert_eq!(unfinished(folder.path()), CUT as u64);

        // The printed command works in a shell.
        let again = again.replacen("overlapped", common::PROGRAM, 1);
        let mut shell = std::process::Command::new("sh");
        let output = shell.args(["-c", &again]).current_dir(folder.path()).output().unwrap();
        assert_eq!(results(&output).0, Some(0), "{:?}", results(&output));
        assert_eq!(fs::read(folder.path().join("file")).unwrap(), bytes(WHOLE));
        assert_eq!(names(folder.path()), ["file", "small"]);
        assert_eq!(seen.load(Ordering::SeqCst), 2);
    });
}

/// Stopped at any moment, a name stands for the complete file or for nothing, and `--resume`
/// completes the rest.
#[test]
fn c3_no_half_file_whenever_it_is_stopped() {
    let rounds = rounds(1, 50) as u64;
    on_each_port(|port| {
        let site = Site::start(|request, out| {
            let whole = bytes(WHOLE);
            let start = request.range().unwrap_or(0);
            let status = if start > 0 { "206 Partial Content" } else { "200 OK" };
            write!(out, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{TAG}", WHOLE - start)?;
            if start > 0 {
                write!(out, "Content-Range: bytes {start}-{}/{WHOLE}\r\n", WHOLE - 1)?;
            }
            write!(out, "\r\n")?;
            for chunk in whole[start..].chunks(100_000) {
                out.write_all(chunk)?;
                out.flush()?;
                thread::sleep(ms(5));
            }
            Ok(Then::Keep)
        });
        let urls: Vec<_> = (0..6).map(|file| site.url(&format!("/{file}"))).collect();
        let mut arguments = vec!["--resume", "--jobs", "4"];
        arguments.extend(urls.iter().map(String::as_str));
        let (mut round, mut stops, mut halves) = (0, 0, 0);
        // If no file was begun in time, the round repeats.
        while round < rounds || halves == 0 {
            assert!(round < rounds + 20, "void: none of {stops} stops left an unfinished file");
            let folder = tempfile::tempdir().unwrap();
            for interruption in 0.. {
                let child = start_get(port, folder.path(), &arguments);
                // With growing delays, or a busy machine would never finish.
                let spread = (round * 7 + interruption * 3) % 10 * 10;
                thread::sleep(ms(20 + spread + interruption * 20));
                send(&child, if interruption % 3 == 2 { Signal::KILL } else { Signal::INT });
                let output = child.wait_with_output().unwrap();
                for name in names(folder.path()) {
                    if name.contains(".part") {
                        halves += 1;
                    } else {
                        let saved = fs::read(folder.path().join(&name)).unwrap();
                        assert!(saved == bytes(WHOLE), "{name} has {} bytes", saved.len());
                    }
                }
                if output.status.code() == Some(0) {
                    break;
                }
                stops += 1;
                assert!(interruption < 50, "it never ends: {:?}", results(&output));
            }
            assert_eq!(names(folder.path()).len(), 6);
            round += 1;
        }
        report("C3", stops, &format!("stops, {halves} unfinished files, none under its name"));
    });
}
