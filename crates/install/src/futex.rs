//! futex(2) for tasklets: a table of those that wait, by address, beside the kernel's own.
//!
//! ```text
//! WAIT  by a tasklet    the word is compared under the bucket's lock; the tasklet waits for an Event
//! WAIT  by a thread     the kernel's queue, as ever
//! WAKE  by anybody      tasklets first, and as many threads as are left over
//! ```
//!
//! A kill does not end such a wait, nor does a deadline set from outside: a lock has no error to
//! return, and would only ask again. A limit of the wait's own does.
//!
//! **No wake is lost.** A waiter counts itself in [`WAITING`] before it compares; a waker has
//! changed the word before it reads the count. Both are sequentially consistent, so one of the two
//! sees the other.
//!
//! Words in memory that several processes share are the kernel's: a tasklet waits for them on a
//! thread of the pool.

use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, fence};
use std::time::{Duration, Instant};

use overlapped::sync::Event;
use overlapped::task::{shield, unblock};
use overlapped::time::sleep;

use crate::hooks::time::{duration, until};
use crate::raw::{AGAIN, INVALID, Outcome, TIMED_OUT, call};
use crate::scope::here;

/// A tasklet that waits. Its event lives on the tasklet's stack.
struct Waiter {
    address: usize,
    bits: u32,
    event: *const Event,
}

/// The waiters of some addresses, behind a lock that is no futex of libc's.
struct Bucket {
    locked: AtomicBool,
    waiters: UnsafeCell<Vec<Waiter>>,
}

// SAFETY: `waiters` is touched only by who holds `locked`; the events are shared by design.
unsafe impl Sync for Bucket {}

const BUCKETS: usize = 256;
static TABLE: [Bucket; BUCKETS] = [const {
    Bucket { locked: AtomicBool::new(false), waiters: UnsafeCell::new(Vec::new()) }
}; BUCKETS];

/// Tasklets that wait, or are about to: a wake looks at the table only if there are any.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Spins before the processor is given to others, which may be who holds the lock.
const SPINS: u32 = 100;

/// Calls `f` with the waiters of the address's bucket. `f` does not wait.
fn with_bucket<T>(address: usize, f: impl FnOnce(&mut Vec<Waiter>) -> T) -> T {
    let hash = (address >> 2).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (usize::BITS - 8);
    let bucket = &TABLE[hash % BUCKETS];
    let mut spins = 0;
    while bucket.locked.swap(true, Acquire) {
        while bucket.locked.load(Relaxed) {
            spins += 1;
            if spins % SPINS == 0 {
                // SAFETY: touches nothing.
                unsafe { call!(sched_yield) };
            }
            spin_loop();
        }
    }
    // SAFETY: the lock is held.
    let result = f(unsafe { &mut *bucket.waiters.get() });
    bucket.locked.store(false, Release);
    result
}

/// Counts the caller among those who wait.
struct Counted;

impl Counted {
    fn new() -> Counted {
        WAITING.fetch_add(1, SeqCst);
        Counted
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, SeqCst);
    }
}

/// Blocks the tasklet while the word is as expected, until a wake or the limit.
///
/// # Safety
/// `word` is readable for the call.
unsafe fn wait(word: *const u32, expected: u32, bits: u32, limit: Option<Duration>) -> Outcome {
    let (address, event) = (word.addr(), Event::new());
    let _counted = Counted::new();
    let is_same = with_bucket(address, |waiters| {
        // SAFETY: the caller's promise; others change it at the same time.
        let is_same = unsafe { AtomicU32::from_ptr(word.cast_mut()) }.load(SeqCst) == expected;
        if is_same {
            waiters.push(Waiter { address, bits, event: &event });
        }
        is_same
    });
    if !is_same {
        return AGAIN;
    }
    let is_woken = wait_for(&event, limit);
    // A waker takes the entry out before it sets the event, both under the lock.
    with_bucket(address, |waiters| waiters.retain(|waiter| !std::ptr::eq(waiter.event, &event)));
    if is_woken || event.is_set() { 0 } else { TIMED_OUT }
}

fn wait_for(event: &Event, limit: Option<Duration>) -> bool {
    let Some(limit) = limit else {
        shield(|| event.wait());
        return true;
    };
    let begin = Instant::now();
    if shield(|| event.wait_timeout(limit)) {
        return true;
    }
    // A deadline set from outside has passed, which does not concern the lock.
    const NAP: Duration = Duration::from_millis(2);
    loop {
        let left = limit.saturating_sub(begin.elapsed());
        if event.is_set() || left.is_zero() {
            return event.is_set();
        }
        shield(|| sleep(left.min(NAP)));
    }
}

/// Wakes at most `most` tasklets that wait for the address; how many.
fn wake(address: usize, most: usize, bits: u32) -> usize {
    // After the waker's change of the word: see the module.
    fence(SeqCst);
    if WAITING.load(SeqCst) == 0 {
        return 0;
    }
    with_bucket(address, |waiters| {
        let mut woken = 0;
        waiters.retain(|waiter| {
            if woken >= most || waiter.address != address || waiter.bits & bits == 0 {
                return true;
            }
            // SAFETY: its owner leaves only after it has had this lock, in `wait`.
            unsafe { (*waiter.event).set() };
            woken += 1;
            false
        });
        woken
    })
}

/// futex(2), with its six arguments, for tasklets and everybody else.
///
/// # Safety
/// As the kernel's.
pub(crate) unsafe fn futex(arguments: [usize; 6]) -> Outcome {
    let [word, operation, value, fourth, fifth, sixth] = arguments;
    // SAFETY: the caller's promise, handed on.
    let kernel = |value: usize| unsafe { call!(futex, word, operation, value, fourth, fifth, sixth) };
    let operation = operation as i32;
    let command = operation & !(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME);
    let bits = match command {
        libc::FUTEX_WAIT_BITSET | libc::FUTEX_WAKE_BITSET => sixth as u32,
        _ => u32::MAX,
    };
    match command {
        libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET if here() => {
            // SAFETY: the caller's promise.
            let Ok(limit) = (unsafe { limit_of(operation, command, fourth) }) else {
                return INVALID;
            };
            if operation & libc::FUTEX_PRIVATE_FLAG == 0 {
                return by_thread(arguments);
            }
            // SAFETY: the caller's promise.
            unsafe { wait(std::ptr::with_exposed_provenance(word), value as u32, bits, limit) }
        }
        libc::FUTEX_WAKE | libc::FUTEX_WAKE_BITSET => {
            let most = value as u32 as usize;
            match wake(word, most, bits) {
                woken if woken >= most && woken > 0 => woken as Outcome,
                woken => match kernel(most - woken) {
                    error if error < 0 => error,
                    threads => threads + woken as Outcome,
                },
            }
        }
        _ => kernel(value),
    }
}

/// The limit from now on; an error where it is none that the kernel takes.
///
/// # Safety
/// `time` is null, or the address of a `timespec`.
unsafe fn limit_of(operation: i32, command: i32, time: usize) -> Result<Option<Duration>, ()> {
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

/// Waits on a thread of the pool, whatever comes: the job has the caller's memory.
fn by_thread([word, operation, value, fourth, fifth, sixth]: [usize; 6]) -> Outcome {
    // SAFETY: `futex`'s caller's promise; the caller waits for the end.
    let job = move || unsafe { call!(futex, word, operation, value, fourth, fifth, sixth) };
    // Spurious, where there is no thread: whoever waits for a word looks at it again.
    shield(|| unblock(job)).unwrap_or(0)
}
