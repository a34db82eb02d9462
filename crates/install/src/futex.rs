//! futex(2) for tasklets: they wait in a [table](crate::table) beside the kernel's queues.
//!
//! ```text
//! WAIT  by a tasklet    the word is compared under the bucket's lock; the tasklet is blocked
//! WAIT  by a thread     the kernel's queue, as ever
//! WAKE                  tasklets first, and as many threads as are left over; each eighth time
//!                       the other way round
//! ```
//!
//! A kill does not end such a wait, nor does a deadline set from outside: a lock has no error to
//! return, and would only call again. A limit of the wait's own ends it.
//!
//! The kernel alone handles words in memory that several processes share: a tasklet waits for them
//! on a thread of the pool.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

use crate::caller::{Call, blocks_neighbours};
use crate::pool;
use crate::raw::{AGAIN, INVALID, Outcome, TIMED_OUT, call};
use crate::symbols::Symbol;
use crate::table::{Waiter, WakeSource, has_waiters, wake};
use crate::timespec::{duration, until};

/// Performs futex(2), with its six arguments, for tasklets and all other callers.
///
/// # Safety
/// The kernel's conditions hold.
pub(crate) unsafe fn futex(arguments: [usize; 6]) -> Outcome {
    let [word, operation, value, fourth, fifth, sixth] = arguments;
    // SAFETY: the caller's promise, handed on.
    let kernel =
        |value: usize| unsafe { call!(futex, word, operation, value, fourth, fifth, sixth) };
    let operation = operation as i32;
    let command = operation & !(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME);
    let bits = match command {
        libc::FUTEX_WAIT_BITSET | libc::FUTEX_WAKE_BITSET => sixth as u32,
        _ => u32::MAX,
    };
    match command {
        libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET => {
            let Some(call) = Call::begin_lock(Symbol::syscall) else {
                if fourth == 0 && blocks_neighbours() {
                    // SAFETY: the caller's promise, handed on.
                    return unsafe { block_with_warning(arguments) };
                }
                return kernel(value);
            };
            // SAFETY: the caller's promise.
            let limit = unsafe { wait_limit(operation, command, fourth) };
            match limit {
                Err(()) => INVALID,
                Ok(_) if operation & libc::FUTEX_PRIVATE_FLAG == 0 => {
                    wait_on_pool(&call, arguments)
                }
                // SAFETY: the caller's promise.
                Ok(limit) => unsafe {
                    let word = std::ptr::with_exposed_provenance(word);
                    wait(&call, word, value as u32, bits, limit)
                },
            }
        }
        libc::FUTEX_WAKE | libc::FUTEX_WAKE_BITSET => {
            Call::count_immediate();
            let most = value as u32 as usize;
            let by_table = |most: usize| wake(word, most, bits) as Outcome;
            match is_threads_turn() {
                true => share(most, kernel, by_table),
                false => share(most, by_table, kernel),
            }
        }
        libc::FUTEX_REQUEUE | libc::FUTEX_CMP_REQUEUE | libc::FUTEX_WAKE_OP => {
            let outcome = kernel(value);
            // Tasklets are not moved to the second word: they wake and check the first one again.
            wake(word, usize::MAX, u32::MAX);
            if command == libc::FUTEX_WAKE_OP {
                wake(fifth, usize::MAX, u32::MAX);
            }
            outcome
        }
        _ => kernel(value),
    }
}

/// Tells whether threads are woken first: each eighth time while tasklets wait, so that threads are
/// not starved by many tasklets.
fn is_threads_turn() -> bool {
    const EVERY: u32 = 8;
    static TURNS: AtomicU32 = AtomicU32::new(0);
    has_waiters() && TURNS.fetch_add(1, Relaxed) % EVERY == EVERY - 1
}

/// Wakes at most `most` waiters by `first`, and what is left over by `second`.
fn share(
    most: usize,
    first: impl FnOnce(usize) -> Outcome,
    second: impl FnOnce(usize) -> Outcome,
) -> Outcome {
    match first(most) {
        woken if woken < 0 || (woken > 0 && woken as usize >= most) => woken,
        woken => match second(most - woken as usize) {
            error if error < 0 => error,
            others => others + woken,
        },
    }
}

/// Blocks the thread, for a tasklet that may not wait now. Warns after a second: if another tasklet
/// of the thread holds the lock, the wait never ends.
///
/// # Safety
/// The kernel's conditions hold; the wait has no limit.
unsafe fn block_with_warning(arguments: [usize; 6]) -> Outcome {
    const TEXT: &[u8] = b"overlapped-install: a tasklet inside no_switch has waited \
        for a lock for a second, and has blocked its thread\n";
    let [word, operation, value, _, fifth, sixth] = arguments;
    let limit = libc::timespec { tv_sec: 1, tv_nsec: 0 };
    // FUTEX_WAIT takes a relative time, and matches wakes of any bits.
    let relative = libc::FUTEX_WAIT | operation as i32 & libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the caller's promise, handed on; the time is borrowed for the call.
    match unsafe { call!(futex, word, relative, value, &raw const limit, 0, 0) } {
        TIMED_OUT => {}
        other => return other,
    }
    // SAFETY: a static text, and the caller's promise.
    unsafe {
        call!(write, 2, TEXT.as_ptr(), TEXT.len());
        call!(futex, word, operation, value, 0, fifth, sixth)
    }
}

/// The source of wakes for std's locks, channels and parks, and for those of many crates.
const FUTEX: WakeSource = WakeSource::Threads("a futex (a lock, a channel, a park)");

/// Blocks the tasklet while the word is as expected, until a wake or the limit.
///
/// # Safety
/// `word` is readable for the call.
unsafe fn wait(
    call: &Call,
    word: *const u32,
    expected: u32,
    bits: u32,
    limit: Option<Duration>,
) -> Outcome {
    // SAFETY: the caller's promise; the word is only accessed atomically.
    let word_now = || unsafe { AtomicU32::from_ptr(word.cast_mut()) }.load(SeqCst);
    let Some(waiter) = Waiter::enter_if(word.addr(), bits, FUTEX, || word_now() == expected) else {
        return AGAIN;
    };
    if waiter.wait(call, None, limit) || !waiter.leave() { 0 } else { TIMED_OUT }
}

/// Returns the time until the limit, or an error for a time that the kernel refuses.
///
/// # Safety
/// `time` is null, or the address of a `timespec`.
unsafe fn wait_limit(operation: i32, command: i32, time: usize) -> Result<Option<Duration>, ()> {
    let time: *const libc::timespec = std::ptr::with_exposed_provenance(time);
    // SAFETY: the caller's promise.
    let Some(time) = (unsafe { time.as_ref() }) else { return Ok(None) };
    let span = duration(time).ok_or(())?;
    if command == libc::FUTEX_WAIT {
        return Ok(Some(span));
    }
    let clock = match operation & libc::FUTEX_CLOCK_REALTIME {
        0 => libc::CLOCK_MONOTONIC,
        _ => libc::CLOCK_REALTIME,
    };
    Ok(Some(until(clock, span)))
}

/// Waits on a thread of the pool until the call ends: the job uses the caller's memory.
fn wait_on_pool(call: &Call, arguments: [usize; 6]) -> Outcome {
    let [word, operation, value, fourth, fifth, sixth] = arguments;
    // SAFETY: the promise of `futex`'s caller, which waits for the end.
    pool::run_to_end(call, move || unsafe {
        call!(futex, word, operation, value, fourth, fifth, sixth)
    })
}
