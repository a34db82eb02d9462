//! UDP sockets: creation, options.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, SockAddr, SockRef, Type};

use super::{BorrowedSocket, OwnedSocket};

/// Makes a UDP socket that can be bound to `addr`.
pub(crate) fn socket(addr: &SocketAddr) -> io::Result<OwnedSocket> {
    Ok(super::new(Domain::for_address(*addr), Type::DGRAM, Protocol::UDP)?.into())
}

/// Calls bind(2).
pub(crate) fn bind(socket: BorrowedSocket<'_>, addr: &SocketAddr) -> io::Result<()> {
    SockRef::from(&socket).bind(&SockAddr::from(*addr))
}

/// Calls connect(2), which only remembers the address.
pub(crate) fn connect(socket: BorrowedSocket<'_>, addr: &SocketAddr) -> io::Result<()> {
    SockRef::from(&socket).connect(&SockAddr::from(*addr))
}

/// Returns `SO_BROADCAST`.
pub(crate) fn broadcast(socket: BorrowedSocket<'_>) -> io::Result<bool> {
    SockRef::from(&socket).broadcast()
}

/// Sets `SO_BROADCAST`.
pub(crate) fn set_broadcast(socket: BorrowedSocket<'_>, on: bool) -> io::Result<()> {
    SockRef::from(&socket).set_broadcast(on)
}

/// Returns `IP_MULTICAST_LOOP`.
pub(crate) fn multicast_loop_v4(socket: BorrowedSocket<'_>) -> io::Result<bool> {
    SockRef::from(&socket).multicast_loop_v4()
}

/// Sets `IP_MULTICAST_LOOP`.
pub(crate) fn set_multicast_loop_v4(socket: BorrowedSocket<'_>, on: bool) -> io::Result<()> {
    SockRef::from(&socket).set_multicast_loop_v4(on)
}

/// Returns `IP_MULTICAST_TTL`.
pub(crate) fn multicast_ttl_v4(socket: BorrowedSocket<'_>) -> io::Result<u32> {
    SockRef::from(&socket).multicast_ttl_v4()
}

/// Sets `IP_MULTICAST_TTL`.
pub(crate) fn set_multicast_ttl_v4(socket: BorrowedSocket<'_>, ttl: u32) -> io::Result<()> {
    SockRef::from(&socket).set_multicast_ttl_v4(ttl)
}

/// Returns `IPV6_MULTICAST_LOOP`.
pub(crate) fn multicast_loop_v6(socket: BorrowedSocket<'_>) -> io::Result<bool> {
    SockRef::from(&socket).multicast_loop_v6()
}

/// Sets `IPV6_MULTICAST_LOOP`.
pub(crate) fn set_multicast_loop_v6(socket: BorrowedSocket<'_>, on: bool) -> io::Result<()> {
    SockRef::from(&socket).set_multicast_loop_v6(on)
}

/// Sets `IP_ADD_MEMBERSHIP`.
pub(crate) fn join_v4(
    socket: BorrowedSocket<'_>,
    group: &Ipv4Addr,
    interface: &Ipv4Addr,
) -> io::Result<()> {
    SockRef::from(&socket).join_multicast_v4(group, interface)
}

/// Sets `IP_DROP_MEMBERSHIP`.
pub(crate) fn leave_v4(
    socket: BorrowedSocket<'_>,
    group: &Ipv4Addr,
    interface: &Ipv4Addr,
) -> io::Result<()> {
    SockRef::from(&socket).leave_multicast_v4(group, interface)
}

/// Sets `IPV6_ADD_MEMBERSHIP`.
pub(crate) fn join_v6(
    socket: BorrowedSocket<'_>,
    group: &Ipv6Addr,
    interface: u32,
) -> io::Result<()> {
    SockRef::from(&socket).join_multicast_v6(group, interface)
}

/// Sets `IPV6_DROP_MEMBERSHIP`.
pub(crate) fn leave_v6(
    socket: BorrowedSocket<'_>,
    group: &Ipv6Addr,
    interface: u32,
) -> io::Result<()> {
    SockRef::from(&socket).leave_multicast_v6(group, interface)
}
