//! Snapshots of other threads: a signal makes a thread's handler copy its registers and stack.
//!
//! There is one place for answers, and one thread that asks. The place's states:
//!
//! ```text
//! FREE ──ask──▶ ASKED ──handler──▶ WRITING ──▶ WRITTEN ──answer──▶ FREE
//!                 └──────────────answer: too late────────────────────┘
//! ```
//!
//! The state carries the number of the question, so that a handler that was slow to begin cannot
//! answer a later one.
//!
//! The signal is SIGURG: by default it does nothing, few programs use it, and one more does no harm
//! to those that do. A handler that was there before is called for every other SIGURG. System calls
//! that were interrupted go on (`SA_RESTART`), as far as the system does that: poll(2) and its like
//! return `EINTR` to a tasklet that blocks its thread in them.

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::{Lookup, NAME_MAX, Snapshot, WORDS_MAX};
use crate::sys::clock;
use crate::sys::signal::disposition::{self, Disposition, Info, SIGURG, interrupted};
use crate::sys::thread::{self, Target};

/// The lowest bits of a state; the others are the question's number.
const FREE: u64 = 0;
const ASKED: u64 = 1;
const WRITING: u64 = 2;
const WRITTEN: u64 = 3;
const PHASE: u64 = 3;

struct Place {
    state: AtomicU64,
    /// The number of the thread that is asked.
    asked: AtomicU64,
    /// Set if the thread is to list all its tasklets.
    wants_all: AtomicBool,
    snapshot: UnsafeCell<Snapshot>,
}

// SAFETY: the snapshot is the handler's while WRITING, and the asking thread's when WRITTEN; each
// transition is made by the side that gives the memory up.
unsafe impl Sync for Place {}

static PLACE: Place = Place {
    state: AtomicU64::new(FREE),
    asked: AtomicU64::new(0),
    wants_all: AtomicBool::new(false),
    snapshot: UnsafeCell::new(Snapshot::EMPTY),
};

impl Place {
    fn phase(&self) -> u64 {
        self.state.load(Ordering::Acquire) & PHASE
    }

