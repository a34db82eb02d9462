//! Clients that read or send slowly: on every kind of connection, clients at the minimum rate are
//! served to the end, and slower ones are disconnected.

mod rig;
mod site;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use overlapped_serve::web::{self, Cgi, Files};
use overlapped_serve::{Address, Connection, Limits, Listen, Peer, Server, Tls};
use overlapped_wire::http::{Answer, Content, Http};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use site::{Site, connect, is_torture, report};

/// The minimum rate of the servers in these tests, in bytes per second.
const RATE: u32 = 50_000;
const SLACK: Duration = Duration::from_secs(2);
/// Bytes that no reader of these tests can read in the time.
const LEN: u64 = 256 << 20;

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// The kind of a client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Tcp,
    Tls,
    Unix,
}

/// The server's addresses.
#[derive(Debug)]
struct Places {
    tcp: SocketAddr,
    tls: SocketAddr,
    unix: PathBuf,
    watch: SocketAddr,
    certificate: CertificateDer<'static>,
}

impl Places {
    fn connect(&self, by: By) -> Box<dyn Stream> {
        match by {
            By::Tcp => Box::new(connect(self.tcp)),
            By::Tls => Box::new(secure(connect(self.tls), &self.certificate)),
            By::Unix => {
                let stream = UnixStream::connect(&self.unix).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
                Box::new(stream)
            }
        }
    }
}

fn secure(
    socket: TcpStream,
    trusted: &CertificateDer<'static>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), socket)
}

/// Serves a large file, and a script with as much output, by all three kinds of connections.
fn serve(folder: &Path, limits: Limits) -> (Site, Places) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (chain, key) = (folder.join("a.pem"), folder.join("a.key"));
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let files = folder.join("files");
    std::fs::create_dir(&files).unwrap();
    std::fs::File::create(files.join("large.bin")).unwrap().set_len(LEN).unwrap();
    let say =
        format!("#!/bin/sh\nprintf 'Content-Type: a/b\\n\\n'\nexec head -c {LEN} /dev/zero\n");
    rig::script(folder, "scripts/large", &say);
    let web = web::Site::new()
        .at("/", Files::new(&files).unwrap())
        .at("/cgi-bin/", Cgi::new(folder.join("scripts")).unwrap());
    let unix = folder.join("socket");
    let certificate = made.cert.der().clone();
    Site::run(move || {
        let mut server = Server::new();
        let tls = Tls::from_files([(&chain, &key)]).unwrap();
        let mut listen = |listen: Listen| {
            let web = web.clone();
            let http = move |peer: &Peer| Http::new(web.for_peer(peer));
            server.listen(listen.limits(limits.clone()), http).unwrap()
        };
        let tcp = listen(Listen::on("127.0.0.1:0")).tcp().unwrap();
        let secure = listen(Listen::on("127.0.0.1:0").tls(tls)).tcp().unwrap();
        let at_path = listen(Listen::on(format!("unix:{}", unix.display())));
        assert!(matches!(at_path, Address::Unix(_)));
        let watch = server.observe("127.0.0.1:0").unwrap().tcp().unwrap();
        (server, Places { tcp, tls: secure, unix, watch, certificate })
    })
}

/// The reading speed of a client: the bytes that it has read at a time.
#[derive(Debug, Clone, Copy)]
enum Reads {
    Steadily(u64),
    /// At this rate, but in pieces, with this time in milliseconds in between.
    InBursts(u64, u64),
    /// At this rate, with one pause between two times in milliseconds.
    WithPause(u64, u64, u64),
}

impl Reads {
    fn allowed(self, elapsed: Duration) -> u64 {
        let now = elapsed.as_millis() as u64;
        match self {
            Reads::Steadily(rate) => rate * now / 1_000,
            Reads::InBursts(rate, period) => rate * (now / period * period) / 1_000,
            Reads::WithPause(rate, begin, end) => {
                rate * (now.min(begin) + now.saturating_sub(end)) / 1_000
            }
        }
    }
}

