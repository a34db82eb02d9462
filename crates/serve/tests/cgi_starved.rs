//! H16: slow, quiet and gone clients do not keep the scripts of others from running.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use overlapped_serve::web::Cgi;
use overlapped_serve::{Limits, Listen, Peer, Server};
use overlapped_wire::http::Http;

mod rig;
mod site;

use rig::script;
use site::{Site, connect, report, rounds, wait_until};

const PLAIN: &str = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n";

/// The scripts: a quick one, one that reads its input, one that is quiet until a file exists, one
/// that is quiet after its header.
fn scripts(folder: &Path) {
    let waits = "touch began.$$; while ! [ -e go ]; do sleep 0.02; done\n";
    script(folder, "quick", &format!("{PLAIN}echo quick\n"));
    script(folder, "count", &format!("{PLAIN}wc -c\n"));
    script(folder, "quiet", &format!("#!/bin/sh\n{waits}{PLAIN}echo went\n"));
    script(folder, "begun", &format!("{PLAIN}echo begun\n{waits}echo went\n"));
}

/// Starts a server of these scripts.
fn serve(make: impl FnOnce(Cgi) -> Cgi + Send + 'static) -> (tempfile::TempDir, Site, SocketAddr) {
    let temp = tempfile::tempdir().unwrap();
    scripts(temp.path());
    let cgi = make(Cgi::new(temp.path()).unwrap());
    let (site, address) = Site::run(move || {
        let mut server = Server::new();
        let limits = Limits { allowance: Duration::from_secs(60), ..Limits::default() };
        let site = overlapped_serve::web::Site::new().at("/", cgi);
        let http = move |peer: &Peer| Http::new(site.for_peer(peer));
        let address = server.listen(Listen::on("127.0.0.1:0").limits(limits), http).unwrap();
        (server, address.tcp().unwrap())
    });
    (temp, site, address)
}

/// Sends a request without waiting for the answer.
fn send(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = connect(address);
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

fn get(address: SocketAddr, path: &str) -> TcpStream {
    send(address, &format!("GET {path} HTTP/1.0\r\n\r\n"))
}

/// Reads to the end, also to a reset.
fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
        _ => String::from_utf8(bytes).unwrap(),
    }
}

/// Requests a quick script; returns how long it took.
fn probe(address: SocketAddr) -> Duration {
    let begin = Instant::now();
    let got = rest(get(address, "/quick"));
    assert!(got.starts_with("HTTP/1.1 200 ") && got.ends_with("\r\n\r\nquick\n"), "{got}");
    begin.elapsed()
}

/// Returns how many scripts that wait for a file have begun.
fn begun(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder).unwrap().flatten();
    names.filter(|entry| entry.file_name().to_str().unwrap().starts_with("began.")).count()
}

/// Returns how many of those still run.
fn alive(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.file_name());
    let is_alive = |name: std::ffi::OsString| {
        let number = name.to_str()?.strip_prefix("began.")?.to_owned();
        let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
        (!stat.contains(") Z ")).then_some(())
    };
    names.filter_map(is_alive).count()
}

#[test]
fn h16_slow_bodies_occupy_no_script() {
    let slow = rounds(32, 200);
    let (_temp, site, address) = serve(|cgi| cgi);
    let head = "POST /count HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
    let bodies: Vec<_> = (0..slow)
        .map(|n| match n % 2 {
            0 => send(address, &format!("{head}Content-Length: 100000\r\n\r\nsome")),
            _ => send(address, &format!("{head}Transfer-Encoding: chunked\r\n\r\n186a0\r\nsome")),
        })
        .collect();
    let worst = (0..20).map(|_| probe(address)).max().unwrap();
    for (n, mut stream) in bodies.into_iter().enumerate() {
        stream.write_all(&[b'x'; 99_996]).unwrap();
        stream.write_all(if n % 2 == 0 { b"" } else { b"\r\n0\r\n\r\n" }).unwrap();
        let got = rest(stream);
        assert!(got.starts_with("HTTP/1.1 200 ") && got.contains("100000"), "{got}");
    }
    drop(site);
    report(
        "H16",
        20 + slow,
        &format!("requests, {slow} of them slow, the others answered within {worst:.0?}"),
    );
}

#[test]
fn h16_quiet_scripts_whose_clients_have_left_release_their_permits() {
    for (path, is_reset) in [("/quiet", false), ("/quiet", true), ("/begun", false)] {
        let (temp, site, address) = serve(|cgi| cgi.time(Duration::from_secs(600)));
        let clients: Vec<_> = (0..32).map(|_| get(address, path)).collect();
        wait_until("all have begun", || begun(temp.path()) == 32);
        assert_eq!(alive(temp.path()), 32);
        if is_reset {
            let reset = |stream| socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
            clients.iter().for_each(|stream| reset(stream).unwrap());
        }
        drop(clients);
        let worst = (0..10).map(|_| probe(address)).max().unwrap();
        // Clients that have finished sending may still listen: that is assumed for ten seconds.
        if is_reset || site::is_torture() {
            wait_until("none is left", || alive(temp.path()) == 0);
        }
        drop(site);
        let how = if is_reset { "were reset" } else { "have left" };
        let told = format!("probes, 32 scripts as {path} whose clients {how}: within {worst:.0?}");
        report("H16", 10, &told);
    }
}

