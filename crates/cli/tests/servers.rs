//! `serve` with the small protocols, with a file, and the client of the Zen game.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use testkit::rounds;

use common::{PROGRAM, Server, Signal, address, on_each_port, python, run, text};

const ANSWERS: [&str; 3] = [
    "Beautiful is better than? Ugly.",
    "Explicit is better than? Implicit.",
    "Simple is better than? Complex.",
];

fn small(port: &str, protocol: &str) -> Server {
    Server::serve(port, &[protocol, "--listen", "127.0.0.1:0"])
}

#[test]
fn length_line_and_bracket_answer_pythons_sockets() {
    on_each_port(|port| {
        for protocol in ["length", "line", "bracket"] {
            let server = small(port, protocol);
            let count = rounds(100, 2000).to_string();
            let (host, tcp) = (server.addr.ip().to_string(), server.addr.port().to_string());
            let arguments = [&host, &tcp, protocol, &count].map(str::to_owned);
            let Some(message) = python("frames.py", &arguments) else { return };
            assert_eq!(message, format!("answered {count}\n"), "{protocol}");
            let stopped = server.stop(Signal::TERM);
            assert_eq!((stopped.count("errors"), stopped.count("left")), (0, 0), "{stopped:?}");
        }
    });
}

#[test]
fn the_zen_game_is_played_by_the_programs_own_client() {
    on_each_port(|port| {
        let server = small(port, "zen");
        let output = run(&["--port", port, "zen", &server.addr.to_string()]);
        let (message, stderr) = text(&output);
        assert!(output.status.success(), "{stderr}");
        let mut lines: Vec<&str> = message.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ANSWERS);
    });
}

#[test]
fn several_questions_in_one_packet_are_all_answered() {
    let server = small("auto", "zen");
    let mut client = server.connect();
    client
        .write_all(b"Simple is better than?Beautiful is better than?Flat is better than?")
        .unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answers = String::new();
    client.read_to_string(&mut answers).unwrap();
    assert_eq!(answers, "Complex.Ugly.Error: unknown aphorism.");
}

#[test]
fn an_incomplete_question_is_logged() {
    let server = small("auto", "zen");
    let output = run(&["zen", "--error", &server.addr.to_string()]);
    let (message, stderr) = text(&output);
    assert!(output.status.success(), "{stderr}");
    let half = message.lines().last().unwrap();
    assert!(ANSWERS.iter().any(|answer| answer.starts_with(half)), "{message}");
    let stopped = server.stop(Signal::TERM);
    assert!(stopped.stderr.contains("disconnected within a question"), "{stopped:?}");
    assert!(stopped.stderr.contains(half), "{stopped:?}");
}

#[test]
fn without_a_zen_server_the_client_names_the_command() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = run(&["zen", &free.to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).1.contains("overlapped serve zen"), "{}", text(&output).1);
    // If a server never answers, the client does not wait for ever.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap().to_string();
    let output = run(&["zen", "--timeout", "200ms", &at]);
    assert!(text(&output).1.contains("--timeout"), "{}", text(&output).1);
    // Nor if it answers byte by byte: the limit is for the whole answer.
    let slow = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = slow.local_addr().unwrap().to_string();
    let _server = std::thread::spawn(move || {
        let mut client = slow.accept().unwrap().0;
        while client.write_all(b"x").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    });
    let output = run(&["zen", "--timeout", "200ms", &at]);
    assert!(text(&output).1.contains("--timeout"), "{}", text(&output).1);
}

#[test]
fn it_listens_on_several_addresses_and_unix_sockets() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let unix = format!("unix:{}", path.display());
        let mut server = Server::serve(
            port,
            &["echo", "--listen", "127.0.0.1:0", "--listen", &unix, "--threads", "2"],
        );
        assert_eq!(server.line(), format!("listening on {unix} (echo, port {port})\n"));
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(b"hello").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "hello");
        common::round_trip(&mut server.connect(), b"hello");
        let stopped = server.stop(Signal::TERM);
        assert_eq!(stopped.count("accepted"), 2);
        assert!(!path.exists(), "the socket is removed");
    });
}

#[test]
fn the_proxy_protocol_gives_the_clients_address_to_the_access_log() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), "a").unwrap();
    let log = folder.path().join("log");
    let server = Server::serve(
        "auto",
        &[
            "http",
            folder.path().to_str().unwrap(),
            "--listen",
            "127.0.0.1:0",
            "--proxy-protocol",
            "--access-log",
            log.to_str().unwrap(),
        ],
    );
    let mut client = server.connect();
    client.write_all(b"PROXY TCP4 192.0.2.7 192.0.2.8 1234 80\r\n").unwrap();
    client.write_all(b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\na"), "{answer}");
    server.stop(Signal::TERM);
    let lines = fs::read_to_string(&log).unwrap();
    assert!(lines.starts_with("192.0.2.7 - - ["), "{lines}");
    assert!(lines.contains("\"GET /a HTTP/1.1\" 200 "), "{lines}");
}

