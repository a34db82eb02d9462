//! UDP sockets: creation, options.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};

use socket2::{Domain, Protocol, SockAddr, SockRef, Type};

use crate::sys::native::abi;

/// Makes a UDP socket that can be bound to `addr`.
pub(crate) fn socket(addr: &SocketAddr) -> io::Result<OwnedFd> {
    Ok(abi::socket(Domain::for_address(*addr), Type::DGRAM, Some(Protocol::UDP))?.into())
}

/// Calls bind(2).
pub(crate) fn bind(fd: BorrowedFd<'_>, addr: &SocketAddr) -> io::Result<()> {
    SockRef::from(&fd).bind(&SockAddr::from(*addr))
}

/// Calls connect(2), which only remembers the address.
pub(crate) fn connect(fd: BorrowedFd<'_>, addr: &SocketAddr) -> io::Result<()> {
    SockRef::from(&fd).connect(&SockAddr::from(*addr))
}

/// Returns `SO_BROADCAST`.
pub(crate) fn broadcast(fd: BorrowedFd<'_>) -> io::Result<bool> {
    SockRef::from(&fd).broadcast()
}

/// Sets `SO_BROADCAST`.
pub(crate) fn set_broadcast(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    SockRef::from(&fd).set_broadcast(on)
}

/// Returns `IP_MULTICAST_LOOP`.
pub(crate) fn multicast_loop_v4(fd: BorrowedFd<'_>) -> io::Result<bool> {
    SockRef::from(&fd).multicast_loop_v4()
}

/// Sets `IP_MULTICAST_LOOP`.
pub(crate) fn set_multicast_loop_v4(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    SockRef::from(&fd).set_multicast_loop_v4(on)
}

/// Returns `IP_MULTICAST_TTL`.
pub(crate) fn multicast_ttl_v4(fd: BorrowedFd<'_>) -> io::Result<u32> {
    SockRef::from(&fd).multicast_ttl_v4()
}

/// Sets `IP_MULTICAST_TTL`.
pub(crate) fn set_multicast_ttl_v4(fd: BorrowedFd<'_>, ttl: u32) -> io::Result<()> {
    SockRef::from(&fd).set_multicast_ttl_v4(ttl)
}

/// Returns `IPV6_MULTICAST_LOOP`.
pub(crate) fn multicast_loop_v6(fd: BorrowedFd<'_>) -> io::Result<bool> {
    SockRef::from(&fd).multicast_loop_v6()
}

/// Sets `IPV6_MULTICAST_LOOP`.
pub(crate) fn set_multicast_loop_v6(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    SockRef::from(&fd).set_multicast_loop_v6(on)
}

/// Sets `IP_ADD_MEMBERSHIP`.
pub(crate) fn join_v4(
    fd: BorrowedFd<'_>,
    group: &Ipv4Addr,
    interface: &Ipv4Addr,
) -> io::Result<()> {
    SockRef::from(&fd).join_multicast_v4(group, interface)
}

/// Sets `IP_DROP_MEMBERSHIP`.
pub(crate) fn leave_v4(
    fd: BorrowedFd<'_>,
    group: &Ipv4Addr,
    interface: &Ipv4Addr,
) -> io::Result<()> {
    SockRef::from(&fd).leave_multicast_v4(group, interface)
}

/// Sets `IPV6_ADD_MEMBERSHIP`.
pub(crate) fn join_v6(fd: BorrowedFd<'_>, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
    SockRef::from(&fd).join_multicast_v6(group, interface)
}

/// Sets `IPV6_DROP_MEMBERSHIP`.
pub(crate) fn leave_v6(fd: BorrowedFd<'_>, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
    SockRef::from(&fd).leave_multicast_v6(group, interface)
}
