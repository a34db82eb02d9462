//! One connection's TLS.
//!
//! Two tasklets may use it at once, one reading and one writing. So rustls's state is borrowed for
//! as long as a call into it takes, never across a wait; and because records must be sent in the
//! order in which they were made, whoever makes some holds `sending` until they are sent.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use overlapped::sync::{Mutex, MutexGuard, PoisonError};
use overlapped::time::{Duration, Instant, timeout};
use rustix::net::SendFlags;
use rustls::{ServerConfig, ServerConnection};

use crate::TlsPeer;
use crate::session::Pace;
use crate::stream::Raw;

/// Plaintext that is turned into records at a time.
const PIECE: usize = 64 << 10;
/// What is read at a time during the handshake; it takes a client few hundred bytes.
const HELLO: usize = 2 << 10;

/// Plaintext that rustls holds before it takes nothing more in.
const HELD_MAX: usize = 16 << 10;

/// When records leave.
#[derive(Clone, Copy)]
enum When {
    /// With all that the thread's tasklets send in their turns.
    InTurn,
    /// Those of handshakes: every turn that they waited for would be the computing of somebody
    /// else's handshake, a tenth of a millisecond, and meanwhile this client could compute.
    AtOnce,
}

/// Bytes of the longest method that is waited for.
const METHOD_MAX: usize = 16;

/// The reason why there is no session.
pub(crate) enum NoSession {
    /// The client has begun a request of HTTP instead; this is what has come.
    PlainHttp(Vec<u8>),
    Failed(io::Error),
}

impl From<io::Error> for NoSession {
    fn from(error: io::Error) -> NoSession {
        NoSession::Failed(error)
    }
}

/// Tells whether bytes begin a request of HTTP: a method, and a target. (A record of TLS begins
/// with a number below 32.)
fn is_http(bytes: &[u8]) -> bool {
    let Some(end) = bytes.iter().position(|byte| !byte.is_ascii_uppercase()) else { return false };
    let (method, rest) = bytes.split_at(end);
    let is_target = matches!(rest, [b' ', b'/' | b'*' | b'h', ..]);
    !method.is_empty() && (is_target || method == b"CONNECT" && rest.starts_with(b" "))
}

/// Tells whether bytes may be the beginning of such a request, which may come in pieces.
fn may_become_http(bytes: &[u8]) -> bool {
    let end = bytes.iter().position(|byte| !byte.is_ascii_uppercase()).unwrap_or(bytes.len());
    matches!(&bytes[end..], [] | b" ") && (1..=METHOD_MAX).contains(&end) || is_http(bytes)
}

pub(crate) struct Session {
    tls: RefCell<ServerConnection>,
    /// Bytes of the socket that rustls could not take in yet.
    ahead: RefCell<Vec<u8>>,
    sending: Mutex<()>,
}

/// Reads the first bytes; of a request of HTTP, its first line.
fn begin(raw: &Raw, hello: &mut [u8]) -> Result<usize, NoSession> {
    let mut come = 0;
    loop {
        let read = raw.read(&mut hello[come..]);
        come += *read.as_ref().unwrap_or(&0);
        let begun = &hello[..come];
        let is_last = !matches!(read, Ok(1..)) || come == hello.len();
        if is_http(begun) && (is_last || begun.contains(&b'\n')) {
            return Err(NoSession::PlainHttp(begun.to_vec()));
        }
        read?;
        if is_last || !may_become_http(begun) {
            return Ok(come);
        }
    }
}

impl Session {
    /// The handshake, which may take so long.
    ///
    /// Apart and in a box, because rustls's state is large, and stacks of connections without TLS
    /// are not to grow by it.
    #[inline(never)]
    pub(crate) fn accept(
        raw: &Raw,
        config: Arc<ServerConfig>,
        limit: Duration,
    ) -> Result<Box<Session>, NoSession> {
        let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
        tls.set_buffer_limit(None);
        let (tls, ahead, sending) = (RefCell::new(tls), RefCell::default(), Mutex::new(()));
        let session = Box::new(Session { tls, ahead, sending });
        let (hello, pace) = (&mut vec![0; HELLO], &mut Pace::fixed(limit));
        timeout(limit, || {
            let come = begin(raw, hello)?;
            session.ahead.borrow_mut().extend_from_slice(&hello[..come]);
            while session.tls.borrow().is_handshaking() {
                if session.take_in(raw, hello, pace)? == 0 {
                    return Err(NoSession::Failed(ErrorKind::UnexpectedEof.into()));
                }
            }
            Ok(session)
        })
    }

