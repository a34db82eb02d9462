//! POSIX threads' locks, and waits for threads.
//!
//! libc keeps the state; a tasklet tries, enters the [table](crate::table) under the lock's
//! address, tries again, and is blocked. Whoever unlocks wakes from there, threads and tasklets
//! alike. What is unlocked unseen (inside libc, by pthread_cond_wait of a thread; in another
//! process) is found by looking again now and then.
//!
//! Nothing is said of kills: these calls have no error for that.

mod condvar;
mod mutex;
mod rwlock;
mod semaphore;
mod threads;

use std::ffi::c_int;
use std::time::Duration;

use libc::timespec;

pub(crate) use condvar::*;
pub(crate) use mutex::*;
pub(crate) use rwlock::*;
pub(crate) use semaphore::*;
pub(crate) use threads::*;

use crate::caller::Call;
use crate::hooks::time::{duration, until};
use crate::table::{Waiter, wake};
use crate::wait::Limit;

/// Everybody who waits for an address.
const ALL: u32 = u32::MAX;

/// Between two looks for what is unlocked unseen.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Tries until it is not `busy`; ETIMEDOUT at the limit.
fn until_free(
    call: &Call,
    address: usize,
    limit: &Limit,
    look_again: Option<Duration>,
    attempt: impl Fn() -> Option<c_int>,
) -> c_int {
    loop {
        let Some(waiter) = Waiter::enter(address, ALL, || true) else { continue };
        if let Some(outcome) = attempt() {
            // A wake that came meanwhile is another one's.
            if !waiter.leave() {
                wake(address, 1, ALL);
            }
            return outcome;
        }
        if limit.is_over() {
            if !waiter.leave() {
                wake(address, 1, ALL);
            }
            return libc::ETIMEDOUT;
        }
        let left = [limit.left(), look_again].into_iter().flatten().min();
        waiter.wait(call, left);
    }
}

/// The limit that a moment of a clock means. `None`: it is malformed.
unsafe fn limit_at(clock: libc::clockid_t, moment: *const timespec) -> Option<Limit> {
    // SAFETY: the caller's promise.
    let moment = duration(unsafe { moment.as_ref() }?)?;
    Some(Limit::new(Some(until(clock, moment))))
}
