//! A connection as sessions see it.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;

use overlapped::time::{Duration, Instant, timeout};

use super::tls::Session;
use super::{Link, Raw, Socket};
use crate::Peer;
use crate::server::Venue;
use crate::session::Pace;

/// A client's connection, for a plain function: `Read` and `Write`, and who the client is.
///
/// Clones are handles of the same connection: one tasklet may read while another one writes. A read
/// that takes longer than [`Limits::idle`](crate::Limits::idle) fails with `TimedOut`, and so does
/// a write if the client takes nothing for as long.
///
/// When the server stops, reads give what has come, and then 0, as if the client had finished: the
/// function ends its conversation, and has the grace time for it.
#[derive(Clone)]
pub struct Connection {
    inner: Rc<Inner>,
}

struct Inner {
    raw: Raw,
    tls: Option<Box<Session>>,
    peer: Peer,
    venue: Rc<Venue>,
    span: tracing::Span,
    /// Bytes that have left, before TLS.
    sent: Cell<u64>,
}

impl Connection {
    pub(crate) fn new(
        raw: Raw,
        tls: Option<Box<Session>>,
        peer: Peer,
        venue: Rc<Venue>,
        span: tracing::Span,
    ) -> Self {
        Connection { inner: Rc::new(Inner { raw, tls, peer, venue, span, sent: Cell::new(0) }) }
    }

    /// Who the client is.
    pub fn peer(&self) -> &Peer {
        &self.inner.peer
    }

    /// Whether the server is about to stop.
    pub fn is_stopping(&self) -> bool {
        self.inner.venue.worker.is_stopping()
    }

    /// Whether a reply that can say so should be the connection's last.
    pub(crate) fn is_leaving(&self) -> bool {
        self.inner.venue.worker.is_leaving()
    }

    /// Says that nothing more will be written. The client sees the end of the stream.
    ///
    /// # Errors
    /// Those of shutdown(2), and of a write, with TLS.
    pub fn finish(&self) -> io::Result<()> {
        self.say_farewell(&mut Pace::any(self.venue().limits.idle))?;
        self.socket().shutdown(Shutdown::Write)
    }

    pub(crate) fn venue(&self) -> &Venue {
        &self.inner.venue
    }

    pub(crate) fn link(&self) -> &Link {
        &self.inner.raw.link
    }

    pub(crate) fn raw(&self) -> &Raw {
        &self.inner.raw
    }

    pub(crate) fn socket(&self) -> &Socket {
        self.inner.raw.socket()
    }

    /// For events about this connection. It must not be entered: tasklets take turns on the thread,
    /// and tracing's current span belongs to the thread.
    pub(crate) fn span(&self) -> &tracing::Span {
        &self.inner.span
    }

    /// What has come, waiting for it for at most `limit`.
    pub(crate) fn receive(&self, buf: &mut [u8], limit: Duration) -> io::Result<usize> {
        let Inner { raw, tls, .. } = &*self.inner;
        let read = match tls {
            None => timeout(limit, || raw.read(buf))?,
            Some(tls) => tls.read(raw, buf, &mut Pace::fixed(limit))?,
        };
        self.venue().counts.bytes_in.add(read as u64);
        Ok(read)
    }

    /// Reads what has come, waiting for it at the client's pace.
    pub(crate) fn receive_at_pace(&self, buf: &mut [u8], pace: &mut Pace) -> io::Result<usize> {
        let Inner { raw, tls, .. } = &*self.inner;
        let read = match tls {
            None => {
                let begin = Instant::now();
                let read = timeout(pace.left(), || raw.read(buf))?;
                pace.note(read as u64, begin.elapsed());
                read
            }
            Some(tls) => tls.read(raw, buf, pace)?,
        };
        self.venue().counts.bytes_in.add(read as u64);
        Ok(read)
    }

    /// Whether something has come that was not received.
    pub(crate) fn has_more(&self) -> bool {
        let Inner { raw, tls, .. } = &*self.inner;
        let in_kernel = rustix::io::ioctl_fionread(raw.socket()).unwrap_or(0);
        in_kernel > 0 || tls.as_ref().is_some_and(|tls| tls.has_more())
    }

    /// Sends some of it.
    fn put(&self, bytes: &[u8], pace: &mut Pace) -> io::Result<usize> {
        let Inner { raw, tls, .. } = &*self.inner;
        let sent = match tls {
            None => raw.write(bytes, pace),
            Some(tls) => tls.write(raw, bytes, pace),
        }?;
        self.add_sent(sent);
        Ok(sent)
    }

    /// Notes bytes that have left, past this.
    pub(crate) fn add_sent(&self, bytes: usize) {
        self.venue().counts.bytes_out.add(bytes as u64);
        self.inner.sent.set(self.sent() + bytes as u64);
    }

    /// Bytes that have left.
    pub(crate) fn sent(&self) -> u64 {
        self.inner.sent.get()
    }

    /// Whether bytes may not go past TLS.
    pub(crate) fn is_secret(&self) -> bool {
        self.inner.tls.is_some()
    }

    /// With TLS, tells the client that this was all.
    pub(crate) fn say_farewell(&self, pace: &mut Pace) -> io::Result<()> {
        let Inner { raw, tls, .. } = &*self.inner;
        match tls {
            None => Ok(()),
            Some(tls) => tls.say_farewell(raw, pace),
        }
    }

    /// Sends all of it at the client's pace, which must not be too slow.
    pub(crate) fn send(&self, mut bytes: &[u8], pace: &mut Pace) -> io::Result<()> {
        while !bytes.is_empty() {
            bytes = &bytes[self.put(bytes, pace)?..];
        }
        Ok(())
    }
}

impl Read for &Connection {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive(buf, self.venue().limits.idle)
    }
}

impl Write for &Connection {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.put(buf, &mut Pace::any(self.venue().limits.idle))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Connection {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }
}

impl Write for Connection {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("peer", self.peer()).finish_non_exhaustive()
    }
}
