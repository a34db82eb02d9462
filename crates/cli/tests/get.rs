//! `overlapped get`: the saved files, their names, and the messages.

mod common;
mod site;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use testkit::{AMPLE, is_torture, wait_until};

use common::{on_each_port, text};
use site::{Authority, Site, Then, answer, bytes, get, get_with_input, names};

/// Returns the exit code and both streams.
fn results(output: &std::process::Output) -> (Option<i32>, String, String) {
    let (stdout, stderr) = text(output);
    (output.status.code(), stdout, stderr)
}

#[test]
fn twenty_slow_pages_overlap() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let asked = AtomicUsize::new(0);
        let site = Site::start(move |request, out| {
            // The requests of the second round wait for each other, however slowly they arrive.
            let begin = Instant::now();
            let is_second = asked.fetch_add(1, SeqCst) >= 20;
            while is_second && asked.load(SeqCst) < 40 && begin.elapsed().as_secs() < 20 {
                thread::sleep(Duration::from_millis(1));
            }
            thread::sleep(Duration::from_millis(250));
            answer(out, "200 OK", "", request.path.as_bytes())
        });
        let urls: Vec<_> = (0..20).map(|page| site.url(&format!("/page-{page}"))).collect();
        let mut arguments = vec!["--compare"];
        arguments.extend(urls.iter().map(String::as_str));
        let (code, stdout, stderr) = results(&get(port, folder.path(), &arguments));
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        for page in 0..20 {
            let saved = fs::read(folder.path().join(format!("page-{page}"))).unwrap();
            assert_eq!(saved, format!("/page-{page}").as_bytes());
        }
        assert_eq!(names(folder.path()).len(), 20, "and nothing else");
        assert_eq!(site.peak(), 20, "all at once");
        let times = stdout.split_once(": ").and_then(|_| stdout.rsplit_once(" times as fast"));
        let ratio: f64 = times.unwrap().0.rsplit(' ').next().unwrap().parse().unwrap();
        println!("{port}: {}", stdout.lines().last().unwrap());
        assert!(ratio >= if is_torture() { 10.0 } else { 3.0 }, "{stdout}");
    });
}

#[test]
fn no_more_at_a_time_than_jobs() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let asked = AtomicUsize::new(0);
        let site = Site::start(move |request, out| {
            // The first three wait for each other. Each is slow, so that a fourth would be seen.
            asked.fetch_add(1, SeqCst);
            wait_until("three are requested at a time", || asked.load(SeqCst) >= 3);
            thread::sleep(Duration::from_millis(60));
            answer(out, "200 OK", "", request.path.as_bytes())
        });
        let urls: Vec<_> = (0..12).map(|page| site.url(&format!("/page-{page}"))).collect();
        let mut arguments = vec!["--jobs", "3"];
        arguments.extend(urls.iter().map(String::as_str));
        let (code, stdout, stderr) = results(&get(port, folder.path(), &arguments));
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        assert_eq!(site.peak(), 3);
        assert!(site.connections() <= 3, "connections are used again: {}", site.connections());
        assert!(stdout.contains("12 of 12 saved"), "{stdout}");
    });
}

#[test]
fn failures_are_listed_and_the_rest_is_downloaded() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let site = Site::start(|request, out| match request.path.as_str() {
            "/good" => answer(out, "200 OK", "", b"good"),
            "/gone" => answer(out, "410 Gone", "", b"no such thing"),
            "/broken" => answer(out, "500 Internal Server Error", "", b"sorry"),
            _ => answer(out, "404 Not Found", "", b"no such thing"),
        });
        // A port without a listener.
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let nobody = format!("http://{nobody}/x");
        let urls = ["/missing", "/good", "/gone", "/broken"].map(|path| site.url(path));
        let [missing, good, gone, broken] = &urls;
        let all = ["--retries", "2", missing, good, gone, broken, &nobody, "gopher://host/x"];
        let (code, stdout, stderr) = results(&get(port, folder.path(), &all));
        assert_eq!(code, Some(1));
        assert!(stdout.contains("1 of 6 saved"), "{stdout}");
        let failed: Vec<_> = stderr.lines().filter(|line| line.starts_with("failed: ")).collect();
        assert_eq!(failed.len(), 5, "{stderr}");
        assert!(failed[0].ends_with("/missing: 404 Not Found"), "{stderr}");
        assert!(failed[1].ends_with("/gone: 410 Gone"), "{stderr}");
        assert!(failed[2].contains("/broken: 500 Internal Server Error (in the last of 3"));
        assert!(failed[3].contains("connection refused"), "{stderr}");
        assert!(failed[4].contains("http:// or https://"), "{stderr}");
        assert_eq!(site.requests_for("/missing").len(), 1, "a final answer is not asked for again");
        assert_eq!(site.requests_for("/broken").len(), 3);
        assert_eq!(names(folder.path()), ["good"]);
    });
}

