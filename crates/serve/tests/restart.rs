//! Hot restarts: sockets that systemd passes, and sockets that are passed to a new process; and the
//! monitoring listener.

mod site;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use overlapped_serve::{Connection, Peer, Server};
use overlapped_wire::http::{Answer, Http, text};

use site::{Site, page, wait_until};

const NAME: &str = "a_new_process_takes_over_and_no_client_is_refused";

/// A server process, which is this test binary.
struct Process {
    child: Child,
    out: BufReader<ChildStdout>,
    /// The port that the system has chosen.
    chosen: SocketAddr,
}

impl Process {
    /// Starts a server with these sockets, as systemd hands them over.
    fn start(on: SocketAddr, sockets: Vec<(&str, TcpListener)>) -> Process {
        let names: Vec<&str> = sockets.iter().map(|(name, _)| *name).collect();
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", r#"LISTEN_PID=$$ exec "$@""#, "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env("SERVE_ON", on.to_string())
            .env("LISTEN_FDS", names.len().to_string())
            .env("LISTEN_FDNAMES", names.join(":"))
            .stdout(Stdio::piped());
        let mappings = sockets.into_iter().zip(3..);
        let mappings = mappings
            .map(|((_, socket), child_fd)| FdMapping { parent_fd: socket.into(), child_fd });
        command.fd_mappings(mappings.collect()).unwrap();
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut process = Process { child, out, chosen: on };
        let line = process.read_until("serving on ");
        process.chosen = line.trim_end().rsplit(' ').next().unwrap().parse().unwrap();
        process
    }

    fn read_until(&mut self, what: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.out.read_line(&mut line).unwrap() > 0, "it ended before {what}");
            if line.contains(what) {
                return line;
            }
        }
    }
}

