//! Handing over from one process to another: the lame-duck time, and hot restarts by SIGUSR2.

mod common;

use std::fs;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, kill_process};
use testkit::wait_until;

use common::{PROGRAM, Server, Signal, address, install, on_each_port, read_some, round_trip};

/// Longer than any test waits, so that this limit causes nothing.
const LONG: &str = "600s";
const TIMES: [&str; 6] = ["--metrics", "127.0.0.1:0", "--lame-duck", LONG, "--drain", LONG];

/// A connection for several requests.
struct Client {
    stream: TcpStream,
}

struct Answer {
    status: u16,
    says_close: bool,
    body: String,
}

impl Client {
    fn connect(to: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(to)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Client { stream })
    }

    fn get(&mut self, path: &str) -> io::Result<Answer> {
        write!(self.stream, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")?;
        let mut text = String::new();
        loop {
            let mut bytes = [0; 4096];
            let read = read_some(&mut self.stream, &mut bytes)?;
            text += &String::from_utf8_lossy(&bytes[..read]);
            let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
            let fields = head.to_lowercase();
            let length = fields.lines().find_map(|line| line.strip_prefix("content-length: "));
            match length.map(|length| length.parse::<usize>().unwrap()) {
                Some(length) if body.len() == length => {
                    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                    let says_close = fields.contains("\r\nconnection: close");
                    return Ok(Answer { status, says_close, body: body.to_owned() });
                }
                _ if read == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                _ => {}
            }
        }
    }
}

/// Requests a path on a connection of its own.
fn get(at: SocketAddr, path: &str) -> io::Result<Answer> {
    Client::connect(at)?.get(path)
}

/// Returns the answer of `/readyz`, on a connection of its own.
fn readiness(metrics: SocketAddr) -> u16 {
    get(metrics, "/readyz").unwrap().status
}

fn is_refused(at: SocketAddr) -> bool {
    TcpStream::connect(at).is_err()
}

const WHO: &str = r"#!/bin/sh
printf 'Content-Type: text/plain\nContent-Length: %d\n\n%s' ${#PPID} $PPID";

/// Creates a site with a file, and a script that prints which process serves.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let scripts = folder.path().join("scripts");
    fs::create_dir_all(folder.path().join("site")).unwrap();
    fs::create_dir(&scripts).unwrap();
    fs::write(folder.path().join("site/file"), "x".repeat(100_000)).unwrap();
    install(&scripts.join("who"), WHO);
    folder
}

/// Returns the number of the process that answers.
fn who(at: SocketAddr) -> u32 {
    let answer = get(at, "/cgi-bin/who").unwrap();
    answer.body.trim().parse().expect(&answer.body)
}

/// Returns the address of the metrics, which is in its second line.
fn metrics_of(server: &mut Server) -> SocketAddr {
    let line = server.line();
    line.split(": ").next().and_then(|first| address(first.rsplit(' ').next()?)).expect(&line)
}

#[test]
fn after_sigterm_a_lame_duck_serves_until_the_next_signal() {
    on_each_port(|port| {
        let folder = folder();
        let site = folder.path().join("site").display().to_string();
        let arguments = ["http", &site, "--listen", "127.0.0.1:0"];
        let mut server = Server::serve(port, &[&arguments[..], &TIMES].concat());
        let (at, metrics) = (server.addr, metrics_of(&mut server));
        let mut kept = Client::connect(at).unwrap();
        assert!(!kept.get("/file").unwrap().says_close);
        assert_eq!(readiness(metrics), 200);
        server.signal(Signal::TERM);
        wait_until("it is not ready", || readiness(metrics) == 503);
        assert_eq!(get(metrics, "/healthz").unwrap().status, 200);
        for _ in 0..10 {
            assert_eq!(get(at, "/file").unwrap().status, 200);
        }
        assert!(kept.get("/file").unwrap().says_close);
        let stopped = server.stop(Signal::TERM);
        assert!(is_refused(at));
        assert_eq!(stopped.status.code(), Some(0), "{stopped:?}");
        assert!(stopped.stdout.starts_with("stopped by SIGTERM\n"), "{stopped:?}");
        assert_eq!((stopped.count("accepted"), stopped.count("cut")), (11, 0), "{stopped:?}");
    });
}

