//! The load of echo and of pipelined messages, one and the same for all servers: a closed loop over
//! io_uring.
//!
//! Each connection sends a message, waits for the answer (its echo, or what the [`Script`] says),
//! checks every byte, and sends the next one. All connections share a ring with one thread; what
//! one wait brings is answered with one submission, sends post no completion, and the sockets are
//! registered.
//!
//! It is **not cheaper than the servers**: nearly all of a round trip is the kernel's TCP, which
//! both ends pay alike, so the load needs as much processor time as the subject `raw`. With many
//! connections both cores are busy and round trips per second are bound by the slower end. What
//! tells servers apart there is their processor time a round trip; the load's stands beside it.
//! Multishot receives into a buffer ring were tried instead: no difference beyond the noise
//! (3.5–3.6 µs a round trip either way, 50 connections, busy machine), so the simpler code stays.

use super::syscalls::cpu_time;
use hdrhistogram::Histogram;
use io_uring::types::{Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode, squeue};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// The size of a message.
pub(crate) const MESSAGE_BYTES: usize = 64;
/// `IORING_RECVSEND_POLL_FIRST`: the echo is never there yet.
const POLL_FIRST: u16 = 1;
/// The user data of sends, whose completions tell of failures only.
const SEND: u64 = u64::MAX;
/// A server that does not answer within this time has failed.
const SILENCE_MAX: Timespec = Timespec::new().sec(5);

/// Longer latencies count as this.
const LATENCY_NS_MAX: u64 = 10_000_000_000;

/// What is sent, and what has to come back.
pub(crate) enum Script {
    /// [`MESSAGE_BYTES`], each time others, and the same back.
    Echo,
    /// Always these.
    Fixed { question: Box<[u8]>, answer: Box<[u8]> },
    /// So many bytes have to come back. The kernel throws them away, which costs the load nothing
    /// for each byte (`MSG_TRUNC`, tcp(7)).
    Discarded { question: Box<[u8]>, answer_bytes: usize },
    /// A line comes back, which begins as the question does (without its end), and is not longer.
    Line { question: Box<[u8]>, answer_bytes_max: usize },
}

impl Script {
    fn answer_bytes(&self) -> usize {
        match self {
            Script::Echo => MESSAGE_BYTES,
            Script::Fixed { answer, .. } => answer.len(),
            Script::Discarded { answer_bytes, .. } => *answer_bytes,
            Script::Line { answer_bytes_max, .. } => *answer_bytes_max,
        }
    }

    /// Of a receive.
    fn receive_flags(&self) -> i32 {
        match self {
            Script::Echo | Script::Fixed { .. } | Script::Line { .. } => 0,
            Script::Discarded { .. } => libc::MSG_TRUNC,
        }
    }

    fn question(&self) -> Box<[u8]> {
        match self {
            Script::Echo => Box::new([0; MESSAGE_BYTES]),
            Script::Fixed { question, .. }
            | Script::Discarded { question, .. }
            | Script::Line { question, .. } => question.clone(),
        }
    }
}

struct Connection {
    socket: OwnedFd,
    /// In boxes, because the kernel holds their addresses.
    out: Box<[u8]>,
    echo: Box<[u8]>,
    received: usize,
    sent_at: Instant,
}

/// Connected clients, idle between phases.
pub(crate) struct Load {
    // The ring comes first, so that it is gone before the buffers.
    ring: IoUring,
    connections: Vec<Connection>,
    script: Script,
    sequence: u64,
}

/// What one phase brought.
pub(crate) struct Phase {
    pub(crate) round_trips: u64,
    pub(crate) took: Duration,
    /// The load's own processor time.
    pub(crate) load_cpu: Duration,
    /// Latencies in nanoseconds.
    pub(crate) latencies: Histogram<u64>,
}

impl Load {
    /// Opens TCP connections, one after the other.
    pub(crate) fn connect(port: u16, connections: usize) -> Result<Load, String> {
        Load::connect_with(port, connections, Script::Echo)
    }

    /// The same with another script.
    pub(crate) fn connect_with(
        port: u16,
        connections: usize,
        script: Script,
    ) -> Result<Load, String> {
        let connect = |_| {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
            stream.set_nodelay(true)?;
            Ok(stream.into())
        };
        Load::over((0..connections).map(connect), script)
    }

    /// Opens connections to a socket of the Unix family.
    pub(crate) fn connect_unix(path: &Path, connections: usize) -> Result<Load, String> {
        let connect = |_| Ok(UnixStream::connect(path)?.into());
        Load::over((0..connections).map(connect), Script::Echo)
    }

