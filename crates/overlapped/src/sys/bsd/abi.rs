//! Names, types and constants of the C library that differ between systems.

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

#[cfg(not(target_vendor = "apple"))]
pub(crate) use libc::{
    O_DIRECT, POLLRDHUP, SOCK_CLOEXEC, SOCK_NONBLOCK, accept4, fdatasync, fsync,
};
pub(crate) use libc::{fstat, ftruncate, lseek, open, pread, preadv, pwrite, pwritev, stat};

#[cfg(target_vendor = "apple")]
pub(crate) use apple::*;

/// Linux's open flag for a descriptor that only names a path. Zero: it is not used here, since not
/// all of these systems have it.
pub(crate) const O_PATH: i32 = 0;

/// Flag for the status of the descriptor itself. A number of our own, for `status::stat` alone.
pub(crate) const AT_EMPTY_PATH: i32 = 1 << 30;

/// Returns the bits of a mode, in 32 bits.
pub(crate) const fn mode_bits(mode: libc::mode_t) -> u32 {
    mode as u32
}

/// Returns a mode as the C library takes it. All bits that have a meaning fit.
pub(crate) const fn mode_of(bits: u32) -> libc::mode_t {
    bits as libc::mode_t
}

/// Returns the address of the calling thread's errno.
pub(crate) fn errno_location() -> *mut i32 {
    // SAFETY: the call has no conditions.
    unsafe { libc::__error() }
}

/// Makes a pipe (reading end, writing end), close-on-exec. The flag is set by a second call, so a
/// fork between the two passes the pipe to a child.
pub(crate) fn pipe(nonblocking: bool) -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe()?;
    for end in [&reader, &writer] {
        rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
        if nonblocking {
            rustix::io::ioctl_fionbio(end, true)?;
        }
    }
    Ok((reader, writer))
}

/// Makes a socket, close-on-exec and non-blocking. On macOS close-on-exec is set by a second call,
/// so a fork between the two passes the socket to a child.
pub(crate) fn socket(domain: Domain, kind: Type, protocol: Option<Protocol>) -> io::Result<Socket> {
    let socket = Socket::new(domain, kind, protocol)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Makes two sockets that are connected to each other, close-on-exec and non-blocking.
pub(crate) fn socket_pair(kind: Type) -> io::Result<(Socket, Socket)> {
    let (one, other) = Socket::pair(Domain::UNIX, kind, None)?;
    one.set_nonblocking(true)?;
    other.set_nonblocking(true)?;
    Ok((one, other))
}

/// Calls poll(2) with a limit (`None`: without one), and returns its result. The call takes whole
/// milliseconds, at most 24 days of them. So it may return up to one millisecond after `limit`, or,
/// if `limit` is longer than that, long before it.
pub(crate) fn poll(entries: &mut [libc::pollfd], limit: Option<Duration>) -> i32 {
    let millis = |limit: Duration| limit.as_nanos().div_ceil(1_000_000).try_into();
    let limit = limit.map_or(-1, |limit| millis(limit).unwrap_or(i32::MAX));
    // SAFETY: the slice has as many entries, valid for writes.
    unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, limit) }
}

/// Reads what is in memory: `-EOPNOTSUPP`, since every read here may wait for the disk.
///
/// # Safety
/// The call has no conditions; the signature is Linux's.
pub(crate) unsafe fn read_nowait(_: RawFd, _: *const libc::iovec, _: i32, _: Option<u64>) -> i32 {
    -libc::EOPNOTSUPP
}

/// Writes at the cursor without waiting: `-EOPNOTSUPP`, as above.
///
/// # Safety
/// The call has no conditions; the signature is Linux's.
pub(crate) unsafe fn write_nowait(_: RawFd, _: *const libc::iovec, _: i32) -> i32 {
    -libc::EOPNOTSUPP
}

/// Returns the bytes that a socket has not sent, or whose receipt is not acknowledged.
#[cfg(not(target_vendor = "apple"))]
pub(crate) fn send_queue(fd: RawFd) -> io::Result<usize> {
    /// `_IOR('f', 119, int)`, sys/filio.h.
    const FIONWRITE: libc::c_ulong = 0x4004_6677;
    let mut queued: libc::c_int = 0;
    // SAFETY: this request writes one int, and `queued` is one.
    if unsafe { libc::ioctl(fd, FIONWRITE, &raw mut queued) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(queued).unwrap_or(0))
}

/// Tells whether `fd` is the master's side of a pseudo-terminal. The answer is yes without a test:
/// so no terminal is opened a second time, for which Linux's procfs would be needed.
pub(crate) fn is_terminal_master(_: RawFd) -> bool {
    true
}

/// Returns the unnamed address: only Linux has abstract names.
pub(crate) fn from_abstract_name(_: &[u8]) -> io::Result<SocketAddr> {
    SocketAddr::from_pathname("")
}

/// Returns `None`: only Linux has abstract names.
pub(crate) fn abstract_name(_: &SocketAddr) -> Option<&[u8]> {
    None
}

#[cfg(target_vendor = "apple")]
mod apple {
    use std::io;
    use std::os::fd::RawFd;

    /// Linux's flag, which does not exist on these systems.
    pub(crate) const O_DIRECT: i32 = 0;
    /// Linux's event, which does not exist here: never asked for, never reported.
    pub(crate) const POLLRDHUP: i16 = 0;
    /// A number of our own for [`accept4`].
    pub(crate) const SOCK_CLOEXEC: i32 = 1 << 28;
    /// A number of our own for [`accept4`].
    pub(crate) const SOCK_NONBLOCK: i32 = 1 << 29;

    /// Calls accept(2), then sets the flags: a fork in between would pass the descriptor to a
    /// child.
    ///
    /// # Safety
    /// The same as for accept(2).
    pub(crate) unsafe fn accept4(
        fd: RawFd,
        addr: *mut libc::sockaddr,
        len: *mut libc::socklen_t,
        flags: i32,
    ) -> i32 {
        // SAFETY: the caller's promise; then a descriptor that this call has made.
        unsafe {
            let accepted = libc::accept(fd, addr, len);
            let on = |flag| flags & flag != 0;
            // An accepted socket has the listener's mode here.
            let status = if on(SOCK_NONBLOCK) { libc::O_NONBLOCK } else { 0 };
            let closes = if on(SOCK_CLOEXEC) { libc::FD_CLOEXEC } else { 0 };
            if accepted >= 0
                && (libc::fcntl(accepted, libc::F_SETFL, status) < 0
                    || libc::fcntl(accepted, libc::F_SETFD, closes) < 0)
            {
                libc::close(accepted);
                return -1;
            }
            accepted
        }
    }

    /// Writes to the disk itself, as std does. fsync(2) would end at the disk's cache.
    ///
    /// # Safety
    /// The call has no conditions; the signature is the C library's.
    pub(crate) unsafe fn fsync(fd: RawFd) -> i32 {
        // SAFETY: no pointers.
        unsafe { libc::fcntl(fd, libc::F_FULLFSYNC) }
    }

    pub(crate) use fsync as fdatasync;

    /// Returns the bytes that a socket has not sent, or whose receipt is not acknowledged.
    pub(crate) fn send_queue(fd: RawFd) -> io::Result<usize> {
        let mut queued: libc::c_int = 0;
        let mut len = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: both places are valid for writes, and `len` is the room behind `queued`.
        let failed = unsafe {
            let queued = (&raw mut queued).cast();
            libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_NWRITE, queued, &raw mut len)
        };
        if failed < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(usize::try_from(queued).unwrap_or(0))
    }
}
