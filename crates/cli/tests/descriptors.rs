//! The program with few descriptors: idle connections are closed for clients with requests.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use testkit::wait_until;

use common::{Server, Signal, on_each_port};

const LIMIT: usize = 96;
const CLIENTS: usize = 300;

/// Requests a path, reads the head and `body` bytes, and returns the status.
fn get(stream: &mut (impl Read + Write), path: &str, body: &[u8]) -> std::io::Result<String> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        answer.push(byte[0]);
    }
    let status = String::from_utf8_lossy(&answer[9..12]).into_owned();
    if status == "200" {
        let mut came = vec![0; body.len()];
        stream.read_exact(&mut came)?;
        assert_eq!(came, body);
    }
    Ok(status)
}

fn healthz(watch: &Path) -> String {
    let mut stream = UnixStream::connect(watch).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    get(&mut stream, "/healthz", b"ok\n").unwrap_or_else(|error| error.to_string())
}

fn start(port: &str, folder: &Path, watch: &Path) -> Server {
    let folder = folder.to_str().unwrap();
    let watch = format!("unix:{}", watch.display());
    let arguments = ["http", folder, "--listen", "127.0.0.1:0", "--metrics", &watch];
    let arguments = [&arguments[..], &["--idle-timeout", "10m", "--head-timeout", "10m"]].concat();
    Server::start_with_descriptors(port, LIMIT, &arguments)
}

fn connect(server: &Server) -> TcpStream {
    let stream = server.connect();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

#[test]
fn idle_connections_are_closed_for_clients_with_requests_and_for_their_files() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let watch = folder.path().join("watch");
        let site = folder.path().join("site");
        std::fs::create_dir(&site).unwrap();
        // Large files: each holds a descriptor as long as it is cached.
        let body = vec![b'x'; 300_000];
        for file in 0..CLIENTS {
            std::fs::write(site.join(format!("{file}.bin")), &body).unwrap();
        }
        let server = start(port, &site, &watch);
        let mut held = Vec::new();
        for client in 0..CLIENTS {
            let mut stream = connect(&server);
            let status = get(&mut stream, &format!("/{client}.bin"), &body);
            assert_eq!(status.unwrap(), "200", "client {client} of {CLIENTS}");
            held.push(stream);
            if client % 50 == 0 {
                assert_eq!(healthz(&watch), "200");
            }
        }
        assert_eq!(healthz(&watch), "200");
        drop(held);
        let stopped = server.stop(Signal::TERM);
        assert_eq!(stopped.count("accepted"), CLIENTS as u64, "{stopped:?}");
        assert!(stopped.count("idleness") >= (CLIENTS - LIMIT) as u64, "{stopped:?}");
    });
}

#[test]
fn silent_connections_are_closed_for_clients_with_requests() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let watch = folder.path().join("watch");
        std::fs::write(folder.path().join("a"), "hello").unwrap();
        let server = start(port, folder.path(), &watch);
        let silent: Vec<_> = (0..CLIENTS).map(|_| connect(&server)).collect();
        for _ in 0..10 {
            let status = get(&mut connect(&server), "/a", b"hello");
            assert_eq!(status.unwrap(), "200", "beside {CLIENTS} silent connections");
        }
        drop(silent);
        let stopped = server.stop(Signal::TERM);
        assert!(stopped.count("idleness") >= (CLIENTS - LIMIT) as u64, "{stopped:?}");
    });
}

#[test]
fn a_client_in_its_handshake_is_not_closed_for_others() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "hello").unwrap();
        let site = folder.path().to_str().unwrap();
        let arguments = ["http", site, "--listen", "127.0.0.1:0", "--proxy-protocol"];
        let arguments = [&arguments[..], &["--head-timeout", "10m"]].concat();
        let server = Server::start_with_descriptors(port, LIMIT, &arguments);
        let mut begun = connect(&server);
        begun.write_all(b"PROXY TCP4 192.0.2.1 192.0").unwrap();
        let ask = || {
            let mut other = connect(&server);
            other.write_all(b"PROXY TCP4 192.0.2.2 192.0.2.9 1 2\r\n").unwrap();
            assert_eq!(get(&mut other, "/a", b"hello").unwrap(), "200");
        };
        // When a later client is answered, the earlier one's bytes have been read.
        ask();
        let silent: Vec<_> = (0..CLIENTS).map(|_| connect(&server)).collect();
        ask();
        begun.write_all(b".2.9 1 2\r\n").unwrap();
        assert_eq!(get(&mut begun, "/a", b"hello").unwrap(), "200", "what was begun goes on");
        drop(silent);
        server.stop(Signal::TERM);
    });
}

#[test]
fn health_is_reported_while_requests_hold_all_descriptors() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let watch = folder.path().join("watch");
        let server = start(port, folder.path(), &watch);
        let mut busy = Vec::new();
        for _ in 0..CLIENTS {
            let mut stream = connect(&server);
            stream.write_all(b"GET / HTTP/1.1\r\nHost:").unwrap();
            busy.push(stream);
        }
        wait_until("it has no descriptors", || server.descriptors() >= LIMIT);
        for _ in 0..3 {
            assert_eq!(healthz(&watch), "200");
        }
        drop(busy);
        server.stop(Signal::TERM);
    });
}
