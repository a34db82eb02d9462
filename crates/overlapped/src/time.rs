//! Time: the port's clock, sleeping, deadlines, intervals.
//!
//! [`timeout`] does not abandon its closure: it sets a deadline which the calls inside obey by
//! returning errors, so nothing is unwound, no lock is poisoned and no byte is lost.

pub use core::time::Duration;

use core::ops::{Add, AddAssign, Sub, SubAssign};
use std::io;

use crate::sched::{NEVER, Waiting, Wake, here};
use crate::sys::clock;
use crate::task::suspension::{checkpoint_without_error, deliver_kill, is_cancelled, park};
use crate::task::{CannotWait, cancelled_wait};

/// A point on the port's monotonic clock; the counterpart of `std::time::Instant`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    nanos: u64,
}

impl Instant {
    /// Returns the present time.
    pub fn now() -> Instant {
        Instant { nanos: clock::nanos() }
    }

    /// Returns the time since `earlier`, or zero if that is later.
    pub fn duration_since(&self, earlier: Instant) -> Duration {
        self.saturating_duration_since(earlier)
    }

    /// Returns the time since `earlier`, or `None` if that is later.
    pub fn checked_duration_since(&self, earlier: Instant) -> Option<Duration> {
        self.nanos.checked_sub(earlier.nanos).map(Duration::from_nanos)
    }

    /// Returns the time since `earlier`, or zero if that is later.
    pub fn saturating_duration_since(&self, earlier: Instant) -> Duration {
        self.checked_duration_since(earlier).unwrap_or_default()
    }

    /// Returns the time since this point.
    pub fn elapsed(&self) -> Duration {
        Instant::now().duration_since(*self)
    }

    /// Returns the point `duration` later, or `None` beyond the clock's range (584 years).
    pub fn checked_add(&self, duration: Duration) -> Option<Instant> {
        let nanos = self.nanos.checked_add(u64::try_from(duration.as_nanos()).ok()?)?;
        (nanos != NEVER).then_some(Instant { nanos })
    }

