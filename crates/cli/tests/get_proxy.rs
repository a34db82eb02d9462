//! `overlapped get` through proxies, and to hosts with several addresses.

mod common;
mod site;

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use testkit::wait_until;

use common::text;
use site::{Authority, Site, answer, command, names};

/// Runs `get` with these variables, and returns the exit code and both streams.
fn get(folder: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = command("poll", folder, arguments);
    let output = command.envs(variables.iter().copied()).stdin(Stdio::null()).output().unwrap();
    let (stdout, stderr) = text(&output);
    (output.status.code(), stdout + &stderr)
}

/// A proxy for every protocol, which it recognises by the first byte. It forwards every request to
/// the server at `port`, and records the requests.
struct Proxy {
    addr: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start(port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (addr, asked) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let log = asked.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let log = log.clone();
                thread::spawn(move || serve(BufReader::new(client), port, &log));
            }
        });
        Proxy { addr, asked }
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.addr)
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn serve(mut client: BufReader<TcpStream>, port: u16, log: &Mutex<Vec<String>>) -> io::Result<()> {
    let note = |text: String| log.lock().unwrap().push(text);
    match client.fill_buf()?.first() {
        Some(4) => {
            let mut head = [0; 8];
            client.read_exact(&mut head)?;
            let mut zero_ended = || {
                let mut text = Vec::new();
                client.read_until(0, &mut text).map(|_| String::from_utf8_lossy(&text).into_owned())
            };
            let user = zero_ended()?;
            let name = if head[4..7] == [0, 0, 0] { zero_ended()? } else { String::new() };
            note(format!("socks4 {:?} {user:?} {name:?}", &head[4..]));
            client.get_mut().write_all(&[0, 90, 0, 0, 0, 0, 0, 0])?;
        }
        Some(5) => {
            let mut head = [0; 2];
            client.read_exact(&mut head)?;
            let mut methods = vec![0; usize::from(head[1])];
            client.read_exact(&mut methods)?;
            let mut user = String::new();
            if methods.contains(&2) {
                client.get_mut().write_all(&[5, 2])?;
                client.read_exact(&mut [0])?;
                user = format!(" {}:{}", short(&mut client)?, short(&mut client)?);
                client.get_mut().write_all(&[1, 0])?;
            } else {
                client.get_mut().write_all(&[5, 0])?;
            }
            let mut head = [0; 4];
            client.read_exact(&mut head)?;
            let to = match head[3] {
                3 => short(&mut client)?,
                kind => {
                    let mut address = vec![0; if kind == 1 { 4 } else { 16 }];
                    client.read_exact(&mut address)?;
                    format!("{address:?}")
                }
            };
            client.read_exact(&mut [0; 2])?;
            note(format!("socks5 {to}{user}"));
            client.get_mut().write_all(&[5, 0, 0, 3, 1, b'x', 0, 0])?;
        }
        _ => loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if client.read_line(&mut head)? == 0 {
                    return Ok(());
                }
            }
            note(head.clone());
            if head.starts_with("CONNECT forbidden.") {
                return write!(client.get_mut(), "HTTP/1.1 403 Forbidden\r\n\r\n");
            }
            if head.starts_with("CONNECT ") {
                // An interim response, and a final one without a reason.
                let interim = "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n";
                write!(client.get_mut(), "{interim}HTTP/1.1 200\r\nX: y\r\n\r\n")?;
                break;
            }
            answer(client.get_mut(), "200 OK", "", b"from the proxy")?;
        },
    }
    let server = TcpStream::connect(("127.0.0.1", port))?;
    let (mut there, mut back) = (server.try_clone()?, client.get_ref().try_clone()?);
    thread::spawn(move || io::copy(&mut client, &mut there));
    thread::spawn(move || io::copy(&mut &server, &mut back));
    Ok(())
}

