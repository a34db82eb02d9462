//! `UnixListener`, method by method as in std.

use std::fmt;
use std::io;
use std::path::Path;

use super::{SocketAddr, UnixStream};
use crate::net::socket::Socket;
use crate::sys::socket::local;

/// A Unix server socket; the counterpart of `std::os::unix::net::UnixListener`.
///
/// Any number of tasklets may wait in [`accept`](UnixListener::accept); each connection goes to
/// one. As in std, the path stays when the listener is dropped.
///
/// ```
/// use std::io::{Read, Write};
/// use std::os::linux::net::SocketAddrExt;
/// use overlapped::os::unix::net::{SocketAddr, UnixListener, UnixStream};
/// overlapped::run(|| {
///     let name = format!("example of {}", std::process::id());
///     let addr = SocketAddr::from_abstract_name(name).unwrap();
///     let listener = UnixListener::bind_addr(&addr).unwrap();
///     overlapped::spawn(move || {
///         let (mut stream, _) = listener.accept().unwrap();
///         stream.write_all(b"hello").unwrap();
///     });
///     let mut text = String::new();
///     UnixStream::connect_addr(&addr).unwrap().read_to_string(&mut text).unwrap();
///     assert_eq!(text, "hello");
/// }).unwrap();
/// ```
pub struct UnixListener {
    pub(in crate::net) socket: Socket,
}

impl UnixListener {
    /// Listens at `path`, which must not exist yet.
    ///
    /// # Errors
    /// `InvalidInput` for a path that is too long or has a zero in it; those of bind(2),
    /// `AddrInUse` first of all.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        UnixListener::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Listens at `socket_addr`, which may be an abstract name.
    ///
    /// # Errors
    /// Those of bind(2).
    pub fn bind_addr(socket_addr: &SocketAddr) -> io::Result<UnixListener> {
        Ok(UnixListener { socket: Socket::new_unix(local::listener(socket_addr)?) })
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// Those of accept(2). At the limit of descriptors (`EMFILE`) the connection stays in the
    /// queue, so back off and call again.
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (fd, from) = self.socket.accept()?;
        // Unlike TCP's, an accepted socket of this family takes over no limits.
        let stream = UnixStream { socket: Socket::new_unix(fd) };
        Ok((stream, from.to_unix()?))
    }

    /// Returns the address that it listens on.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        local::local_addr(self.socket.as_socket())
    }

    /// Returns an iterator over the connections; it never ends.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }
}

impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("UnixListener");
        out.field("fd", &self.socket.raw());
        if let Ok(addr) = self.local_addr() {
            out.field("local", &addr);
        }
        out.finish()
    }
}

/// An iterator over the connections of a listener; see [`UnixListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a UnixListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<UnixStream>;

    fn next(&mut self) -> Option<io::Result<UnixStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

impl<'a> IntoIterator for &'a UnixListener {
    type Item = io::Result<UnixStream>;
    type IntoIter = Incoming<'a>;

    fn into_iter(self) -> Incoming<'a> {
        self.incoming()
    }
}
