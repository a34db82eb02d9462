//! `TcpStream`, method by method as in std.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use super::eyeballs;
use crate::net::ToSocketAddrs;
use crate::net::socket::{NUMBER, Socket};
use crate::sys::errno::says_at_limit;
use crate::sys::socket::tcp;
use crate::sys::socket::{self, OwnedSocket};
use crate::time::{Duration, deadline_in};

/// A TCP connection; the counterpart of `std::net::TcpStream`.
///
/// Reading and writing block only the calling tasklet. Several tasklets may use one stream at once,
/// through `&TcpStream` or clones; each byte goes to one of them.
///
/// ```
/// use std::io::{Read, Write};
/// use overlapped::net::{TcpListener, TcpStream};
/// overlapped::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0").unwrap();
///     let addr = listener.local_addr().unwrap();
///     overlapped::spawn(move || {
///         let (mut peer, _) = listener.accept().unwrap();
///         std::io::copy(&mut peer.try_clone().unwrap(), &mut peer).unwrap();
///     });
///     let mut stream = TcpStream::connect(addr).unwrap();
///     stream.write_all(b"hello").unwrap();
///     stream.shutdown(std::net::Shutdown::Write).unwrap();
///     let mut answer = String::new();
///     stream.read_to_string(&mut answer).unwrap();
///     assert_eq!(answer, "hello");
/// }).unwrap();
/// ```
pub struct TcpStream {
    pub(in crate::net) socket: Socket,
}

impl TcpStream {
    /// Opens a connection to the first address that answers.
    ///
    /// Addresses are tried one after another, as in std. A name is resolved on a pool thread, and
    /// its addresses are tried in parallel (Happy Eyeballs, RFC 8305). Families alternate. The next
    /// attempt starts when the last one has failed or has taken 250 ms. The first success wins, and
    /// the other attempts are abandoned.
    ///
    /// # Errors
    /// The last address's error.
    pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<TcpStream> {
        eyeballs::connect(addr, |addr| TcpStream::connect_until(addr, None), TcpStream::new)
    }

    /// Opens a connection to one address, for at most `limit`.
    ///
    /// # Errors
    /// `TimedOut` at the limit, `InvalidInput` for a limit of zero, as std.
    pub fn connect_timeout(addr: &SocketAddr, limit: Duration) -> io::Result<TcpStream> {
        if limit.is_zero() {
            let text = "cannot set a 0 duration timeout";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        match TcpStream::connect_until(*addr, Some(deadline_in(limit))) {
            Err(error) if says_at_limit(&error) => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "connection timed out"))
            }
            result => result,
        }
    }

    pub(super) fn connect_until(addr: SocketAddr, limit: Option<u64>) -> io::Result<TcpStream> {
        let stream = TcpStream::new(tcp::stream(&addr)?);
        stream.socket.connect(&addr.into(), false, limit)?;
        Ok(stream)
    }

    pub(super) fn new(fd: OwnedSocket) -> TcpStream {
        TcpStream { socket: Socket::new(fd) }
    }

    /// Returns the other side's address.
    ///
    /// # Errors
    /// Those of getpeername(2), `NotConnected` first of all.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        socket::peer_addr(self.socket.as_socket())
    }

    /// Returns this side's address.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        socket::local_addr(self.socket.as_socket())
    }

    /// Receives without consuming: the next read sees the same bytes.
    ///
    /// # Errors
    /// As a read.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.receive(buf, true)
    }

    /// Sends small writes at once (`TCP_NODELAY`).
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        tcp::set_nodelay(self.socket.as_socket(), nodelay)
    }

    /// Tells whether small writes are sent at once.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn nodelay(&self) -> io::Result<bool> {
        tcp::nodelay(self.socket.as_socket())
    }

    /// Sets the time that closing waits for unsent data (`SO_LINGER`). If a tasklet closes the
    /// stream, a pool thread waits.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.socket.set_linger(linger)
    }

    /// Returns the time that closing waits for unsent data.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        socket::linger(self.socket.as_socket())
    }

    /// Acknowledges at once (`TCP_QUICKACK`), as `std::os::linux::net::TcpStreamExt`.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    #[cfg(target_os = "linux")]
    pub fn set_quickack(&self, quickack: bool) -> io::Result<()> {
        tcp::set_quickack(self.socket.as_socket(), quickack)
    }

    /// Tells whether it acknowledges at once.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    #[cfg(target_os = "linux")]
    pub fn quickack(&self) -> io::Result<bool> {
        tcp::quickack(self.socket.as_socket())
    }

    /// Sets the IP time to live.
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
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("TcpStream");
        if let Ok(addr) = self.local_addr() {
            out.field("addr", &addr);
        }
        if let Ok(peer) = self.peer_addr() {
            out.field("peer", &peer);
        }
        out.field(NUMBER, &self.socket.raw()).finish()
    }
}
