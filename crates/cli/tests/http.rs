//! `serve http` with real clients.

mod common;

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use testkit::{report, rounds, wait_until};

use common::{Server, Signal, has_client, install, on_each_port, python, text};

/// Reports the number of the body's bytes, and their sum.
const SUM: &str = "#!/bin/sh\n\
    printf 'Content-Type: text/plain\\n\\n'\n\
    printf '%s ' \"$CONTENT_LENGTH\"; sha256sum | cut -d ' ' -f 1\n";

/// Creates the folder to serve.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let site = folder.path().join("site");
    let scripts = folder.path().join("scripts");
    fs::create_dir(&site).unwrap();
    fs::create_dir(&scripts).unwrap();
    fs::write(site.join("hello.txt"), "hello\n").unwrap();
    fs::write(site.join("digits"), "0123456789").unwrap();
    fs::write(site.join("1k"), [7; 1024]).unwrap();
    fs::write(site.join(".secret"), "hidden").unwrap();
    install(&scripts.join("sum"), SUM);
    folder
}

/// Starts a server of the folder.
fn serve(port: &str, folder: &Path, more: &[&str]) -> Server {
    let (site, scripts) = (folder.join("site"), folder.join("scripts"));
    let usual = ["http", site.to_str().unwrap(), "--cgi", scripts.to_str().unwrap()];
    Server::serve(port, &[&usual[..], &["--listen", "127.0.0.1:0"], more].concat())
}

fn curl(arguments: &[&str]) -> Output {
    Command::new("curl").args(["--silent", "--show-error"]).args(arguments).output().unwrap()
}

/// Returns the output of curl, which must succeed.
fn fetch(arguments: &[&str]) -> String {
    let output = curl(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output).1);
    text(&output).0
}

fn url(server: &Server, path: &str) -> String {
    format!("http://{}{path}", server.addr)
}

#[test]
fn the_first_line_has_a_url() {
    on_each_port(|port| {
        let folder = folder();
        let server = serve(port, folder.path(), &[]);
        let site = folder.path().join("site");
        let expected =
            format!("serving {} at http://{}/ (port {port})\n", site.display(), server.addr);
        assert_eq!(server.first_line, expected);
    });
}

#[test]
fn h12_curl_keeps_its_connection_and_gets_ranges_and_conditions_and_heads() {
    if !has_client("curl") {
        return;
    }
    on_each_port(|port| {
        let folder = folder();
        let server = serve(port, folder.path(), &["--list"]);
        let (hello, digits) = (url(&server, "/hello.txt"), url(&server, "/digits"));
        let both = fetch(&["--write-out", "%{num_connects} ", &hello, &digits]);
        assert_eq!(both, "hello\n1 01234567890 ", "one connection for two URLs");
        assert_eq!(fetch(&["--range", "2-4", &digits]), "234");
        assert_eq!(fetch(&["--range", "-3", &digits]), "789");
        let several = fetch(&["--range", "0-1,8-9", "--include", &digits]);
        assert!(several.contains("multipart/byteranges"), "{several}");
        let head = fetch(&["--head", &hello]);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("Content-Length: 6\r\n"), "{head}");
        let tag = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("etag").then_some(value)
        });
        let known = format!("If-None-Match: {}", tag.expect("a tag"));
        let status = ["--write-out", "%{http_code}", "--output", "/dev/null"];
        for (more, code) in [
            (["--header", &known, &hello], "304"),
            (["--header", "If-None-Match: \"other\"", &hello], "200"),
            (["--range", "100-", &digits], "416"),
            (["--request", "DELETE", &hello], "405"),
            (["--path-as-is", "--get", &url(&server, "/../scripts/sum")], "400"),
            (["--path-as-is", "--get", &url(&server, "/.secret")], "404"),
        ] {
            let message = fetch(&[&status[..], &more[..]].concat());
            assert_eq!(message, code, "{more:?}");
        }
        assert!(fetch(&[&url(&server, "/")]).contains("hello.txt"), "the listing");
        let stopped = server.stop(Signal::TERM);
        assert_eq!((stopped.count("errors"), stopped.count("left")), (0, 0), "{stopped:?}");
        report("H12", 13, &format!("{port}: curl: keep-alive, ranges, conditions, HEAD"));
    });
}

