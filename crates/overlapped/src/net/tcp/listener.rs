//! `TcpListener`, method by method as in std.

use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::net::SocketAddr;

use super::TcpStream;
use crate::net::ToSocketAddrs;
use crate::net::addr::first_that;
use crate::net::socket::{NUMBER, Socket};
use crate::sys::socket;
use crate::sys::socket::tcp;

/// A TCP server socket; the counterpart of `std::net::TcpListener`.
///
/// Any number of tasklets may wait in [`accept`](TcpListener::accept); each connection goes to one.
///
/// ```no_run
/// use std::io::{Read, Write};
/// overlapped::run(|| {
///     let listener = overlapped::net::TcpListener::bind("127.0.0.1:7")?;
///     for stream in listener.incoming() {
///         let mut stream = stream?;
///         overlapped::spawn(move || {
///             let mut buf = [0; 4096];
///             while let Ok(n @ 1..) = stream.read(&mut buf) {
///                 if stream.write_all(&buf[..n]).is_err() {
///                     break;
///                 }
///             }
///         });
///     }
///     std::io::Result::Ok(())
/// }).unwrap().unwrap();
/// ```
pub struct TcpListener {
    pub(in crate::net) socket: Socket,
}

impl TcpListener {
    /// Listens on the first address that can be bound, with `SO_REUSEADDR` set, as std.
    ///
    /// # Errors
    /// The last address's error.
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<TcpListener> {
        first_that(addr, |addr| Ok(TcpListener { socket: Socket::new(tcp::listener(&addr)?) }))
    }

    /// Returns the address that it listens on.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        socket::local_addr(self.socket.as_socket())
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// Those of accept(2). At the limit of descriptors (`EMFILE`) the connection stays in the
    /// queue, so back off and call again.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (fd, from) = self.socket.accept()?;
        let stream = TcpStream { socket: self.socket.accepted(fd) };
        Ok((stream, from.to_std()?))
    }

    /// Returns an iterator over the connections; it never ends.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// Sets the IP time to live of accepted connections.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        socket::set_ttl(self.socket.as_socket(), ttl)
    }

    /// Returns the IP time to live.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn ttl(&self) -> io::Result<u32> {
        socket::ttl(self.socket.as_socket())
    }

    /// Tells whether an IPv6 socket takes no IPv4 connections. Deprecated in std, because it has no
    /// effect after the socket has been bound.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn only_v6(&self) -> io::Result<bool> {
        socket::only_v6(self.socket.as_socket())
    }

    /// Sets [`only_v6`](TcpListener::only_v6).
    ///
    /// # Errors
    /// Those of setsockopt(2): `InvalidInput`, since the socket is bound.
    pub fn set_only_v6(&self, only_v6: bool) -> io::Result<()> {
        socket::set_only_v6(self.socket.as_socket(), only_v6)
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("TcpListener");
        if let Ok(addr) = self.local_addr() {
            out.field("addr", &addr);
        }
        out.field(NUMBER, &self.socket.raw()).finish()
    }
}

/// An iterator over the connections of a listener; see [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl FusedIterator for Incoming<'_> {}