/// Reads for at most `most`; returns how long the server served.
fn read(stream: &mut dyn Stream, reads: Reads, most: Duration) -> Option<Duration> {
    let begin = Instant::now();
    let mut came = 0;
    let mut buffer = vec![0; 16 << 10];
    while begin.elapsed() < most {
        let allowed = reads.allowed(begin.elapsed());
        while came < allowed {
            let piece = buffer.len().min((allowed - came) as usize);
            match stream.read(&mut buffer[..piece]) {
                Ok(0) => return Some(begin.elapsed()),
                Ok(read) => came += read as u64,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Some(begin.elapsed()),
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(came < LEN, "{reads:?} has read all of it");
    None
}

/// Connects a client and sends its request.
fn get(places: &Places, by: By, path: &str) -> Box<dyn Stream> {
    let mut stream = places.connect(by);
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.flush().unwrap();
    stream
}

/// Returns the limits of these tests.
fn limits() -> Limits {
    Limits { rate: RATE, allowance: SLACK, ..Limits::default() }
}

const LIVING: [Reads; 5] = [
    Reads::Steadily(75_000),
    Reads::Steadily(120_000),
    Reads::Steadily(1_000_000),
    Reads::InBursts(100_000, 1_000),
    Reads::WithPause(200_000, 1_000, 2_200),
];

const SLOW: [Reads; 3] = [Reads::Steadily(20_000), Reads::Steadily(5_000), Reads::Steadily(0)];

/// The combinations of connection and reply.
fn ways() -> impl Iterator<Item = (By, &'static str)> {
    let paths = |by| ["/large.bin", "/cgi-bin/large"].map(|path| (by, path));
    [By::Tcp, By::Tls, By::Unix].into_iter().flat_map(paths)
}

/// Returns how many clients the server has counted as too slow.
fn cut(watch: SocketAddr) -> usize {
    let mut stream = connect(watch);
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let figures = page.lines().filter(|line| line.starts_with("overlapped_connections_slow_total"));
    figures.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
}

#[test]
fn h17_readers_at_the_rate_are_served_and_slower_ones_are_disconnected() {
    let folder = tempfile::tempdir().unwrap();
    let (site, places) = serve(folder.path(), limits());
    let time = Duration::from_secs(if is_torture() { 60 } else { 8 });
    let (places, over) = (&places, &AtomicBool::new(false));
    let (kept, slow) = std::thread::scope(|scope| {
        let slow = ways().flat_map(|way| SLOW.map(|reads| (way, reads)));
        let slow = slow.map(|((by, path), reads)| {
            scope.spawn(move || {
                let mut stream = get(places, by, path);
                // Received bytes can still be read after a reset, so the metrics are read instead.
                while !over.load(Relaxed) {
                    read(&mut *stream, reads, Duration::from_millis(300));
                }
            })
        });
        let slow = slow.collect::<Vec<_>>().len();
        let living = ways().flat_map(|way| LIVING.map(|reads| (way, reads)));
        let living = living.map(|((by, path), reads)| {
            let client = move || read(&mut *get(places, by, path), reads, time);
            (by, path, reads, scope.spawn(client))
        });
        let living: Vec<_> = living.collect();
        let kept = living.len();
        let ends = living.into_iter().map(|(by, path, reads, client)| {
            client.join().unwrap().map(|after| format!("{by:?} {path} {reads:?}: {after:?}"))
        });
        let lost: Vec<_> = ends.flatten().collect();
        let all_slow = Instant::now();
        while cut(places.watch) < slow && all_slow.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(50));
        }
        over.store(true, Relaxed);
        assert!(lost.is_empty(), "living readers were cut: {lost:#?}");
        (kept, slow)
    });
    let totals = site.stop();
    assert_eq!(totals.timed_out, slow as u64, "{totals}");
    report("H17", kept + slow, &format!("readers: {kept} at the rate kept, {slow} below it cut"));
}

/// Systems acknowledge in pieces; over the loopback these are 64 KiB, for which a client at the
/// default minimum rate takes two minutes.
#[test]
fn h17_a_reader_barely_above_the_rate_is_served_whatever_its_system_acknowledges_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (limits, time) = if is_torture() {
        (Limits::default(), Duration::from_secs(420))
    } else {
        (Limits { rate: 20_000, allowance: SLACK, ..Limits::default() }, Duration::from_secs(10))
    };
    let rate = u64::from(limits.rate);
    let (site, places) = serve(folder.path(), limits);
    std::thread::scope(|scope| {
        let client = |by, rate| {
            let places = &places;
            let reads = Reads::Steadily(rate);
            scope.spawn(move || read(&mut *get(places, by, "/large.bin"), reads, time))
        };
        let living = [By::Tcp, By::Tls, By::Unix].map(|by| client(by, rate * 5 / 4));
        let slow = [By::Tcp, By::Tls, By::Unix].map(|by| client(by, rate / 4));
        let kept = living.map(|client| client.join().unwrap());
        assert_eq!(kept, [None; 3]);
        slow.into_iter().for_each(|client| drop(client.join()));
    });
    assert_eq!(site.stop().timed_out, 3);
    report("H17", 6, &format!("readers for {time:?}: 3 at 5/4 of {rate} B/s kept, 3 at 1/4 cut"));
}

