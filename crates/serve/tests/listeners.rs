//! Listeners: addresses, proxies, the access log, a shortage of descriptors.

mod site;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use overlapped_serve::{AccessLog, Connection, Limits, Listen, Peer, Server};
use overlapped_wire::http::{Answer, Http, text};
use overlapped_wire::line::Line;

use site::{Site, ask, connect, report, rounds, take};

/// Writes the client's address, and the thread that serves it.
fn tell(mut connection: Connection) {
    let peer = connection.peer().clone();
    let thread = std::thread::current().id();
    let _ = write!(connection, "{peer} {:?} {:?} {thread:?}", peer.local(), peer.proxy());
}

fn told(mut stream: impl Read) -> String {
    let mut told = String::new();
    stream.read_to_string(&mut told).unwrap();
    told
}

#[test]
fn two_threads_share_one_address_and_a_second_server_cannot() {
    let (site, address) = Site::run(|| {
        let mut server = Server::new().threads(2);
        let address = server.listen_with("127.0.0.1:0", tell).unwrap();
        (server, address.tcp().unwrap())
    });
    let threads: std::collections::HashSet<String> =
        (0..200).map(|_| told(connect(address)).rsplit_once(' ').unwrap().1.to_owned()).collect();
    assert_eq!(threads.len(), 2, "{threads:?}");
    let error = Server::new().listen_with(address, tell).unwrap_err().to_string();
    let me = format!("(process {})", std::process::id());
    assert!(error.contains("Held by") && error.contains(&me), "{error}");
    assert_eq!(site.stop().accepted, 200);
}

#[test]
fn a_unix_socket_that_was_left_behind_is_replaced_and_one_in_use_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    drop(UnixListener::bind(&path).unwrap());
    let on = format!("unix:{}", path.display());
    let theirs = on.clone();
    let (site, ()) = Site::run(move || {
        let mut server = Server::new().threads(2);
        server.listen_with(theirs, tell).unwrap();
        (server, ())
    });
    assert!(told(UnixStream::connect(&path).unwrap()).starts_with("local None None"));
    let error = Server::new().listen_with(on.clone(), tell).unwrap_err().to_string();
    assert!(error.contains("Another program listens there"), "{error}");
    drop(site);
    std::fs::write(&path, "a file").unwrap();
    let error = Server::new().listen_with(on, tell).unwrap_err().to_string();
    assert!(error.contains("not a socket"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"a file");
}

#[test]
fn invalid_addresses_are_explained() {
    let error = |on: &str| Server::new().listen_with(on, tell).unwrap_err().to_string();
    for (on, says) in [
        ("nonsense", "host:port"),
        ("192.0.2.1:0", "No interface"),
        ("fd:web", "FileDescriptorName=web"),
        ("unix:/no/such/folder/socket", "folder does not exist"),
    ] {
        let error = error(on);
        assert!(error.contains(on.trim_start_matches("fd:")) && error.contains(says), "{error}");
    }
}

#[test]
fn a_proxy_header_sets_the_clients_address() {
    let (site, address) = Site::run(|| {
        let limits = Limits { head: Duration::from_millis(500), ..Limits::default() };
        let mut server = Server::new();
        let listen = Listen::on("127.0.0.1:0").proxy_protocol().limits(limits);
        let address = server
            .listen_with(listen, |mut connection: Connection| {
                let mut five = [0; 5];
                connection.read_exact(&mut five).unwrap();
                assert_eq!(&five, b"hello");
                tell(connection);
            })
            .unwrap();
        (server, address.tcp().unwrap())
    });
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\x30\x39\0\x50";
    for header in [&b"PROXY TCP4 192.0.2.1 192.0.2.2 12345 80\r\n"[..], v2] {
        // In one piece with the bytes behind it, and byte by byte.
        for size in [100, 1] {
            let mut stream = connect(address);
            for piece in [header, b"hello"].concat().chunks(size) {
                stream.write_all(piece).unwrap();
            }
            let proxy = stream.local_addr().unwrap();
            let told = told(stream);
            let expected = format!("192.0.2.1:12345 Some(192.0.2.2:80) Some({proxy}) ");
            assert!(told.starts_with(&expected), "{told}");
        }
    }
    for header in ["PROXY TCP4 192.0.2.1", "hello", "PROXY TCP4 a b c d\r\nhello"] {
        let mut stream = connect(address);
        stream.write_all(header.as_bytes()).unwrap();
        assert!(matches!(stream.read(&mut [0; 10]), Ok(0) | Err(_)), "{header}");
    }
    let totals = site.stop();
    assert_eq!((totals.handshakes_failed, totals.panicked), (3, 0));
}