#[test]
fn a_request_is_repeated_until_the_server_recovers() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let begin = Instant::now();
        let site = Site::start(move |request, out| match request.path.as_str() {
            "/busy" if begin.elapsed() < Duration::from_secs(1) => {
                answer(out, "503 Service Unavailable", "Retry-After: 1\r\n", b"")
            }
            _ => answer(out, "200 OK", "", b"here"),
        });
        let url = site.url("/busy");
        let (code, stdout, stderr) = results(&get(port, folder.path(), &[&url]));
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        assert_eq!(fs::read(folder.path().join("busy")).unwrap(), b"here");
        let asked = site.requests().len();
        assert!(asked <= 3, "it waited as long as it was told to: {asked} requests");
    });
}

/// Names that a malicious server proposes, and the names they become.
const EVIL: &[(&str, &str, &str)] = &[
    ("/1", "Content-Disposition: attachment; filename=\"../../canary\"\r\n", "canary-1"),
    ("/2", "Content-Disposition: attachment; filename=/etc/passwd\r\n", "passwd"),
    ("/3", "Content-Disposition: attachment; filename*=UTF-8''..%2f..%2f%2ebashrc\r\n", "bashrc"),
    ("/4", "Content-Disposition: attachment; filename=\"..\"\r\n", "4"),
    ("/5/..%2f..%2fcanary", "", "canary"),
    ("/6/%2e%2e", "", "index.html"),
    ("/7/-rf", "", "_-rf"),
    ("/8", "Content-Disposition: attachment; filename=\"x.part\"\r\n", "x.part_"),
    ("/9", "Content-Disposition: attachment; filename*=UTF-8''a%00b%1b[31m\r\n", "a_b_[31m"),
];

#[test]
fn no_name_leads_out_of_the_folder() {
    on_each_port(|port| {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("a/b");
        fs::create_dir_all(&folder).unwrap();
        fs::write(outer.path().join("canary"), "alive").unwrap();
        let site = Site::start(|request, out| {
            let (_, fields, _) = EVIL.iter().find(|(path, ..)| *path == request.path).unwrap();
            answer(out, "200 OK", fields, request.path.as_bytes())
        });
        let urls: Vec<_> = EVIL.iter().map(|(path, ..)| site.url(path)).collect();
        let urls: Vec<_> = urls.iter().map(String::as_str).collect();
        let (code, stdout, stderr) = results(&get(port, &folder, &urls));
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        for (path, _, name) in EVIL {
            assert_eq!(fs::read(folder.join(name)).unwrap(), path.as_bytes(), "{name}");
        }
        assert_eq!(names(&folder).len(), EVIL.len());
        assert_eq!(names(outer.path()), ["a", "canary"]);
        assert_eq!(names(&outer.path().join("a")), ["b"]);
        assert_eq!(fs::read(outer.path().join("canary")).unwrap(), b"alive");
        assert!(!stdout.contains('\u{1b}') && !stderr.contains('\u{1b}'), "{stdout:?}{stderr:?}");
    });
}

