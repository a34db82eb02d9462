//! The TLS session of one connection.
//!
//! Two tasklets may use it at once, one reading and one writing. So rustls's state is borrowed only
//! for the time of a call into it, never across a wait. Records must be sent in the order in which
//! they were made, so a tasklet that makes some holds the lock `sending` until they are sent.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use overlapped::sync::{Mutex, MutexGuard};
use overlapped::time::{Duration, Instant, timeout};
use rustix::net::SendFlags;
use rustls::{ServerConfig, ServerConnection};

use super::Socket;
use crate::locks::IgnorePoison;
use crate::peer::TlsPeer;
use crate::state::MinimumRate;

/// The maximum number of bytes of plaintext that are turned into records at a time.
const PIECE: usize = 64 << 10;
/// The maximum number of bytes that are read at a time during the handshake. A client's first
/// message has a few hundred bytes, or up to about 2,000 with a post-quantum key.
const HELLO: usize = 2 << 10;

/// The number of bytes of plaintext in rustls above which it is fed no more records.
const PLAINTEXT_MAX: usize = 16 << 10;

/// The time at which records are sent.
#[derive(Clone, Copy)]
enum SendTime {
    /// Together with what the thread's other tasklets send.
    Batched,
    /// Immediately. This is for handshakes: a batch may contain the computation of other
    /// handshakes, a tenth of a millisecond each, in which this client could compute, too.
    Immediate,
}

/// The longest run of capital letters that may still become an HTTP method, so that the handshake
/// reads on.
const METHOD_MAX: usize = 16;

/// The reason why a handshake has failed.
pub(crate) enum HandshakeError {
    /// The client has sent an HTTP request instead; these are its first bytes.
    PlainHttp(Vec<u8>),
    Failed(io::Error),
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> HandshakeError {
        HandshakeError::Failed(error)
    }
}

/// Tells whether bytes begin an HTTP request: a method and a target. (A TLS record begins with a
/// number below 32.)
fn is_http(bytes: &[u8]) -> bool {
    let Some(end) = bytes.iter().position(|byte| !byte.is_ascii_uppercase()) else { return false };
    let (method, rest) = bytes.split_at(end);
    let is_target = matches!(rest, [b' ', b'/' | b'*' | b'h', ..]);
    !method.is_empty() && (is_target || method == b"CONNECT" && rest.starts_with(b" "))
}

/// Tells whether bytes begin such a request, or may do so once more bytes have arrived.
fn may_become_http(bytes: &[u8]) -> bool {
    let end = bytes.iter().position(|byte| !byte.is_ascii_uppercase()).unwrap_or(bytes.len());
    matches!(&bytes[end..], [] | b" ") && (1..=METHOD_MAX).contains(&end) || is_http(bytes)
}

/// The TLS state of one connection.
pub(crate) struct TlsSession {
    tls: RefCell<ServerConnection>,
    /// Bytes of the socket that rustls has not taken yet.
    undecoded: RefCell<Vec<u8>>,
    sending: Mutex<()>,
}

/// Reads the first bytes into `hello`. If they begin an HTTP request, it reads the first line and
/// returns it as an error.
fn read_hello(socket: &Socket, hello: &mut [u8]) -> Result<usize, HandshakeError> {
    let mut len = 0;
    loop {
        let read = socket.read(&mut hello[len..]);
        len += *read.as_ref().unwrap_or(&0);
        let begun = &hello[..len];
        let is_last = !matches!(read, Ok(1..)) || len == hello.len();
        if is_http(begun) && (is_last || begun.contains(&b'\n')) {
            return Err(HandshakeError::PlainHttp(begun.to_vec()));
        }
        read?;
        if is_last || !may_become_http(begun) {
            return Ok(len);
        }
    }
}

impl TlsSession {
    /// Performs the handshake within the time `limit`.
    ///
    /// It is a function of its own and returns a box, because rustls's state is large: the stacks
    /// of connections without TLS must not grow by it.
    #[inline(never)]
    pub(crate) fn accept(
        socket: &Socket,
        config: Arc<ServerConfig>,
        limit: Duration,
    ) -> Result<Box<TlsSession>, HandshakeError> {
        let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
        tls.set_buffer_limit(None);
        let (tls, undecoded, sending) = (RefCell::new(tls), RefCell::default(), Mutex::new(()));
        let session = Box::new(TlsSession { tls, undecoded, sending });
        let (hello, rate) = (&mut vec![0; HELLO], &mut MinimumRate::fixed(limit));
        timeout(limit, || {
            let len = read_hello(socket, hello)?;
            session.undecoded.borrow_mut().extend_from_slice(&hello[..len]);
            while session.tls.borrow().is_handshaking() {
                if session.feed_from_socket(socket, hello, rate)? == Some(0) {
                    return Err(HandshakeError::Failed(ErrorKind::UnexpectedEof.into()));
                }
            }
            Ok(session)
        })
    }

