//! `UnixStream`, method by method as in std.

use std::fmt;
use std::io;
use std::path::Path;

use super::SocketAddr;
use super::backoff::retry;
use crate::net::socket::Socket;
use crate::sys::socket::local;

/// A Unix stream socket; the counterpart of `std::os::unix::net::UnixStream`.
///
/// Reading and writing block only the calling tasklet, and several tasklets may use one stream at
/// once, as with [`TcpStream`](crate::net::TcpStream). A write that waits for room ends with
/// `BrokenPipe` when this side shuts writing down or the peer shuts reading down: at once on
/// io_uring, within 100 ms elsewhere, because the kernel does not announce it.
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
        let socket = Socket::new_unix(local::stream()?);
        let to = socket_addr.into();
        retry(None, || socket.connect(&to, true, None))?;
        Ok(UnixStream { socket })
    }

    /// Creates two streams that are connected to each other.
    ///
    /// # Errors
    /// Those of socketpair(2).
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = local::stream_pair()?;
        let new = |fd| UnixStream { socket: Socket::new_unix(fd) };
        Ok((new(one), new(other)))
    }

    /// Returns this side's address.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        local::local_addr(self.socket.as_socket())
    }

    /// Returns the other side's address.
    ///
    /// # Errors
    /// Those of getpeername(2), `NotConnected` first of all.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        local::peer_addr(self.socket.as_socket())
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