/// Reads a text preceded by its length.
fn short(client: &mut impl Read) -> io::Result<String> {
    let mut length = [0];
    client.read_exact(&mut length)?;
    let mut text = vec![0; usize::from(length[0])];
    client.read_exact(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn plain_http_goes_through_a_proxy_with_its_whole_url() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(0);
    // A host that only the proxy could look up.
    let urls = ["a", "b?c=d", "../e"].map(|path| format!("http://server.invalid:81/x/{path}"));
    let variable = proxy.url("http").replace("//", "//us%40er:p%3Ass@");
    let arguments = ["-j1", &urls[0], &urls[1], &urls[2]];
    let (code, results) = get(folder.path(), &[("http_proxy", &variable)], &arguments);
    assert_eq!(code, Some(0), "{results}");
    assert_eq!(names(folder.path()), ["a", "b", "e"]);
    let asked = proxy.asked();
    let first = |head: &String| head.lines().next().unwrap().to_owned();
    assert_eq!(
        asked.iter().map(first).collect::<Vec<_>>(),
        [
            "GET http://server.invalid:81/x/a HTTP/1.1",
            "GET http://server.invalid:81/x/b?c=d HTTP/1.1",
            "GET http://server.invalid:81/e HTTP/1.1",
        ]
    );
    for head in asked {
        assert!(head.contains("\r\nhost: server.invalid:81\r\n"), "{head}");
        let credentials = "\r\nProxy-Authorization: Basic dXNAZXI6cDpzcw==\r\n";
        assert!(head.contains(credentials), "{head}");
    }
}

#[test]
fn https_goes_through_a_tunnel_by_every_kind_of_proxy() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("trusted");
    let elsewhere = tempfile::tempdir().unwrap();
    let trusted = authority.write(elsewhere.path());
    let site = Site::start_tls(&authority, |_, out| answer(out, "200 OK", "", b"tunnelled"));
    let (proxy, port) = (Proxy::start(site.port()), site.port());
    let url = site.url("/file");
    let connect = format!("CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost:{port}\r\n");
    for (variable, scheme, results) in [
        ("https_proxy", "http", &*connect),
        ("HTTPS_PROXY", "http", &connect),
        ("all_proxy", "http", &connect),
        ("ALL_PROXY", "socks4a", "socks4 [0, 0, 0, 1] \"\\0\" \"localhost\\0\""),
        ("ALL_PROXY", "socks4", "socks4 [127, 0, 0, 1] \"\\0\" \"\""),
        ("ALL_PROXY", "socks5h", "socks5 localhost"),
        ("ALL_PROXY", "socks5", "socks5 ["),
    ] {
        let arguments = ["--overwrite", "--cacert", trusted.to_str().unwrap(), &url];
        let (code, message) = get(folder.path(), &[(variable, &proxy.url(scheme))], &arguments);
        assert_eq!(code, Some(0), "{variable} {scheme}: {message}");
        let asked = proxy.asked();
        assert!(asked.len() == 1 && asked[0].starts_with(results), "{scheme}: {asked:?}");
        assert_eq!(fs::read(folder.path().join("file")).unwrap(), b"tunnelled");
    }
    let variable = proxy.url("socks5h").replace("//", "//user:p%40ss@");
    let arguments = ["--overwrite", "--cacert", trusted.to_str().unwrap(), &url];
    let (code, message) = get(folder.path(), &[("ALL_PROXY", &variable)], &arguments);
    assert_eq!(code, Some(0), "{message}");
    assert_eq!(proxy.asked(), ["socks5 localhost user:p@ss"]);
}

#[test]
fn hosts_exempt_from_the_proxy_are_connected_directly() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(|_, out| answer(out, "200 OK", "", b"directly"));
    let proxy = Proxy::start(site.port());
    let (by_name, http) = (site.url("/name"), proxy.url("http"));
    let by_number = format!("http://127.0.0.1:{}/number", site.port());
    for (variable, url, list) in [
        ("no_proxy", &by_name, "localhost"),
        ("NO_PROXY", &by_name, "other.test,.localhost"),
        ("no_proxy", &by_name, "*"),
        ("no_proxy", &by_number, "10.0.0.0/8, 127.0.0.0/8"),
        // The client of a CGI script can set it.
        ("HTTP_PROXY", &by_name, &http),
    ] {
        let mut variables = vec![("http_proxy", &*http), (variable, list)];
        if variable == "HTTP_PROXY" {
            variables.remove(0);
        }
        let (code, results) = get(folder.path(), &variables, &["--overwrite", url]);
        assert_eq!(code, Some(0), "{results}");
        assert_eq!(proxy.asked(), [""; 0], "{variable}={list}");
    }
    for list in ["host", "ocalhost", "localhost.evil", "10.0.0.0/8"] {
        let variables = [("http_proxy", &*http), ("no_proxy", list)];
        let (code, results) = get(folder.path(), &variables, &["--overwrite", &by_name]);
        assert_eq!(code, Some(0), "{results}");
        assert_eq!(proxy.asked().len(), 1, "{list}");
    }
}

#[test]
fn a_refusal_by_the_proxy_differs_from_one_by_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(0);
    let variables = [("https_proxy", &*proxy.url("http"))];
    let (code, results) = get(folder.path(), &variables, &["https://forbidden.invalid/x"]);
    assert_eq!(code, Some(1));
    let message = format!("/x: the proxy {}: it refuses: 403 Forbidden\n", proxy.addr);
    assert!(results.contains(&message), "{results}");
    let variables = [("https_proxy", "http://user:secret@host:99999")];
    let (code, results) = get(folder.path(), &variables, &["https://h.invalid/x"]);
    assert_eq!(code, Some(1));
    assert!(
        results.contains("invalid proxy in variable https_proxy") && !results.contains("secret"),
        "{results}"
    );
}

