//! One operation by plain system calls: once without waiting, or blocking the thread.
//!
//! An operation goes through two calls here: [`start`] once, then, as long as the answer says
//! *would wait*, [`resume`] whenever the descriptor has become ready. They differ for connect
//! alone, which must not be started twice. The poll backend, the ring's fallbacks and
//! [`blocking`] are three loops around the same two calls.
//!
//! "Without waiting" holds for descriptors in blocking mode, too (the public port is given such):
//! sockets by `MSG_DONTWAIT`; pipes by `RWF_NOWAIT`, and where a file cannot do that (terminals)
//! by poll(2) first. `accept` and `connect` know no such flag: there the descriptor must be
//! `O_NONBLOCK`. Regular files, directories and block devices are always ready in poll(2)'s
//! sense: they are done in place, which may wait for the disk.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::time::Duration;

use crate::op::{Fs, Interest, Message, Net, Op, Outcome};
use crate::port::clock;

/// POLLOUT on a pipe promises that this much can be written without waiting (pipe(7)).
const PIPE_BUF: usize = libc::PIPE_BUF;

/// Tries `op` once without waiting; `-EAGAIN` where it would wait. A connect that is under way
/// answers `-EAGAIN`, too: it goes on in the kernel.
///
/// # Safety
/// The descriptor in `op` is open, and every pointer in it is valid for what the operation does.
pub(crate) unsafe fn attempt(op: &Op) -> Outcome {
    // SAFETY: the caller's promise.
    let outcome = unsafe { start(op) };
    if would_wait(op, outcome) { Outcome::of(-libc::EAGAIN) } else { outcome }
}

/// Does `op` to its end, blocking the thread, for callers that are no tasklets. `-ETIMEDOUT`
/// where the time `limit` (on [`clock`]) comes first. `nonblocking` in `op` is honoured.
///
/// # Safety
/// As for [`attempt`].
pub(crate) unsafe fn blocking(op: &Op, limit: Option<u64>) -> Outcome {
    // SAFETY: the caller's promise.
    let mut outcome = unsafe { start(op) };
    while would_wait(op, outcome) && !nonblocking(op) {
        match poll(op.fd(), interest(op), limit) {
            Ok(true) => {}
            Ok(false) => return Outcome::of(-libc::ETIMEDOUT),
            Err(errno) => return Outcome::of(-errno),
        }
        // SAFETY: the caller's promise; `start` has been called.
        outcome = unsafe { resume(op) };
    }
    outcome
}

/// Whether `outcome` means that `op` has not ended and wants readiness.
pub(super) fn would_wait(op: &Op, outcome: Outcome) -> bool {
    match op {
        // EAGAIN from connect means "no port left" or "backlog full", and is an end.
        Op::Net(Net::Connect { .. }) => outcome.result == -libc::EINPROGRESS,
        _ => outcome.result == -libc::EAGAIN,
    }
}

/// Whether `op` is to fail where it would wait.
pub(super) fn nonblocking(op: &Op) -> bool {
    match *op {
        Op::Net(
            Net::Accept { nonblocking, .. }
            | Net::Recv { nonblocking, .. }
            | Net::Send { nonblocking, .. }
            | Net::RecvMsg { nonblocking, .. }
            | Net::SendMsg { nonblocking, .. },
        ) => nonblocking,
        Op::Net(Net::Connect { .. }) | Op::Fs(_) | Op::Ready { .. } => false,
    }
}

/// What an operation that would wait is waiting for.
pub(super) fn interest(op: &Op) -> Interest {
    match *op {
        Op::Net(Net::Accept { .. } | Net::Recv { .. } | Net::RecvMsg { .. })
        | Op::Fs(Fs::Read { .. }) => Interest::Readable,
        Op::Net(Net::Connect { .. } | Net::Send { .. } | Net::SendMsg { .. })
        | Op::Fs(Fs::Write { .. }) => Interest::Writable,
        Op::Ready { interest, .. } => interest,
    }
}

/// First try of `op`.
///
/// # Safety
/// As for [`attempt`].
pub(super) unsafe fn start(op: &Op) -> Outcome {
    // SAFETY: the caller's promise, handed on.
    Outcome::of(unsafe {
        match *op {
            Op::Net(ref net) => start_net(net),
            Op::Fs(Fs::Read { fd, buf, len, offset }) => read(fd, buf, len as usize, offset),
            Op::Fs(Fs::Write { fd, buf, len, offset }) => write(fd, buf, len as usize, offset),
            Op::Ready { fd, interest } => poll_now(fd, interest),
        }
    })
}

