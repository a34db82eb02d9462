//! An echo server driven by hand on the completion port: one thread, one loop, no tasklets.
//!
//! ```text
//! cargo run --example port_echo -- [ADDRESS]      serves until Ctrl-C
//! cargo run --example port_echo -- --self-test    runs some clients against itself
//! ```
//!
//! This is what the rest of the library does for you. Every connection has exactly one request in
//! flight, and its key finds the connection again:
//!
//! ```text
//! accept ─▶ receiving ─▶ sending ─▶ receiving ─▶ … ─▶ closed (end, reset, any error)
//!               ▲            │ short: the rest
//!               └────────────┴───┘
//! ```

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use overlapped::port::{Descriptor, Done, Event, Notifier, Port, Request};

/// The key of the one accept; connections have the following numbers.
const ACCEPT: u64 = 0;
const BUFFER_SIZE: usize = 64 << 10;
/// The pause of the listener after the process has run out of descriptors.
const BACK_OFF: Duration = Duration::from_millis(100);

/// The state of a connection's one request in flight.
enum State {
    Receiving,
    /// The number of bytes of the buffer that were sent before.
    Sending(usize),
}

#[derive(Debug, Default)]
struct Totals {
    connections: u64,
    bytes: u64,
}

struct Server {
    port: Port,
    listener: Descriptor,
    addr: SocketAddr,
    connections: HashMap<u64, State>,
    next_key: u64,
    /// The time of the next accept, while no accept is in flight.
    accept_at: Option<Instant>,
    stop: Arc<AtomicBool>,
    totals: Totals,
}

impl Server {
    fn bind(addr: &str) -> io::Result<Server> {
        let listener = TcpListener::bind(addr)?;
        Ok(Server {
            port: Port::open()?,
            addr: listener.local_addr()?,
            listener: listener.into(),
            connections: HashMap::new(),
            next_key: ACCEPT + 1,
            accept_at: Some(Instant::now()),
            stop: Arc::new(AtomicBool::new(false)),
            totals: Totals::default(),
        })
    }

    fn stopper(&self) -> Stopper {
        Stopper { stop: Arc::clone(&self.stop), notifier: self.port.notifier() }
    }

    /// Serves until it is told to stop. Then connections end; dropping the port waits for the
    /// kernel.
    fn run(mut self) -> io::Result<Totals> {
        let mut events = Vec::new();
        while !self.stop.load(Ordering::Acquire) {
            let timeout = match self.accept_at {
                None => None,
                Some(at) => {
                    let now = Instant::now();
                    if at <= now {
                        self.accept()?;
                    }
                    (at > now).then(|| at - now)
                }
            };
            self.port.wait(timeout, &mut events)?;
            for event in events.drain(..) {
                match event.key {
                    ACCEPT => self.accepted(event),
                    _ => self.transferred(event),
                }
            }
        }
        Ok(self.totals)
    }

    fn accept(&mut self) -> io::Result<()> {
        self.accept_at = None;
        self.port.submit(ACCEPT, Request::accept(&self.listener))?;
        Ok(())
    }

    fn accepted(&mut self, event: Event) {
        self.accept_at = Some(Instant::now());
        match event.result {
            Ok(Done::Accepted { socket, .. }) => {
                let key = self.next_key;
                self.next_key += 1;
                self.totals.connections += 1;
                self.receive(key, socket.into(), Vec::with_capacity(BUFFER_SIZE));
            }
            Ok(other) => unreachable!("an accept does not end as {other:?}"),
            // The client left before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            // No descriptors or memory: existing connections continue.
            Err(error) => {
                eprintln!("cannot accept: {error}");
                self.accept_at = Some(Instant::now() + BACK_OFF);
            }
        }
    }

    fn transferred(&mut self, event: Event) {
        let Event { key, result, descriptor, buffer, .. } = event;
        let mut buffer = buffer.expect("transfers have buffers");
        let state = self.connections.remove(&key).expect("it is in flight");
        match (state, result) {
            (State::Receiving, Ok(Done::Transferred(count @ 1..))) => {
                self.totals.bytes += count as u64;
                self.send(key, descriptor, buffer, 0);
            }
            (State::Sending(start), Ok(Done::Transferred(count @ 1..))) => {
                if start + count < buffer.len() {
                    self.send(key, descriptor, buffer, start + count);
                } else {
                    buffer.clear();
                    self.receive(key, descriptor, buffer);
                }
            }
            // The end, a reset, or another error: dropping the descriptor closes it.
            (_, Ok(_) | Err(_)) => {}
        }
    }

    fn receive(&mut self, key: u64, socket: Descriptor, buffer: Vec<u8>) {
        self.start(key, State::Receiving, Request::recv(socket, buffer));
    }

    fn send(&mut self, key: u64, socket: Descriptor, buffer: Vec<u8>, start: usize) {
        self.start(key, State::Sending(start), Request::send(socket, buffer, start));
    }

    fn start(&mut self, key: u64, state: State, request: Request) {
        match self.port.submit(key, request) {
            Ok(_) => {
                self.connections.insert(key, state);
            }
            // The request is dropped, and the connection with it.
            Err(error) => eprintln!("connection {key}: {error}"),
        }
    }
}