#[test]
fn an_existing_file_is_kept_without_overwrite() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "old").unwrap();
        let site = Site::start(|_, out| answer(out, "200 OK", "", b"new"));
        let url = site.url("/file");

        let (code, _, stderr) = results(&get(port, folder.path(), &[&url]));
        assert_eq!(code, Some(1));
        assert!(stderr.contains("file exists; --overwrite"), "{stderr}");
        let (code, stdout, _) = results(&get(port, folder.path(), &["--resume", &url]));
        assert_eq!(code, Some(0), "it is there: nothing to resume");
        assert!(stdout.contains("exists  file"), "{stdout}");
        assert_eq!(fs::read(&path).unwrap(), b"old");

        let (code, ..) = results(&get(port, folder.path(), &["--overwrite", &url]));
        assert_eq!(code, Some(0));
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["file"]);
    });
}

#[test]
fn output_is_a_file_for_one_url_and_a_folder_for_several() {
    let folder = tempfile::tempdir().unwrap();
    let proposed = "Content-Disposition: attachment; filename=proposed\r\n";
    let site = Site::start(move |_, out| answer(out, "200 OK", proposed, b"text"));
    let (a, b) = (site.url("/a"), site.url("/b"));
    let get = |arguments: &[&str]| results(&get("poll", folder.path(), arguments));
    assert_eq!(get(&["-o", "mine", &a]).0, Some(0));
    assert_eq!(names(folder.path()), ["mine"], "the user's name counts");
    assert_eq!(get(&["-o", "many", &a, &b]).0, Some(0));
    assert_eq!(names(&folder.path().join("many")), ["proposed", "proposed-1"]);
    assert_eq!(get(&["-o", "one/", &a]).0, Some(0));
    assert_eq!(names(&folder.path().join("one")), ["proposed"]);
    assert_eq!(get(&["-o", "many", &site.url("/c"), "--overwrite"]).0, Some(0));

    let (code, _, stderr) = get(&["-o", "no/such/folder", &a]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("cannot save folder: there is no folder no/such"), "{stderr}");
    let (code, _, stderr) = get(&["-o", "mine", &a, &b]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("--output mine is a file; 2 URLs need a folder"), "{stderr}");
}

#[test]
fn lists_come_from_files_and_from_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(|request, out| answer(out, "200 OK", "", request.path.as_bytes()));
    let (a, b, c) = (site.url("/a"), site.url("/b"), site.url("/c"));
    let mut list = fs::File::create(folder.path().join("list.txt")).unwrap();
    writeln!(list, "# three\n{a}\n\n  {b}\n{a}").unwrap();
    let arguments = ["-i", "list.txt", "-o", "x/", "-"];
    let output = get_with_input("poll", folder.path(), &arguments, &format!("{c}\n{b}\n"));
    let (code, stdout, stderr) = results(&output);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.contains("3 of 3 saved"), "each once: {stdout}");
    assert_eq!(names(&folder.path().join("x")), ["a", "b", "c"]);
    assert_eq!(site.requests().len(), 3);

    let (code, _, stderr) =
        results(&get_with_input("poll", folder.path(), &["-i", "-"], "# none\n"));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("has no URLs"), "{stderr}");
    assert_eq!(get("poll", folder.path(), &[]).status.code(), Some(2));
}

#[test]
fn redirects_are_followed_but_not_in_circles() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let site = Site::start(|request, out| match request.path.as_str() {
            "/start" => answer(out, "302 Found", "Location: /middle\r\n", b"over there"),
            "/middle" => answer(out, "301 Moved Permanently", "Location: /end\r\n", b""),
            "/end" => answer(out, "200 OK", "", b"found"),
            _ => answer(out, "302 Found", "Location: /circle\r\n", b""),
        });
        let (start, circle) = (site.url("/start"), site.url("/circle"));
        let (code, stdout, stderr) = results(&get(port, folder.path(), &[&start, &circle]));
        assert_eq!(code, Some(1));
        assert!(stderr.contains("too many redirects"), "{stderr}{stdout}");
        assert!(site.requests_for("/circle").len() <= 11);
        assert_eq!(names(folder.path()), ["start"]);
        assert_eq!(fs::read(folder.path().join("start")).unwrap(), b"found");
    });
}

