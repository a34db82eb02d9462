//! Names, types and constants of the C library that differ between systems.

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::time::Duration;

use rustix::pipe::PipeFlags;
use socket2::{Domain, Protocol, Socket, Type};

use crate::sys::errno::retried;

pub(crate) use libc::{
    O_DIRECT, POLLRDHUP, SOCK_CLOEXEC, SOCK_NONBLOCK, accept4, fdatasync, fsync,
};

// Offsets are 64 bits wide on 32-bit processors, too.
pub(crate) use libc::{
    fstat64 as fstat, ftruncate64 as ftruncate, lseek64 as lseek, open64 as open, pread64 as pread,
    preadv64 as preadv, pwrite64 as pwrite, pwritev64 as pwritev, stat64 as stat,
};

/// Open flag for a descriptor that only names a path.
pub(crate) const O_PATH: i32 = libc::O_PATH;

/// Flag for a status of the descriptor itself, by an empty path.
pub(crate) const AT_EMPTY_PATH: i32 = libc::AT_EMPTY_PATH;

/// Returns the bits of a mode, in 32 bits.
pub(crate) const fn mode_bits(mode: libc::mode_t) -> u32 {
    mode
}

/// Returns a mode as the C library takes it.
pub(crate) const fn mode_of(bits: u32) -> libc::mode_t {
    bits
}

/// Returns the address of the calling thread's errno.
pub(crate) fn errno_location() -> *mut i32 {
    // SAFETY: the call has no conditions.
    unsafe { libc::__errno_location() }
}

/// Makes a pipe (reading end, writing end), close-on-exec from its first moment.
pub(crate) fn pipe(nonblocking: bool) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut flags = PipeFlags::CLOEXEC;
    flags.set(PipeFlags::NONBLOCK, nonblocking);
    Ok(rustix::pipe::pipe_with(flags)?)
}

/// Makes a socket, close-on-exec and non-blocking from its first moment.
pub(crate) fn socket(domain: Domain, kind: Type, protocol: Option<Protocol>) -> io::Result<Socket> {
    Socket::new(domain, kind.nonblocking().cloexec(), protocol)
}

/// Makes two sockets that are connected to each other, close-on-exec and non-blocking.
pub(crate) fn socket_pair(kind: Type) -> io::Result<(Socket, Socket)> {
    Socket::pair(Domain::UNIX, kind.nonblocking().cloexec(), None)
}

/// Calls ppoll(2) with a limit (`None`: without one), and returns its result.
pub(crate) fn poll(entries: &mut [libc::pollfd], limit: Option<Duration>) -> i32 {
    let limit = limit.map(|limit| libc::timespec {
        tv_sec: limit.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    });
    let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let count = entries.len() as libc::nfds_t;
    // SAFETY: the slice has `count` entries that are valid for writes; `limit` is null or points to
    // a live timespec; no signal mask is given.
    unsafe { libc::ppoll(entries.as_mut_ptr(), count, limit, std::ptr::null()) }
}

/// Reads what is in memory, without waiting, at `offset` or (`None`) at the cursor. `-EAGAIN` if
/// it would wait, `-EOPNOTSUPP` if the file cannot tell.
///
/// # Safety
/// `slices` points to `count` slices that are valid for writes.
pub(crate) unsafe fn read_nowait(
    fd: RawFd,
    slices: *const libc::iovec,
    count: i32,
    offset: Option<u64>,
) -> i32 {
    let offset = offset.map_or(-1, |offset| offset as i64);
    // SAFETY: the caller's promise.
    retried(|| unsafe { libc::preadv2(fd, slices, count, offset, libc::RWF_NOWAIT) })
}

/// Writes at the cursor without waiting. `-EAGAIN` if it would wait, `-EOPNOTSUPP` if the
/// file cannot tell.
///
/// # Safety
/// `slices` points to `count` slices that are valid for reads.
pub(crate) unsafe fn write_nowait(fd: RawFd, slices: *const libc::iovec, count: i32) -> i32 {
    // SAFETY: the caller's promise.
    retried(|| unsafe { libc::pwritev2(fd, slices, count, -1, libc::RWF_NOWAIT) })
}

/// Returns the bytes that a socket has not sent, or whose receipt is not acknowledged
/// (`SIOCOUTQ`).
pub(crate) fn send_queue(fd: RawFd) -> io::Result<usize> {
    let mut queued: libc::c_int = 0;
    // SAFETY: this request writes one int, and `queued` is one. For sockets, SIOCOUTQ has the
    // number of TIOCOUTQ.
    if unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &raw mut queued) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(queued).unwrap_or(0))
}

/// Tells whether `fd` is the master's side of a pseudo-terminal.
pub(crate) fn is_terminal_master(fd: RawFd) -> bool {
    let mut number: libc::c_uint = 0;
    // SAFETY: the call writes one number, and `number` has its type.
    unsafe { libc::ioctl(fd, libc::TIOCGPTN, &raw mut number) == 0 }
}

/// Makes an address of the Unix family from its abstract name.
pub(crate) fn from_abstract_name(name: &[u8]) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(name)
}

/// Returns the abstract name of an address of the Unix family, if it has one.
pub(crate) fn abstract_name(addr: &SocketAddr) -> Option<&[u8]> {
    addr.as_abstract_name()
}
