//! Sockets with std's own signatures, blocking only the calling tasklet.
//!
//! | here | as in std, and |
//! |---|---|
//! | [`TcpListener`], [`TcpStream`], [`UdpSocket`] | any number may wait on one; all are `Send` |
//! | [`os::unix::net`](crate::os::unix::net) | the same for sockets of the Unix family |
//! | [`ToSocketAddrs`], [`lookup_host`] | names are resolved on a pool thread |
//! | [`BindOptions`], [`Keepalive`] | options that std does not have |
//! | [`wait_readable`], [`wait_writable`], also with a limit | for any descriptor |
//! | [`send_queue`] | how far the peer of a stream has got |
//!
//! Descriptors are in non-blocking mode. The object stores the mode that
//! [`TcpStream::set_nonblocking`] asks for, and the descriptor gets it when the object becomes a
//! std type or a raw descriptor. Clones share that mode and the time limits, as in std. Outside a
//! scheduler every call blocks the thread, as std's do.

mod addr;
mod common;
mod convert;
mod options;
mod socket;
mod tcp;
mod udp;
#[cfg(unix)]
pub(crate) mod unix;

use std::io;
#[cfg(unix)]
use std::os::fd::AsFd as Waitable;
#[cfg(windows)]
use std::os::windows::io::AsSocket as Waitable;

pub use addr::{ToSocketAddrs, lookup_host};
pub use options::{BindOptions, Keepalive};
pub use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6};
pub use tcp::{Incoming, TcpListener, TcpStream};
pub use udp::UdpSocket;

use crate::descriptor::wait_ready;
use crate::sys::errno::says_at_limit;
use crate::sys::readiness::Interest;
#[allow(unused_imports, reason = "the trait has the name of std's on Windows")]
use crate::sys::socket::{AsSocket, BorrowedSocket};
use crate::task::count_busy_call;
use crate::time::{Duration, deadline_in};

/// Waits until `descriptor` has something to read, or an end, or an error. Regular files always do.
///
/// # Errors
/// [`Cancelled`](crate::task::Cancelled) by a deadline or a kill; the port's error for a descriptor
/// that it cannot watch.
///
/// ```
/// use std::io::{Read, Write};
/// overlapped::run(|| {
///     let (mut rx, mut tx) = std::io::pipe().unwrap();
///     let reader = overlapped::spawn(move || {
///         overlapped::net::wait_readable(&rx).unwrap();
///         let mut byte = [0];
///         rx.read(&mut byte).unwrap();
///         byte[0]
///     });
///     overlapped::yield_now();
///     tx.write_all(&[7]).unwrap();
///     assert_eq!(reader.join().unwrap(), 7);
/// }).unwrap();
/// ```
pub fn wait_readable(descriptor: impl Waitable) -> io::Result<()> {
    wait_ready(descriptor.as_socket(), Interest::Readable, None)
}

/// Waits until `descriptor` has room to write, or an error.
///
/// # Errors
/// As [`wait_readable`].
pub fn wait_writable(descriptor: impl Waitable) -> io::Result<()> {
    wait_ready(descriptor.as_socket(), Interest::Writable, None)
}

/// Waits until `descriptor` has something to read, or an end, or an error, for `limit` at most.
/// Tells whether it has. A limit of zero does not wait.
///
/// # Errors
/// Those of [`wait_readable`]. An outer deadline is one of them, this call's own limit is not.
///
/// ```
/// use overlapped::time::Duration;
/// overlapped::run(|| {
///     let (rx, tx) = std::io::pipe()?;
///     assert!(!overlapped::net::wait_readable_timeout(&rx, Duration::from_millis(1))?);
///     drop(tx);
///     assert!(overlapped::net::wait_readable_timeout(&rx, Duration::from_secs(60))?);
///     std::io::Result::Ok(())
/// }).unwrap().unwrap();
/// ```
pub fn wait_readable_timeout(descriptor: impl Waitable, limit: Duration) -> io::Result<bool> {
    wait_ready_timeout(descriptor.as_socket(), Interest::Readable, limit)
}

/// Waits until `descriptor` has room to write, or an error, for `limit` at most. Tells whether it
/// has.
///
/// # Errors
/// As [`wait_readable_timeout`].
pub fn wait_writable_timeout(descriptor: impl Waitable, limit: Duration) -> io::Result<bool> {
    wait_ready_timeout(descriptor.as_socket(), Interest::Writable, limit)
}

/// Returns the bytes in a stream socket's send queue: those that the peer has not acknowledged, and
/// those that were not sent yet (`SIOCOUTQ`; ss(8) calls it Send-Q). While a writer waits, the
/// queue shrinks as the peer reads, long before there is room for the next write. For a socket of
/// the Unix family the kernel counts its own overhead, too.
///
/// # Errors
/// Those of ioctl(2).
///
/// ```
/// use std::io::{Read, Write};
/// use overlapped::os::unix::net::UnixStream;
///
/// let (mut tx, mut rx) = UnixStream::pair()?;
/// tx.write_all(b"hello")?;
/// assert!(overlapped::net::send_queue(&tx)? >= 5);
/// rx.read_exact(&mut [0; 5])?;
/// assert_eq!(overlapped::net::send_queue(&tx)?, 0);
/// # std::io::Result::Ok(())
/// ```
#[cfg(unix)]
pub fn send_queue(socket: impl Waitable) -> io::Result<usize> {
    crate::sys::socket::send_queue(socket.as_socket())
}

fn wait_ready_timeout(
    socket: BorrowedSocket<'_>,
    interest: Interest,
    limit: Duration,
) -> io::Result<bool> {
    match wait_ready(socket, interest, Some(deadline_in(limit))) {
        Ok(()) => Ok(true),
        Err(error) if says_at_limit(&error) => {
            count_busy_call();
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