/// Starts a server that waits for input, sends `text`, and ends the connection. It reads the rest,
/// because a close with unread input would reset the connection.
fn hanging_up(text: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let sent = client.read(&mut [0; 4096]).and_then(|_| client.write_all(text));
            if sent.is_ok() && client.shutdown(Shutdown::Write).is_ok() {
                let _ = io::copy(&mut client, &mut io::sink());
            }
        }
    });
    addr
}

#[test]
fn a_proxy_that_fails_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (mute, mail) = (hanging_up(b""), hanging_up(b"220 mail.example ESMTP\r\n\r\n"));
    let strict = hanging_up(b"\x05\xff");
    let bad = hanging_up(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
    let (http, https) = ("http://server.invalid/x", "https://server.invalid/x");
    for (url, variable, scheme, addr, message) in [
        (http, "http_proxy", "http", nobody, ": connection refused"),
        (https, "https_proxy", "http", nobody, ": connection refused"),
        (https, "https_proxy", "https", nobody, ": connection refused"),
        (http, "all_proxy", "socks5h", nobody, ": connection refused"),
        (https, "https_proxy", "https", mail, ": it does not use TLS on this port"),
        (http, "http_proxy", "http", mail, ": invalid HTTP from it"),
        (https, "https_proxy", "http", mail, ": it is not an HTTP proxy"),
        (http, "all_proxy", "socks4a", mail, ": it is not a SOCKS4 proxy"),
        (http, "all_proxy", "socks5h", mail, ": it is not a SOCKS5 proxy"),
        (
            http,
            "all_proxy",
            "socks4a",
            mute,
            ": it closes the connection in the handshake: does it speak SOCKS4?",
        ),
        (
            http,
            "all_proxy",
            "socks5h",
            mute,
            ": it closes the connection in the handshake: does it speak SOCKS5?",
        ),
        (
            https,
            "https_proxy",
            "http",
            mute,
            ": it closes the connection in the handshake: does it speak HTTP?",
        ),
        (http, "all_proxy", "socks5h", strict, ": it accepts neither a user with a password nor"),
        (http, "http_proxy", "http", mute, ": "),
        (http, "http_proxy", "http", bad, ")"),
        (https, "https_proxy", "http", bad, ": it refuses: 502 Bad Gateway"),
    ] {
        let value = format!("{scheme}://user:secret@{addr}");
        let (code, results) = get(folder.path(), &[(variable, &value)], &["--retries", "0", url]);
        assert_eq!(code, Some(1), "{variable} {value}: {results}");
        let message = format!("the proxy {addr}{message}");
        assert!(
            results.contains(&message) && !results.contains("secret"),
            "{variable} {value}: {results}"
        );
    }
    let value = "http://user:secret@no-proxy.invalid:3128";
    let (_, results) = get(folder.path(), &[("http_proxy", value)], &["--retries", "0", http]);
    let message = "/x: the proxy no-proxy.invalid:3128: unknown host name";
    assert!(results.contains(message) && !results.contains("secret"), "{results}");
}