#[test]
fn a_third_signal_ends_a_lame_duck_at_once() {
    on_each_port(|port| {
        let mut server = Server::start(port, &TIMES);
        let (at, metrics) = (server.addr, metrics_of(&mut server));
        let mut stuck = server.connect();
        round_trip(&mut stuck, b"hello");
        stuck.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        // This client does not read the answers, so its session cannot end.
        while stuck.write_all(&[7; 1 << 16]).is_ok() {}
        server.signal(Signal::TERM);
        wait_until("it is not ready", || readiness(metrics) == 503);
        server.signal(Signal::INT);
        wait_until("nobody is accepted", || is_refused(at));
        assert_eq!(readiness(metrics), 503, "it drains");
        let stopped = server.stop(Signal::TERM);
        assert_eq!(stopped.status.code(), Some(143), "{stopped:?}");
        assert_eq!(stopped.stdout, "", "no totals: it ended at once");
    });
}

/// A server of [`folder`] whose program can be replaced. Its new processes get the same arguments,
/// in which two addresses have port 0.
struct Service {
    server: Server,
    program: PathBuf,
    web: SocketAddr,
    metrics: SocketAddr,
    socket: PathBuf,
    family: Family,
}

impl Service {
    fn start(port: &str, folder: &Path) -> Service {
        let (program, socket) = (folder.join("program"), folder.join("socket"));
        symlink(PROGRAM, &program).unwrap();
        let path = |name: &str| folder.join(name).display().to_string();
        let (site, scripts) = (path("site"), path("scripts"));
        let unix = format!("unix:{}", socket.display());
        let on = "127.0.0.1:0";
        let arguments = ["http", &site, "--cgi", &scripts, "--listen", on, "--listen", &unix];
        let arguments = [&arguments[..], &TIMES, &["--threads", "2"]].concat();
        let mut server = Server::serve_by(&program, port, &arguments);
        // After its three lines, the next one is the new process's, or the totals at its end.
        assert!(server.line().contains("socket"), "{}", server.first_line);
        let (web, metrics) = (server.addr, metrics_of(&mut server));
        let family = Family(program.clone());
        Service { server, program, web, metrics, socket, family }
    }

    /// Triggers a hot restart, and returns the number of the new process.
    fn restart(&self, present: u32) -> u32 {
        signal(present, Signal::USR2);
        let mut next = present;
        wait_until("the new process answers", || {
            next = who(self.web);
            next != present
        });
        next
    }
}

fn signal(process: u32, signal: Signal) {
    kill_process(Pid::from_raw(process.try_into().unwrap()).unwrap(), signal).unwrap();
}

/// Ends the load when the test ends in any way.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Ends all processes of this program's path when the test ends in any way.
struct Family(PathBuf);

impl Drop for Family {
    fn drop(&mut self) {
        for entry in fs::read_dir("/proc").unwrap().map_while(Result::ok) {
            let Ok(process) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
            // The process may have ended by now.
            let Ok(command) = fs::read(entry.path().join("cmdline")) else { continue };
            if command.split(|&byte| byte == 0).next() == Some(self.0.as_os_str().as_bytes()) {
                let _ = kill_process(Pid::from_raw(process).unwrap(), Signal::KILL);
            }
        }
    }
}