    /// Returns the point `duration` earlier, or `None` before the clock's beginning.
    pub fn checked_sub(&self, duration: Duration) -> Option<Instant> {
        let nanos = self.nanos.checked_sub(u64::try_from(duration.as_nanos()).ok()?)?;
        Some(Instant { nanos })
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    /// # Panics
    /// If the result is beyond the clock's range; [`Instant::checked_add`] returns `None` then.
    fn add(self, duration: Duration) -> Instant {
        self.checked_add(duration).expect("overflow when adding duration to instant")
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;

    /// # Panics
    /// If the result is before the clock's beginning; [`Instant::checked_sub`] returns `None` then.
    fn sub(self, duration: Duration) -> Instant {
        self.checked_sub(duration).expect("overflow when subtracting duration from instant")
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.duration_since(earlier)
    }
}

impl Instant {
    /// Returns the point on the port's clock, in nanoseconds.
    pub(crate) fn to_nanos(self) -> u64 {
        self.nanos
    }
}

/// Returns the deadline `duration` from now, on the port's clock. One beyond the clock's range
/// never comes.
pub(crate) fn deadline_in(duration: Duration) -> u64 {
    Instant::now().checked_add(duration).map_or(NEVER, |instant| instant.nanos)
}

/// Blocks the calling tasklet for at least `duration`; outside a scheduler, the thread.
///
/// A deadline set by [`timeout`], or a kill inside [`kill_as_error`], ends the sleep early. `sleep`
/// cannot return that, so a loop that polls and sleeps should use [`try_sleep`]. While the tasklet
/// is unwinding, it returns at once.
///
/// # Panics
/// Inside [`no_switch`](crate::task::no_switch).
///
/// [`kill_as_error`]: crate::task::kill_as_error
///
/// ```
/// use overlapped::time::{Duration, Instant, sleep};
/// overlapped::run(|| {
///     let begin = Instant::now();
///     let naps = [0; 100].map(|_| overlapped::spawn(|| sleep(Duration::from_millis(20))));
///     for nap in naps {
///         nap.join().unwrap();
///     }
///     assert!(begin.elapsed() < Duration::from_secs(2), "they overlap");
/// }).unwrap();
/// ```
pub fn sleep(duration: Duration) {
    sleep_until(far(Instant::now(), duration));
}

/// Blocks the calling tasklet until `instant`, otherwise like [`sleep`].
///
/// # Panics
/// Inside [`no_switch`](crate::task::no_switch).
pub fn sleep_until(instant: Instant) {
    if let Err(reason @ CannotWait::NoSwitch) = sleep_to(instant.nanos) {
        panic!("sleep {}", reason.message());
    }
}

/// Blocks the calling tasklet for at least `duration`; outside a scheduler, the thread. Loops under
/// a [`timeout`] should use this sleep, since it returns an error if the deadline ends it.
///
/// # Errors
/// [`Cancelled`](crate::task::Cancelled) if the deadline or, inside
/// [`kill_as_error`](crate::task::kill_as_error), a kill ends the sleep early; `WouldBlock`, at
/// once, while unwinding and inside [`no_switch`](crate::task::no_switch).
///
/// ```
/// use overlapped::time::{Duration, timeout, try_sleep};
/// use std::{io, path::Path};
///
/// /// Waits until `path` exists, or until the caller's deadline.
/// fn wait_for(path: &Path) -> io::Result<()> {
///     while !overlapped::fs::exists(path)? {
///         try_sleep(Duration::from_millis(10))?;
///     }
///     Ok(())
/// }
///
/// overlapped::run(|| {
///     let waited = timeout(Duration::from_millis(50), || wait_for("/no such file".as_ref()));
///     assert_eq!(waited.unwrap_err().kind(), io::ErrorKind::TimedOut);
/// }).unwrap();
/// ```
pub fn try_sleep(duration: Duration) -> io::Result<()> {
    try_sleep_until(far(Instant::now(), duration))
}

/// Blocks the calling tasklet until `instant`, otherwise like [`try_sleep`].
///
/// # Errors
/// As [`try_sleep`].
pub fn try_sleep_until(instant: Instant) -> io::Result<()> {
    match sleep_to(instant.nanos) {
        Ok(true) => Ok(()),
        Ok(false) => Err(cancelled_wait()),
        Err(reason) => Err(reason.into()),
    }
}

/// Sleeps. Returns true at the end of the sleep, false if the deadline or a kill ended it. It
/// always parks, even if `until` has passed, so that a loop that ignores the deadline still lets
/// other tasklets run.
fn sleep_to(until: u64) -> Result<bool, CannotWait> {
    let Some(here) = here() else {
        while let left @ 1.. = until.saturating_sub(clock::nanos()) {
            crate::sys::thread::sleep(Duration::from_nanos(left));
        }
        return Ok(true);
    };
    checkpoint_without_error(here)?;
    let deadline = if is_cancelled(here) { 0 } else { here.me().deadline.get() };
    // Even an endless sleep must count as a timer that can wake the tasklet; `NEVER` means no
    // timer.
    let woken = park(here, Waiting::Sleep, until.min(deadline).min(NEVER - 1));
    deliver_kill(here);
    Ok(until <= deadline && woken == Wake::Done)
}

/// Runs `f` with a deadline `duration` from now: calls inside that wait return an error when it has
/// passed (`TimedOut`, or their own variant). Returns the result of `f`. `recv` and `send` of
/// [`mpsc`](crate::sync::mpsc), `mpmc` and `oneshot` have only std's errors, so a deadline looks
/// like a closed channel: call [`expired`] after them, or use `recv_timeout`.
///
/// The earliest of nested deadlines counts, also if it is the outer one. Deadlines do not end waits
/// for locks and [`block_on`](crate::task::block_on). Tasklets that `f` spawns have no deadline,
/// except those of a [`scope`](crate::scope()), which it waits for. Outside a scheduler `f` runs
/// without a deadline.
///
/// ```
/// use overlapped::{Channel, RecvError, time::{Duration, timeout}};
/// overlapped::run(|| {
///     let channel = Channel::<u8>::new();
///     let received = timeout(Duration::from_millis(10), || channel.recv());
///     assert_eq!(received, Err(RecvError::TimedOut));
/// }).unwrap();
/// ```
///
/// **A loop that polls** must check whether the deadline has passed. After the deadline [`sleep`]
/// returns at once and has no error to return, so `while !ready() { sleep(…) }` would spin. Use
/// [`try_sleep`], or call [`expired`]:
///
/// ```
/// use overlapped::time::{Duration, expired, timeout, try_sleep};
/// # let ready = || false;
/// overlapped::run(|| {
///     let waited = timeout(Duration::from_millis(20), || {
///         while !ready() {
///             try_sleep(Duration::from_millis(5))?;
///         }
///         std::io::Result::Ok(())
///     });
///     assert_eq!(waited.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
///     let rounds = timeout(Duration::from_millis(20), || {
///         let mut rounds = 0;
///         while !expired() {
///             rounds += 1;
///             overlapped::yield_now();
///         }
///         rounds
///     });
///     assert!(rounds > 0);
/// }).unwrap();
/// ```
pub fn timeout<T>(duration: Duration, f: impl FnOnce() -> T) -> T {
    let Some(here) = here() else { return f() };
    let me = here.me();
    let outer = me.deadline.get();
    me.deadline.set(outer.min(deadline_in(duration)));
    let _restore = Restore { outer };
    f()
}

/// Returns the deadline of the calling tasklet: the earliest of those set by the [`timeout`]s
/// around it. `None` without one, and outside a scheduler.
///
/// ```
/// use overlapped::time::{Duration, Instant, deadline, timeout};
/// overlapped::run(|| {
///     assert_eq!(deadline(), None);
///     let left = timeout(Duration::from_secs(60), || {
///         deadline().map(|deadline| deadline.duration_since(Instant::now()))
///     });
///     assert!(left.unwrap() <= Duration::from_secs(60));
/// }).unwrap();
/// ```
pub fn deadline() -> Option<Instant> {
    let nanos = here()?.me().deadline.get();
    (nanos != NEVER).then_some(Instant { nanos })
}

/// Tells whether the [`deadline`] of the calling tasklet has passed. Calls that wait return their
/// error from then on. This function never waits, so a loop that only computes and calls it lets no
/// other tasklet run.
pub fn expired() -> bool {
    deadline().is_some_and(|deadline| deadline <= Instant::now())
}

/// Restores the outer deadline.
struct Restore {
    outer: u64,
}

impl Drop for Restore {
    fn drop(&mut self) {
        if let Some(here) = here() {
            here.me().deadline.set(self.outer);
        }
    }
}

/// The handling of ticks that an [`Interval`] missed because its owner did not wait in time. A tick
/// that is late by less than a period is not missed. The names are tokio's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum MissedTickBehavior {
    /// The missed ticks come at once, one after another, until the interval has caught up: as many
    /// ticks as periods.
    #[default]
    Burst,
    /// The late tick comes at once, and the next one a whole period after that.
    Delay,
    /// The late tick comes at once, the other missed ticks are dropped, and the next one comes by
    /// the original schedule.
    Skip,
}

/// A source of ticks at a fixed period, made by [`interval`].
#[derive(Debug)]
pub struct Interval {
    next: Instant,
    period: Duration,
    missed: MissedTickBehavior,
}

/// Makes an interval whose first tick comes one `period` from now. (tokio's comes at once.)
/// [`set_missed_tick_behavior`](Interval::set_missed_tick_behavior) sets what happens to missed
/// ticks.
///
/// # Panics
/// If `period` is zero.
///
/// ```
/// use overlapped::time::{Duration, Instant, interval};
/// overlapped::run(|| {
///     let begin = Instant::now();
///     let mut ticks = interval(Duration::from_millis(5));
///     ticks.tick();
///     ticks.tick();
///     assert!(begin.elapsed() >= Duration::from_millis(10));
/// }).unwrap();
/// ```
pub fn interval(period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval's period must not be zero");
    Interval { next: far(Instant::now(), period), period, missed: MissedTickBehavior::default() }
}

/// Returns the point `duration` later, or the clock's last one if that is earlier.
fn far(instant: Instant, duration: Duration) -> Instant {
    instant.checked_add(duration).unwrap_or(Instant { nanos: NEVER - 1 })
}

impl Interval {
    /// Waits for the next tick, and returns the time at which it was due.
    ///
    /// A deadline set by [`timeout`] ends the wait early, as it ends [`sleep`]. The tick has not
    /// come then, and the next call waits for it again.
    ///
    /// # Panics
    /// Inside [`no_switch`](crate::task::no_switch).
    pub fn tick(&mut self) -> Instant {
        let due = self.next;
        sleep_until(due);
        let now = Instant::now();
        if now < due {
            return due;
        }
        self.next = match self.missed {
            MissedTickBehavior::Burst => far(due, self.period),
            _ if now < far(due, self.period) => far(due, self.period),
            MissedTickBehavior::Delay => far(now, self.period),
            MissedTickBehavior::Skip => {
                let late = now.duration_since(due).as_nanos() % self.period.as_nanos();
                let left = self.period.as_nanos() - late;
                far(now, Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX)))
            }
        };
        due
    }

    /// Returns the time of the next tick, for [`Select::at`](crate::chan::Select::at).
    pub fn due(&self) -> Instant {
        self.next
    }

    /// Makes the next tick come one period from now.
    pub fn reset(&mut self) {
        self.next = far(Instant::now(), self.period);
    }

    /// Returns the time between two ticks.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Returns the handling of missed ticks.
    pub fn missed_tick_behavior(&self) -> MissedTickBehavior {
        self.missed
    }

    /// Changes the handling of missed ticks, from the next call of [`tick`](Interval::tick) on.
    pub fn set_missed_tick_behavior(&mut self, behavior: MissedTickBehavior) {
        self.missed = behavior;
    }
}