/// With the default configuration CONNECT is allowed only to some ports.
#[test]
fn downloads_go_through_tinyproxy() {
    if !common::has_client("tinyproxy") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(|request, out| answer(out, "200 OK", "", request.path.as_bytes()));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = folder.path().join("tinyproxy.conf");
    let lines = format!("Port {port}\nListen 127.0.0.1\nAllow 127.0.0.1\nConnectPort 443\n");
    fs::write(&config, lines).unwrap();
    let mut tinyproxy = Command::new("tinyproxy");
    tinyproxy.args(["-d", "-c"]).arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
    let mut tinyproxy = tinyproxy.spawn().unwrap();
    wait_until("tinyproxy listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    let proxy = format!("http://127.0.0.1:{port}");
    let urls: Vec<_> = (0..20).map(|page| site.url(&format!("/{page}"))).collect();
    let urls: Vec<_> = urls.iter().map(String::as_str).collect();
    let got =
        get(folder.path(), &[("http_proxy", &proxy)], &[&["-o", "into/"], &urls[..]].concat());
    let refused = get(folder.path(), &[("https_proxy", &proxy)], &["https://localhost:1/x"]);
    let _ = tinyproxy.kill();
    let _ = tinyproxy.wait();
    assert_eq!(got.0, Some(0), "{}", got.1);
    assert_eq!(names(&folder.path().join("into")).len(), 20);
    assert!(refused.1.contains("it refuses: 403"), "{}", refused.1);
    assert!(site.requests()[0].header("via").is_some(), "it came through the proxy");
}

/// Runs the program with a hosts file of its own; `None` if that is impossible here.
fn with_hosts(folder: &Path, hosts: &str, arguments: &[&str]) -> Option<Output> {
    const RUN: &str = "mount --bind hosts /etc/hosts && exec \"$0\" \"$@\"";
    fs::write(folder.join("hosts"), hosts).unwrap();
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", RUN, common::PROGRAM, "get"]).args(arguments);
    match command.current_dir(folder).output() {
        Ok(output) if !text(&output).1.contains("unshare") => Some(output),
        _ => {
            println!("SKIPPED: a host with two addresses: no mount namespace for this user");
            None
        }
    }
}

/// Makes an address that does not answer: a listener whose queue is full. `None` if that is
/// impossible here.
fn silent(addr: SocketAddr) -> Option<(SocketAddr, Vec<TcpStream>, socket2::Socket)> {
    let domain = socket2::Domain::for_address(addr);
    let bound = socket2::Socket::new(domain, socket2::Type::STREAM, None)
        .and_then(|socket| socket.bind(&addr.into()).map(|()| socket));
    let socket = match bound {
        Ok(socket) => socket,
        Err(error) => {
            println!("SKIPPED: a host with two addresses: {addr}: {error}");
            return None;
        }
    };
    socket.listen(0).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    let (mut queued, mut refused) = (Vec::new(), 0);
    // A slow machine may be late once.
    while refused < 2 && queued.len() < 100 {
        match TcpStream::connect_timeout(&addr, Duration::from_millis(300)) {
            Ok(stream) => queued.push(stream),
            Err(_) => refused += 1,
        }
    }
    Some((addr, queued, socket))
}

#[test]
fn an_address_that_does_not_answer_delays_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(|_, out| answer(out, "200 OK", "", b"here"));
    let addr = format!("[::1]:{}", site.port()).parse().unwrap();
    let Some((_, queued, _socket)) = silent(addr) else { return };
    let hosts = "127.0.0.1 localhost\n::1 two.test\n127.0.0.1 two.test\n";
    let url = format!("http://two.test:{}/file", site.port());
    let Some(output) = with_hosts(folder.path(), hosts, &["--retries", "0", &url]) else { return };
    assert_eq!(output.status.code(), Some(0), "{} queued: {:?}", queued.len(), text(&output));
    assert_eq!(fs::read(folder.path().join("file")).unwrap(), b"here");
}

/// Four addresses, none of which answers: tried one by one they would take four times as long.
#[test]
fn the_timeout_covers_all_addresses_of_an_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let Some((first, _queued, _socket)) = silent("127.0.0.1:0".parse().unwrap()) else { return };
    let port = first.port();
    let more = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
        .map(|host| silent(format!("{host}:{port}").parse().unwrap()));
    if more.iter().any(Option::is_none) {
        return;
    }
    let hosts = [1, 2, 3, 4].map(|last| format!("127.0.0.{last} dead.test\n")).concat();
    let url = format!("http://dead.test:{port}/file");
    for (retries, attempts) in [("0", 1), ("1", 2)] {
        let begin = Instant::now();
        let arguments = ["--timeout", "3s", "--retries", retries, "--retry-delay", "10ms", &*url];
        let Some(output) = with_hosts(folder.path(), &hosts, &arguments) else { return };
        let (took, (stdout, stderr)) = (begin.elapsed(), text(&output));
        assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
        assert!(stderr.contains("timed out connecting"), "{stderr}");
        let limit = Duration::from_secs(3) * attempts;
        assert!(took >= limit && took < limit * 3, "{attempts}: {took:?}");
    }
}

/// Each redirect is fast enough by itself.
#[test]
fn the_timeout_covers_all_redirects() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(|request, out| {
        thread::sleep(Duration::from_millis(800));
        match request.path.as_str() {
            "/5" => answer(out, "200 OK", "", b"at last"),
            path => {
                let next = path[1..].parse::<u8>().unwrap() + 1;
                answer(out, "302 Found", &format!("Location: /{next}\r\n"), b"")
            }
        }
    });
    let arguments = ["--timeout", "2s", "--retries", "0", &site.url("/1")];
    let (code, results) = get(folder.path(), &[], &arguments);
    assert_eq!(code, Some(1), "{results}");
    assert!(results.contains("timed out waiting for the response head"), "{results}");
}
