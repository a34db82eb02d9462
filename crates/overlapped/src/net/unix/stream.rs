//! `UnixStream`, method by method as in std.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::path::Path;

use super::SocketAddr;
use super::patience::patiently;
use crate::net::socket::{Limit, Socket};
use crate::pipe::{End, Endpoint, Side};
use crate::sys::socket;
use crate::sys::socket::local;
use crate::time::Duration;

/// A Unix stream socket; the counterpart of `std::os::unix::net::UnixStream`.
///
/// Reading and writing block only the calling tasklet, and several tasklets may use one stream at
/// once, as with [`TcpStream`](crate::net::TcpStream).
///
/// ```
/// use std::io::{Read, Write};
/// use overlapped::os::unix::net::UnixStream;
/// overlapped::run(|| {
///     let (mut ours, mut theirs) = UnixStream::pair().unwrap();
///     let reader = overlapped::spawn(move || {
///         let mut text = String::new();
///         theirs.read_to_string(&mut text).unwrap();
///         text
///     });
///     ours.write_all(b"hello").unwrap();
///     drop(ours);
///     assert_eq!(reader.join().unwrap(), "hello");
/// }).unwrap();
/// ```
pub struct UnixStream {
    pub(in crate::net) socket: Socket,
}

impl UnixStream {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// `InvalidInput` for a path that is too long or has a zero in it; those of connect(2).
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        UnixStream::connect_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Connects to the socket at `socket_addr`, which may be an abstract name. Waits while the
    /// listener's queue is full.
    ///
    /// # Errors
    /// Those of connect(2).
    pub fn connect_addr(socket_addr: &SocketAddr) -> io::Result<UnixStream> {
        let socket = Socket::fresh(local::stream()?);
        let to = socket_addr.into();
        patiently(None, || socket.connect(&to, true, None))?;
        Ok(UnixStream { socket })
    }

    /// Two streams connected to each other.
    ///
    /// # Errors
    /// Those of socketpair(2).
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = local::stream_pair()?;
        let of = |fd| UnixStream { socket: Socket::fresh(fd) };
        Ok((of(one), of(other)))
    }

    /// Another handle to the same connection. Clones share mode and time limits, as in std.
    ///
    /// # Errors
    /// Those of fcntl(2), for want of descriptors first of all.
    pub fn try_clone(&self) -> io::Result<UnixStream> {
        Ok(UnixStream { socket: self.socket.try_clone()? })
    }

    /// This side's address.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        local::local_addr(self.socket.as_fd())
    }

    /// The other side's address.
    ///
    /// # Errors
    /// Those of getpeername(2), `NotConnected` first of all.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        local::peer_addr(self.socket.as_fd())
    }

    /// Limits how long a read may wait; `None`: for ever. A read that reaches the limit fails with
    /// `WouldBlock`, as in std, and has consumed nothing.
    ///
    /// # Errors
    /// `InvalidInput` for a limit of zero, as std.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.socket.set_limit(Limit::Read, timeout)
    }

    /// Limits how long a write may wait; as [`set_read_timeout`](UnixStream::set_read_timeout).
    ///
    /// # Errors
    /// `InvalidInput` for a limit of zero, as std.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.socket.set_limit(Limit::Write, timeout)
    }

    /// The read limit.
    ///
    /// # Errors
    /// None; std's signature.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.socket.limit(Limit::Read))
    }

    /// The write limit.
    ///
    /// # Errors
    /// None; std's signature.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.socket.limit(Limit::Write))
    }

    /// In non-blocking mode a call that would wait fails with `WouldBlock`, for this handle and its
    /// clones.
    ///
    /// # Errors
    /// None; std's signature.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.socket.set_nonblocking(nonblocking);
        Ok(())
    }

    /// Takes the pending error (`SO_ERROR`).
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        socket::take_error(self.socket.as_fd())
    }

    /// Shuts down reading, writing, or both. Tasklets that wait on the stream are woken by it.
    ///
    /// # Errors
    /// Those of shutdown(2).
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        socket::shutdown(self.socket.as_fd(), how)
    }
}

impl Endpoint for UnixStream {
    fn end(&self, side: Side) -> Option<End<'_>> {
        self.socket.end(side)
    }
}

impl Read for &UnixStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.receive(buf, false)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.socket.receive_vectored(bufs)
    }
}

impl Write for &UnixStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.socket.send(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket.send_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for UnixStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}

impl Write for UnixStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for UnixStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("UnixStream");
        out.field("fd", &self.socket.raw());
        if let Ok(addr) = self.local_addr() {
            out.field("local", &addr);
        }
        if let Ok(addr) = self.peer_addr() {
            out.field("peer", &addr);
        }
        out.finish()
    }
}