#[test]
fn requests_behind_a_proxy_header_are_complete_wherever_they_are_cut() {
    let (site, address) = Site::run(|| {
        let mut server = Server::new();
        let listen = Listen::on("127.0.0.1:0").proxy_protocol();
        let address = server.listen(listen, |_: &Peer| Line::default()).unwrap();
        (server, address.tcp().unwrap())
    });
    let lens = [1, 470, 512, 1000, 1023, 1024, 1025, 1500, 5000];
    for len in lens {
        let line = [&vec![b'x'; len - 1][..], b"\n"].concat();
        let lines = [&line[..], b"behind\n"].concat();
        let mut stream = connect(address);
        let header = &b"PROXY TCP4 192.0.2.1 192.0.2.2 12345 80\r\n"[..];
        stream.write_all(&[header, &lines].concat()).unwrap();
        let mut answer = vec![0; lines.len()];
        stream.read_exact(&mut answer).unwrap();
        assert!(answer == lines, "{len} bytes behind the header");
    }
    assert_eq!(site.stop().requests, 2 * lens.len() as u64);
}

fn hello(_: http::Request<()>, _: &mut dyn Read) -> Answer {
    text(http::StatusCode::OK, "hello")
}

/// Decodes the escapes of the log.
fn unescaped(field: &str) -> String {
    let mut parts = field.split("\\x");
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn h14_each_request_has_one_line_of_printable_text_in_the_access_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let theirs = path.clone();
    let (site, address) = Site::run(move || {
        let mut server = Server::new().access_log(AccessLog::File(theirs));
        let address = server.listen("127.0.0.1:0", |_: &Peer| Http::new(hello)).unwrap();
        (server, address.tcp().unwrap())
    });
    let rounds = rounds(1, 40);
    let mut sent = 0;
    let mut agents = Vec::new();
    for _ in 0..rounds {
        // Bytes, and text that looks like the log's own escapes.
        let odd = (0..=255).map(|byte| vec![byte, byte]).chain([b"\\x41\\x0A".to_vec()]);
        for odd in odd {
            // In the target, in a header that is logged, and in a malformed request.
            for (before, after) in [
                (&b"GET /"[..], &b" HTTP/1.1\r\nHost: a\r\n\r\n"[..]),
                (b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: ", b"\r\n\r\n"),
                (b"x", b"\r\n\r\n"),
            ] {
                let mut stream = connect(address);
                stream.write_all(&[before, &odd, after].concat()).unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                let mut answer = Vec::new();
                let _ = stream.read_to_end(&mut answer);
                sent += usize::from(answer.starts_with(b"HTTP/1.1 "));
                if before.ends_with(b"User-Agent: ") && answer.starts_with(b"HTTP/1.1 200") {
                    agents.push(String::from_utf8_lossy(&odd).trim().to_owned());
                }
            }
        }
    }
    assert!(sent >= 771 * rounds - 8, "{sent}: each gets an answer, of whatever kind");
    let answered = site.stop();
    let log = std::fs::read(&path).unwrap();
    assert!(log.iter().all(|&byte| byte == b'\n' || (b' '..=b'~').contains(&byte)));
    let log = String::from_utf8(log).unwrap();
    let mut logged = Vec::new();
    for line in log.lines() {
        assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
        assert_eq!(line.matches('"').count(), 6, "{line}");
        // No text that looks escaped was sent in that form.
        let fields: Vec<&str> = line.split('"').collect();
        let (request, agent) = (unescaped(fields[1]), unescaped(fields[5]));
        if request == "GET / HTTP/1.1" && agent != "-" {
            logged.push(agent);
        }
    }
    assert!(logged.len() > 100 * rounds, "not tested: {}", logged.len());
    agents.retain(|agent| !agent.is_empty() && agent != "-");
    logged.retain(|agent| !agent.is_empty());
    agents.sort();
    logged.sort();
    assert_eq!(logged, agents, "each can be read back as it was sent");
    assert!(log.lines().count() >= sent, "{} of {sent}: {answered}", log.lines().count());
    report("H14", sent, "answers to odd bytes, each with one line of printable text in the log");
}

#[test]
fn a_log_that_was_renamed_is_reopened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let theirs = path.clone();
    let (site, address) = Site::run(move || {
        let mut server = Server::new().access_log(AccessLog::File(theirs));
        let address = server.listen("127.0.0.1:0", |_: &Peer| Http::new(hello)).unwrap();
        (server, address.tcp().unwrap())
    });
    let get = |path: &str| {
        let mut stream = connect(address);
        write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        told(stream)
    };
    let lines = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default();
    get("/first");
    site::wait_until("the first is written", || lines(&path).contains("/first"));
    let moved = folder.path().join("access.log.1");
    std::fs::rename(&path, &moved).unwrap();
    site.handle.reload();
    site::wait_until("the file is there again", || path.exists());
    get("/second");
    site.stop();
    assert!(lines(&path).contains("/second") && !lines(&path).contains("/first"));
    assert!(lines(&moved).contains("/first"));
}

