//! Files, pipes and terminals, by plain system calls.

use std::os::fd::RawFd;

use super::{Kind, SEND_FLAGS, kind, poll_now, retried};
use crate::op::{Fs, Interest, Message, StatBuf};
use crate::port::control::splice::splice;

/// POLLOUT on a pipe promises that this much can be written without waiting (pipe(7)).
const PIPE_BUF: usize = libc::PIPE_BUF;

/// # Safety
/// As for [`attempt`](super::attempt).
pub(super) unsafe fn start(fs: &Fs) -> i32 {
    // SAFETY: every pointer is valid for what its call does, by the caller's promise.
    unsafe {
        match *fs {
            Fs::Read { fd, buf, len, offset } => read(fd, buf, len as usize, offset),
            Fs::Write { fd, buf, len, offset } => write(fd, buf, len as usize, offset),
            Fs::ReadVectored { fd, slices, count, offset } => {
                read_vectored(fd, slices, count as i32, offset)
            }
            Fs::WriteVectored { fd, slices, count, offset } => {
                write_vectored(fd, slices, count as i32, offset)
            }
            Fs::Splice { from, to, len, on_disk: _ } => splice(from, to, len as usize),
            Fs::Sync { fd, data_only: false } => retried(|| libc::fsync(fd) as isize),
            Fs::Sync { fd, data_only: true } => retried(|| libc::fdatasync(fd) as isize),
            Fs::SetLen { fd, len } => retried(|| libc::ftruncate64(fd, len as i64) as isize),
            Fs::Open { path, flags, mode } => retried(|| libc::open64(path, flags, mode) as isize),
            // A plain call would wait for the other side of a FIFO.
            Fs::OpenCached { .. } => -libc::EAGAIN,
            Fs::Stat { at, path, flags, out } => {
                retried(|| libc::statx(at, path, flags, STAT_MASK, out.cast()) as isize)
            }
            Fs::Rename { from, to } => retried(|| libc::rename(from, to) as isize),
            Fs::Unlink { path, directory } => {
                let flags = if directory { libc::AT_REMOVEDIR } else { 0 };
                retried(|| libc::unlinkat(libc::AT_FDCWD, path, flags) as isize)
            }
            Fs::MakeDir { path, mode } => retried(|| libc::mkdir(path, mode) as isize),
            Fs::Link { from, to } => {
                retried(|| libc::linkat(libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0) as isize)
            }
            Fs::Symlink { target, link } => retried(|| libc::symlink(target, link) as isize),
        }
    }
}

/// Reads what is in the page cache, at `offset` or at the cursor. `-EAGAIN` or `-EOPNOTSUPP` where
/// the disk would have to be asked; short where it would have to be asked for the rest.
///
/// # Safety
/// `buf` is valid for writes of `len` bytes.
pub(crate) unsafe fn read_cached(fd: RawFd, buf: *mut u8, len: u32, offset: Option<u64>) -> i32 {
    let slice = libc::iovec { iov_base: buf.cast(), iov_len: len as usize };
    let offset = offset.map_or(-1, |offset| offset as i64);
    // SAFETY: one slice, valid by the caller's promise.
    retried(|| unsafe { libc::preadv2(fd, &slice, 1, offset, libc::RWF_NOWAIT) })
}

/// Everything in a [`StatBuf`], as std asks for it.
pub(in crate::port) const STAT_MASK: u32 = libc::STATX_BASIC_STATS | libc::STATX_BTIME;

const _: () = assert!(size_of::<StatBuf>() == size_of::<libc::statx>());

/// Whether it moves bytes, and may so have to wait for readiness. All others end by themselves,
/// whatever errno they end with.
pub(super) fn is_transfer(fs: &Fs) -> bool {
    match fs {
        Fs::Read { .. } | Fs::Write { .. } | Fs::ReadVectored { .. } | Fs::WriteVectored { .. } => {
            true
        }
        // It has two sides: whoever asked knows which one to wait for.
        Fs::Splice { .. }
        | Fs::Sync { .. }
        | Fs::SetLen { .. }
        | Fs::Open { .. }
        | Fs::OpenCached { .. }
        | Fs::Stat { .. }
        | Fs::Rename { .. }
        | Fs::Unlink { .. }
        | Fs::MakeDir { .. }
        | Fs::Link { .. }
        | Fs::Symlink { .. } => false,
    }
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

/// # Safety
/// `slices` points to `count` slices that are valid for writes.
unsafe fn read_vectored(
    fd: RawFd,
    slices: *const libc::iovec,
    count: i32,
    offset: Option<u64>,
) -> i32 {
    if let Some(offset) = offset {
        // SAFETY: the caller's promise.
        return retried(|| unsafe { libc::preadv64(fd, slices, count, offset as i64) });
    }
    match kind(fd) {
        Err(errno) => -errno,
        // SAFETY: the caller's promise.
        Ok(Kind::Disk) => retried(|| unsafe { libc::readv(fd, slices, count) }),
        Ok(Kind::Socket | Kind::Stream) => {
            // SAFETY: the caller's promise.
            let done =
                retried(|| unsafe { libc::preadv2(fd, slices, count, -1, libc::RWF_NOWAIT) });
            if done != -libc::EOPNOTSUPP {
                return done;
            }
            match poll_now(fd, Interest::Readable) {
                // SAFETY: the caller's promise.
                0 => retried(|| unsafe { libc::readv(fd, slices, count) }),
                errno => errno,
            }
        }
    }
}

/// Writes to something in blocking mode, without waiting, as much in one piece as poll(2) promises
/// that there is room for.
///
/// # Safety
/// The slices are valid for reads.
unsafe fn write_gathered(fd: RawFd, slices: &[libc::iovec]) -> i32 {
    let mut piece = [0; PIPE_BUF];
    let mut len = 0;
    for slice in slices {
        let more = slice.iov_len.min(PIPE_BUF - len);
        // SAFETY: so many bytes are in the slice, by the caller's promise, and left in the piece;
        // an empty slice may have no address, and nothing is read from it.
        unsafe {
            std::ptr::copy_nonoverlapping(slice.iov_base.cast(), piece.as_mut_ptr().add(len), more);
        }
        len += more;
    }
    // SAFETY: so many bytes of the piece.
    unsafe { write(fd, piece.as_ptr(), len, None) }
}

/// # Safety
/// `slices` points to `count` slices that are valid for reads.
unsafe fn write_vectored(
    fd: RawFd,
    slices: *const libc::iovec,
    count: i32,
    offset: Option<u64>,
) -> i32 {
    if let Some(offset) = offset {
        // SAFETY: the caller's promise.
        return retried(|| unsafe { libc::pwritev64(fd, slices, count, offset as i64) });
    }
    match kind(fd) {
        Err(errno) => -errno,
        // SAFETY: the caller's promise.
        Ok(Kind::Disk) => retried(|| unsafe { libc::writev(fd, slices, count) }),
        Ok(Kind::Socket) => {
            let message = Message::over(slices.cast_mut(), count as usize);
            // SAFETY: the caller's promise. writev(2) would raise SIGPIPE.
            retried(|| unsafe { libc::sendmsg(fd, Message::as_ptr(&message), SEND_FLAGS) })
        }
        Ok(Kind::Stream) => {
            // SAFETY: the caller's promise.
            let done =
                retried(|| unsafe { libc::pwritev2(fd, slices, count, -1, libc::RWF_NOWAIT) });
            if done != -libc::EOPNOTSUPP || count == 0 {
                return done;
            }
            // SAFETY: the caller's promise.
            unsafe { write_gathered(fd, std::slice::from_raw_parts(slices, count as usize)) }
        }
    }
}