    /// What the handshake told.
    pub(crate) fn peer(&self) -> TlsPeer {
        let tls = self.tls.borrow();
        TlsPeer {
            server_name: tls.server_name().map(Arc::from),
            protocol: tls.alpn_protocol().map(|name| String::from_utf8_lossy(name).into()),
        }
    }

    /// Plaintext, which is waited for so long. `buf` also serves for the bytes of the socket: of
    /// them there are more.
    ///
    /// A stream that ends without a farewell is an `UnexpectedEof`: somebody may have cut it.
    pub(crate) fn read(&self, raw: &Raw, buf: &mut [u8], pace: &mut Pace) -> io::Result<usize> {
        loop {
            match self.tls.borrow_mut().reader().read(buf) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            // What has moved is what came from the socket: a record may take a slow client long.
            let (begin, left) = (Instant::now(), pace.left());
            let taken = timeout(left, || self.take_in(raw, buf, pace))?;
            pace.note(taken as u64, begin.elapsed());
        }
    }

    /// Whether bytes of the client are here already.
    pub(crate) fn has_more(&self) -> bool {
        // rustls wants none as long as it has plain text to be read.
        !self.ahead.borrow().is_empty() || !self.tls.borrow().wants_read()
    }

    /// Has rustls take bytes of the socket in, after a wait for them; how many.
    fn take_in(&self, raw: &Raw, buf: &mut [u8], pace: &Pace) -> io::Result<usize> {
        let ahead = self.ahead.take();
        let read = if ahead.is_empty() { raw.read(buf)? } else { ahead.len() };
        let bytes = if ahead.is_empty() { &buf[..read] } else { &ahead[..] };
        let mut tls = self.tls.borrow_mut();
        let fed = feed(&mut tls, bytes);
        let owes = tls.wants_write();
        drop(tls);
        if owes {
            // The next message of the handshake, or why there is none.
            let _sending = self.lock();
            self.send_made(raw, When::AtOnce, &mut Pace::fixed(pace.left()))?;
        }
        self.ahead.borrow_mut().extend_from_slice(fed?);
        Ok(read)
    }

    /// Sends plaintext, at most [`PIECE`] bytes of it; how many.
    pub(crate) fn write(&self, raw: &Raw, bytes: &[u8], pace: &mut Pace) -> io::Result<usize> {
        let piece = &bytes[..bytes.len().min(PIECE)];
        let _sending = self.lock();
        self.tls.borrow_mut().writer().write_all(piece)?;
        self.send_made(raw, When::InTurn, pace)?;
        Ok(piece.len())
    }

    /// Says that nothing more comes.
    pub(crate) fn say_farewell(&self, raw: &Raw, pace: &mut Pace) -> io::Result<()> {
        let _sending = self.lock();
        self.tls.borrow_mut().send_close_notify();
        self.send_made(raw, When::AtOnce, pace)
    }

    /// Sends the records that were made. A session whose records could not be sent is of no use any
    /// more.
    fn send_made(&self, raw: &Raw, when: When, pace: &mut Pace) -> io::Result<()> {
        let mut records = Vec::with_capacity(PIECE / 4);
        let mut tls = self.tls.borrow_mut();
        while tls.wants_write() {
            tls.write_tls(&mut records)?;
        }
        drop(tls);
        let sent = match when {
            When::AtOnce => raw.send_at_once(&records, SendFlags::empty()),
            When::InTurn => 0,
        };
        let mut left = &records[sent..];
        while !left.is_empty() {
            left = &left[raw.write(left, pace)?..];
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.sending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has rustls take bytes in, until it holds as much plaintext as it may; the rest.
fn feed<'b>(tls: &mut ServerConnection, mut bytes: &'b [u8]) -> io::Result<&'b [u8]> {
    loop {
        // The end of the stream is told by a read of nothing.
        tls.read_tls(&mut bytes)?;
        let state = tls.process_new_packets().map_err(malformed)?;
        if bytes.is_empty() || state.plaintext_bytes_to_read() > HELD_MAX {
            return Ok(bytes);
        }
    }
}

fn malformed(error: rustls::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}