    /// Opens a UDP socket for each of these ports.
    pub(crate) fn connect_datagrams(ports: &[u16]) -> Result<Load, String> {
        let connect = |&port: &u16| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.connect((Ipv4Addr::LOCALHOST, port))?;
            Ok(socket.into())
        };
        Load::over(ports.iter().map(connect), Script::Echo)
    }

    /// Takes connections that are open.
    pub(crate) fn over(
        sockets: impl ExactSizeIterator<Item = std::io::Result<OwnedFd>>,
        script: Script,
    ) -> Result<Load, String> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build((2 * sockets.len()).next_power_of_two() as u32)
            .map_err(|error| format!("no ring for the load: {error}"))?;
        let connections: Result<Vec<Connection>, std::io::Error> = sockets
            .map(|socket| {
                Ok(Connection {
                    socket: socket?,
                    out: script.question(),
                    echo: vec![0; script.answer_bytes()].into(),
                    received: 0,
                    sent_at: Instant::now(),
                })
            })
            .collect();
        let connections = connections.map_err(|error| format!("connect: {error}"))?;
        let sockets: Vec<i32> = connections.iter().map(|c| c.socket.as_raw_fd()).collect();
        ring.submitter()
            .register_files(&sockets)
            .map_err(|error| format!("register files: {error}"))?;
        Ok(Load { ring, connections, script, sequence: 0 })
    }

    /// Runs all connections for a time, then waits for the echoes under way.
    pub(crate) fn run(&mut self, time: Duration) -> Result<Phase, String> {
        let mut latencies = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3)
            .map_err(|error| format!("no histogram: {error}"))?;
        let cpu_before = cpu_time(std::process::id())?;
        let start = Instant::now();
        for index in 0..self.connections.len() {
            self.send(index, start)?;
        }
        let mut under_way = self.connections.len();
        let mut arrived = Vec::with_capacity(under_way);
        while under_way > 0 {
            self.wait()?;
            arrived.extend(self.ring.completion().map(|e| (e.user_data(), e.result())));
            // One clock for the whole batch: reading it for each would cost the load too much.
            let now = Instant::now();
            let go_on = now - start < time;
            for (token, result) in arrived.drain(..) {
                if !self.receive(token, result)? {
                    continue;
                }
                let index = token as usize;
                let latency = now - self.connections[index].sent_at;
                latencies.saturating_record(latency.as_nanos() as u64);
                if go_on {
                    self.send(index, now)?;
                } else {
                    under_way -= 1;
                }
            }
        }
        Ok(Phase {
            round_trips: latencies.len(),
            took: start.elapsed(),
            load_cpu: cpu_time(std::process::id())? - cpu_before,
            latencies,
        })
    }

    /// Queues the next message and the receive of its echo.
    fn send(&mut self, index: usize, now: Instant) -> Result<(), String> {
        self.sequence += 1;
        let connection = &mut self.connections[index];
        if let Script::Echo = self.script {
            // Every message differs from the one before and from those of the others.
            for (eight, salt) in connection.out.chunks_exact_mut(8).zip(1..) {
                eight.copy_from_slice(&(self.sequence.wrapping_mul(salt)).to_le_bytes());
            }
        }
        connection.received = 0;
        connection.sent_at = now;
        let (out, len) = (connection.out.as_ptr(), connection.out.len() as u32);
        let send = opcode::Send::new(Fixed(index as u32), out, len)
            .flags(libc::MSG_NOSIGNAL)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(SEND);
        self.push(&send)?;
        self.queue_receive(index)
    }

    fn queue_receive(&mut self, index: usize) -> Result<(), String> {
        let connection = &mut self.connections[index];
        let rest = &mut connection.echo[connection.received..];
        let receive = opcode::Recv::new(Fixed(index as u32), rest.as_mut_ptr(), rest.len() as u32)
            .ioprio(POLL_FIRST)
            .flags(self.script.receive_flags())
            .build()
            .user_data(index as u64);
        self.push(&receive)
    }

    /// Takes what a completion brought; true when the echo is whole.
    fn receive(&mut self, token: u64, result: i32) -> Result<bool, String> {
        if result < 0 {
            return Err(format!("the load: {}", std::io::Error::from_raw_os_error(-result)));
        }
        if token == SEND {
            // Success is skipped, so this was a short send, which the kernel does not do
            // with so few.
            return Err(format!("only {result} bytes were sent"));
        }
        let index = token as usize;
        let connection = &mut self.connections[index];
        if result == 0 {
            return Err("the server has closed a connection".into());
        }
        connection.received += result as usize;
        let is_whole = match self.script {
            Script::Line { .. } => connection.echo[..connection.received].ends_with(b"\n"),
            _ => connection.received == connection.echo.len(),
        };
        if !is_whole && connection.received < connection.echo.len() {
            self.queue_receive(index)?;
            return Ok(false);
        }
        let expected = match &self.script {
            Script::Echo => &connection.out,
            Script::Fixed { answer, .. } => answer,
            Script::Discarded { .. } => return Ok(true),
            Script::Line { question, .. } => {
                let begins = connection.echo.starts_with(&question[..question.len() - 1]);
                return if begins && is_whole { Ok(true) } else { Err("a wrong answer".into()) };
            }
        };
        if connection.echo != *expected {
            return Err("a wrong answer".into());
        }
        Ok(true)
    }

    fn push(&mut self, entry: &squeue::Entry) -> Result<(), String> {
        // SAFETY: the buffers are boxed in connections that live as long as the ring; `out` is not
        // written again before its echo has come, and `echo` not read before its completion.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.ring.submit().map_err(|error| format!("submit: {error}"))?;
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<(), String> {
        let arguments = SubmitArgs::new().timespec(&SILENCE_MAX);
        match self.ring.submitter().submit_with_args(1, &arguments) {
            Ok(_) => Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::ETIME) => {
                Err("the server has not answered for 5 s".into())
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(format!("the load waits: {error}")),
        }
    }
}
