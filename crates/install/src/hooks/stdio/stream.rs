//! A stream of C's: its lock, its buffer, and the wait for more bytes.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};

use libc::FILE;

use crate::caller::{Call, ON, has_locked_stream, is_marked};
use crate::hooks::pthread::{ALL, LockWait, RECHECK_INTERVAL};
use crate::next::next;
use crate::query::{Direction, is_nonblocking, socket_limit};
use crate::raw::{call, give_int};
use crate::symbols::Symbol;
use crate::table::{Waiter, WakeSource, wake};
use crate::wait::{Limit, ready};

/// A function of libc that takes a stream.
pub(super) type OfStream = unsafe extern "C" fn(*mut FILE) -> c_int;
pub(super) type Unlock = unsafe extern "C" fn(*mut FILE);

unsafe extern "C" {
    static stdout: *mut FILE;
    fn fgetc_unlocked(stream: *mut FILE) -> c_int;
    fn fflush_unlocked(stream: *mut FILE) -> c_int;
    fn __flbf(stream: *mut FILE) -> c_int;
    fn __fpending(stream: *mut FILE) -> usize;
}

/// The beginning of a stream, which macros in glibc's older headers have made a part of its ABI.
#[repr(C)]
struct Head {
    flags: c_int,
    read: *const u8,
    read_end: *const u8,
    read_base: *const u8,
    write: [*const u8; 3],
    buffer: [*const u8; 2],
    save_base: *const u8,
    backup_base: *const u8,
    save_end: *const u8,
}

const END_SEEN: c_int = 0x10;
const ERROR_SEEN: c_int = 0x20;
/// Bytes that were put back are being read; the buffer's own pointers are in the fields `save_…`.
const IN_BACKUP: c_int = 0x100;

/// A stream that the calling tasklet has locked.
pub(super) struct Locked(*mut FILE);

impl Locked {
    /// # Safety
    /// `stream` is a stream.
    unsafe fn try_new(stream: *mut FILE) -> Option<Locked> {
        let attempt: OfStream = next!(ftrylockfile);
        // SAFETY: the caller's promise.
        (unsafe { attempt(stream) } == 0).then(|| Locked(stream))
    }

    /// Waits for the lock. An unlock inside libc is found by checking again.
    ///
    /// # Safety
    /// `stream` is a stream.
    pub(super) unsafe fn new(call: &Call, stream: *mut FILE) -> Locked {
        let enter =
            |address| Waiter::enter(address, WakeSource::Anywhere("a lock of a stream of C's"));
        let attempt = || {
            // SAFETY: the caller's promise.
            unsafe { Locked::try_new(stream) }.map(|locked| {
                std::mem::forget(locked);
                0
            })
        };
        if attempt().is_none() {
            let recheck = Some(RECHECK_INTERVAL);
            let lock_wait = LockWait { address: stream.addr(), enter, recheck, attempt };
            lock_wait.wait(call, &Limit::new(None));
        }
        Locked(stream)
    }

    fn head(&self) -> *mut Head {
        self.0.cast()
    }

    /// Returns the bytes that libc has read and the program has not.
    pub(super) fn unread(&self) -> &[u8] {
        // SAFETY: the stream is locked; libc changes it only in calls by the lock's owner.
        unsafe {
            let Head { read, read_end, .. } = self.head().read();
            match read_end.addr().saturating_sub(read.addr()) {
                0 => &[],
                len => std::slice::from_raw_parts(read, len),
            }
        }
    }

    /// Tells whether libc can return a byte, or the end, without read(2).
    fn needs_no_read(&self) -> bool {
        // SAFETY: as above.
        let Head { flags, save_base, save_end, .. } = unsafe { self.head().read() };
        flags & END_SEEN != 0 || flags & IN_BACKUP != 0 && save_end > save_base
    }

    /// Has libc fill the buffer; returns false at the end.
    fn fill(&self) -> bool {
        // SAFETY: as above. The last byte read can always be put back.
        unsafe {
            let byte = fgetc_unlocked(self.0);
            byte != libc::EOF && libc::ungetc(byte, self.0) != libc::EOF
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        let real: Unlock = next!(funlockfile);
        let address = self.0.addr();
        // SAFETY: the caller has locked it.
        unsafe { real(self.0) };
        wake(address, 1, ALL);
    }
}

/// Streams that tasklets are reading, in steps, with the process: fork(2) ends the reading.
static BEING_READ: Mutex<Vec<(usize, u32)>> = Mutex::new(Vec::new());

/// The exclusive right of a tasklet to read a stream, so that no other tasklet comes between the
/// steps of a line.
struct ReadLock(usize);

impl ReadLock {
    fn new(call: &Call, stream: *mut FILE) -> ReadLock {
        let enter = |address| Waiter::enter(address, WakeSource::Anywhere("a stream of C's"));
        let entry = (stream.addr(), std::process::id());
        let attempt = || {
            let mut all = BEING_READ.lock().unwrap_or_else(PoisonError::into_inner);
            let is_free = !all.contains(&entry);
            if is_free {
                all.push(entry);
            }
            is_free.then_some(0)
        };
        if attempt().is_none() {
            let lock_wait =
                LockWait { address: ReadLock::key(entry.0), enter, recheck: None, attempt };
            lock_wait.wait(call, &Limit::new(None));
        }
        ReadLock(entry.0)
    }