fn signal_to(id: u32, signal: &str) {
    let sent = Command::new("kill").args([signal, &id.to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Runs the server process.
fn serve(on: &str) {
    // A failed test must leave no process behind.
    std::thread::spawn(|| {
        std::thread::sleep(Duration::from_secs(100));
        std::process::exit(1);
    });
    let tell = |mut connection: Connection| {
        let _ = write!(connection, "{}", std::process::id());
    };
    let mut server = Server::new().threads(2).grace(Duration::from_secs(20));
    // This listener is first, so that it could wrongly take the sockets of others.
    let chosen = server.listen_with("127.0.0.1:0", tell).unwrap();
    server.listen_with(on, tell).unwrap();
    server.listen_with("fd:web", tell).unwrap();
    println!("serving on {chosen}");
    print!("{}", server.run().unwrap());
}

/// Returns the process that answers there.
fn who(address: SocketAddr) -> std::io::Result<u32> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut id = String::new();
    stream.read_to_string(&mut id)?;
    id.parse().map_err(std::io::Error::other)
}

#[test]
fn a_new_process_takes_over_and_no_client_is_refused() {
    if let Ok(on) = std::env::var("SERVE_ON") {
        return serve(&on);
    }
    let handed = TcpListener::bind("127.0.0.1:0").unwrap();
    let web = handed.local_addr().unwrap();
    let own = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut first = Process::start(own, vec![("web", handed)]);
    let chosen = first.chosen;
    for address in [own, web, chosen] {
        assert_eq!(who(address).unwrap(), first.child.id());
    }

    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let last = std::thread::scope(|scope| {
        for address in [own, web, chosen, own, web] {
            let (over, asked) = (&over, &asked);
            scope.spawn(move || {
                while !over.load(Relaxed) {
                    who(address).unwrap();
                    asked.fetch_add(1, Relaxed);
                }
            });
        }
        let mut present = first.child.id();
        for _ in 0..2 {
            let enough = asked.load(Relaxed) + 20;
            wait_until("the clients have answers", || asked.load(Relaxed) >= enough);
            signal_to(present, "-USR2");
            let next = || who(own).unwrap();
            wait_until("the successor answers", || next() != present);
            // The old process answers no more: all further answers come from the new one.
            let old = present;
            wait_until("the old one has ended", || {
                !std::path::Path::new(&format!("/proc/{old}/fd/0")).exists()
            });
            present = next();
            assert_ne!(present, old);
        }
        let enough = asked.load(Relaxed) + 20;
        wait_until("the clients have answers", || asked.load(Relaxed) >= enough);
        over.store(true, Relaxed);
        present
    });
    assert!(first.child.wait().unwrap().success());
    assert!(first.read_until("connections").contains("cut 0"));
    assert_eq!((who(web).unwrap(), who(chosen).unwrap()), (last, last));
    signal_to(last, "-TERM");
    wait_until("no process listens any more", || TcpStream::connect(own).is_err());
    // The last process writes to the same pipe until its end.
    first.out.read_to_string(&mut String::new()).unwrap();
    println!("{} answers during two restarts, 0 refused", asked.load(Relaxed));
}

const LONG: Duration = Duration::from_secs(600);

/// Runs a server whose hot restart starts this script, and checks that it serves as before and ends
/// normally.
fn survives(successor: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (began, path) = (folder.path().join("began"), folder.path().join("socket"));
    let (unix, script) =
        (format!("unix:{}", path.display()), format!("echo > {}; {successor}", began.display()));
    let (site, (address, watch)) = Site::run(move || {
        let mut server = Server::new().lame_duck(LONG).restart_command(["sh", "-c", &script]);
        let address = server.listen("127.0.0.1:0", |_: &Peer| Http::new(slowly)).unwrap();
        server.listen(&*unix, |_: &Peer| Http::new(slowly)).unwrap();
        let watch = server.observe("127.0.0.1:0").unwrap();
        (server, (address.tcp().unwrap(), watch.tcp().unwrap()))
    });
    for _ in 0..2 {
        // Orders are executed one after another: when the second one begins, the first one has
        // ended.
        site.handle.restart();
        wait_until("the successor has begun", || began.exists());
        std::fs::remove_file(&began).unwrap();
    }
    assert!(page(address, "/").unwrap().ends_with("hello"));
    assert!(page(watch, "/readyz").unwrap().starts_with("HTTP/1.1 200"));

    site.handle.stop();
    wait_until("it is not ready", || page(watch, "/readyz").unwrap().starts_with("HTTP/1.1 503"));
    assert!(page(address, "/").unwrap().ends_with("hello"));
    let totals = site.stop();
    assert_eq!((totals.requests, totals.cut), (2, 0));
    assert!(!path.exists(), "the socket is removed: no successor has it");
}

#[test]
fn a_new_process_that_dies_at_once_changes_nothing() {
    survives("exit 1");
}

#[test]
fn a_new_process_that_exits_successfully_without_serving_changes_nothing() {
    survives("exec true");
}

#[test]
fn a_new_process_that_closes_its_sockets_changes_nothing() {
    survives("exec 3<&- 4<&- 5<&- 6<&- 7<&-; sleep 0.3");
}

static IS_SLOW: AtomicBool = AtomicBool::new(false);

fn slowly(request: http::Request<()>, _: &mut dyn Read) -> Answer {
    if request.uri().path() == "/slow" {
        IS_SLOW.store(true, Relaxed);
        overlapped::time::sleep(Duration::from_millis(1500));
    }
    text(http::StatusCode::OK, "hello")
}

#[test]
fn metrics_can_be_read_and_a_draining_server_is_not_ready() {
    let (site, (address, watch)) = Site::run(|| {
        let mut server = Server::new().threads(2);
        let address = server.listen("127.0.0.1:0", |_: &Peer| Http::new(slowly)).unwrap();
        let watch = server.observe("127.0.0.1:0").unwrap();
        (server, (address.tcp().unwrap(), watch.tcp().unwrap()))
    });
    for _ in 0..3 {
        page(address, "/").unwrap();
    }
    let metrics = page(watch, "/metrics").unwrap();
    let requests = format!("\noverlapped_requests_total{{listener=\"{address}\"}} 3\n");
    assert!(metrics.starts_with("HTTP/1.1 200") && metrics.contains(&requests), "{metrics}");
    let typed = "# TYPE overlapped_requests counter";
    assert!(metrics.contains(typed) && metrics.ends_with("# EOF\n"));
    assert!(page(watch, "/healthz").unwrap().starts_with("HTTP/1.1 200"));
    assert!(page(watch, "/readyz").unwrap().starts_with("HTTP/1.1 200"));
    assert!(page(watch, "/").unwrap().starts_with("HTTP/1.1 404"));

    let slow = std::thread::spawn(move || page(address, "/slow").unwrap());
    wait_until("the slow answer has begun", || IS_SLOW.load(Relaxed));
    site.begin_stop(watch);
    assert!(page(watch, "/healthz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")));
    assert!(slow.join().unwrap().ends_with("hello"));
    let totals = site.stop();
    assert_eq!((totals.requests, totals.cut), (4, 0));
}
