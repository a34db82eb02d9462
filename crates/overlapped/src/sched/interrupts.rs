//! Waits of a thread's tasklets that its signal handlers end.
//!
//! ```text
//! handler, on the scheduler's thread          the scheduler
//! interrupt: find its line by thread id       before it sleeps, and every few switches:
//!            set a bit, notify the port       take the bits, end the waits
//! ```
//!
//! A handler may come between any two instructions, and meets whichever thread-locals the thread is
//! on. So there is no thread-local in here, no lock and no memory that anybody frees: lines are
//! leaked and used again, and a handler looks into none but its own thread's.
//!
//! A child of fork(2) has lines of its own: its parent's name threads that it does not have, whose
//! numbers may come back, and ports that it must leave alone.

use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU8, compiler_fence};
use std::sync::{Once, OnceLock};

use crate::driver::Notifier;
use crate::sys::descriptor::{errno_place, in_fork_children};
use crate::sys::thread::number as thread;

/// The number of no thread: the line is free.
const FREE: i32 = 0;
/// The line is being changed.
const TAKEN: i32 = -1;

/// The bit of a [request](Interrupts::request); the others are those of [`interrupt`].
pub(crate) const REQUEST: u8 = 1 << 7;

/// The function that schedulers call for it.
static ANSWER: OnceLock<fn()> = OnceLock::new();

/// Sets the function that schedulers call for a request. False: there is one already.
pub(crate) fn answer_requests(f: fn()) -> bool {
    ANSWER.set(f).is_ok()
}

/// Calls the function of [`answer_requests`].
pub(crate) fn answer() {
    if let Some(answer) = ANSWER.get() {
        answer();
    }
}

/// One scheduler's, as its thread's handlers find it.
struct Line {
    /// The scheduler's thread.
    thread: AtomicI32,
    /// Bits of [`interrupt`]s that have come.
    come: AtomicU8,
    /// Changed by the thread that has taken the line; read by handlers on it.
    notifier: UnsafeCell<Option<Notifier>>,
    next: *const Line,
}

// SAFETY: `notifier` is touched by the line's own thread only, and `next` never changes once others
// see the line.
unsafe impl Sync for Line {}

/// The last line that was made. They are never freed.
static LINES: AtomicPtr<Line> = AtomicPtr::new(ptr::null_mut());

/// Every line.
fn lines() -> impl Iterator<Item = &'static Line> {
    let mut at: *const Line = LINES.load(Acquire);
    std::iter::from_fn(move || {
        // SAFETY: null, or a line, which is leaked.
        let line = unsafe { at.as_ref() }?;
        at = line.next;
        Some(line)
    })
}

/// The requests of handlers to the scheduler of one thread. Not `Send`.
pub(crate) struct Interrupts {
    /// Missing under Miri, which has no handlers.
    line: Option<&'static Line>,
    thread: std::marker::PhantomData<*const ()>,
}

impl Interrupts {
    /// Takes in those of the calling thread's handlers, as long as the result lives; `notifier`
    /// wakes its scheduler.
    pub(crate) fn of_thread(notifier: Notifier) -> Interrupts {
        static FORKS: Once = Once::new();
        FORKS.call_once(|| in_fork_children(forget));
        let line = (!cfg!(miri)).then(free_line);
        if let Some(line) = line {
            // SAFETY: taken, so no handler reads it.
            unsafe { *line.notifier.get() = Some(notifier) };
            line.come.store(0, Relaxed);
            // A handler of this thread that sees the number sees the rest.
            compiler_fence(SeqCst);
            line.thread.store(thread(), Release);
        }
        Interrupts { line, thread: std::marker::PhantomData }
    }

    /// Asks the scheduler to call the function of [`answer_requests`], from its own thread, where
    /// it cannot be asleep. False: there is none. Async-signal-safe.
    pub(crate) fn request(&self) -> bool {
        match self.line {
            Some(line) if ANSWER.get().is_some() => {
                line.come.fetch_or(REQUEST, SeqCst);
                true
            }
            _ => false,
        }
    }

    /// Takes the bits that have come.
    #[inline]
    pub(crate) fn take(&self) -> u8 {
        match self.line {
            Some(line) if line.come.load(Relaxed) != 0 => line.come.swap(0, SeqCst),
            _ => 0,
        }
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        if let Some(line) = self.line {
            line.thread.store(TAKEN, Relaxed);
            compiler_fence(SeqCst);
            // SAFETY: taken, so no handler reads it.
            let notifier = unsafe { (*line.notifier.get()).take() };
            line.thread.store(FREE, Release);
            drop(notifier);
        }
    }
}

/// A line that nobody uses, taken.
fn free_line() -> &'static Line {
    let is_free =
        |line: &&Line| line.thread.compare_exchange(FREE, TAKEN, Acquire, Relaxed).is_ok();
    if let Some(line) = lines().find(is_free) {
        return line;
    }
    let place = Box::into_raw(Box::new(Line {
        thread: AtomicI32::new(TAKEN),
        come: AtomicU8::new(0),
        notifier: UnsafeCell::new(None),
        next: ptr::null(),
    }));
    let mut next = LINES.load(Acquire);
    loop {
        // SAFETY: not shared yet.
        unsafe { (*place).next = next };
        match LINES.compare_exchange(next, place, Release, Acquire) {
            // SAFETY: leaked; from here on it is changed through its cells alone.
            Ok(_) => return unsafe { &*place },
            Err(other) => next = other,
        }
    }
}

/// In a child of fork(2), before it has a second thread. Async-signal-safe.
extern "C" fn forget() {
    LINES.store(ptr::null_mut(), Release);
}

/// Asks the scheduler of the calling thread, if there is one, to end waits; tells whether there is.
///
/// Async-signal-safe: it takes no lock, allocates and frees nothing, and does not panic. Of what it
/// calls, `Notifier::notify` says so of itself. It drops what it has upgraded, but that is never
/// the last reference: the port has one, which this very thread drops, after the line's notifier
/// ([`Interrupts`] is dropped first).
pub(crate) fn interrupt(bits: u8) -> bool {
    let place = errno_place();
    // SAFETY: the calling thread's errno.
    let errno = unsafe { place.read() };
    let (me, mut has_scheduler) = (thread(), false);
    for line in lines().filter(|line| line.thread.load(Relaxed) == me) {
        has_scheduler = true;
        line.come.fetch_or(bits, SeqCst);
        // SAFETY: this thread's line, and so the thread is not changing it: it has said which one
        // it is, and a handler runs in between.
        if let Some(notifier) = unsafe { &*line.notifier.get() } {
            notifier.notify();
        }
    }
    // SAFETY: as above.
    unsafe { place.write(errno) };
    has_scheduler
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;
    use crate::driver::{Driver, PortConfig};

    #[test]
    fn a_child_of_fork_has_none_of_its_parents_lines() {
        let driver = Driver::open(&PortConfig::default()).unwrap();
        let _line = Interrupts::of_thread(driver.notifier());
        assert!(lines().count() > 0);
        // SAFETY: the child calls what a child of a process with threads may.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let lines = i32::try_from(lines().count()).unwrap_or(i32::MAX);
            // SAFETY: no conditions.
            unsafe { libc::_exit(lines) };
        }
        let mut status = 0;
        // SAFETY: a child of this process, and room for its status.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!((libc::WIFEXITED(status), libc::WEXITSTATUS(status)), (true, 0));
    }
}
