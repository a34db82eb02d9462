//! TLS: handshakes, names, reloads.

mod site;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use overlapped_serve::{Connection, Limits, Listen, Peer, Server, Tls};
use overlapped_wire::length::Length;
use overlapped_wire::line::Line;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use site::{Site, connect};

/// Writes a certificate for these names with its key; returns the certificate.
fn make(folder: &Path, file: &str, names: &[&str]) -> CertificateDer<'static> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(folder.join(format!("{file}.pem")), made.cert.pem()).unwrap();
    std::fs::write(folder.join(format!("{file}.key")), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

fn files(folder: &Path, name: &str) -> (std::path::PathBuf, std::path::PathBuf) {
    (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")))
}

/// Starts a server that sends lines back.
fn lines(tls: Tls) -> (Site, SocketAddr) {
    Site::run(move || {
        let mut server = Server::new();
        let listen = Listen::on("127.0.0.1:0").tls(tls);
        let address = server.listen(listen, |_: &Peer| Line::default()).unwrap();
        (server, address.tcp().unwrap())
    })
}

type Client = StreamOwned<ClientConnection, TcpStream>;

/// Connects and performs the handshake.
fn client(
    address: SocketAddr,
    name: &'static str,
    trusted: &CertificateDer<'static>,
    protocols: &[&str],
) -> Result<Client, std::io::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(name).unwrap();
    let tls = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(tls, connect(address));
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

fn ask(stream: &mut Client, line: &[u8]) {
    stream.write_all(line).unwrap();
    let mut answer = vec![0; line.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, line);
}

#[test]
fn a_client_gets_the_certificate_for_its_server_name() {
    let folder = tempfile::tempdir().unwrap();
    let one = make(folder.path(), "one", &["one.example", "*.one.example"]);
    let two = make(folder.path(), "two", &["two.example"]);
    let tls = Tls::from_files(["one", "two"].map(|name| files(folder.path(), name))).unwrap();
    let (_site, address) = Site::run(move || {
        let mut server = Server::new();
        let listen = Listen::on("127.0.0.1:0").tls(tls.protocols(["http/1.1"]));
        let answer = |mut connection: Connection| {
            let tls = connection.peer().tls().unwrap().clone();
            let (name, protocol) =
                (tls.server_name.unwrap(), tls.protocol.as_deref().unwrap_or("-").to_owned());
            let _ = write!(connection, "{name} {protocol}");
        };
        let address = server.listen_with(listen, answer).unwrap();
        (server, address.tcp().unwrap())
    });
    for (name, trusted, asked, agreed) in [
        ("one.example", &one, &["h2", "http/1.1"][..], "http/1.1"),
        ("www.one.example", &one, &["http/1.1"], "http/1.1"),
        ("two.example", &two, &[], "-"),
    ] {
        let mut stream = client(address, name, trusted, asked).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the stream ends with close_notify");
        assert_eq!(answer, format!("{name} {agreed}"));
    }
    assert!(client(address, "two.example", &one, &[]).is_err(), "a name of the other certificate");
    assert!(client(address, "one.example", &one, &["h2"]).is_err(), "no common protocol");
}

#[test]
fn requests_of_every_length_are_complete_wherever_the_first_read_ends() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = make(folder.path(), "a", &["a.example"]);
    let tls = Tls::from_files([files(folder.path(), "a")]).unwrap();
    let (site, address) = lines(tls);
    let mut stream = client(address, "a.example", &trusted, &[]).unwrap();
    let mut asked = 0;
    // Sizes around that of an idle session's buffer, as plaintext and as records.
    for len in (980..1030).step_by(7).chain([1023, 1024, 1025, 4095, 4096, 4097, 40_000]) {
        let line = [&vec![b'x'; len - 1][..], b"\n"].concat();
        ask(&mut stream, &line);
        ask(&mut stream, &[&line[..], b"behind\n"].concat());
        ask(&mut stream, b"short\n");
        asked += 4;
    }
    assert_eq!(site.stop().requests, asked);
}

/// The request fills the server's buffer. The bytes behind it wait in a record that is decrypted
/// already.
#[test]
fn a_stopping_server_answers_bytes_behind_a_request_that_fills_the_buffer() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = make(folder.path(), "a", &["a.example"]);
    let tls = Tls::from_files([files(folder.path(), "a")]).unwrap();
    let (mut site, (address, watch)) = Site::run(move || {
        let mut server = Server::new();
        let listen = Listen::on("127.0.0.1:0").tls(tls);
        let address = server.listen(listen, |_: &Peer| Line::default()).unwrap();
        let watch = server.observe("127.0.0.1:0").unwrap();
        (server, (address.tcp().unwrap(), watch.tcp().unwrap()))
    });
    let mut stream = client(address, "a.example", &trusted, &[]).unwrap();
    ask(&mut stream, b"short\n");
    site.begin_stop(watch);
    let requests = [&vec![b'x'; 1023][..], b"\nbehind\n"].concat();
    ask(&mut stream, &requests);
    drop(stream);
    let totals = site.wait();
    assert_eq!((totals.requests, totals.cut), (3, 0));
}

