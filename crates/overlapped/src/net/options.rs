//! Socket options that std does not have.

use std::io;

use super::addr::first_that;
use super::socket::Socket;
#[cfg(unix)]
use super::unix::{UnixDatagram, UnixStream};
use super::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use crate::sys::socket::{self, AsSocket, OwnedSocket};
use crate::sys::socket::{tcp, udp};
use crate::time::Duration;

/// Options that must be set before a socket is bound.
///
/// ```
/// use overlapped::net::{BindOptions, TcpListener};
/// // One listener per thread, all on one port; the system spreads the connections.
/// let options = BindOptions::new().reuse_port(true);
/// let first = TcpListener::bind_with("127.0.0.1:0", &options).unwrap();
/// let second = TcpListener::bind_with(first.local_addr().unwrap(), &options).unwrap();
/// assert_eq!(first.local_addr().unwrap(), second.local_addr().unwrap());
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "it does nothing until something is bound with it"]
pub struct BindOptions {
    only_v6: Option<bool>,
    reuse_port: bool,
    backlog: Option<u32>,
    recv_buffer: Option<usize>,
    send_buffer: Option<usize>,
}

impl BindOptions {
    /// Creates the options of a plain `bind`: none is set.
    pub fn new() -> BindOptions {
        BindOptions::default()
    }

    /// Sets whether an IPv6 socket takes no IPv4 traffic (`IPV6_V6ONLY`). Unless it is set, the
    /// system decides (`net.ipv6.bindv6only`). It has no effect on IPv4 sockets.
    pub fn only_v6(mut self, only_v6: bool) -> BindOptions {
        self.only_v6 = Some(only_v6);
        self
    }

    /// Sets whether other sockets of the same user may be bound to the same address
    /// (`SO_REUSEPORT`). All of them must set it.
    pub fn reuse_port(mut self, reuse_port: bool) -> BindOptions {
        self.reuse_port = reuse_port;
        self
    }

    /// Sets the number of connections that may wait to be accepted. The system's maximum
    /// (`net.core.somaxconn`) bounds it, and is the default. It has no effect on UDP sockets.
    pub fn backlog(mut self, connections: u32) -> BindOptions {
        self.backlog = Some(connections);
        self
    }

    /// Sets the bytes of the buffer for received data (`SO_RCVBUF`); accepted connections take it
    /// over. Linux doubles it, within its limits.
    pub fn recv_buffer_size(mut self, bytes: usize) -> BindOptions {
        self.recv_buffer = Some(bytes);
        self
    }

    /// Sets the bytes of the buffer for data that was not sent or not acknowledged (`SO_SNDBUF`),
    /// as [`recv_buffer_size`](BindOptions::recv_buffer_size).
    pub fn send_buffer_size(mut self, bytes: usize) -> BindOptions {
        self.send_buffer = Some(bytes);
        self
    }

    fn apply(&self, fd: OwnedSocket, addr: &SocketAddr) -> io::Result<OwnedSocket> {
        let socket = fd.as_socket();
        if let (Some(only_v6), true) = (self.only_v6, addr.is_ipv6()) {
            socket::set_only_v6(socket, only_v6)?;
        }
        if self.reuse_port {
            socket::set_reuse_port(socket, true)?;
        }
        if let Some(bytes) = self.recv_buffer {
            socket::set_recv_buffer_size(socket, bytes)?;
        }
        if let Some(bytes) = self.send_buffer {
            socket::set_send_buffer_size(socket, bytes)?;
        }
        Ok(fd)
    }
}

impl TcpListener {
    /// Binds as [`bind`](TcpListener::bind), with options.
    ///
    /// # Errors
    /// The last address's error, of binding or of an option.
    pub fn bind_with<A: ToSocketAddrs>(addr: A, options: &BindOptions) -> io::Result<TcpListener> {
        first_that(addr, |addr| {
            let fd = options.apply(tcp::stream(&addr)?, &addr)?;
            tcp::listen(fd.as_socket(), &addr, options.backlog)?;
            Ok(TcpListener { socket: Socket::new(fd) })
        })
    }
}