/// 1,000 connections with several requests each, on two threads: nothing is lost or mixed up.
#[test]
fn h12_many_clients_get_their_own_answers_and_no_error() {
    let clients = rounds(200, 1000);
    let each = rounds(20, 200);
    let (site, address) = Site::run(|| {
        let mut server = Server::new().threads(2);
        let address = server.listen("127.0.0.1:0", |_: &Peer| Line::default()).unwrap();
        (server, address.tcp().unwrap())
    });
    let workers: Vec<_> = (0..8)
        .map(|worker| std::thread::spawn(move || crowd(address, worker, clients / 8, each)))
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    let totals = site.stop();
    let (requests, connections) = (clients * each * 3, clients as u64);
    assert_eq!((totals.requests, totals.accepted), (requests as u64, connections));
    assert_eq!((totals.errors, totals.refused, totals.cut), (0, 0, 0));
    report("H12", requests, &format!("answers on {clients} connections, 0 wrong, 0 errors"));
}

fn crowd(address: SocketAddr, worker: usize, clients: usize, each: usize) {
    let mut streams: Vec<_> = (0..clients).map(|_| connect(address)).collect();
    for round in 0..each {
        let lines = |client| format!("{worker} {client} {round}\nagain {client}\n{round}\n");
        for (client, stream) in streams.iter_mut().enumerate() {
            stream.write_all(lines(client).as_bytes()).unwrap();
        }
        for (client, stream) in streams.iter_mut().enumerate() {
            let lines = lines(client);
            assert_eq!(take(stream, lines.len()), lines.as_bytes());
        }
    }
}

/// Descriptors are a property of the whole process, so the server is a child: this test binary
/// again, with a low limit.
#[test]
fn a_server_without_descriptors_waits_and_continues() {
    if std::env::var_os("SERVE_WITH_FEW_DESCRIPTORS").is_some() {
        let mut server = Server::new();
        let address = server.listen("127.0.0.1:0", |_: &Peer| Line::default()).unwrap();
        println!("listening on {address}.");
        print!("{}", server.run().unwrap());
        return;
    }
    let name = "a_server_without_descriptors_waits_and_continues";
    let command = r#"ulimit -n 40; exec "$0" "$@""#;
    let mut child = std::process::Command::new("sh")
        .args(["-c", command])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env("SERVE_WITH_FEW_DESCRIPTORS", "1")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let address: SocketAddr = loop {
        let mut line = String::new();
        assert!(std::io::BufRead::read_line(&mut out, &mut line).unwrap() > 0, "it has ended");
        if let Some((_, address)) = line.trim_end_matches(".\n").split_once("listening on ") {
            break address.parse().unwrap();
        }
    };
    let mut clients: Vec<_> = (0..60).map(|_| connect(address)).collect();
    std::thread::sleep(Duration::from_millis(600));
    let mut last = clients.pop().unwrap();
    drop(clients);
    let begin = Instant::now();
    ask(&mut last, b"hello\n", b"hello\n");
    let waited = begin.elapsed();
    drop(last);
    std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(child.wait().unwrap().success());
    let text = told(out);
    assert!(text.contains("accepted 60") && !text.contains("shortage 0"), "{text}");
    assert!(waited < Duration::from_secs(5), "{waited:?}");
}
