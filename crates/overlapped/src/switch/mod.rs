//! Context switches.
//!
//! A [`Fiber`] is a stack with a context on it. It runs one job after another: for each job it
//! calls `entry`, reports [`Paused::Finished`] when that returns, and waits for the next. So a
//! recycled stack needs no set-up, and values that a job leaves behind are dropped where it ran.
//!
//! ```text
//!   hub (the thread's own stack)          fiber A (a stack from the pool)      fiber B
//!   A.start(job)  ──────────────────────▶ entry(job, &suspender)
//!                 ◀────── Paused::Waiting  suspender.suspend()
//!   A.resume()    ──────────────────────▶ … returns from suspend
//!                                          a.hand_over(b)    ───────────────▶ … goes on
//!                 ◀───────────────────────────────────── Paused::Finished     entry returned
//!   B.retire()                             the stack comes back
//! ```
//!
//! In a handover, fiber B takes the place of fiber A. The hub is still in its call of `start` or
//! `resume`, which returns when *some* fiber comes back. The scheduler knows which one.
//!
//! A fiber that waits in the middle of a job is never unwound by force and never dropped: its owner
//! resumes it until it finishes, or forgets it with its stack.
//!
//! There are three implementations with the same names: our own for x86-64, corosensei for every
//! other processor (and here with `--cfg overlapped_portable_switch`, which the tests use), threads
//! that take turns for Miri.
//!
//! A switch of our own pays although corosensei's takes 2 ns. corosensei leaves a stack by `ret`
//! and enters one by `call`. The processor predicts such returns well, as long as nothing else
//! returns in between. But a tasklet suspends inside functions (`read`, `recv`), whose returns come
//! next: two mispredictions for each switch. Measured with corosensei, resume and suspend: 3 ns if
//! the suspension is inlined into the coroutine's body, 31 ns one function deep. With jumps
//! instead, a yield through the whole scheduler went from 35 to 10 ns.

#[cfg(all(not(all(target_arch = "x86_64", unix, not(overlapped_portable_switch))), not(miri)))]
mod corosensei;
#[cfg(miri)]
mod miri;
#[cfg(all(target_arch = "x86_64", unix, not(overlapped_portable_switch), not(miri)))]
mod x86_64;

#[cfg(all(
    not(all(target_arch = "x86_64", unix, not(overlapped_portable_switch))),
    not(miri)
))]
pub(crate) use self::corosensei::{Fiber, HANDS_OVER, Hub, Position, Suspender};
#[cfg(all(target_arch = "x86_64", unix, not(overlapped_portable_switch), not(miri)))]
pub(crate) use self::x86_64::{Fiber, HANDS_OVER, Hub, Position, Suspender};
#[cfg(miri)]
pub(crate) use miri::{Fiber, HANDS_OVER, Hub, Position, Suspender};

/// Prefetches the cache line at `address`. Any address will do.
#[inline(always)]
pub(crate) fn prefetch(address: *const ()) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: this is a hint, and never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}

/// The argument of a fiber's `entry`; opaque here, never null.
pub(crate) type Job = *const ();

/// The way in which a fiber came back to the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Paused {
    /// It suspended itself in the middle of a job.
    Waiting,
    /// Its job's `entry` returned.
    Finished,
}
