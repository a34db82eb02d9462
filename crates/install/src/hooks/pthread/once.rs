//! Code that runs once, while other callers wait for its end.
//!
//! A thread's call goes to glibc. A tasklet marks the same states in the same word, but waits in
//! the [table](crate::table), whether a thread or a tasklet runs the routine. So no tasklet blocks
//! its thread while another tasklet of the thread runs the routine.
//!
//! ```text
//! 0, or what another generation left ──▶ generation | 1: at work ──▶ 2: done
//!                 ▲                              │
//!                 └──── 0: it has unwound ◀──────┘
//! ```
//!
//! The *generation* counts calls of fork(2): a routine that ran in the parent does not run here.

use std::cell::Cell;
use std::ffi::c_int;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::{Acquire, Release, SeqCst};

use super::{ALL, RECHECK_INTERVAL};
use crate::caller::Call;
use crate::next::next;
use crate::raw::call;
use crate::symbols::Symbol;
use crate::table::{Waiter, WakeSource, wake};

type Routine = unsafe extern "C-unwind" fn();
type Once = unsafe extern "C-unwind" fn(*mut c_int, Routine) -> c_int;

const AT_WORK: c_int = 1;
const DONE: c_int = 2;

thread_local! {
    /// The word that [`generation`] observes, and its value.
    static OBSERVED: Cell<(*const c_int, c_int)> = const { Cell::new((std::ptr::null(), 0)) };
}

/// Returns the present generation: the bits that glibc writes to a word while its routine runs.
fn generation(real: Once) -> c_int {
    unsafe extern "C-unwind" fn observe() {
        let word = OBSERVED.get().0;
        // SAFETY: the word is in `generation`'s frame, which has called this.
        OBSERVED.set((word, unsafe { word.read_volatile() }));
    }
    let mut word: c_int = 0;
    OBSERVED.set((&raw const word, 0));
    // SAFETY: no other code knows the word; `observe` neither waits nor unwinds.
    unsafe { real(&mut word, observe) };
    OBSERVED.replace((std::ptr::null(), 0)).1 & !(AT_WORK | DONE)
}

/// Wakes all waiters for the word: threads in glibc, and tasklets.
fn wake_all(word: *mut c_int) {
    // SAFETY: the kernel uses the address only as a key.
    unsafe { call!(futex, word, libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, c_int::MAX) };
    wake(word.addr(), usize::MAX, ALL);
}

/// A routine that a tasklet runs. A drop before its end means that it has unwound.
struct AtWork<'a>(&'a AtomicI32);

impl AtWork<'_> {
    fn finish(self) {
        self.end(DONE);
        std::mem::forget(self);
    }

    fn end(&self, state: c_int) {
        self.0.store(state, Release);
        wake_all(self.0.as_ptr());
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.end(0);
    }
}

/// pthread_once(3). An exception of the routine passes through, as through glibc's.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C-unwind" fn pthread_once(
    control: *mut c_int,
    routine: Routine,
) -> c_int {
    let real: Once = next!(pthread_once);
    // SAFETY: the caller's promise: only these calls use the word, all atomically.
    let word = unsafe { AtomicI32::from_ptr(control) };
    if word.load(Acquire) & DONE != 0 {
        return 0;
    }
    let Some(call) = Call::begin_lock(Symbol::pthread_once) else {
        /// Wakes the tasklets that wait, even if the routine unwinds.
        struct Wakes(*mut c_int);
        impl Drop for Wakes {
            fn drop(&mut self) {
                wake(self.0.addr(), usize::MAX, ALL);
            }
        }
        let _wakes = Wakes(control);
        // SAFETY: the caller's promise, handed on.
        return unsafe { real(control, routine) };
    };
    let at_work = generation(real) | AT_WORK;
    let mut now = word.load(Acquire);
    loop {
        if now & DONE != 0 {
            return 0;
        }
        if now != at_work {
            match word.compare_exchange(now, at_work, Acquire, Acquire) {
                Ok(_) => break,
                Err(other) => now = other,
            }
            continue;
        }
        let from = WakeSource::Threads("a pthread_once of C's");
        let is_at_work = || word.load(SeqCst) == at_work;
        if let Some(waiter) = Waiter::enter_if(control.addr(), ALL, from, is_at_work) {
            // glibc's own calls of pthread_once do not pass here. Their end is found a little
            // later.
            waiter.wait(&call, Some(RECHECK_INTERVAL), None);
        }
        now = word.load(Acquire);
    }
    // The routine is the tasklet's own code, so the call ends here.
    drop(call);
    let at_work = AtWork(word);
    // SAFETY: the caller's promise.
    unsafe { routine() };
    at_work.finish();
    0
}

/// call_once(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C-unwind" fn call_once(flag: *mut c_int, routine: Routine) {
    // As in glibc. The result is always 0.
    // SAFETY: the caller's promise: the flag is such a word.
    unsafe { pthread_once(flag, routine) };
}