#[test]
fn saved_files_equal_the_servers() {
    let folder = tempfile::tempdir().unwrap();
    let packed = "Content-Encoding: gzip\r\n";
    let site = Site::start(move |_, out| answer(out, "200 OK", packed, b"\x1f\x8bnot unpacked"));
    assert_eq!(get("poll", folder.path(), &[&site.url("/x.gz")]).status.code(), Some(0));
    assert_eq!(fs::read(folder.path().join("x.gz")).unwrap(), b"\x1f\x8bnot unpacked");
    assert_eq!(site.requests()[0].header("accept-encoding"), Some("identity"));
}

#[test]
fn a_silent_server_is_given_up() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let site = Site::start(|request, out| {
            if request.path == "/body" {
                write!(out, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234")?;
                out.flush()?;
            }
            thread::sleep(AMPLE);
            Ok(Then::Close)
        });
        let (head, body) = (site.url("/head"), site.url("/body"));
        let begin = Instant::now();
        let arguments = ["--timeout", "1s", "--retries", "1", &head, &body];
        let (code, _, stderr) = results(&get(port, folder.path(), &arguments));
        assert_eq!(code, Some(1));
        assert!(stderr.contains("/head: timed out waiting for the response head"), "{stderr}");
        assert!(stderr.contains("/body: timed out waiting for more, after 5 bytes"), "{stderr}");
        assert!(begin.elapsed() < AMPLE, "{:?}", begin.elapsed());
        assert_eq!(names(folder.path()), [""; 0]);
    });
}

#[test]
fn a_head_without_end_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(|_, out| {
        write!(out, "HTTP/1.1 200 OK\r\n")?;
        for _ in 0..10_000 {
            write!(out, "X: {}\r\n", "x".repeat(100))?;
        }
        answer(out, "200 OK", "", b"")
    });
    let (code, _, stderr) = results(&get("poll", folder.path(), &[&site.url("/x")]));
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("failed: "), "{stderr}");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn tls_needs_a_trusted_certificate() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("trusted");
        let trusted = authority.write(folder.path());
        let other = tempfile::tempdir().unwrap();
        let distrusted = Authority::new("distrusted").write(other.path());
        let site = Site::start_tls(&authority, |_, out| answer(out, "200 OK", "", &bytes(300_000)));
        let url = site.url("/secret");
        let with = |cacert: &Path| ["--cacert", cacert.to_str().unwrap(), &url].map(str::to_owned);
        let get = |arguments: &[String]| {
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            results(&get(port, folder.path(), &arguments))
        };

        let (code, stdout, stderr) = get(&with(&trusted));
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        assert_eq!(fs::read(folder.path().join("secret")).unwrap(), bytes(300_000));

        for arguments in [&with(&distrusted)[..], std::slice::from_ref(&url)] {
            let (code, _, stderr) = get(arguments);
            assert_eq!(code, Some(1));
            assert!(stderr.contains("is not trusted here"), "{stderr}");
            assert!(stderr.contains("--cacert"), "{stderr}");
        }
        // The certificate is for localhost.
        let by_number = format!("https://127.0.0.1:{}/x", site.port());
        let (code, _, stderr) =
            get(&["--cacert", trusted.to_str().unwrap(), &by_number].map(str::to_owned));
        assert_eq!(code, Some(1));
        assert!(stderr.contains("certificate"), "{stderr}");
        assert_eq!(names(folder.path()), ["authority.pem", "secret"]);
    });
}

#[test]
fn many_over_tls_at_once() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("trusted");
        let trusted = authority.write(folder.path());
        let site = Site::start_tls(&authority, |request, out| {
            answer(out, "200 OK", "", request.path.as_bytes())
        });
        let urls: Vec<_> = (0..120).map(|page| site.url(&format!("/page-{page}"))).collect();
        let list = folder.path().join("list");
        fs::write(&list, urls.join("\n")).unwrap();
        let arguments = ["--cacert", trusted.to_str().unwrap(), "-j", "120", "-i", "list"];
        let output = get(port, folder.path(), &[&arguments[..], &["-o", "pages"]].concat());
        let (code, stdout, stderr) = results(&output);
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        assert_eq!(names(&folder.path().join("pages")).len(), 120);
    });
}

