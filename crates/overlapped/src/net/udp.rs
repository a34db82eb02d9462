//! `UdpSocket`, method by method as in std.

use std::fmt;
use std::io;

use super::addr::first_that;
use super::socket::{NUMBER, Socket};
use super::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use crate::sys::socket::udp;
use crate::sys::socket::{self, AsSocket};

/// A UDP socket; the counterpart of `std::net::UdpSocket`.
///
/// A send is one datagram and a receive is one datagram, also with several senders or receivers at
/// the same time. The part that does not fit into the buffer is lost, as in std.
///
/// ```
/// use overlapped::net::UdpSocket;
/// overlapped::run(|| {
///     let server = UdpSocket::bind("127.0.0.1:0").unwrap();
///     let addr = server.local_addr().unwrap();
///     overlapped::spawn(move || {
///         let mut buf = [0; 1500];
///         let (n, from) = server.recv_from(&mut buf).unwrap();
///         server.send_to(&buf[..n], from).unwrap();
///     });
///     let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
///     socket.connect(addr).unwrap();
///     socket.send(b"hello").unwrap();
///     let mut buf = [0; 1500];
///     assert_eq!(socket.recv(&mut buf).unwrap(), 5);
///     assert_eq!(&buf[..5], b"hello");
/// }).unwrap();
/// ```
pub struct UdpSocket {
    pub(super) socket: Socket,
}

impl UdpSocket {
    /// Binds to the first address that can be bound.
    ///
    /// # Errors
    /// The last address's error.
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<UdpSocket> {
        first_that(addr, |addr| {
            let fd = udp::socket(&addr)?;
            udp::bind(fd.as_socket(), &addr)?;
            Ok(UdpSocket { socket: Socket::new(fd) })
        })
    }

    /// Receives one datagram. Returns its length and the sender's address.
    ///
    /// # Errors
    /// Those of recvfrom(2); at the read limit `WouldBlock`.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (count, from) = self.socket.receive_from(buf, false)?;
        Ok((count, from.to_std()?))
    }

    /// Receives one datagram without consuming it. Returns its length and the sender's address.
    ///
    /// # Errors
    /// As [`recv_from`](UdpSocket::recv_from).
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (count, from) = self.socket.receive_from(buf, true)?;
        Ok((count, from.to_std()?))
    }

    /// Sends one datagram to the first address of `addr`. A name is resolved on a pool thread, at
    /// every call.
    ///
    /// # Errors
    /// `InvalidInput` if `addr` resolves to no address, those of sendto(2); at the write limit
    /// `WouldBlock`.
    pub fn send_to<A: ToSocketAddrs>(&self, buf: &[u8], addr: A) -> io::Result<usize> {
        let Some(addr) = addr.to_socket_addrs()?.next() else {
            let text = "no addresses to send data to";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        };
        self.socket.send_to(buf, &addr.into(), false)
    }

    /// Returns the address that it is connected to.
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

    /// Allows sending to broadcast addresses (`SO_BROADCAST`).
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        udp::set_broadcast(self.socket.as_socket(), broadcast)
    }

    /// Tells whether it may send to broadcast addresses.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn broadcast(&self) -> io::Result<bool> {
        udp::broadcast(self.socket.as_socket())
    }

    /// Sets whether this machine gets the IPv4 multicasts that it sends (`IP_MULTICAST_LOOP`).
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_multicast_loop_v4(&self, multicast_loop_v4: bool) -> io::Result<()> {
        udp::set_multicast_loop_v4(self.socket.as_socket(), multicast_loop_v4)
    }

    /// Tells whether this machine gets the IPv4 multicasts that it sends.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        udp::multicast_loop_v4(self.socket.as_socket())
    }

    /// Sets the time to live of IPv4 multicasts (`IP_MULTICAST_TTL`).
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_multicast_ttl_v4(&self, multicast_ttl_v4: u32) -> io::Result<()> {
        udp::set_multicast_ttl_v4(self.socket.as_socket(), multicast_ttl_v4)
    }

    /// Returns the time to live of IPv4 multicasts.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        udp::multicast_ttl_v4(self.socket.as_socket())
    }

    /// Sets whether this machine gets the IPv6 multicasts that it sends (`IPV6_MULTICAST_LOOP`).
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_multicast_loop_v6(&self, multicast_loop_v6: bool) -> io::Result<()> {
        udp::set_multicast_loop_v6(self.socket.as_socket(), multicast_loop_v6)
    }

    /// Tells whether this machine gets the IPv6 multicasts that it sends.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        udp::multicast_loop_v6(self.socket.as_socket())
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

    /// Joins an IPv4 multicast group on the interface with this address; unspecified: any.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn join_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        udp::join_v4(self.socket.as_socket(), multiaddr, interface)
    }

    /// Joins an IPv6 multicast group on the interface with this index; 0: any.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn join_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        udp::join_v6(self.socket.as_socket(), multiaddr, interface)
    }

    /// Leaves an IPv4 multicast group.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn leave_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        udp::leave_v4(self.socket.as_socket(), multiaddr, interface)
    }

    /// Leaves an IPv6 multicast group.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn leave_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        udp::leave_v6(self.socket.as_socket(), multiaddr, interface)
    }

    /// Fixes the other side: [`send`](UdpSocket::send) goes there, and only datagrams from there
    /// are received. Takes the first address for which the system has a route. Nothing is sent.
    ///
    /// # Errors
    /// The last address's error.
    pub fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        first_that(addr, |addr| udp::connect(self.socket.as_socket(), &addr))
    }

    /// Sends one datagram to the address that it is connected to.
    ///
    /// # Errors
    /// Those of send(2), also `ConnectionRefused` if an earlier datagram found no receiver; at the
    /// write limit `WouldBlock`.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.send(buf)
    }

    /// Receives one datagram.
    ///
    /// # Errors
    /// Those of recv(2), also `ConnectionRefused` if an earlier datagram found no receiver; at the
    /// read limit `WouldBlock`.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.receive(buf, false)
    }

    /// Receives one datagram without consuming it.
    ///
    /// # Errors
    /// As [`recv`](UdpSocket::recv).
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.receive(buf, true)
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("UdpSocket");
        if let Ok(addr) = self.local_addr() {
            out.field("addr", &addr);
        }
        out.field(NUMBER, &self.socket.raw()).finish()
    }
}
