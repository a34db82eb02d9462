//! The connection that protocols and plain functions see.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;

use overlapped::time::{Duration, Instant, timeout};

use super::context::ListenerContext;
use crate::peer::Peer;
use crate::state::MinimumRate;
use crate::stream::Socket;
use crate::stream::tls::TlsSession;

/// A client's connection, for a plain function: it implements `Read` and `Write` and names the
/// client.
///
/// Clones are handles of the same connection: one tasklet may read while another one writes. A read
/// that takes longer than [`Limits::idle`](crate::Limits::idle) fails with `TimedOut`. So does a
/// write, if the client takes nothing for as long.
///
/// When the server stops, reads return what has arrived and then 0, as if the client had finished.
/// The function then has the grace time to end its conversation.
#[derive(Clone)]
pub struct Connection(Rc<Shared>);

/// The part of a connection that its handles share.
struct Shared {
    socket: Rc<Socket>,
    tls: Option<Box<TlsSession>>,
    peer: Peer,
    context: Rc<ListenerContext>,
    span: tracing::Span,
    /// Bytes sent, counted before TLS.
    sent: Cell<u64>,
}

impl Connection {
    pub(crate) fn new(
        socket: Rc<Socket>,
        tls: Option<Box<TlsSession>>,
        peer: Peer,
        context: Rc<ListenerContext>,
        span: tracing::Span,
    ) -> Self {
        Connection(Rc::new(Shared { socket, tls, peer, context, span, sent: Cell::new(0) }))
    }

    /// Returns the client's identity.
    pub fn peer(&self) -> &Peer {
        &self.0.peer
    }

    /// Tells whether the server is about to stop.
    pub fn is_stopping(&self) -> bool {
        self.0.context.thread.state.stopping.get()
    }

    /// Tells whether a reply that can say so should be the connection's last.
    pub(crate) fn is_leaving(&self) -> bool {
        self.0.context.thread.state.leaving.get()
    }

    /// Closes the sending side: the client sees the end of the stream.
    ///
    /// # Errors
    /// Those of shutdown(2); with TLS, also those of a write.
    pub fn finish(&self) -> io::Result<()> {
        self.close_notify(&mut MinimumRate::any_progress(self.context().limits.idle))?;
        self.socket().shutdown(Shutdown::Write)
    }

    pub(crate) fn context(&self) -> &ListenerContext {
        &self.0.context
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.0.socket
    }

    /// Returns the span for events about this connection. It must not be entered: tasklets take
    /// turns on the thread, and tracing's current span belongs to the thread.
    pub(crate) fn span(&self) -> &tracing::Span {
        &self.0.span
    }

    /// Reads what has arrived, waiting for it for at most `limit`.
    pub(crate) fn receive(&self, buf: &mut [u8], limit: Duration) -> io::Result<usize> {
        let Shared { socket, tls, .. } = &*self.0;
        let read = match tls {
            None => timeout(limit, || socket.read(buf))?,
            Some(tls) => tls.read(socket, buf, &mut MinimumRate::fixed(limit))?,
        };
        self.context().counters.bytes_in.add(read as u64);
        Ok(read)
    }

    /// Reads what has arrived, waiting for it at the client's minimum rate.
    pub(crate) fn receive_at_rate(
        &self,
        buf: &mut [u8],
        rate: &mut MinimumRate,
    ) -> io::Result<usize> {
        let Shared { socket, tls, .. } = &*self.0;
        let read = match tls {
            None => {
                let begin = Instant::now();
                let read = timeout(rate.left(), || socket.read(buf))?;
                rate.account(read as u64, begin.elapsed());
                read
            }
            Some(tls) => tls.read(socket, buf, rate)?,
        };
        self.context().counters.bytes_in.add(read as u64);
        Ok(read)
    }

    /// Tells whether bytes have arrived that no read has returned.
    pub(crate) fn has_more(&self) -> bool {
        let Shared { socket, tls, .. } = &*self.0;
        let in_kernel = rustix::io::ioctl_fionread(&**socket).unwrap_or(0);
        in_kernel > 0 || tls.as_ref().is_some_and(|tls| tls.has_more())
    }

    /// Sends some of the bytes at the client's minimum rate.
    fn write_some(&self, bytes: &[u8], rate: &mut MinimumRate) -> io::Result<usize> {
        let Shared { socket, tls, .. } = &*self.0;
        let sent = match tls {
            None => socket.write(bytes, rate),
            Some(tls) => tls.write(socket, bytes, rate),
        }?;
        self.add_sent(sent);
        Ok(sent)
    }

    /// Counts bytes that were sent by another way than [`Connection::send`].
    pub(crate) fn add_sent(&self, bytes: usize) {
        self.context().counters.bytes_out.add(bytes as u64);
        self.0.sent.set(self.sent() + bytes as u64);
    }

    /// Returns the number of bytes sent, counted before TLS.
    pub(crate) fn sent(&self) -> u64 {
        self.0.sent.get()
    }

    /// Tells whether bytes must go through TLS.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.0.tls.is_some()
    }

    /// Sends close_notify; without TLS, does nothing.
    pub(crate) fn close_notify(&self, rate: &mut MinimumRate) -> io::Result<()> {
        let Shared { socket, tls, .. } = &*self.0;
        match tls {
            None => Ok(()),
            Some(tls) => tls.close_notify(socket, rate),
        }
    }

    /// Sends all bytes at the client's minimum rate.
    pub(crate) fn send(&self, mut bytes: &[u8], rate: &mut MinimumRate) -> io::Result<()> {
        while !bytes.is_empty() {
            bytes = &bytes[self.write_some(bytes, rate)?..];
        }
        Ok(())
    }
}

impl Read for &Connection {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive(buf, self.context().limits.idle)
    }
}

impl Write for &Connection {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_some(buf, &mut MinimumRate::any_progress(self.context().limits.idle))
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