#[test]
fn h12_curl_uploads_in_chunks_to_a_script_and_every_byte_arrives() {
    if !has_client("curl") {
        return;
    }
    on_each_port(|port| {
        let folder = folder();
        let server = serve(port, folder.path(), &["--max-body", "2GiB"]);
        let megabytes = rounds(64, 1024);
        let script = format!(
            "set -e; head -c {megabytes}M /dev/urandom > data; \
             sha256sum < data | cut -d ' ' -f 1; \
             curl --silent --show-error --request POST --header 'Transfer-Encoding: chunked' \
             --upload-file data {}",
            url(&server, "/cgi-bin/sum")
        );
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).current_dir(folder.path());
        let output = shell.output().unwrap();
        let (message, stderr) = text(&output);
        let words: Vec<&str> = message.split_whitespace().collect();
        let [sent, count, received] = words[..] else { panic!("{message:?} {stderr}") };
        assert_eq!((count, received), (&*(megabytes << 20).to_string(), sent));
        report("H12", 1, &format!("{port}: curl: {megabytes} MiB in chunks to a script"));
    });
}

#[test]
fn an_upload_above_the_limit_is_refused() {
    if !has_client("curl") {
        return;
    }
    let folder = folder();
    let server = serve("auto", folder.path(), &["--max-body", "1KiB"]);
    let target = url(&server, "/cgi-bin/sum");
    let send = |body: &str| {
        fetch(&["--write-out", "%{http_code}", "--output", "/dev/null", "--data", body, &target])
    };
    assert_eq!(send(&"x".repeat(1024)), "200");
    assert_eq!(send(&"x".repeat(1025)), "413");
}

/// Creates a self-signed certificate for localhost and its key, and returns their paths.
fn certificate(folder: &Path) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (cert.to_str().unwrap().to_owned(), key.to_str().unwrap().to_owned())
}

#[test]
fn h12_curl_and_openssl_speak_https() {
    on_each_port(|port| {
        let folder = folder();
        let (cert, key) = certificate(folder.path());
        let server = serve(port, folder.path(), &["--tls-cert", &cert, "--tls-key", &key]);
        assert!(server.first_line.contains(" at https://127.0.0.1:"), "{}", server.first_line);
        let mut checks = 0;
        if has_client("curl") {
            let name = format!("localhost:{}:127.0.0.1", server.addr.port());
            let url = format!("https://localhost:{}/hello.txt", server.addr.port());
            let trust = ["--cacert", &cert, "--resolve", &name, &url];
            assert_eq!(fetch(&trust), "hello\n");
            checks += 1;
        }
        if has_client("openssl") {
            let connect = server.addr.to_string();
            let mut openssl = Command::new("openssl");
            openssl.args(["s_client", "-quiet", "-verify_return_error", "-alpn", "http/1.1"]);
            openssl.args(["-connect", &connect, "-servername", "localhost", "-CAfile", &cert]);
            openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = openssl.spawn().unwrap();
            let request =
                b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            // openssl ends with the connection, not with its input, which stays open until then.
            let mut input = child.stdin.take().unwrap();
            input.write_all(request).unwrap();
            let output = child.wait_with_output().unwrap();
            drop(input);
            let (message, stderr) = text(&output);
            assert!(message.ends_with("\r\n\r\nhello\n"), "{message}{stderr}");
            checks += 1;
        }
        report("H12", checks, &format!("{port}: HTTPS by curl and openssl"));
    });
}

#[test]
fn h12_pythons_client_sends_many_requests_on_one_connection() {
    on_each_port(|port| {
        let folder = folder();
        let server = serve(port, folder.path(), &[]);
        let (host, tcp) = (server.addr.ip().to_string(), server.addr.port().to_string());
        let message = python("http_client.py", &[host, tcp, "10".to_owned()]);
        let Some(message) = message else { return };
        assert_eq!(message, "answered 30\n");
        let stopped = server.stop(Signal::TERM);
        assert_eq!(stopped.count("accepted"), 1);
        report("H12", 30, &format!("{port}: python3's http.client, on one connection"));
    });
}

/// Runs a load generator, and returns its output.
fn load(program: &str, arguments: &str, url: &str) -> Option<String> {
    has_client(program).then(|| {
        let output = Command::new(program).args(arguments.split(' ')).arg(url).output().unwrap();
        let (message, stderr) = text(&output);
        assert!(output.status.success(), "{program}: {message}{stderr}");
        message
    })
}