#[test]
fn sigusr2_hands_over_under_load_and_no_client_notices() {
    on_each_port(|port| {
        let folder = folder();
        let mut service = Service::start(port, folder.path());
        let (web, metrics, old) = (service.web, service.metrics, service.server.id());
        assert_eq!(who(web), old);
        let mut kept = Client::connect(web).unwrap();
        assert!(!kept.get("/file").unwrap().says_close);

        let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
        let new = thread::scope(|scope| {
            for turn in 0..6 {
                let (over, asked) = (&over, &asked);
                scope.spawn(move || {
                    while !over.load(Relaxed) {
                        match turn % 3 {
                            0 => drop(who(web)),
                            1 => assert_eq!(get(web, "/file").unwrap().body.len(), 100_000),
                            _ => assert_eq!(readiness(metrics), 200),
                        }
                        asked.fetch_add(1, Relaxed);
                    }
                });
            }
            let _over = Over(&over);
            wait_until("there is load", || asked.load(Relaxed) > 50);
            let new = service.restart(old);
            // The old process has one connection left, on which it answers until it announces the
            // end.
            wait_until("the old one leaves", || {
                let answer = kept.get("/cgi-bin/who").unwrap();
                assert_eq!(answer.body, old.to_string());
                answer.says_close
            });
            // While the new process is stopped, only the old one could answer.
            signal(new, Signal::STOP);
            wait_until("the old one accepts nobody", || {
                let mut client = Client::connect(web).unwrap();
                client.stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
                client.get("/file").is_err()
            });
            signal(new, Signal::CONT);
            drop(kept);
            assert_eq!(service.server.end().code(), Some(0));
            let before = asked.load(Relaxed);
            wait_until("there is load", || asked.load(Relaxed) > before + 50);
            new
        });
        assert_eq!(who(web), new);
        let mut message = String::new();
        while !message.contains("cut 0") {
            let line = service.server.line();
            assert!(!line.is_empty(), "it did not report its end: {message}");
            message += &line;
        }
        assert!(message.contains("stopped by the new process\n"), "{message}");
        assert!(service.socket.exists(), "the new process has it");
        println!("{} answers around a restart, 0 failed ({port})", asked.load(Relaxed));
    });
}

#[test]
fn a_failed_hot_restart_leaves_the_server_unchanged() {
    on_each_port(|port| {
        let folder = folder();
        let service = Service::start(port, folder.path());
        let Service { server, program, web, metrics, socket, family: _family } = service;
        let old = server.id();
        let bad: [&dyn Fn(); 3] = [
            &|| fs::remove_file(&program).unwrap(),
            &|| install(&program, "#!/bin/sh\necho this one is broken >&2; exit 3"),
            // This program prints nothing and does not fail.
            &|| install(&program, "#!/bin/sh\nexit 0"),
        ];
        for (round, replace) in bad.iter().enumerate() {
            replace();
            server.signal(Signal::USR2);
            server.wait_for_stderr(|message| message.matches("hot restart failed").count() > round);
            assert_eq!((who(web), readiness(metrics)), (old, 200));
        }
        // A process that was not replaced still becomes a lame duck at its end.
        server.signal(Signal::TERM);
        wait_until("it is not ready", || readiness(metrics) == 503);
        assert_eq!(who(web), old, "a lame duck accepts");
        assert!(socket.exists());
        let stopped = server.stop(Signal::TERM);
        assert_eq!(stopped.status.code(), Some(0), "{stopped:?}");
        assert!(stopped.stdout.starts_with("stopped by SIGTERM\n"), "{stopped:?}");
        assert!(!socket.exists(), "nobody else has it");
    });
}

#[test]
fn after_a_failure_the_next_restart_succeeds() {
    let folder = folder();
    let mut service = Service::start("auto", folder.path());
    let old = service.server.id();
    install(&service.program, "#!/bin/sh\nexit 3");
    service.server.signal(Signal::USR2);
    service.server.wait_for_stderr(|message| message.contains("hot restart failed"));
    fs::remove_file(&service.program).unwrap();
    symlink(PROGRAM, &service.program).unwrap();
    let new = service.restart(old);
    assert_eq!(service.server.end().code(), Some(0));
    assert_eq!(who(service.web), new);
}
