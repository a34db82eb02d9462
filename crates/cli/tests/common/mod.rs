//! The program under test as a child process, observed from outside.
#![allow(dead_code, reason = "each test program uses some of it")]

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use overlapped::port::{Port, PortChoice};
pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use testkit::{AMPLE, PAUSE, wait_until};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_overlapped");

/// Runs `test` on the port that `OVERLAPPED_PORT` names, or else on each that works here,
/// concurrently.
pub(crate) fn on_each_port(test: impl Fn(&str) + Sync) {
    match std::env::var("OVERLAPPED_PORT") {
        Ok(port) if !port.is_empty() => return test(&port),
        _ => {}
    }
    thread::scope(|scope| {
        scope.spawn(|| test("poll"));
        match Port::open_with(PortChoice::Uring) {
            Ok(_) => test("uring"),
            Err(error) => println!("SKIPPED: the test on io_uring: {error}"),
        }
    });
}

/// Tells whether a client is installed, and prints SKIPPED if not.
pub(crate) fn has_client(name: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {name}")])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        println!("SKIPPED: the check with {name}, which is not installed");
    }
    found
}

/// Runs one of the scripts in `tests/clients` to its end; `None` without Python.
pub(crate) fn python(script: &str, arguments: &[String]) -> Option<String> {
    Some(finish_python(start_python(script, arguments)?))
}

/// Starts such a script with its streams piped.
pub(crate) fn start_python(script: &str, arguments: &[String]) -> Option<Child> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "clients", script].iter().collect();
    has_client("python3").then(|| {
        let mut command = Command::new("python3");
        command.arg(path).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.spawn().unwrap()
    })
}

