//! Reads and writes the three descriptors themselves, without a buffer.
//!
//! Other processes share the open files behind them, so no flag is ever set on those. Files, pipes
//! and sockets need no flag, since the port makes each operation non-blocking by itself. A terminal
//! is opened once more. If that is refused, it is polled for readiness before each attempt, and a
//! reader in another process can then still make an attempt block.
//!
//! A descriptor that is closed reads as the end of input, and bytes written to it are discarded, as
//! in std.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::descriptor::wait_ready;
use crate::driver;
use crate::op::{Fs, Op, clamp};
use crate::sys::errno;
use crate::sys::message::SLICES_MAX;
use crate::sys::readiness::Interest;
use crate::sys::terminal;
use crate::sys::terminal::Identity;
use crate::task::wait::{perform, perform_now};

/// The process is exiting: a call may not wait as a tasklet any more.
static EXITING: AtomicBool = AtomicBool::new(false);

/// Makes every call block the thread from now on.
pub(super) fn begin_exit() {
    EXITING.store(true, Relaxed);
}

/// One of the three descriptors.
pub(super) struct Raw {
    fd: RawFd,
    /// The device that was behind the descriptor at the last check, and its terminal if it is one.
    device: Option<(Identity, Option<Terminal>)>,
}

/// A terminal, opened once more if that was possible.
struct Terminal(Option<OwnedFd>);

impl Raw {
    pub(super) fn new(fd: RawFd) -> Raw {
        Raw { fd, device: None }
    }

    fn fd(&self) -> BorrowedFd<'static> {
        // SAFETY: as in std, the standard streams are taken to stay open as long as the process. If
        // one is closed all the same, calls on it fail, and no code here relies on more.
        unsafe { BorrowedFd::borrow_raw(self.fd) }
    }

    /// Returns the terminal behind the descriptor, if there is one. It checks each time, since a
    /// program may put another file there.
    fn terminal(&mut self) -> Option<&Terminal> {
        let found = terminal::candidate(self.fd())?;
        if self.device.as_ref().is_none_or(|(known, _)| *known != found) {
            let is_one = terminal::is_terminal(self.fd());
            self.device = Some((found, is_one.then(|| Terminal(terminal::reopen(self.fd())))));
        }
        self.device.as_ref()?.1.as_ref()
    }

    /// Performs the operation that `op` makes for a descriptor.
    ///
    /// # Safety
    /// The memory in the operation is valid until this returns, and used by no other code.
    unsafe fn perform(
        &mut self,
        interest: Interest,
        op: impl Fn(RawFd) -> Op,
    ) -> io::Result<usize> {
        let shared = self.fd();
        if EXITING.load(Relaxed) {
            // SAFETY: the caller's promise.
            return unsafe { driver::block_on(&op(shared.as_raw_fd()), None) }.result();
        }
        let Some(Terminal(own)) = self.terminal() else {
            // SAFETY: the caller's promise; for the descriptor, see `fd`.
            return unsafe { perform(&op(shared.as_raw_fd()), None) };
        };
        let fd = own.as_ref().map_or(shared, |own| own.as_fd());
        loop {
            wait_ready(fd, interest, None)?;
            // SAFETY: the caller's promise.
            match unsafe { perform_now(&op(fd.as_raw_fd())) } {
                // Another reader or writer was quicker.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }
}

/// Returns the number of bytes in all slices.
pub(super) fn total_len(bufs: &[IoSlice<'_>]) -> usize {
    bufs.iter().fold(0, |sum, buf| sum.saturating_add(buf.len()))
}

/// Replaces the error of a descriptor that is not open by `closed`, as std does.
fn or_closed<T>(result: io::Result<T>, closed: T) -> io::Result<T> {
    match result {
        Err(error) if errno::says_not_open(&error) => Ok(closed),
        result => result,
    }
}

impl Read for Raw {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let (buf, len) = (buf.as_mut_ptr(), clamp(buf.len()));
        let op = |fd| Op::Fs(Fs::Read { fd, buf, len, offset: None });
        // SAFETY: `buf` is borrowed for this call.
        or_closed(unsafe { self.perform(Interest::Readable, op) }, 0)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let (slices, count) = (bufs.as_ptr().cast(), bufs.len().min(SLICES_MAX) as u32);
        let op = |fd| Op::Fs(Fs::ReadVectored { fd, slices, count, offset: None });
        // SAFETY: `bufs` are borrowed for this call; std promises that they are iovecs.
        or_closed(unsafe { self.perform(Interest::Readable, op) }, 0)
    }
}

impl Write for Raw {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let (len, all) = (clamp(buf.len()), buf.len());
        // Returns at once: a terminal need not be waited for.
        if all == 0 {
            return Ok(0);
        }
        let buf = buf.as_ptr();
        let op = |fd| Op::Fs(Fs::Write { fd, buf, len, offset: None });
        // SAFETY: `buf` is borrowed for this call.
        or_closed(unsafe { self.perform(Interest::Writable, op) }, all)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let all = total_len(bufs);
        // Returns at once: a terminal need not be waited for.
        if all == 0 {
            return Ok(0);
        }
        let (slices, count) = (bufs.as_ptr().cast(), bufs.len().min(SLICES_MAX) as u32);
        let op = |fd| Op::Fs(Fs::WriteVectored { fd, slices, count, offset: None });
        // SAFETY: as in `read_vectored`.
        or_closed(unsafe { self.perform(Interest::Writable, op) }, all)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
