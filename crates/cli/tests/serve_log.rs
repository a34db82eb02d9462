//! The server's log names the client, the request and the script of each problem, in plain words.

mod common;

use std::fs;
use std::io::{Read, Write};

use common::{Server, Signal, install, on_each_port};

/// Requests a path, and returns the answer and the client's own address.
fn get(server: &Server, path: &str) -> (String, String) {
    let mut client = server.connect();
    write!(client, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // A truncated reply ends with a reset.
    let _ = client.read_to_end(&mut answer);
    let address = client.local_addr().unwrap().to_string();
    (String::from_utf8_lossy(&answer).into_owned(), address)
}

#[test]
fn a_scripts_wrong_content_length_is_logged_with_script_client_and_request() {
    let folder = tempfile::tempdir().unwrap();
    let (site, scripts) = (folder.path().join("site"), folder.path().join("scripts"));
    fs::create_dir(&site).unwrap();
    fs::create_dir(&scripts).unwrap();
    for (name, length, body) in [("short", 9, "abc"), ("long", 3, "toolong")] {
        let head = format!("Content-Type: text/plain\\nContent-Length: {length}\\n\\n");
        install(&scripts.join(name), &format!("#!/bin/sh\nprintf '{head}'\nprintf {body}\n"));
    }
    let late = "#!/bin/sh\nprintf 'Content-Type: text/plain\\nContent-Length: 3\\n\\nabc'\n\
                sleep 1; printf late; : > done\n";
    install(&scripts.join("late"), late);
    on_each_port(|port| {
        let (site, scripts) = (site.to_str().unwrap(), scripts.to_str().unwrap());
        let usual = ["http", site, "--cgi", scripts, "--listen", "127.0.0.1:0"];
        let server = Server::serve(port, &usual);
        let (_, client) = get(&server, "/cgi-bin/short?a=1");
        let says = [
            "6 bytes before its Content-Length",
            &format!("{scripts}/short"),
            &client,
            "\"GET /cgi-bin/short?a=1 HTTP/1.1\"",
        ];
        server.wait_for_stderr(|message| {
            message.lines().any(|line| says.iter().all(|word| line.contains(word)))
        });
        for name in ["long", "late"] {
            let (answer, _) = get(&server, &format!("/cgi-bin/{name}"));
            let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            assert_eq!(body.len(), 3, "{answer}");
            let says =
                ["more than its Content-Length", &format!("{scripts}/{name}"), "4 bytes were not"];
            server.wait_for_stderr(|message| {
                message.lines().any(|line| says.iter().all(|word| line.contains(word)))
            });
        }
    });
    assert!(scripts.join("done").exists(), "a script that has answered was not let to its end");
}

#[test]
fn quotation_marks_of_a_script_are_logged_unescaped() {
    let folder = tempfile::tempdir().unwrap();
    let scripts = folder.path().join("scripts");
    fs::create_dir(folder.path().join("site")).unwrap();
    fs::create_dir(&scripts).unwrap();
    let text = "#!/bin/sh\ncat >&2 <<'END'\nFile \"/tmp/a\", 'cgi' is deprecated\nEND\n\
                printf '\\033[31m\\n' >&2\nprintf 'Content-Type: text/plain\\n\\nx'\n";
    install(&scripts.join("x"), text);
    let (site, scripts) = (folder.path().join("site"), scripts.to_str().unwrap().to_owned());
    let usual = ["http", site.to_str().unwrap(), "--cgi", &scripts, "--listen", "127.0.0.1:0"];
    let server = Server::serve("auto", &usual);
    assert!(get(&server, "/cgi-bin/x").0.contains("\r\nx\r\n"));
    server.wait_for_stderr(|message| message.contains("\\u{1b}[31m"));
    let message = server.stop(Signal::TERM).stderr;
    assert!(message.contains("File \"/tmp/a\", 'cgi' is deprecated"), "{message}");
}

#[test]
fn plain_http_to_a_tls_port_is_answered_400_and_logged_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("a.pem"), folder.path().join("a.key"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    fs::create_dir(folder.path().join("site")).unwrap();
    let of = |name: &str| folder.path().join(name).display().to_string();
    on_each_port(|port| {
        let log = of(&format!("log-{port}"));
        let server = Server::serve(
            port,
            &[
                "http",
                &of("site"),
                "--listen",
                "127.0.0.1:0",
                "--tls-cert",
                &of("a.pem"),
                "--tls-key",
                &of("a.key"),
                "--access-log",
                &log,
            ],
        );
        // In any form.
        let mut slow = server.connect();
        for piece in ["G", "ET ", "/x HTTP", "/1.1\r\nHost: a\r\n\r\n"] {
            slow.write_all(piece.as_bytes()).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let mut answer = String::new();
        slow.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("HTTPS"), "{answer:?}");
        // The first one is logged.
        let client = slow.local_addr().unwrap().to_string();
        drop(slow);
        let (answer, _) = get(&server, "/x");
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
        assert!(answer.contains("text/plain") && answer.contains("HTTPS"), "{answer:?}");
        for _ in 0..20 {
            // The unread rest of a request must not destroy the answer.
            let path = format!("/{}", "x".repeat(6000));
            assert!(get(&server, &path).0.contains("HTTPS"));
        }
        let stopped = server.stop(Signal::TERM);
        assert!(stopped.stderr.contains(&client), "{stopped:?}");
        assert!(stopped.stderr.contains("\"GET /x HTTP/1.1\""), "{stopped:?}");
        assert!(stopped.stderr.matches("plain HTTP").count() < 15, "{stopped:?}");
        assert_eq!(stopped.count("handshakes"), 22, "{stopped:?}");
        let lines = fs::read_to_string(&log).unwrap();
        assert_eq!(lines.matches("\"GET /x HTTP/1.1\" 400 ").count(), 2, "{lines}");
    });
}

#[test]
fn an_address_with_too_many_connections_is_logged_with_the_limit() {
    on_each_port(|port| {
        let server = Server::start(port, &["--per-address", "2"]);
        let held = [server.connect(), server.connect()];
        for _ in 0..20 {
            // A connection that is closed at once may be reset.
            let _ = server.connect().read(&mut [0]);
        }
        drop(held);
        server.wait_for_stderr(|message| message.contains("--per-address"));
        let stopped = server.stop(Signal::TERM);
        let line = stopped.stderr.lines().find(|line| line.contains("--per-address")).unwrap();
        assert!(line.contains("127.0.0.1") && line.contains("it has 2 already"), "{line}");
        assert!(stopped.stderr.matches("--per-address").count() < 15, "{stopped:?}");
    });
}

#[test]
fn a_missing_proxy_header_is_logged_in_words() {
    let server = Server::start("auto", &["--proxy-protocol"]);
    let mut client = server.connect();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let _ = client.read_to_string(&mut String::new());
    let address = client.local_addr().unwrap();
    server.wait_for_stderr(|message| message.contains("the PROXY header is missing"));
    let message = server.stop(Signal::TERM).stderr;
    assert!(message.contains(&format!("{address} was refused")), "{message}");
    assert!(!message.contains("again=") && !message.contains("Some("), "{message}");
}