/// Answers when the whole body has arrived.
fn swallow(_: http::Request<()>, body: &mut dyn Read) -> Answer {
    let read = std::io::copy(body, &mut std::io::sink());
    Answer::new(Content::Bytes(format!("{read:?}").into_bytes().into()))
}

/// Sends a body at a rate; returns how long the server served.
fn send(mut socket: TcpStream, bytes: &[u8], rate: u64, most: Duration) -> Option<Duration> {
    let (begin, mut sent) = (Instant::now(), 0);
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    while begin.elapsed() < most {
        let allowed = (rate * begin.elapsed().as_millis() as u64 / 1_000) as usize;
        let piece = &bytes[sent..allowed.clamp(sent, bytes.len())];
        // With TLS, session tickets arrive first. A disconnected client gets an answer and then the
        // end.
        let is_open = match socket.read(&mut [0; 1024]) {
            Ok(read) => read > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        };
        if !is_open || socket.write_all(piece).is_err() {
            return Some(begin.elapsed());
        }
        sent += piece.len();
    }
    None
}

#[test]
fn h17_senders_at_the_rate_are_served_with_records_of_any_size_and_slower_ones_are_disconnected() {
    const RATE: u32 = 2_000;
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (chain, key) = (folder.path().join("a.pem"), folder.path().join("a.key"));
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let limits = Limits { rate: RATE, allowance: SLACK, ..Limits::default() };
    let (_site, (tcp, tls)) = Site::run(move || {
        let mut server = Server::new();
        let tls = Tls::from_files([(&chain, &key)]).unwrap();
        let mut listen = |listen: Listen| {
            let listen = listen.limits(limits.clone());
            server.listen(listen, |_: &Peer| Http::new(swallow)).unwrap().tcp().unwrap()
        };
        let tcp = listen(Listen::on("127.0.0.1:0"));
        let tls = listen(Listen::on("127.0.0.1:0").tls(tls));
        (server, (tcp, tls))
    });
    let certificate = made.cert.der();
    let client = |is_secure: bool, rate: u64, most: Duration| {
        let head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\r\n";
        // More than a client sends in the time: a client with nothing left to send is below the
        // rate.
        let body = vec![b'x'; 2 << 20];
        if !is_secure {
            let mut socket = connect(tcp);
            socket.write_all(head).unwrap();
            return send(socket, &body, rate, most);
        }
        let mut stream = secure(connect(tls), certificate);
        stream.write_all(head).unwrap();
        stream.flush().unwrap();
        // Records of 16 KiB, which can be decrypted only after their last byte has arrived.
        stream.conn.set_buffer_limit(None);
        stream.conn.writer().write_all(&body).unwrap();
        let mut records = Vec::new();
        while stream.conn.wants_write() {
            stream.conn.write_tls(&mut records).unwrap();
        }
        send(stream.sock, &records, rate, most)
    };
    std::thread::scope(|scope| {
        let time = Duration::from_secs(if is_torture() { 60 } else { 10 });
        let client = &client;
        let start = |rate, time| {
            [false, true].map(|is_secure| scope.spawn(move || client(is_secure, rate, time)))
        };
        let living = [start(3_000, time), start(20_000, time)];
        let slow = [start(500, 6 * time), start(0, 6 * time)];
        for (at, client) in living.into_iter().flatten().enumerate() {
            assert_eq!(client.join().unwrap(), None, "living sender {at}");
        }
        for (at, client) in slow.into_iter().flatten().enumerate() {
            assert!(client.join().unwrap().is_some(), "slow sender {at} was never cut");
        }
    });
    report("H17", 8, "senders of bodies: 4 at the rate kept, 4 below it cut");
}