/// Another try of `op`, after [`start`] said that it would wait.
///
/// # Safety
/// As for [`attempt`].
pub(super) unsafe fn resume(op: &Op) -> Outcome {
    match *op {
        Op::Net(Net::Connect { fd, .. }) => Outcome::of(connect_result(fd)),
        // SAFETY: the caller's promise.
        _ => unsafe { start(op) },
    }
}

/// # Safety
/// As for [`attempt`].
unsafe fn start_net(net: &Net) -> i32 {
    match *net {
        // SAFETY: `addr` is valid for writes; its `len` says how much room there is.
        Net::Accept { fd, addr, .. } => retried(|| unsafe {
            let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
            libc::accept4(fd, (&raw mut (*addr).storage).cast(), &raw mut (*addr).len, flags)
                as isize
        }),
        // SAFETY: `addr` is valid for reads and holds `len` bytes of address.
        Net::Connect { fd, addr } => retried(|| unsafe {
            libc::connect(fd, (&raw const (*addr).storage).cast(), (*addr).len) as isize
        }),
        Net::Recv { fd, buf, len, peek, .. } => {
            let flags = libc::MSG_DONTWAIT | if peek { libc::MSG_PEEK } else { 0 };
            // SAFETY: `buf` is valid for writes of `len` bytes.
            retried(|| unsafe { libc::recv(fd, buf.cast(), len as usize, flags) })
        }
        Net::Send { fd, buf, len, .. } => {
            // SAFETY: `buf` is valid for reads of `len` bytes.
            retried(|| unsafe { libc::send(fd, buf.cast(), len as usize, SEND_FLAGS) })
        }
        Net::RecvMsg { fd, message, .. } => {
            // SAFETY: the header and the slices behind it are valid for writes. The kernel writes
            // into the header's own fields only, so a retry finds it as it was.
            retried(|| unsafe {
                libc::recvmsg(fd, Message::as_ptr(message).cast_mut(), libc::MSG_DONTWAIT)
            })
        }
        Net::SendMsg { fd, message, .. } => {
            // SAFETY: the header and the slices behind it are valid for reads.
            retried(|| unsafe { libc::sendmsg(fd, Message::as_ptr(message), SEND_FLAGS) })
        }
    }
}

const SEND_FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

/// How a connect that was under way has ended, or `-EINPROGRESS`.
fn connect_result(fd: RawFd) -> i32 {
    match poll_now(fd, Interest::Writable) {
        0 => {}
        errno if errno == -libc::EAGAIN => return -libc::EINPROGRESS,
        errno => return errno,
    }
    let mut error: libc::c_int = 0;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: both places are valid for writes and `len` is the room behind `error`.
    let failed = retried(|| unsafe {
        let error = (&raw mut error).cast();
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR, error, &raw mut len) as isize
    });
    if failed < 0 { failed } else { -error }
}

/// # Safety
/// `buf` is valid for writes of `len` bytes.
unsafe fn read(fd: RawFd, buf: *mut u8, len: usize, offset: Option<u64>) -> i32 {
    let buf = buf.cast();
    if let Some(offset) = offset {
        // SAFETY: the caller's promise.
        return retried(|| unsafe { libc::pread64(fd, buf, len, offset as i64) });
    }
    let plain = || {
        // SAFETY: the caller's promise.
        retried(|| unsafe { libc::read(fd, buf, len) })
    };
    match kind(fd) {
        Err(errno) => -errno,
        Ok(Kind::Disk) => plain(),
        Ok(Kind::Socket | Kind::Stream) => {
            let slice = libc::iovec { iov_base: buf, iov_len: len };
            // SAFETY: one slice, valid by the caller's promise.
            let done = retried(|| unsafe { libc::preadv2(fd, &slice, 1, -1, libc::RWF_NOWAIT) });
            if done != -libc::EOPNOTSUPP {
                return done;
            }
            match poll_now(fd, Interest::Readable) {
                0 => plain(),
                errno => errno,
            }
        }
    }
}