/// Ends a server from another thread.
#[derive(Clone)]
struct Stopper {
    stop: Arc<AtomicBool>,
    notifier: Notifier,
}

impl Stopper {
    fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.notifier.notify();
    }
}

/// Serves eight correct clients and one that resets, and compares every byte.
fn self_test() -> io::Result<Totals> {
    let server = Server::bind("127.0.0.1:0")?;
    let (addr, stopper) = (server.addr, server.stopper());
    let clients = std::thread::spawn(move || {
        let clients: Vec<_> =
            (0..8u8).map(|seed| std::thread::spawn(move || client(addr, seed))).collect();
        let outcome: io::Result<()> = resetting_client(addr)
            .and(clients.into_iter().try_for_each(|client| client.join().expect("no panic")));
        stopper.stop();
        outcome
    });
    let totals = server.run()?;
    clients.join().expect("no panic")?;
    Ok(totals)
}

/// Sends far more than the sockets' buffers without reading, so that the server's sends are short.
fn client(addr: SocketAddr, seed: u8) -> io::Result<()> {
    const SIZE: usize = 4 << 20;
    let stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let bytes: Vec<u8> = (0..SIZE).map(|i| (i as u8).wrapping_mul(31) ^ seed).collect();
    let mut echo = Vec::with_capacity(SIZE);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            (&stream).write_all(&bytes)?;
            stream.shutdown(Shutdown::Write)
        });
        (&stream).read_to_end(&mut echo)?;
        writer.join().expect("no panic")
    })?;
    if echo != bytes {
        return Err(io::Error::other("the echo differs from what was sent"));
    }
    Ok(())
}

fn resetting_client(addr: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(addr)?;
    stream.write_all(&[1; 100_000])?;
    // Closing with unread data resets the connection.
    drop(stream);
    Ok(())
}

fn serve(addr: &str) -> io::Result<Totals> {
    let server = Server::bind(addr)?;
    let stopper = server.stopper();
    ctrlc::set_handler(move || stopper.stop()).map_err(io::Error::other)?;
    println!("echo on {} over {}; Ctrl-C stops", server.addr, server.port.name());
    io::stdout().flush()?;
    server.run()
}

fn main() -> ExitCode {
    let argument = std::env::args().nth(1);
    let totals = match argument.as_deref() {
        Some("--self-test") => self_test(),
        Some(addr) => serve(addr),
        None => serve("127.0.0.1:7007"),
    };
    match totals {
        Ok(Totals { connections, bytes }) => {
            println!("stopped: {connections} connections, {bytes} bytes echoed");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("port_echo: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn every_byte_comes_back_and_a_reset_harms_no_other_connection() {
        let totals = self_test().unwrap();
        assert_eq!(totals.connections, 9);
        assert!(totals.bytes >= 8 * (4 << 20));
    }

    /// Returns the processor time that a child has used.
    fn cpu_time(child: u32) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    /// P8: a server without descriptors neither spins nor exits.
    #[test]
    fn a_server_without_descriptors_rests_and_goes_on_when_some_are_free() {
        const VARIABLE: &str = "PORT_ECHO_TEST_FEW";
        if std::env::var_os(VARIABLE).is_some() {
            let few = rustix::process::Rlimit { current: Some(64), maximum: Some(64) };
            rustix::process::setrlimit(rustix::process::Resource::Nofile, few).unwrap();
            serve("127.0.0.1:0").unwrap();
            return;
        }
        let torture = std::env::var_os("OVERLAPPED_TORTURE").is_some();
        let (count, held) = if torture { (1_000, 5_000) } else { (200, 500) };
        let name = "tests::a_server_without_descriptors_rests_and_goes_on_when_some_are_free";
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(VARIABLE, "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Kept to the end, so that the child's output stays open.
        let output = io::BufReader::new(child.stdout.take().unwrap());
        let mut lines = io::BufRead::lines(output).map_while(Result::ok);
        let addr = lines.find_map(|line| {
            let (addr, _) = line.split_once("echo on ")?.1.split_once(' ')?;
            Some(addr.to_owned())
        });
        let addr: SocketAddr = addr.unwrap().parse().unwrap();

        // If the server's backlog is full, too, further connections would wait for a minute.
        let patience = Duration::from_millis(200);
        let clients: Vec<_> =
            (0..count).map_while(|_| TcpStream::connect_timeout(&addr, patience).ok()).collect();
        assert!(clients.len() > 64);
        std::thread::sleep(Duration::from_millis(200));
        let before = cpu_time(child.id());
        std::thread::sleep(Duration::from_millis(held));
        let used = cpu_time(child.id()) - before;
        assert!(used < Duration::from_millis(held / 10), "{used:?} of processor time");
        drop(clients);
        let start = Instant::now();
        client(addr, 1).unwrap();
        // Under strace, or on a busy machine, a second is too short to be sure.
        let limit = if held > 1_000 { 1 } else { 10 };
        assert!(start.elapsed() < Duration::from_secs(limit), "{:?}", start.elapsed());

        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        assert!(child.wait().unwrap().success(), "Ctrl-C stops it cleanly");
    }
}
