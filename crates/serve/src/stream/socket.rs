//! A client's socket: the bytes of a TCP or Unix stream, and how many of them the client has taken.
//!
//! This is the inner one of the two types around a descriptor; the outer one is `Connection`.

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use overlapped::net::{TcpStream, send_queue};
use overlapped::os::unix::net::UnixStream;
use overlapped::time::{Duration, expired, timeout};
use rustix::net::SendFlags;

use crate::state::{ConnectionState, MinimumRate, Phase, is_deadline};

/// Prevents SIGPIPE. Apple's systems lack the flag; there Rust programs ignore the signal.
#[cfg(not(target_vendor = "apple"))]
const NO_SIGPIPE: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const NO_SIGPIPE: SendFlags = SendFlags::empty();

/// An accepted stream of either family.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// One connection's socket. Its session shares it with code that ends the session from outside.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: Stream,
    pub(crate) state: ConnectionState,
    /// Bytes that were read beyond a PROXY header; reads return them first.
    read_ahead: RefCell<Vec<u8>>,
    /// Bytes that the kernel has taken from this process.
    sent: Cell<u64>,
    /// Bytes that the client's system had acknowledged when they were last counted.
    acknowledged: Cell<u64>,
}

impl Socket {
    pub(crate) fn new(stream: Stream) -> Socket {
        Socket {
            stream,
            state: ConnectionState::new(),
            read_ahead: RefCell::default(),
            sent: Cell::new(0),
            acknowledged: Cell::new(0),
        }
    }

    /// Puts bytes back, which the next reads return.
    pub(crate) fn put_back(&self, bytes: Vec<u8>) {
        self.read_ahead.replace(bytes);
    }

    pub(crate) fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut ahead = self.read_ahead.borrow_mut();
        if ahead.is_empty() {
            drop(ahead);
            let read = self.read_stream(buf)?;
            if self.state.phase.get() == Phase::New {
                self.state.phase.set(Phase::Handshake);
            }
            return Ok(read);
        }
        let count = ahead.len().min(buf.len());
        buf[..count].copy_from_slice(&ahead[..count]);
        if count == ahead.len() {
            *ahead = Vec::new();
        } else {
            ahead.drain(..count);
        }
        Ok(count)
    }

    /// Reads past the bytes that were put back.
    pub(crate) fn read_stream(&self, buf: &mut [u8]) -> io::Result<usize> {
        uninterrupted(|| match &self.stream {
            Stream::Tcp(stream) => (&*stream).read(buf),
            Stream::Unix(stream) => (&*stream).read(buf),
        })
    }

    /// Sends some of the bytes, at the client's minimum rate.
    pub(crate) fn write(&self, bytes: &[u8], rate: &mut MinimumRate) -> io::Result<usize> {
        let sent = self.in_slices(rate, || self.write_stream(bytes))?;
        self.add_sent(sent);
        // Nearly always all bytes are sent at once: then neither clock nor send queue is read.
        if sent < bytes.len() {
            rate.continue_wait(self.newly_acknowledged(), Duration::ZERO);
        } else if rate.is_waiting() {
            rate.end_wait(self.newly_acknowledged());
        }
        Ok(sent)
    }

    fn write_stream(&self, bytes: &[u8]) -> io::Result<usize> {
        let written = uninterrupted(|| match &self.stream {
            Stream::Tcp(stream) => (&*stream).write(bytes),
            Stream::Unix(stream) => (&*stream).write(bytes),
        });
        match written {
            Ok(0) if !bytes.is_empty() => Err(io::ErrorKind::WriteZero.into()),
            written => written,
        }
    }

    /// Sends as much as possible without waiting, past the port. Returns 0 on failure, too: the
    /// next ordinary write finds and reports the error.
    ///
    /// These bytes leave at once, while those that go through a ring wait until the other tasklets
    /// have run. The call gives no other tasklet a turn, so it is not for transfers without end.
    pub(crate) fn send_nonblocking(&self, bytes: &[u8], flags: SendFlags) -> usize {
        let flags = flags | SendFlags::DONTWAIT | NO_SIGPIPE;
        let sent = rustix::net::send(self, bytes, flags).unwrap_or(0);
        self.add_sent(sent);
        sent
    }

    /// Waits until the socket is writable, at the client's minimum rate. It is for sendfile(2).
    #[cfg(target_os = "linux")]
    pub(crate) fn wait_writable(&self, rate: &mut MinimumRate) -> io::Result<()> {
        rate.begin_wait();
        self.in_slices(rate, || overlapped::net::wait_writable(self))?;
        rate.end_wait(self.newly_acknowledged());
        Ok(())
    }

    /// Waits in slices, as long as the client takes bytes that are under way.
    fn in_slices<T>(
        &self,
        rate: &mut MinimumRate,
        wait: impl Fn() -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            let slice = rate.slice();
            match timeout(slice, &wait) {
                Err(error) if is_deadline(&error) => {
                    rate.continue_wait(self.newly_acknowledged(), slice);
                    if rate.is_exhausted() || expired() {
                        return Err(error);
                    }
                }
                done => return done,
            }
        }
    }

    /// Counts bytes that the kernel has taken, by whichever call.
    pub(crate) fn add_sent(&self, bytes: usize) {
        self.sent.set(self.sent.get() + bytes as u64);
    }

    /// Tells whether bytes are under way that the client's system has not acknowledged.
    pub(crate) fn has_unacknowledged(&self) -> bool {
        send_queue(self).is_ok_and(|queued| queued > 0)
    }

    /// Returns how many bytes the client's system has acknowledged since the last call.
    pub(crate) fn newly_acknowledged(&self) -> u64 {
        // Without that figure, the bytes that the kernel has taken count.
        let queued = send_queue(self).unwrap_or(0);
        // For a Unix socket the kernel counts its overhead, too, so the number may seem to fall.
        let now = self.sent.get().saturating_sub(queued as u64).max(self.acknowledged.get());
        now - self.acknowledged.replace(now)
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(how),
            Stream::Unix(stream) => stream.shutdown(how),
        }
    }

    /// Makes the close a reset, which discards the bytes under way: the client cannot mistake a
    /// part of a reply for all of it.
    pub(crate) fn reset_at_close(&self) {
        if let Stream::Tcp(stream) = &self.stream {
            let _ = stream.set_linger(Some(Duration::ZERO));
        }
    }

    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        match &self.stream {
            Stream::Tcp(stream) => stream.local_addr().ok(),
            Stream::Unix(_) => None,
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }
}

/// Repeats a call that a signal has interrupted.
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