    /// Advances the same question from the state `from` to the phase `to`. Returns false if the
    /// state was another.
    fn advance(&self, from: u64, to: u64) -> bool {
        let next = (from & !PHASE) | to;
        self.state.compare_exchange(from, next, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

static LOOKUP: OnceLock<Lookup> = OnceLock::new();
/// The previous disposition of SIGURG; set before our handler can run.
static PREVIOUS: OnceLock<Disposition> = OnceLock::new();

/// Returns the kernel's number for the calling thread, because a tasklet with thread-locals of its
/// own has another pthread_self. Async-signal-safe.
fn this_number() -> u64 {
    thread::number() as u64
}

/// Installs the handler, once; later calls keep the first `lookup` and succeed. Called under the
/// registry's lock. A child of fork(2) inherits the handler.
pub(in crate::watchdog) fn install(lookup: Lookup) -> io::Result<()> {
    static IS_INSTALLED: AtomicBool = AtomicBool::new(false);
    if IS_INSTALLED.load(Ordering::Relaxed) {
        return Ok(());
    }
    LOOKUP.get_or_init(|| lookup);
    PREVIOUS.get_or_init(|| Disposition::of(SIGURG));
    // SAFETY: the handler is async-signal-safe, given what `register` demands of `lookup`.
    unsafe { disposition::handle(SIGURG, on_signal, true) }?;
    IS_INSTALLED.store(true, Ordering::Relaxed);
    Ok(())
}

/// Tells whether this is the address of the handler.
pub(crate) fn is_handler(address: usize) -> bool {
    address == on_signal as *const () as usize
}

/// Forgets a question of the parent's, in a child of fork(2): no thread here takes its answer.
/// Async-signal-safe.
pub(in crate::watchdog) fn forget_question() {
    let last = PLACE.state.load(Ordering::Acquire);
    PLACE.state.store((last & !PHASE) | FREE, Ordering::Release);
}

/// Asks a thread for a snapshot; with `all`, also for a list of its tasklets. Returns whether it
/// was asked; then [`answer`] must follow.
///
/// # Safety
/// The thread has not ended.
pub(in crate::watchdog) unsafe fn ask(target: Target, all: bool) -> bool {
    let last = PLACE.state.load(Ordering::Acquire);
    assert_eq!(last & PHASE, FREE, "the last answer has been taken");
    PLACE.asked.store(target.number(), Ordering::Relaxed);
    PLACE.wants_all.store(all, Ordering::Relaxed);
    let question = (last & !PHASE).wrapping_add(PHASE + 1) | ASKED;
    PLACE.state.store(question, Ordering::Release);
    // SAFETY: the caller's promise.
    let sent = unsafe { target.send(SIGURG) };
    sent || !PLACE.advance(question, FREE)
}

/// Returns the answer, if it comes in time: a thread may block the signal, or wait for a processor.
pub(in crate::watchdog) fn answer(limit: Duration) -> Option<Box<Snapshot>> {
    let until = clock::nanos() + limit.as_nanos() as u64;
    while PLACE.phase() != WRITTEN && clock::nanos() < until {
        thread::sleep(Duration::from_millis(1));
    }
    let question = PLACE.state.load(Ordering::Acquire);
    if question & PHASE == ASKED && PLACE.advance(question, FREE) {
        return None;
    }
    // The handler has begun, and takes only microseconds.
    while PLACE.phase() != WRITTEN {
        thread::yield_now();
    }
    let mut copy = Box::<Snapshot>::new_uninit();
    // SAFETY: the state is WRITTEN, so the snapshot is this thread's; the box has its size.
    let copy = unsafe {
        copy.as_mut_ptr().copy_from_nonoverlapping(PLACE.snapshot.get(), 1);
        copy.assume_init()
    };
    assert!(PLACE.advance((question & !PHASE) | WRITTEN, FREE), "one thread takes answers");
    Some(copy)
}

/// Handles the signal. Async-signal-safe: it copies, and calls the previous handler for signals
/// that are not ours. No call in it sets errno.
extern "C" fn on_signal(signal: c_int, info: *mut Info, context: *mut c_void) {
    let question = PLACE.state.load(Ordering::Acquire);
    let is_ours = question & PHASE == ASKED
        && PLACE.asked.load(Ordering::Relaxed) == this_number()
        && PLACE.advance(question, WRITING);
    if !is_ours {
        if let Some(previous) = PREVIOUS.get() {
            // SAFETY: this is a handler of the signal, with these arguments.
            unsafe { previous.call(signal, info, context) };
        }
        return;
    }
    // SAFETY: the state is WRITING, by this thread; and this is a handler with that context.
    unsafe { write(&mut *PLACE.snapshot.get(), interrupted(context)) };
    PLACE.advance((question & !PHASE) | WRITING, WRITTEN);
}

/// Copies the interrupted state, whose registers are these.
fn write(snapshot: &mut Snapshot, registers: (usize, usize, usize, usize)) {
    (snapshot.pc, snapshot.sp, snapshot.fp, snapshot.lr) = registers;
    (snapshot.held, snapshot.name_len, snapshot.words_len) = (None, 0, 0);
    snapshot.page.clear();
    let Some(lookup) = LOOKUP.get() else { return };
    if PLACE.wants_all.load(Ordering::Relaxed) {
        (lookup.all)(&mut snapshot.page);
    }
    let Some(held) = (lookup.held)() else { return };
    let (start, end) = held.stack;
    snapshot.held = Some((held.id, held.spawned_at));
    if !held.name.is_null() {
        snapshot.name_len = held.name_len.min(NAME_MAX);
        for (at, byte) in snapshot.name[..snapshot.name_len].iter_mut().enumerate() {
            // SAFETY: `register` demands that `lookup` returns readable names.
            *byte = unsafe { held.name.add(at).read() };
        }
    }
    // Otherwise the thread is on a handler's stack, or in the middle of a switch.
    if !(start..end).contains(&snapshot.sp) || !snapshot.sp.is_multiple_of(align_of::<usize>()) {
        return;
    }
    let first: *const usize = std::ptr::with_exposed_provenance(snapshot.sp);
    snapshot.words_len = ((end - snapshot.sp) / size_of::<usize>()).min(WORDS_MAX);
    for (at, word) in snapshot.words[..snapshot.words_len].iter_mut().enumerate() {
        // SAFETY: the word lies in the used part of the stack that this thread is on. Other threads
        // may write to it meanwhile; its value is only shown.
        *word = unsafe { first.add(at).read_volatile() };
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn an_open_question_that_is_forgotten_leaves_the_place_free() {
        let name = "watchdog::snapshot::by_signal::tests::\
                    an_open_question_that_is_forgotten_leaves_the_place_free";
        testkit::alone(name, || {
            let last = PLACE.state.load(Ordering::Acquire);
            PLACE.state.store(last | ASKED, Ordering::Release);
            forget_question();
            assert_eq!(PLACE.state.load(Ordering::Acquire), last);
        });
    }
}
