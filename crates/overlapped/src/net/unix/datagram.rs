//! `UnixDatagram`, method by method as in std.

use std::fmt;
use std::io;
use std::path::Path;

use super::SocketAddr;
use super::backoff::retry;
use crate::net::socket::{Limit, Socket};
use crate::sys::socket::local;

/// A Unix datagram socket; the counterpart of `std::os::unix::net::UnixDatagram`.
///
/// A send is one datagram and a receive is one datagram. No datagram is lost between them: a send
/// waits while the receiver's queue is full.
///
/// ```
/// use overlapped::os::unix::net::UnixDatagram;
/// overlapped::run(|| {
///     let (ours, theirs) = UnixDatagram::pair().unwrap();
///     let reader = overlapped::spawn(move || {
///         let mut buf = [0; 100];
///         theirs.recv(&mut buf).unwrap()
///     });
///     ours.send(b"hello").unwrap();
///     assert_eq!(reader.join().unwrap(), 5);
/// }).unwrap();
/// ```
pub struct UnixDatagram {
    pub(in crate::net) socket: Socket,
}

impl UnixDatagram {
    /// Creates a socket bound to `path`, which must not exist yet.
    ///
    /// # Errors
    /// `InvalidInput` for a path that is too long or has a zero in it; those of bind(2),
    /// `AddrInUse` first of all.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixDatagram> {
        UnixDatagram::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Creates a socket bound to `socket_addr`, which may be an abstract name.
    ///
    /// # Errors
    /// Those of bind(2).
    pub fn bind_addr(socket_addr: &SocketAddr) -> io::Result<UnixDatagram> {
        UnixDatagram::new(local::datagram(Some(socket_addr)))
    }

    /// Creates a socket without a name.
    ///
    /// # Errors
    /// Those of socket(2).
    pub fn unbound() -> io::Result<UnixDatagram> {
        UnixDatagram::new(local::datagram(None))
    }

    fn new(fd: io::Result<std::os::fd::OwnedFd>) -> io::Result<UnixDatagram> {
        Ok(UnixDatagram { socket: Socket::new_unix(fd?) })
    }

    /// Creates two sockets that are connected to each other.
    ///
    /// # Errors
    /// Those of socketpair(2).
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (one, other) = local::datagram_pair()?;
        Ok((UnixDatagram::new(Ok(one))?, UnixDatagram::new(Ok(other))?))
    }

    /// Fixes the other side: [`send`](UnixDatagram::send) goes to the socket at `path`, and only
    /// datagrams from there are received.
    ///
    /// # Errors
    /// As [`UnixDatagram::bind`], with those of connect(2).
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.connect_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Connects, like [`connect`](UnixDatagram::connect), to an address, which may be an abstract
    /// name.
    ///
    /// # Errors
    /// Those of connect(2).
    pub fn connect_addr(&self, socket_addr: &SocketAddr) -> io::Result<()> {
        local::connect(self.socket.as_socket(), socket_addr)
    }

    /// Returns this side's address.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        local::local_addr(self.socket.as_socket())
    }

    /// Returns the address that it is connected to.
    ///
    /// # Errors
    /// Those of getpeername(2), `NotConnected` first of all.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        local::peer_addr(self.socket.as_socket())
    }

    /// Receives one datagram. Returns its length and the sender's address.
    ///
    /// # Errors
    /// Those of recvfrom(2); at the read limit `WouldBlock`.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (count, from) = self.socket.receive_from(buf, false)?;
        Ok((count, from.to_unix()?))
    }

    /// Receives one datagram.
    ///
    /// # Errors
    /// Those of recv(2); at the read limit `WouldBlock`.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.receive(buf, false)
    }

    /// Sends one datagram to the socket at `path`.
    ///
    /// # Errors
    /// `InvalidInput` for a path that is too long or has a zero in it; those of sendto(2); at the
    /// write limit `WouldBlock`.
    pub fn send_to<P: AsRef<Path>>(&self, buf: &[u8], path: P) -> io::Result<usize> {
        self.send_to_addr(buf, &SocketAddr::from_pathname(path)?)
    }

    /// Sends one datagram to `socket_addr`, which may be an abstract name.
    ///
    /// # Errors
    /// Those of sendto(2); at the write limit `WouldBlock`.
    pub fn send_to_addr(&self, buf: &[u8], socket_addr: &SocketAddr) -> io::Result<usize> {
        let to = socket_addr.into();
        if self.socket.is_nonblocking() {
            return self.socket.send_to(buf, &to, true);
        }
        // The queue that is full is the receiver's: this socket is writable.
        retry(self.socket.limit(Limit::Write), || self.socket.send_to(buf, &to, true))
    }

    /// Sends one datagram to the socket that it is connected to.
    ///
    /// # Errors
    /// Those of send(2); at the write limit `WouldBlock`.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.send_when_ready(buf)
    }
}

impl fmt::Debug for UnixDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("UnixDatagram");
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