#[test]
fn a_client_without_the_proxy_header_is_logged() {
    let server = Server::start("auto", &["--proxy-protocol"]);
    for _ in 0..20 {
        let mut client = server.connect();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let _ = client.read_to_string(&mut String::new());
    }
    server.wait_for_stderr(|message| message.contains("the PROXY header is missing"));
    let stopped = server.stop(Signal::TERM);
    assert!(stopped.stderr.contains("send-proxy-v2"), "{stopped:?}");
    assert!(stopped.stderr.matches("the PROXY header is missing").count() < 10, "{stopped:?}");
}

/// Sends an HTTP/1.1 request, and reads to the end.
fn get(at: SocketAddr, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(at).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_file_describes_several_servers_of_one_process() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("site")).unwrap();
        fs::write(folder.path().join("site/index.html"), "<p>home").unwrap();
        let file = folder.path().join("serve.toml");
        let described = "metrics = '127.0.0.1:0'\n\
            [[server]]\nprotocol = 'zen'\nlisten = ['127.0.0.1:0']\n\
            [[server]]\nprotocol = 'http'\nlisten = ['127.0.0.1:0']\nhttp.folder = 'site'\n";
        fs::write(&file, described).unwrap();
        let mut server = Server::serve(port, &["--config", file.to_str().unwrap()]);
        let mut zen = server.connect();
        zen.write_all(b"Simple is better than?").unwrap();
        let mut answer = [0; 8];
        zen.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"Complex.");
        let (http, metrics) = (server.line(), server.line());
        let site = http.split_whitespace().find_map(address).expect(&http);
        assert!(get(site, "/").ends_with("<p>home"), "{http}");
        let watched = metrics.split([' ', ':']).collect::<Vec<_>>();
        let tcp = watched.iter().find_map(|word| word.parse::<u16>().ok()).expect(&metrics);
        let at = SocketAddr::from(([127, 0, 0, 1], tcp));
        assert!(get(at, "/readyz").starts_with("HTTP/1.1 200 "), "{metrics}");
        assert!(get(at, "/metrics").contains("# TYPE "), "{metrics}");
        let stopped = server.stop(Signal::TERM);
        assert_eq!(stopped.count("accepted"), 2, "{stopped:?}");
    });
}

#[test]
fn the_annotated_example_is_valid() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/serve.toml");
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("site")).unwrap();
    let path = folder.path().join("serve.toml");
    let mut text_of_it = fs::read_to_string(example).unwrap();
    // Its own ports may be in use.
    for port in ["8080", "1060", "9464"] {
        text_of_it = text_of_it.replace(&format!("127.0.0.1:{port}"), "127.0.0.1:0");
    }
    fs::write(&path, text_of_it).unwrap();
    let output = run(&["serve", "--check", "--config", path.to_str().unwrap()]);
    let (message, stderr) = text(&output);
    assert!(output.status.success(), "{stderr}");
    let (_, servers) = message.split_once(": good\n").expect(&message);
    assert_eq!(servers, "http on 127.0.0.1:0\nzen on 127.0.0.1:0\n");
}

#[test]
fn a_faulty_file_is_reported_with_location_and_example() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("serve.toml");
    fs::write(&file, "[[server]]\nprotocol = 'echo'\nlisen = ['127.0.0.1:0']\n").unwrap();
    let output = run(&["serve", "--config", file.to_str().unwrap()]);
    let (_, stderr) = text(&output);
    assert_eq!(output.status.code(), Some(1));
    for message in
        ["serve.toml", "line 3, column 1", "`lisen`", "`listen`", "serve --example-config"]
    {
        assert!(stderr.contains(message), "{message} is not in {stderr}");
    }
}

#[test]
fn every_shell_gets_its_completions_and_every_command_its_page() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (message, stderr) = text(&run(&["completions", shell]));
        assert!(message.contains("max-connections"), "{shell}: {stderr}");
    }
    let (page, _) = text(&run(&["man"]));
    assert!(page.contains(".TH overlapped 1"), "{page}");
    let (page, _) = text(&run(&["man", "serve", "http"]));
    assert!(page.contains("cache\\-control"), "{page}");
    let output = run(&["man", "serve", "ftp"]);
    assert!(text(&output).1.contains("echo, bracket, length"), "{}", text(&output).1);
}

#[test]
fn a_closed_pipe_ends_a_manual_page_silently() {
    let script = format!("{PROGRAM} completions bash | head -1");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(text(&output).1, "");
}
