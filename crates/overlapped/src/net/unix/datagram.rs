//! `UnixDatagram`, method by method as in std.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::path::Path;

use super::SocketAddr;
use super::patience::patiently;
use crate::net::socket::{Limit, Socket};
use crate::sys::socket;
use crate::sys::socket::local;
use crate::time::Duration;

/// A Unix datagram socket; the counterpart of `std::os::unix::net::UnixDatagram`.
///
/// A send is one datagram and a receive is one datagram. Nothing is lost between them: a send
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
    /// A socket bound to `path`, where nothing may be yet.
    ///
    /// # Errors
    /// `InvalidInput` for a path that is too long or has a zero in it; those of bind(2),
    /// `AddrInUse` first of all.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixDatagram> {
        UnixDatagram::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// A socket bound to `socket_addr`, which may be an abstract name.
    ///
    /// # Errors
    /// Those of bind(2).
    pub fn bind_addr(socket_addr: &SocketAddr) -> io::Result<UnixDatagram> {
        UnixDatagram::of(local::datagram(Some(socket_addr)))
    }

    /// A socket without a name.
    ///
    /// # Errors
    /// Those of socket(2).
    pub fn unbound() -> io::Result<UnixDatagram> {
        UnixDatagram::of(local::datagram(None))
    }

    fn of(fd: io::Result<std::os::fd::OwnedFd>) -> io::Result<UnixDatagram> {
        Ok(UnixDatagram { socket: Socket::fresh(fd?) })
    }

    /// Two sockets connected to each other.
    ///
    /// # Errors
    /// Those of socketpair(2).
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (one, other) = local::datagram_pair()?;
        let of = |fd| UnixDatagram { socket: Socket::fresh(fd) };
        Ok((of(one), of(other)))
    }

    /// Fixes the other side: [`send`](UnixDatagram::send) goes to the socket at `path`, and only
    /// what comes from there is received.
    ///
    /// # Errors
    /// As [`UnixDatagram::bind`], with those of connect(2).
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.connect_addr(&SocketAddr::from_pathname(path)?)
    }

    /// As [`connect`](UnixDatagram::connect), to an address, which may be an abstract name.
    ///
    /// # Errors
    /// Those of connect(2).
    pub fn connect_addr(&self, socket_addr: &SocketAddr) -> io::Result<()> {
        local::connect(self.socket.as_fd(), socket_addr)
    }

    /// Another handle to the same socket. Clones share mode and time limits, as in std.
    ///
    /// # Errors
    /// Those of fcntl(2), for want of descriptors first of all.
    pub fn try_clone(&self) -> io::Result<UnixDatagram> {
        Ok(UnixDatagram { socket: self.socket.try_clone()? })
    }

    /// This side's address.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        local::local_addr(self.socket.as_fd())
    }

    /// The address that it is connected to.
    ///
    /// # Errors
    /// Those of getpeername(2), `NotConnected` first of all.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        local::peer_addr(self.socket.as_fd())
    }

    /// Receives one datagram, and tells who sent it.
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
        // The socket is writable when it is the receiver's queue that is full.
        patiently(self.socket.limit(Limit::Write), || self.socket.send_to(buf, &to, true))
    }

    /// Sends one datagram to the socket that it is connected to.
    ///
    /// # Errors
    /// Those of send(2); at the write limit `WouldBlock`.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.send_when_ready(buf)
    }

    /// Limits how long a receive may wait; `None`: for ever. A receive that reaches the limit fails
    /// with `WouldBlock`, as in std, and has consumed nothing.
    ///
    /// # Errors
    /// `InvalidInput` for a limit of zero, as std.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.socket.set_limit(Limit::Read, timeout)
    }

    /// Limits how long a send may wait; as [`set_read_timeout`](UnixDatagram::set_read_timeout).
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

    /// Shuts down receiving, sending, or both. Tasklets that wait on the socket are woken by it.
    ///
    /// # Errors
    /// Those of shutdown(2).
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        socket::shutdown(self.socket.as_fd(), how)
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