pub(crate) fn finish_python(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the client failed: {}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Creates an executable file atomically. Another process writes it: children of other tests
/// inherit this one's writable descriptors for a moment, during which the file cannot be executed.
pub(crate) fn install(path: &Path, text: &str) {
    let write = r#"cat > "$1.draft" && chmod 755 "$1.draft" && mv "$1.draft" "$1""#;
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", write, "sh"]).arg(path).stdin(Stdio::piped());
    let mut shell = shell.spawn().unwrap();
    shell.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(shell.wait().unwrap().success());
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Returns both streams as text.
pub(crate) fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// A running `serve`. Dropping it kills it.
pub(crate) struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// The text on standard error so far, and its reader.
    stderr: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    /// The first of its addresses.
    pub(crate) addr: SocketAddr,
    pub(crate) first_line: String,
}

impl Server {
    /// Starts `serve echo`.
    pub(crate) fn start(port: &str, arguments: &[&str]) -> Server {
        Server::serve(port, &[&["echo", "--listen", "127.0.0.1:0"], arguments].concat())
    }

    /// Starts `serve` with these arguments.
    pub(crate) fn serve(port: &str, arguments: &[&str]) -> Server {
        Server::launch(Command::new(PROGRAM), port, arguments)
    }

    /// Starts `serve` of the program at this path.
    pub(crate) fn serve_by(program: &Path, port: &str, arguments: &[&str]) -> Server {
        Server::launch(Command::new(program), port, arguments)
    }

    /// Starts with a hard limit on open files, which it cannot raise.
    pub(crate) fn start_with_descriptors(port: &str, limit: usize, arguments: &[&str]) -> Server {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {limit} && exec {PROGRAM} \"$@\""), "sh"]);
        Server::launch(command, port, arguments)
    }

    fn launch(mut command: Command, port: &str, arguments: &[&str]) -> Server {
        command.args(["--port", port, "serve"]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut first_line = String::new();
        stdout.read_line(&mut first_line).unwrap();
        let Some(addr) = first_line.split_whitespace().find_map(address) else {
            let output = child.wait_with_output().unwrap();
            panic!("it does not listen: {first_line:?}, {}", text(&output).1)
        };
        let stderr = Arc::<Mutex<String>>::default();
        let (message, lines) =
            (stderr.clone(), BufReader::new(child.stderr.take().unwrap()).lines());
        let reader = thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| *message.lock().unwrap() += &(line + "\n"));
        });
        Server { child, stdout, stderr, reader: Some(reader), addr, first_line }
    }

    /// Returns the next line that it prints.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Counts open descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap().count()
    }

    /// Counts open descriptors without clients. A first connection is made and closed before,
    /// because it opens some that stay.
    pub(crate) fn descriptors_at_rest(&self) -> usize {
        let mut first = self.connect();
        round_trip(&mut first, b"first");
        first.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_some(&mut first, &mut [0; 1]).unwrap(), 0);
        self.descriptors()
    }

    /// Waits until it has no more than `most` open descriptors.
    pub(crate) fn wait_for_descriptors(&self, most: usize) {
        wait_until("it has closed its descriptors", || self.descriptors() <= most);
    }

    /// Returns the processor time used so far, of all threads, user and system.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        // After the name, which may contain anything: utime is the 12th field, stime the 13th, in
        // hundredths of a second (proc_pid_stat(5); USER_HZ is 100 on every Linux).
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = [11, 12].iter().map(|&i| fields[i].parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(&self.child, signal);
    }

    /// Waits until `holds` is true of the text on standard error.
    pub(crate) fn wait_for_stderr(&self, holds: impl Fn(&str) -> bool) {
        let begin = Instant::now();
        while !holds(&self.stderr.lock().unwrap()) {
            let message = self.stderr.lock().unwrap().clone();
            assert!(begin.elapsed() < AMPLE, "it wrote only {message}");
            thread::sleep(PAUSE);
        }
    }

    /// Waits until it has ended by itself. New processes may still hold its streams.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let mut ended = None;
        wait_until("it has ended", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        ended.unwrap()
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn stop(mut self, signal: Signal) -> Stopped {
        let begin = Instant::now();
        self.signal(signal);
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).unwrap();
        let status = self.child.wait().unwrap();
        let after = begin.elapsed();
        // The reader ends with the process.
        self.reader.take().expect("a server is stopped once").join().unwrap();
        let stderr = self.stderr.lock().unwrap().clone();
        Stopped { status, after, stdout, stderr }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until a process that was sent SIGSTOP or SIGKILL stands still.
pub(crate) fn wait_for_standstill(child: &Child) {
    let stands_still = |thread: io::Result<fs::DirEntry>| {
        // A thread that has ended meanwhile has no file any more.
        let Ok(stat) = fs::read_to_string(thread.unwrap().path().join("stat")) else { return true };
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
        matches!(state, Some(b'T' | b't' | b'Z' | b'X'))
    };
    wait_until("all of its threads stand still", || {
        fs::read_dir(format!("/proc/{}/task", child.id())).unwrap().all(stands_still)
    });
}

/// Parses an address, or that of a URL.
pub(crate) fn address(word: &str) -> Option<SocketAddr> {
    let word = word.strip_prefix("http://").or(word.strip_prefix("https://")).unwrap_or(word);
    word.trim_end_matches('/').parse().ok()
}

/// Sends a signal to a child that was not waited for yet.
pub(crate) fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// The output of a server that has ended.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) status: ExitStatus,
    pub(crate) after: Duration,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Stopped {
    /// Returns the number after `word` in the totals.
    pub(crate) fn count(&self, word: &str) -> u64 {
        let (_, rest) = self.stdout.split_once(&format!("{word} ")).expect(word);
        rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
    }
}

/// Sends `bytes`, expects them back, and returns the time this took.
pub(crate) fn round_trip(stream: &mut TcpStream, bytes: &[u8]) -> Duration {
    let begin = Instant::now();
    try_round_trip(stream, bytes).unwrap();
    begin.elapsed()
}

pub(crate) fn try_round_trip(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)?;
    let mut answer = vec![0; bytes.len()];
    stream.read_exact(&mut answer)?;
    assert!(answer == bytes, "the answer differs");
    Ok(())
}

/// Reads, and tries again at `EINTR`: under a tracer, a signal interrupts a read with a time limit,
/// for example when a child ends (signal(7)).
pub(crate) fn read_some(stream: &mut TcpStream, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}