/// Returns the number after a word.
fn number(message: &str, word: &str) -> usize {
    let (_, rest) =
        message.split_once(word).unwrap_or_else(|| panic!("{word:?} is not in {message}"));
    let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no number behind {word:?} in {message}"))
}

#[test]
fn h12_load_generators_report_no_error() {
    on_each_port(|port| {
        let folder = folder();
        let server = serve(port, folder.path(), &["--per-address", "2000"]);
        let url = url(&server, "/1k");
        let (connections, requests) = (rounds(50, 1_000), rounds(2_000, 200_000));
        let seconds = rounds(1, 10);
        let results = |message: &str, count: usize, program: &str| {
            assert!(count > 0, "{message}");
            let figure = format!("{port}: {program}, {connections} connections, 0 errors");
            report("H12", count, &figure);
        };
        if let Some(message) = load("wrk", &format!("-t1 -c{connections} -d{seconds}s"), &url) {
            assert!(!message.contains("Socket errors"), "{message}");
            assert!(!message.contains("Non-2xx"), "{message}");
            let (before, _) = message.split_once(" requests in").expect(&message);
            let count = before.rsplit(' ').next().unwrap().parse().unwrap();
            results(&message, count, "wrk");
        }
        if let Some(message) = load("ab", &format!("-k -q -r -n {requests} -c {connections}"), &url)
        {
            assert_eq!(number(&message, "Failed requests:"), 0, "{message}");
            assert_eq!(number(&message, "Keep-Alive requests:"), requests, "{message}");
            results(&message, number(&message, "Complete requests:"), "ab -k");
        }
        let h2load = format!("--h1 -n {requests} -c {connections}");
        if let Some(message) = load("h2load", &h2load, &url) {
            assert!(message.contains(" 0 failed, 0 errored, 0 timeout"), "{message}");
            assert_eq!(number(&message, "status codes:"), requests, "{message}");
            results(&message, requests, "h2load --h1");
        }
        let stopped = server.stop(Signal::TERM);
        assert_eq!((stopped.count("refusal"), stopped.count("panics")), (0, 0), "{stopped:?}");
    });
}

/// Sends requests on one connection by HTTP's rules, until a response announces the connection's
/// end, and counts each complete response in `answers`. An end without a response is an error.
fn ask_until_the_end(addr: SocketAddr, answers: &AtomicUsize) {
    use std::io::{BufRead, BufReader, Read};
    let Ok(stream) = std::net::TcpStream::connect(addr) else { return };
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut reader = BufReader::new(&stream);
    loop {
        (&stream).write_all(b"GET /1k HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let (mut length, mut is_last, mut line) = (0, false, String::new());
        loop {
            line.clear();
            let read = reader.read_line(&mut line).unwrap();
            assert!(read > 0, "closed without an answer, and no answer has announced it");
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            is_last |= lower.trim() == "connection: close";
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        assert_eq!(body, [7; 1024]);
        answers.fetch_add(1, Relaxed);
        if is_last {
            return;
        }
    }
}

#[test]
fn h13_a_stop_under_load_loses_no_answer() {
    on_each_port(|port| {
        let rounds = rounds(2, 20);
        let answers = Arc::new(AtomicUsize::new(0));
        for _ in 0..rounds {
            let folder = folder();
            let server = serve(port, folder.path(), &["--drain", "30s"]);
            let addr = server.addr;
            let before = answers.load(Relaxed);
            let client = |_| {
                let answers = Arc::clone(&answers);
                thread::spawn(move || ask_until_the_end(addr, &answers))
            };
            let clients: Vec<_> = (0..32).map(client).collect();
            wait_until("there is load", || answers.load(Relaxed) >= before + 1000);
            let stopped = server.stop(Signal::TERM);
            clients.into_iter().for_each(|client| client.join().unwrap());
            assert_eq!(stopped.status.code(), Some(0), "{stopped:?}");
            assert_eq!((stopped.count("cut"), stopped.count("errors")), (0, 0), "{stopped:?}");
        }
        let figure = format!(
            "{port}: {rounds} stops of the program under load of 32 connections, no answer lost"
        );
        report("H13", answers.load(Relaxed), &figure);
    });
}