    /// Returns the results of the handshake.
    pub(crate) fn peer(&self) -> TlsPeer {
        let tls = self.tls.borrow();
        TlsPeer {
            server_name: tls.server_name().map(Arc::from),
            protocol: tls.alpn_protocol().map(|name| String::from_utf8_lossy(name).into()),
        }
    }

    /// Reads plaintext, waiting for it at the client's minimum rate. `buf` first receives the bytes
    /// of the socket, so that no second buffer is needed.
    ///
    /// The end of a stream without close_notify is an `UnexpectedEof`: an attacker may have cut it.
    pub(crate) fn read(
        &self,
        socket: &Socket,
        buf: &mut [u8],
        rate: &mut MinimumRate,
    ) -> io::Result<usize> {
        loop {
            match self.tls.borrow_mut().reader().read(buf) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            // Received bytes count as progress, because a slow client may take long for a complete
            // record.
            let (begin, left) = (Instant::now(), rate.left());
            let received = timeout(left, || self.feed_from_socket(socket, buf, rate))?;
            rate.account(received.unwrap_or(0) as u64, begin.elapsed());
        }
    }

    /// Tells whether bytes were received that no read has returned.
    pub(crate) fn has_more(&self) -> bool {
        // rustls wants no bytes as long as it has plaintext to be read.
        !self.undecoded.borrow().is_empty() || !self.tls.borrow().wants_read()
    }

    /// Feeds the bytes that rustls has not taken yet, or else bytes of the socket, for which it
    /// waits. Returns the number of bytes that were received from the socket, 0 at its end; `None`
    /// if they had been received before. rustls may have left some.
    fn feed_from_socket(
        &self,
        socket: &Socket,
        buf: &mut [u8],
        rate: &MinimumRate,
    ) -> io::Result<Option<usize>> {
        let undecoded = self.undecoded.take();
        let received = if undecoded.is_empty() { Some(socket.read(buf)?) } else { None };
        let bytes = received.map_or(&undecoded[..], |received| &buf[..received]);
        let mut tls = self.tls.borrow_mut();
        let fed = feed(&mut tls, bytes);
        let has_records = tls.wants_write();
        drop(tls);
        if has_records {
            // The next message of the handshake, or an alert.
            let _sending = self.lock();
            self.send_records(socket, SendTime::Immediate, &mut MinimumRate::fixed(rate.left()))?;
        }
        self.undecoded.borrow_mut().extend_from_slice(fed?);
        Ok(received)
    }

    /// Sends at most [`PIECE`] bytes of plaintext; returns how many.
    pub(crate) fn write(
        &self,
        socket: &Socket,
        bytes: &[u8],
        rate: &mut MinimumRate,
    ) -> io::Result<usize> {
        let piece = &bytes[..bytes.len().min(PIECE)];
        let _sending = self.lock();
        self.tls.borrow_mut().writer().write_all(piece)?;
        self.send_records(socket, SendTime::Batched, rate)?;
        Ok(piece.len())
    }

    /// Sends close_notify.
    pub(crate) fn close_notify(&self, socket: &Socket, rate: &mut MinimumRate) -> io::Result<()> {
        let _sending = self.lock();
        self.tls.borrow_mut().send_close_notify();
        self.send_records(socket, SendTime::Immediate, rate)
    }

    /// Sends the records that rustls has made. After a failure the session is unusable.
    fn send_records(
        &self,
        socket: &Socket,
        time: SendTime,
        rate: &mut MinimumRate,
    ) -> io::Result<()> {
        let mut records = Vec::with_capacity(PIECE / 4);
        let mut tls = self.tls.borrow_mut();
        while tls.wants_write() {
            tls.write_tls(&mut records)?;
        }
        drop(tls);
        let sent = match time {
            SendTime::Immediate => socket.send_nonblocking(&records, SendFlags::empty()),
            SendTime::Batched => 0,
        };
        let mut left = &records[sent..];
        while !left.is_empty() {
            left = &left[socket.write(left, rate)?..];
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.sending.lock().ignore_poison()
    }
}

/// Feeds bytes to rustls until it holds [`PLAINTEXT_MAX`]; returns the rest.
fn feed<'b>(tls: &mut ServerConnection, mut bytes: &'b [u8]) -> io::Result<&'b [u8]> {
    loop {
        // An empty read tells rustls the end of the stream.
        tls.read_tls(&mut bytes)?;
        let state = tls.process_new_packets().map_err(malformed)?;
        if bytes.is_empty() || state.plaintext_bytes_to_read() > PLAINTEXT_MAX {
            return Ok(bytes);
        }
    }
}

fn malformed(error: rustls::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}
