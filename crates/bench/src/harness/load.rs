//! The load of echo and of pipelined messages, the same for all servers: a closed loop over
//! io_uring.
//!
//! Each connection sends a message, waits for the answer (its echo, or that of the [`Script`]),
//! checks every byte, and sends the next message. All connections share a ring with one thread. The
//! completions of one wait are answered with one submission, sends post no completion, and the
//! sockets are registered.
//!
//! The load is **not cheaper than the servers**: nearly all of a round trip is the kernel's TCP,
//! which costs both ends the same, so the load needs as much processor time as the subject `raw`.
//! With many connections both cores are busy, and the slower end bounds the round trips per second.
//! There, servers differ by their processor time per round trip; that of the load is printed beside
//! it. Multishot receives into a buffer ring were tried instead: no difference beyond the noise
//! (3.5–3.6 µs a round trip either way, 50 connections, busy machine), so the simpler code stays.

use super::syscalls::cpu_time;
use hdrhistogram::Histogram;
use io_uring::types::{Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode, squeue};
use std::mem::ManuallyDrop;
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// The size of a message.
pub(crate) const MESSAGE_BYTES: usize = 64;
/// `IORING_RECVSEND_POLL_FIRST`: when a receive is queued, its bytes are usually not there yet.
const POLL_FIRST: u16 = 1;
/// The user data of sends, which complete only if they fail.
const SEND: u64 = u64::MAX;
/// The longest time for an answer. A server that takes longer has failed.
const SILENCE_MAX: Timespec = Timespec::new().sec(5);

/// The greatest latency of the histogram, to which longer ones are cut.
const LATENCY_NS_MAX: u64 = 10_000_000_000;

/// The message that is sent, and the answer that has to come back.
pub(crate) enum Script {
    /// A message of [`MESSAGE_BYTES`], a different one each time, and its echo.
    Echo,
    /// The same question and the same answer each time.
    Fixed { question: Box<[u8]>, answer: Box<[u8]> },
    /// A question, and a number of bytes that have to come back. The kernel discards them, so that
    /// no byte costs the load anything (`MSG_TRUNC`, tcp(7)).
    Discarded { question: Box<[u8]>, answer_bytes: usize },
    /// A question, and a line that begins with it (without its end), and that is not longer than
    /// the limit.
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

    /// Returns the flags of a receive.
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
    /// Boxed, as `echo` is, because the kernel holds its address.
    out: Box<[u8]>,
    echo: Box<[u8]>,
    received: usize,
    sent_at: Instant,
}

/// Connected clients, idle between phases.
pub(crate) struct Load {
    ring: IoUring,
    /// Never freed: after an error the ring is closed with operations in flight, which does not
    /// wait for them. The process ends with its measurement.
    connections: ManuallyDrop<Vec<Connection>>,
    script: Script,
    sequence: u64,
}

/// The figures of one phase.
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

    /// Opens TCP connections for another script.
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

    /// Opens a UDP socket for each port.
    pub(crate) fn connect_datagrams(ports: &[u16]) -> Result<Load, String> {
        let connect = |&port: &u16| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.connect((Ipv4Addr::LOCALHOST, port))?;
            Ok(socket.into())
        };
        Load::over(ports.iter().map(connect), Script::Echo)
    }

    /// Takes over sockets that are connected.
    pub(crate) fn over(
        sockets: impl ExactSizeIterator<Item = std::io::Result<OwnedFd>>,
        script: Script,
    ) -> Result<Load, String> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build((2 * sockets.len()).next_power_of_two() as u32)
            .map_err(|error| format!("cannot make a ring for the load: {error}"))?;
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
        Ok(Load { ring, connections: ManuallyDrop::new(connections), script, sequence: 0 })
    }

    /// Runs all connections for a time, and then waits for the echoes under way.
    pub(crate) fn run(&mut self, time: Duration) -> Result<Phase, String> {
        let mut latencies = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3)
            .map_err(|error| format!("cannot make a histogram: {error}"))?;
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
            // The clock is read once for the whole batch: once for each would cost too much.
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
            // Every message differs from the one before it and from those of other connections.
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

    /// Takes the result of a completion. True: the answer is complete.
    fn receive(&mut self, token: u64, result: i32) -> Result<bool, String> {
        if result < 0 {
            return Err(format!("the load: {}", std::io::Error::from_raw_os_error(-result)));
        }
        if token == SEND {
            // Successful sends post no completion, so this was a short send. The kernel makes none
            // with so few bytes.
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
                return if begins && is_whole {
                    Ok(true)
                } else {
                    Err("the answer is wrong".into())
                };
            }
        };
        if connection.echo != *expected {
            return Err("the answer is wrong".into());
        }
        Ok(true)
    }

    fn push(&mut self, entry: &squeue::Entry) -> Result<(), String> {
        // SAFETY: the entry points into boxes of connections, which are never freed. `out` is not
        // written again before its echo has arrived, and `echo` is not read before the completion
        // of its receive.
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
            Err(error) => Err(format!("the wait of the load: {error}")),
        }
    }
}