impl UdpSocket {
    /// Binds as [`bind`](UdpSocket::bind), with options.
    ///
    /// # Errors
    /// The last address's error, of binding or of an option.
    pub fn bind_with<A: ToSocketAddrs>(addr: A, options: &BindOptions) -> io::Result<UdpSocket> {
        first_that(addr, |addr| {
            let fd = options.apply(udp::socket(&addr)?, &addr)?;
            udp::bind(fd.as_socket(), &addr)?;
            Ok(UdpSocket { socket: Socket::new(fd) })
        })
    }
}

/// The probes of a silent connection; see [`TcpStream::set_keepalive`]. The system counts whole
/// seconds: times are rounded up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// The silence before the first probe (`TCP_KEEPIDLE`).
    pub idle: Duration,
    /// The time between two probes (`TCP_KEEPINTVL`).
    pub interval: Duration,
    /// The probes without an answer after which the connection is abandoned (`TCP_KEEPCNT`).
    pub probes: u32,
}

impl TcpStream {
    /// Makes the system probe the connection when it is silent, and end it with `TimedOut` when the
    /// peer does not answer (`SO_KEEPALIVE`). `None` switches the probes off.
    ///
    /// ```
    /// # use overlapped::net::{Keepalive, TcpListener, TcpStream};
    /// # use std::time::Duration;
    /// # let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    /// # let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    /// let second = Duration::from_secs(1);
    /// let keepalive = Keepalive { idle: 60 * second, interval: 10 * second, probes: 3 };
    /// stream.set_keepalive(Some(keepalive)).unwrap();
    /// assert_eq!(stream.keepalive().unwrap(), Some(keepalive));
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for times and counts that the system does not take (0, or on Linux more than
    /// 32,767 s, 127 probes); those of setsockopt(2).
    pub fn set_keepalive(&self, keepalive: Option<Keepalive>) -> io::Result<()> {
        let values = keepalive.map(|Keepalive { idle, interval, probes }| (idle, interval, probes));
        tcp::set_keepalive(self.socket.as_socket(), values)
    }

    /// Returns the probes of the connection.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn keepalive(&self) -> io::Result<Option<Keepalive>> {
        let values = tcp::keepalive(self.socket.as_socket())?;
        Ok(values.map(|(idle, interval, probes)| Keepalive { idle, interval, probes }))
    }
}

/// The sizes of a socket type's buffers.
macro_rules! buffer_sizes {
    ($($socket:ident),*) => {$(
        impl $socket {
            /// Sets the bytes of the buffer for received data (`SO_RCVBUF`). Linux doubles it,
            /// within its limits.
            ///
            /// # Errors
            /// Those of setsockopt(2).
            pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
                socket::set_recv_buffer_size(self.socket.as_socket(), bytes)
            }

            /// Returns the bytes of the buffer for received data.
            ///
            /// # Errors
            /// Those of getsockopt(2).
            pub fn recv_buffer_size(&self) -> io::Result<usize> {
                socket::recv_buffer_size(self.socket.as_socket())
            }

            /// Sets the bytes of the buffer for data that was not sent or not acknowledged
            /// (`SO_SNDBUF`). Linux doubles it, within its limits.
            ///
            /// # Errors
            /// Those of setsockopt(2).
            pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
                socket::set_send_buffer_size(self.socket.as_socket(), bytes)
            }

            /// Returns the bytes of the buffer for data that was not sent or not acknowledged.
            ///
            /// # Errors
            /// Those of getsockopt(2).
            pub fn send_buffer_size(&self) -> io::Result<usize> {
                socket::send_buffer_size(self.socket.as_socket())
            }
        }
    )*};
}

buffer_sizes!(TcpStream, UdpSocket);
#[cfg(unix)]
buffer_sizes!(UnixDatagram, UnixStream);
