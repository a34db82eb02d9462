//! The mark of a tasklet that was started through this crate, set while it runs its own code; and
//! what a signal handler does to it.
//!
//! ```text
//!          a call begins                    a handler comes
//! MARKED ───────────────▶ OFF       MARKED ────────────────▶ IN_HANDLER
//!        ◀───────────────                  ◀──── it returns, or is left
//!             ends                     OFF ────────────────▶ IN_LIBRARY
//!                                          ◀──── it returns
//! ```
//!
//! A handler's own calls go to libc. A handler may be left without a return: by siglongjmp(3),
//! pthread_exit(3), an exception of C++'s. So no destructor in the frame that calls it restores the
//! mark. The function that jumps reports the jump ([`observe_jump`]); any other exit is found at
//! the next call that is made above the handler's frame ([`is_marked`]).
//!
//! A handler that interrupted the library must not be left: an operation of the tasklet that points
//! into its frames may be in flight, and the scheduler's own frames may be among those that would
//! be abandoned. Then a jump ends the process, with a message.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicU8, compiler_fence};

use overlapped::task::in_tasklet;

use crate::raw::call;

/// Not marked: no tasklet of this crate, or one inside a call.
const OFF: u8 = 0;
const MARKED: u8 = 1;
/// A handler runs that interrupted a marked tasklet's own code.
const IN_HANDLER: u8 = 2;
/// A handler runs that interrupted the library.
const IN_LIBRARY: u8 = 3;

/// A tasklet's mark. Only its thread changes it; the trap's supervisor reads it.
pub(crate) struct Mark(AtomicU8);

impl Mark {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Relaxed) == MARKED
    }
}

thread_local! {
    static MARK: Mark = const { Mark(AtomicU8::new(OFF)) };
    /// True if the tasklet was started through this crate, whatever it runs.
    static OURS: Cell<bool> = const { Cell::new(false) };
    /// The tasklet's stack: an address near its top, and the size that was asked for.
    static STACK: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
    /// An address in the frame that has called the outermost handler.
    static HANDLER: Cell<usize> = const { Cell::new(0) };
}

#[inline]
fn state() -> u8 {
    MARK.with(|mark| mark.0.load(Relaxed))
}

fn set_state(state: u8) {
    MARK.with(|mark| mark.0.store(state, Relaxed));
}

/// Returns the address of the calling tasklet's mark.
pub(crate) fn mark() -> *const Mark {
    MARK.with(|mark| &raw const *mark)
}

/// Tells whether the caller is a marked tasklet, in its own code.
#[inline]
pub(crate) fn is_marked() -> bool {
    match state() {
        MARKED => true,
        IN_HANDLER => is_above_handler(),
        _ => false,
    }
}

/// Tells whether the handler's frame is gone without a report; then the tasklet is marked again.
/// While its calls come from below that frame, this is not noticed yet, and they block the thread.
#[cold]
#[inline(never)]
fn is_above_handler() -> bool {
    let here = 0u8;
    let is_above = is_left_for((&raw const here).addr());
    if is_above {
        set_state(MARKED);
    }
    is_above
}

/// Tells whether the caller is a tasklet that was started through this crate, whatever it runs.
#[inline]
pub(crate) fn is_ours() -> bool {
    OURS.get()
}

/// Marks the calling tasklet, at the end of a call, or takes its mark away.
#[inline]
pub(super) fn set_mark(is_marked: bool) {
    set_state(if is_marked { MARKED } else { OFF });
}

/// A guard that takes the tasklet's mark away, if it has one, and puts it back when dropped.
pub(crate) struct Unmarked(bool);

impl Unmarked {
    pub(crate) fn begin() -> Unmarked {
        let was_marked = is_marked();
        if was_marked {
            set_mark(false);
        }
        Unmarked(was_marked)
    }
}

impl Drop for Unmarked {
    fn drop(&mut self) {
        if self.0 {
            set_mark(true);
        }
    }
}

/// Runs `f` with the calling tasklet marked. `stack_size` is the size of its stack.
pub(crate) fn run_marked<T>(stack_size: usize, f: impl FnOnce() -> T) -> T {
    let top = 0u8;
    STACK.set(((&raw const top).addr(), stack_size));
    OURS.set(true);
    set_mark(true);
    f()
}