#[test]
fn a_plain_functions_write_continues_while_the_client_takes_something() {
    let (tell, told) = std::sync::mpsc::channel();
    let (_site, address) = Site::run(move || {
        let mut server = Server::new();
        let limits = Limits { idle: SLACK, ..Limits::default() };
        let listen = Listen::on("127.0.0.1:0").limits(limits);
        let flood = move |mut connection: Connection| {
            let error = loop {
                if let Err(error) = connection.write_all(&[7; 64 << 10]) {
                    break error;
                }
            };
            tell.send(error.kind()).unwrap();
        };
        let address = server.listen_with(listen, flood).unwrap().tcp().unwrap();
        (server, address)
    });
    let kept = read(&mut connect(address), Reads::Steadily(150_000), Duration::from_secs(8));
    assert_eq!(kept, None);
    assert_ne!(told.recv().unwrap(), ErrorKind::TimedOut, "it was the client who left");
    let _silent = connect(address);
    assert_eq!(told.recv().unwrap(), ErrorKind::TimedOut);
}

#[test]
fn without_a_minimum_rate_clients_may_be_arbitrarily_slow() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { rate: 0, allowance: Duration::from_millis(100), ..Limits::default() };
    let (site, places) = serve(folder.path(), limits);
    let mut stream = get(&places, By::Tcp, "/large.bin");
    std::thread::sleep(Duration::from_secs(2));
    let mut left = 1 << 20;
    while left > 0 {
        left -= stream.read(&mut vec![0; left]).unwrap();
    }
    drop(stream);
    assert_eq!(site.stop().timed_out, 0);
}

#[test]
fn a_client_that_still_reads_the_last_reply_is_not_idle() {
    let limits = Limits { idle: Duration::from_secs(1), ..limits() };
    let (_site, address) = Site::run(move || {
        let mut server = Server::new();
        let answer = |_: http::Request<()>, _: &mut dyn Read| {
            Answer::new(Content::Bytes(vec![b'x'; 3 << 19].into()))
        };
        let listen = Listen::on("127.0.0.1:0").limits(limits);
        let address = server.listen(listen, move |_: &Peer| Http::new(answer)).unwrap();
        (server, address.tcp().unwrap())
    });
    let mut stream = connect(address);
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    stream.write_all(request).unwrap();
    let begin = Instant::now();
    let mut came = 0;
    while came < 3 << 19 {
        let allowed = Reads::Steadily(300_000).allowed(begin.elapsed()) as usize;
        came += stream.read(&mut vec![0; (allowed - came).max(1)]).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    stream.write_all(request).unwrap();
    let mut more = [0; 4096];
    while came < 2 << 20 {
        let read = stream.read(&mut more).unwrap();
        assert!(read > 0, "the connection was closed although its client was reading");
        came += read;
    }
}