#[test]
fn h16_many_simultaneous_requests_wait_and_none_is_refused() {
    let (_temp, site, address) = serve(|cgi| cgi);
    let (clients, each) = (256, rounds(1, 20));
    let ask = move || (0..each).map(|_| probe(address)).max().unwrap();
    let asking: Vec<_> = (0..clients).map(|_| std::thread::spawn(ask)).collect();
    let waits = asking.into_iter().map(|client| client.join().unwrap());
    let worst = waits.max().unwrap();
    drop(site);
    let told = format!("scripts of {clients} clients at once, all answered, within {worst:.0?}");
    report("H16", clients * each, &told);
}

#[test]
fn h16_the_queue_is_limited_and_clients_that_left_are_removed() {
    let (temp, site, address) =
        serve(|cgi| cgi.running_max(2).queue_max(4).queue_time(Duration::from_secs(60)));
    let running: Vec<_> = (0..2).map(|_| get(address, "/quiet")).collect();
    wait_until("both have begun", || begun(temp.path()) == 2);
    let waiting: Vec<_> = (0..4).map(|_| get(address, "/quick")).collect();
    // A request that meets a full queue is refused at once.
    wait_until("the queue is full", || {
        let mut stream = get(address, "/quick");
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut some = [0; 13];
        stream.read_exact(&mut some).is_ok_and(|()| &some == b"HTTP/1.1 503 ")
    });
    drop(waiting);
    // The entries of the others are removed when the server notices that they have left. Until then
    // further requests are refused.
    let mut waiting = Vec::new();
    wait_until("there is room in the queue", || {
        let stream = get(address, "/quick");
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        if stream.peek(&mut [0]).is_err() {
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            waiting.push(stream);
        }
        waiting.len() == 4
    });
    std::fs::write(temp.path().join("go"), "").unwrap();
    for stream in running {
        assert!(rest(stream).ends_with("went\n"));
    }
    // Some of the waiting requests may have been refused that late.
    let waited = waiting.len();
    let served = waiting.into_iter().map(rest).filter(|got| got.ends_with("quick\n"));
    let served = served.count();
    assert!(served > 0, "of {waited} none is served");
    drop(site);
    report("H16", 2 + served, "clients served, after 4 in the queue had left");
}

#[test]
fn h16_a_request_that_waits_too_long_gets_503() {
    let (temp, site, address) =
        serve(|cgi| cgi.running_max(1).queue_time(Duration::from_millis(300)));
    let running = get(address, "/quiet");
    wait_until("it has begun", || begun(temp.path()) == 1);
    let got = rest(get(address, "/quick")).to_ascii_lowercase();
    assert!(got.starts_with("http/1.1 503 ") && got.contains("retry-after: 1\r\n"), "{got}");
    std::fs::write(temp.path().join("go"), "").unwrap();
    assert!(rest(running).ends_with("went\n"));
    drop(site);
    report("H16", 1, "wait that was too long, and ended");
}

#[test]
fn h16_clients_that_finished_sending_or_send_more_get_their_answers() {
    let (temp, site, address) = serve(|cgi| cgi);
    // `nc -N` does this.
    let finished = get(address, "/quiet");
    finished.shutdown(Shutdown::Write).unwrap();
    let both = "GET /begun HTTP/1.1\r\nHost: a\r\n\r\n\
                GET /quick HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let eager = send(address, both);
    wait_until("both have begun", || begun(temp.path()) == 2);
    // Long enough for several polls of the clients.
    std::thread::sleep(Duration::from_secs(1));
    std::fs::write(temp.path().join("go"), "").unwrap();
    let got = rest(finished);
    assert!(got.ends_with("\r\n\r\nwent\n"), "{got}");
    let got = rest(eager);
    assert!(got.contains("begun\n") && got.contains("went\n") && got.contains("quick\n"), "{got}");
    drop(site);
    report("H16", 3, "answers of quiet scripts to clients that were there");
}

#[test]
fn h16_a_script_does_not_run_for_ever_for_a_client_that_may_listen() {
    if !site::is_torture() {
        println!("only under OVERLAPPED_TORTURE: it takes ten seconds");
        return;
    }
    let (temp, site, address) = serve(|cgi| cgi);
    let stream = get(address, "/quiet");
    stream.shutdown(Shutdown::Write).unwrap();
    wait_until("it has begun", || begun(temp.path()) == 1);
    wait_until("it is ended", || alive(temp.path()) == 0);
    drop(site);
    report("H16", 1, "script ended whose client had finished sending");
}