/// The state before a handler.
pub(crate) struct Before {
    state: u8,
    handler: usize,
}

/// Records that a handler of the program is about to be called, from the frame with this address.
/// `is_host` is true if the thread runs a scheduler. Async-signal-safe.
pub(crate) fn begin_handler(frame: usize, is_host: bool) -> Before {
    is_marked(); // Ends a handler that was left without a report.
    let before = Before { state: state(), handler: HANDLER.get() };
    let state = match before.state {
        MARKED => IN_HANDLER,
        OFF if OURS.get() || (is_host && !in_tasklet()) => IN_LIBRARY,
        // Inside a handler already, or in code that is never marked.
        _ => return before,
    };
    HANDLER.set(frame);
    // A handler that interrupts between the two steps restores the address.
    compiler_fence(SeqCst);
    set_state(state);
    before
}

/// Records that the handler has returned.
pub(crate) fn end_handler(before: &Before) {
    set_state(before.state);
    compiler_fence(SeqCst);
    HANDLER.set(before.handler);
}

/// Records that the calling thread jumps to where its stack pointer is `target`. Async-signal-safe.
///
/// Ends the process if that leaves a handler that interrupted the library.
pub(crate) fn observe_jump(target: usize) {
    match state() {
        IN_HANDLER if is_left_for(target) => set_state(MARKED),
        IN_LIBRARY if OURS.get() && is_left_for(target) => cannot_leave(),
        IN_LIBRARY if !OURS.get() && is_left_on_thread(target) => cannot_leave(),
        _ => {}
    }
}

/// Tells whether a handler runs, so that [`observe_jump`] matters.
#[inline]
pub(crate) fn is_in_handler() -> bool {
    matches!(state(), IN_HANDLER | IN_LIBRARY)
}

/// Records that the calling thread leaves all its handlers, for the bottom of its stack.
///
/// Ends the process if one of them interrupted the library.
pub(crate) fn leave_handlers() {
    match state() {
        IN_HANDLER => set_state(MARKED),
        IN_LIBRARY => cannot_leave(),
        _ => {}
    }
}

/// Tells whether the tasklet's handler is over if its stack pointer is `target`. In doubt it is
/// not: a handler's calls must not wait, since it may have interrupted the tasklet in any state.
fn is_left_for(target: usize) -> bool {
    let (top, size) = STACK.get();
    // The program's own stacks, and the alternate stack of handlers, are elsewhere.
    let is_own = |address: usize| address <= top && top - address < size;
    let handler = HANDLER.get();
    is_own(target) && (!is_own(handler) || target > handler)
}

/// Tells the same as [`is_left_for`], for a handler on the thread's stack, on which the scheduler
/// runs, or on its alternate stack.
fn is_left_on_thread(target: usize) -> bool {
    /// Bytes of stack that a handler may need.
    const ROOM: usize = 1 << 20;
    let mut alternate = MaybeUninit::<libc::stack_t>::zeroed();
    // SAFETY: null changes nothing; the place is writable, and zeros are a valid value.
    let alternate = unsafe {
        libc::sigaltstack(std::ptr::null(), alternate.as_mut_ptr());
        alternate.assume_init()
    };
    let bottom = alternate.ss_sp.addr();
    let is_alternate = |address: usize| address >= bottom && address - bottom <= alternate.ss_size;
    let handler = HANDLER.get();
    let is_below = target <= handler && handler - target < ROOM;
    !is_alternate(target) && (is_alternate(handler) || !is_below)
}

/// Ends the process. Async-signal-safe.
#[cold]
fn cannot_leave() -> ! {
    const TEXT: &str = "overlapped-install: a signal handler was left by a jump (siglongjmp, \
        pthread_exit), but it came inside a call that waits, or in the scheduler. Such a call \
        cannot be given up before it has ended; aborting\n";
    // SAFETY: a text that stays.
    unsafe { call!(write, libc::STDERR_FILENO, TEXT.as_ptr(), TEXT.len()) };
    std::process::abort()
}