#[test]
fn large_messages_and_requests_in_small_records_are_complete() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = make(folder.path(), "a", &["a.example"]);
    let tls = Tls::from_files([files(folder.path(), "a")]).unwrap();
    let (_site, address) = Site::run(move || {
        let mut server = Server::new();
        let listen = Listen::on("127.0.0.1:0").tls(tls);
        let address = server.listen(listen, |_: &Peer| Length::default()).unwrap();
        (server, address.tcp().unwrap())
    });
    let mut stream = client(address, "a.example", &trusted, &[]).unwrap();
    for round in 0..10 {
        let body: Vec<u8> = (0..700_000).map(|at| (at * 31 + round) as u8).collect();
        writeln!(stream, "{}", body.len()).unwrap();
        // Records of many sizes, so that they end anywhere within a read.
        let mut rest = &body[..];
        let mut size = 1 + round;
        while !rest.is_empty() {
            let (record, behind) = rest.split_at(size.min(rest.len()));
            stream.write_all(record).unwrap();
            rest = behind;
            size = (size * 7 + 13) % 17_000 + 100;
        }
        let mut answer = vec![0; body.len()];
        stream.read_exact(&mut answer).unwrap();
        assert!(answer == body, "round {round}");
    }
}

#[test]
fn certificates_are_read_again_and_invalid_ones_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let old = make(folder.path(), "a", &["a.example"]);
    let tls = Tls::from_files([files(folder.path(), "a")]).unwrap();
    let (site, address) = lines(tls);
    let mut before = client(address, "a.example", &old, &[]).unwrap();
    let new = make(folder.path(), "a", &["a.example"]);
    site.handle.reload();
    site::wait_until("the new certificate is served", || {
        client(address, "a.example", &new, &[]).is_ok()
    });
    ask(&mut before, b"still here\n");
    std::fs::write(folder.path().join("a.pem"), "no certificate").unwrap();
    site.handle.reload();
    std::thread::sleep(Duration::from_millis(100));
    ask(&mut client(address, "a.example", &new, &[]).unwrap(), b"the last good one\n");
}

#[test]
fn connections_without_a_handshake_are_closed_by_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = make(folder.path(), "a", &["a.example"]);
    let tls = Tls::from_files([files(folder.path(), "a")]).unwrap();
    let (site, address) = Site::run(move || {
        let mut server = Server::new();
        let limits = Limits { head: Duration::from_secs(1), ..Limits::default() };
        let listen = Listen::on("127.0.0.1:0").tls(tls).limits(limits);
        let address = server.listen(listen, |_: &Peer| Line::default()).unwrap();
        (server, address.tcp().unwrap())
    });
    let begin = Instant::now();
    let mut silent = connect(address);
    let mut plain = connect(address);
    plain.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
    let end = plain.read_to_end(&mut Vec::new());
    assert!(end.is_ok() || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    assert_eq!(silent.read(&mut [0; 1]).unwrap(), 0);
    assert!(begin.elapsed() >= Duration::from_secs(1));
    ask(&mut client(address, "a.example", &trusted, &[]).unwrap(), b"others are served\n");
    assert_eq!(site.stop().handshakes_failed, 2);
}

#[test]
fn errors_of_certificates_name_the_file_and_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), "a", &["a.example"]);
    make(folder.path(), "b", &["b.example"]);
    let [(a, a_key), (_, b_key)] = ["a", "b"].map(|name| files(folder.path(), name));
    let error = |pem: &Path, key: &Path| Tls::from_files([(pem, key)]).unwrap_err().to_string();
    let missing = error(&folder.path().join("none"), &a_key);
    assert!(missing.contains("none") && missing.contains("must name a PEM file"), "{missing}");
    let exchanged = error(&a_key, &a_key);
    assert!(exchanged.contains("a.key") && exchanged.contains("BEGIN CERTIFICATE"), "{exchanged}");
    let no_key = error(&a, &a);
    assert!(no_key.contains("BEGIN PRIVATE KEY"), "{no_key}");
    let others = error(&a, &b_key);
    assert!(others.contains("a.pem") && others.contains("b.key"), "{others}");
}