#[test]
fn a_file_without_certificates_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("empty.pem"), "nothing").unwrap();
    for (file, message) in
        [("none.pem", "cannot read --cacert none.pem"), ("empty.pem", "contains no certificate")]
    {
        let (code, _, stderr) =
            results(&get("poll", folder.path(), &["--cacert", file, "http://h/"]));
        assert_eq!(code, Some(1));
        assert!(stderr.contains(message), "{stderr}");
    }
}

#[test]
fn trusted_certificates_that_a_variable_names_are_read_or_missed() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("trusted");
    let trusted = authority.write(folder.path());
    let site = Site::start_tls(&authority, |_, out| answer(out, "200 OK", "", b"x"));
    fs::create_dir(folder.path().join("empty")).unwrap();
    for (variable, value, message) in [
        ("SSL_CERT_FILE", "/nowhere", "SSL_CERT_FILE: cannot read /nowhere: No such file"),
        ("SSL_CERT_DIR", "/nowhere", "SSL_CERT_DIR: cannot read /nowhere: No such file"),
        ("SSL_CERT_DIR", "empty", "SSL_CERT_DIR: no certificates found"),
        ("SSL_CERT_FILE", trusted.to_str().unwrap(), "1 of 1 saved"),
    ] {
        let mut command = site::command("poll", folder.path(), &[&site.url("/x")]);
        command.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR").env(variable, value);
        let (_, stdout, stderr) = results(&command.output().unwrap());
        assert!((stdout + &stderr).contains(message), "{variable}={value}: {stderr}");
    }
}

#[test]
fn few_descriptors_are_enough_for_a_long_list() {
    let site = Site::start(|_, out| answer(out, "200 OK", "", &bytes(100_000)));
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let list: String = (0..300).map(|i| site.url(&format!("/{i}\n"))).collect();
        fs::write(folder.path().join("list"), list).unwrap();
        let mut command = std::process::Command::new("sh");
        let line = "ulimit -n 30 && exec \"$0\" --port \"$1\" get --retries 0 -i list";
        command.args(["-c", line, common::PROGRAM, port]).current_dir(folder.path());
        let (code, stdout, stderr) = results(&command.output().unwrap());
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        assert!(stdout.contains("300 of 300 saved"), "{stdout}{stderr}");
        assert!(stderr.contains("the limit on open files is 30 (`ulimit -n`)"), "{stderr}");
    });
}

#[test]
fn sync_puts_files_on_the_disk() {
    if !common::has_client("strace") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(|request, out| answer(out, "200 OK", "", request.path.as_bytes()));
    let urls: Vec<_> = (0..20).map(|page| site.url(&format!("/{page}"))).collect();
    for (flag, syncs) in [("--sync", 1), ("--overwrite", 0)] {
        let mut strace = std::process::Command::new("strace");
        strace.args(["-f", "-qq", "-e", "trace=syncfs,fsync,fdatasync", common::PROGRAM]);
        strace.args(["--port", "poll", "get", flag]).args(&urls).current_dir(folder.path());
        let (code, _, stderr) = results(&strace.output().unwrap());
        if stderr.contains("ptrace") {
            println!("SKIPPED: files on the disk, by strace: {stderr}");
            return;
        }
        assert_eq!(code, Some(0), "{stderr}");
        assert_eq!(stderr.matches("sync").count(), syncs, "one for all: {stderr}");
    }
}

#[test]
fn without_a_terminal_no_bars() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(|_, out| answer(out, "200 OK", "", &bytes(100_000)));
    let (code, stdout, stderr) = results(&get("poll", folder.path(), &[&site.url("/x")]));
    assert_eq!(code, Some(0));
    assert_eq!(stderr, "");
    let lines: Vec<_> = stdout.lines().collect();
    assert_eq!(lines[0].trim(), "97.66 KiB  x");
    assert!(lines[1].starts_with("1 of 1 saved: 97.66 KiB in "), "{stdout}");
}