    /// Returns an address inside the stream that has no other waiters.
    fn key(stream: usize) -> usize {
        stream + 4
    }
}

impl Drop for ReadLock {
    fn drop(&mut self) {
        let entry = (self.0, std::process::id());
        let mut all = BEING_READ.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| *other != entry);
        drop(all);
        wake(ReadLock::key(self.0), 1, ALL);
    }
}

/// A call that waits for bytes that are not in the buffer.
pub(super) struct Reading {
    /// Dropped before `call`.
    _read_lock: ReadLock,
    stream: *mut FILE,
    fd: c_int,
    call: Call,
}

/// The outcome of [`Reading::fill_buffer`].
pub(super) enum Fill {
    /// The buffer is not empty.
    Ready(Locked),
    /// The stream's end, or an error of read(2), as libc says.
    End,
    /// The wait was ended: errno has the reason, and the stream has its error flag set.
    Error,
}

/// Decides whether this crate performs a call, or libc under the lock that is returned. `is_enough`
/// examines the bytes in the buffer.
///
/// # Safety
/// `stream` is a stream.
pub(super) unsafe fn begin(
    symbol: Symbol,
    stream: *mut FILE,
    is_enough: impl FnOnce(&[u8]) -> bool,
) -> (Option<Reading>, Option<Locked>) {
    if !(ON.load(Relaxed) && is_marked()) || has_locked_stream() {
        return (None, None);
    }
    // Other tasklets may run in here, and never while the stream is locked.
    Call::count_immediate();
    // SAFETY: the caller's promise.
    let (fd, locked) = unsafe { (libc::fileno(stream), Locked::try_new(stream)) };
    if locked.as_ref().is_some_and(|locked| is_enough(locked.unread())) {
        return (None, locked);
    }
    drop(locked);
    if fd < 0 || !may_wait_for(fd) {
        return (None, None);
    }
    let Some(call) = Call::begin(symbol) else { return (None, None) };
    (Some(Reading { _read_lock: ReadLock::new(&call, stream), stream, fd, call }), None)
}

/// Tells whether a read may have to wait.
fn may_wait_for(fd: c_int) -> bool {
    let mut status = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the kernel writes the structure, unless it fails.
    let kind = unsafe {
        if libc::fstat(fd, status.as_mut_ptr()) != 0 {
            return false;
        }
        status.assume_init().st_mode & libc::S_IFMT
    };
    !matches!(kind, libc::S_IFREG | libc::S_IFDIR | libc::S_IFBLK) && !is_nonblocking(fd)
}

impl Reading {
    /// Waits until there are bytes in the buffer.
    pub(super) fn fill_buffer(&self) -> Fill {
        let end = Limit::new(socket_limit(self.fd, Direction::In));
        loop {
            // SAFETY: `begin`'s caller's promise.
            let locked = unsafe { Locked::new(&self.call, self.stream) };
            if !locked.unread().is_empty() {
                return Fill::Ready(locked);
            }
            if locked.needs_no_read() || self.is_readable() {
                return if locked.fill() { Fill::Ready(locked) } else { Fill::End };
            }
            self.flush_output(&locked);
            drop(locked);
            match ready(&self.call, self.fd, Direction::In, end.left()) {
                0 => {}
                error => {
                    // SAFETY: as above; it is locked.
                    unsafe {
                        let locked = Locked::new(&self.call, self.stream);
                        (*locked.head()).flags |= ERROR_SEEN;
                    }
                    give_int(error);
                    return Fill::Error;
                }
            }
        }
    }

    fn is_readable(&self) -> bool {
        let mut asked = libc::pollfd { fd: self.fd, events: libc::POLLIN, revents: 0 };
        let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: one entry and a time, in this frame; no mask.
        unsafe { call!(ppoll, &raw mut asked, 1, &raw const at_once, 0, 0) != 0 }
    }

    /// Writes what the other side may be waiting for, as libc does before it reads: what was
    /// written to this stream, and an unfinished line on the terminal.
    fn flush_output(&self, locked: &Locked) {
        // SAFETY: both streams are locked.
        unsafe {
            if __fpending(locked.0) > 0 {
                fflush_unlocked(locked.0);
            }
            if let Some(out) = Locked::try_new(stdout)
                && __flbf(stdout) != 0
                && __fpending(stdout) > 0
            {
                fflush_unlocked(out.0);
            }
        }
    }
}
