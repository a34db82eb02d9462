//! `overlapped get`: which failures are retried, how often, and after which pause.

mod common;
mod site;

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant, SystemTime};

use common::{on_each_port, text};
use site::{Authority, Site, Then, answer, answer_range, bytes, get, names};

fn results(output: &std::process::Output) -> (Option<i32>, String, String) {
    let (stdout, stderr) = text(output);
    (output.status.code(), stdout, stderr)
}

/// The server closes each connection when the second request arrives on it.
#[test]
fn a_stale_idle_connection_costs_no_attempt() {
    const COUNT: usize = 200;
    on_each_port(|port| {
        let authority = Authority::new("trusted");
        let elsewhere = tempfile::tempdir().unwrap();
        let trusted = authority.write(elsewhere.path());
        let handler = || {
            let asked = AtomicUsize::new(0);
            move |request: &site::Request, out: site::Out<'_>| match asked.fetch_add(1, SeqCst) % 2
            {
                0 => answer(out, "200 OK", "", request.path.as_bytes()),
                _ => Ok(Then::Close),
            }
        };
        for site in [Site::start(handler()), Site::start_tls(&authority, handler())] {
            let folder = tempfile::tempdir().unwrap();
            let urls: Vec<_> = (0..COUNT).map(|page| site.url(&format!("/{page}"))).collect();
            fs::write(elsewhere.path().join(port), urls.join("\n")).unwrap();
            let list = elsewhere.path().join(port);
            let arguments = ["--retries", "0", "-j1", "--cacert", trusted.to_str().unwrap()];
            let list = ["-o", "./", "-i", list.to_str().unwrap()];
            let output = get(port, folder.path(), &[&arguments[..], &list].concat());
            let (code, stdout, stderr) = results(&output);
            assert_eq!(code, Some(0), "{stdout}{stderr}");
            assert_eq!(names(folder.path()).len(), COUNT);
            assert!(site.connections() >= COUNT, "each was used twice");
        }
    });
}

/// Ten pieces, with two attempts after the first.
#[test]
fn progress_restarts_the_count_of_attempts() {
    const WHOLE: usize = 1_000_000;
    const TAG: &str = "ETag: \"v1\"\r\n";
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let site = Site::start(|request, out| {
            let (whole, start) = (bytes(WHOLE), request.range().unwrap_or(0));
            let end = WHOLE.min(start + 100_000);
            let (status, range) = match start {
                0 => ("200 OK", String::new()),
                _ => {
                    let range = format!("Content-Range: bytes {start}-{}/{WHOLE}\r\n", WHOLE - 1);
                    ("206 Partial Content", range)
                }
            };
            write!(
                out,
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{TAG}{range}\r\n",
                WHOLE - start
            )?;
            out.write_all(&whole[start..end])?;
            out.flush()?;
            Ok(Then::Close)
        });
        let arguments = ["--retries", "2", &site.url("/file")];
        let (code, stdout, stderr) = results(&get(port, folder.path(), &arguments));
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        assert!(fs::read(folder.path().join("file")).unwrap() == bytes(WHOLE));
        assert_eq!(site.requests().len(), 10);
    });
}

#[test]
fn a_date_in_retry_after_is_obeyed() {
    let folder = tempfile::tempdir().unwrap();
    let begin = Instant::now();
    let asked = AtomicUsize::new(0);
    let site = Site::start(move |_, out| match asked.fetch_add(1, SeqCst) {
        0 => {
            let now = SystemTime::now();
            let date = |time| httpdate::fmt_http_date(time);
            let later = date(now + Duration::from_secs(3));
            let fields = format!("Date: {}\r\nRetry-After: {later}\r\n", date(now));
            answer(out, "503 Service Unavailable", &fields, b"")
        }
        _ => answer(out, "200 OK", "", b"here"),
    });
    let (code, stdout, stderr) = results(&get("poll", folder.path(), &[&site.url("/file")]));
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(begin.elapsed() >= Duration::from_secs(2), "{:?}", begin.elapsed());
}

/// A range response whose length contradicts its range is not endless progress.
#[test]
fn a_server_that_never_continues_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(|request, out| match request.range() {
        None => site::answer_cut(out, "ETag: \"a\"\r\n", &bytes(200_000), 100_000, Then::Close),
        Some(start) => answer_range(out, "ETag: \"b\"\r\n", &bytes(200_000), start),
    });
    let arguments = ["--retries", "2", &site.url("/file")];
    let (code, _, stderr) = results(&get("poll", folder.path(), &arguments));
    assert_eq!(code, Some(1), "{stderr}");
    assert!(site.requests().len() < 12, "{}", site.requests().len());
}

/// Two downloads at a time, so that the limit covers both together.
#[test]
fn the_rate_limit_holds_for_all_downloads_together() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let site = Site::start(|_, out| answer(out, "200 OK", "", &bytes(100_000)));
        let begin = Instant::now();
        let arguments = ["--rate-limit", "100000", &site.url("/a"), &site.url("/b")];
        let (code, stdout, stderr) = results(&get(port, folder.path(), &arguments));
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        assert!(begin.elapsed() >= Duration::from_millis(1900), "{:?}", begin.elapsed());
        assert!(fs::read(folder.path().join("b")).unwrap() == bytes(100_000));
        let none = get(port, folder.path(), &["--rate-limit", "0", &site.url("/a")]);
        assert_eq!(none.status.code(), Some(2));
    });
}