/// # Safety
/// `buf` is valid for reads of `len` bytes.
unsafe fn write(fd: RawFd, buf: *const u8, len: usize, offset: Option<u64>) -> i32 {
    let buf = buf.cast();
    if let Some(offset) = offset {
        // SAFETY: the caller's promise.
        return retried(|| unsafe { libc::pwrite64(fd, buf, len, offset as i64) });
    }
    let plain = |len: usize| {
        // SAFETY: the caller's promise; `len` is not more than was promised.
        retried(|| unsafe { libc::write(fd, buf, len) })
    };
    match kind(fd) {
        Err(errno) => -errno,
        Ok(Kind::Disk) => plain(len),
        // SAFETY: the caller's promise. write(2) would raise SIGPIPE.
        Ok(Kind::Socket) => retried(|| unsafe { libc::send(fd, buf, len, SEND_FLAGS) }),
        Ok(Kind::Stream) => {
            let slice = libc::iovec { iov_base: buf.cast_mut(), iov_len: len };
            // SAFETY: one slice, valid by the caller's promise; pwritev2 only reads from it.
            let done = retried(|| unsafe { libc::pwritev2(fd, &slice, 1, -1, libc::RWF_NOWAIT) });
            if done != -libc::EOPNOTSUPP {
                return done;
            }
            // A longer write in blocking mode would wait for the rest.
            match poll_now(fd, Interest::Writable) {
                0 => plain(len.min(PIPE_BUF)),
                errno => errno,
            }
        }
    }
}

/// What a descriptor stands for, as far as waiting goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Always ready: regular file, directory, block device.
    Disk,
    /// A socket.
    Socket,
    /// Pipe, terminal, eventfd and so on.
    Stream,
}

/// What `fd` stands for, or an errno.
pub(super) fn kind(fd: RawFd) -> Result<Kind, i32> {
    identity(fd).map(|(kind, _)| kind)
}

/// What `fd` stands for, and the device and number of its file; or an errno.
pub(super) fn identity(fd: RawFd) -> Result<(Kind, (u64, u64)), i32> {
    let mut stat = MaybeUninit::<libc::stat64>::uninit();
    // SAFETY: `stat` is valid for writes.
    let failed = retried(|| unsafe { libc::fstat64(fd, stat.as_mut_ptr()) as isize });
    if failed < 0 {
        return Err(-failed);
    }
    // SAFETY: fstat succeeded and so has filled it.
    let stat = unsafe { stat.assume_init() };
    let kind = match stat.st_mode & libc::S_IFMT {
        libc::S_IFREG | libc::S_IFDIR | libc::S_IFBLK => Kind::Disk,
        libc::S_IFSOCK => Kind::Socket,
        _ => Kind::Stream,
    };
    Ok((kind, (stat.st_dev, stat.st_ino)))
}

/// 0 where `fd` is ready, `-EAGAIN` where not.
fn poll_now(fd: RawFd, interest: Interest) -> i32 {
    match poll(fd, interest, Some(0)) {
        Ok(true) => 0,
        Ok(false) => -libc::EAGAIN,
        Err(errno) => -errno,
    }
}

/// The poll(2) bits of `interest`. Errors and hang-ups come unasked.
pub(super) fn poll_bits(interest: Interest) -> i16 {
    match interest {
        Interest::Readable => libc::POLLIN,
        Interest::Writable => libc::POLLOUT,
    }
}

/// Waits until `fd` is ready (true) or the time `limit` has come (false).
fn poll(fd: RawFd, interest: Interest, limit: Option<u64>) -> Result<bool, i32> {
    let mut entry = libc::pollfd { fd, events: poll_bits(interest), revents: 0 };
    loop {
        // Zero is in the past; it needs no clock.
        let left = limit.map(|limit| if limit == 0 { Duration::ZERO } else { clock::until(limit) });
        let left = left.map(|left| libc::timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        let left = left.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: one entry, valid for writes; `left` is null or points to a live timespec.
        let ready = unsafe { libc::ppoll(&raw mut entry, 1, left, std::ptr::null()) };
        match ready {
            0 => return Ok(false),
            1.. if entry.revents & libc::POLLNVAL != 0 => return Err(libc::EBADF),
            1.. => return Ok(true),
            _ => match errno() {
                libc::EINTR => {}
                errno => return Err(errno),
            },
        }
    }
}

/// The result of `call` in the kernel's form; interrupted calls are made again.
fn retried(mut call: impl FnMut() -> isize) -> i32 {
    loop {
        let result = call();
        if result >= 0 {
            return i32::try_from(result).expect("lengths were clamped");
        }
        match errno() {
            libc::EINTR => {}
            errno => return -errno,
        }
    }
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().expect("an error of the system has a number")
}
