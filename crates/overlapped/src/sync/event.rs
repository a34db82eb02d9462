//! A flag to wait for.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::base::gathering::Gathering;
use super::base::lock::refuse;
use crate::sched::{Awaited, NEVER};
use crate::task::{CannotWait, waiter};
use crate::time;

const WHAT: &str = "an Event";

/// A flag that any number of tasklets and threads wait for. Once set it stays set, and no call
/// waits, until it is cleared.
///
/// A tasklet that waits when [`set`](Event::set) is called goes on, even if the flag is cleared
/// before it runs.
///
/// ```
/// use overlapped::sync::Event;
///
/// overlapped::run(|| {
///     let ready = Event::new();
///     overlapped::scope(|s| {
///         s.spawn(|| ready.wait());
///         s.spawn(|| ready.set());
///     });
///     assert!(ready.is_set());
/// }).unwrap();
/// ```
pub struct Event {
    set: AtomicBool,
    gathering: Gathering,
}

impl Event {
    /// Makes an event that is not set.
    pub const fn new() -> Event {
        Event { set: AtomicBool::new(false), gathering: Gathering::new() }
    }

    /// Sets the flag and wakes all that wait. Writes from before are seen after the wait.
    pub fn set(&self) {
        let queue = self.gathering.lock();
        self.set.store(true, Ordering::Release);
        queue.release_all();
    }

    /// Clears the flag: from now on [`wait`](Event::wait) waits.
    pub fn clear(&self) {
        self.set.store(false, Ordering::Release);
    }

    /// Tells whether the flag is set.
    pub fn is_set(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }

    /// Waits until the flag is set. A deadline of [`timeout`](crate::time::timeout) does not end
    /// the wait.
    ///
    /// # Panics
    /// If it would have to wait inside [`no_switch`](crate::task::no_switch).
    pub fn wait(&self) {
        match self.wait_until(NEVER) {
            Ok(_) => {}
            Err(reason) => refuse(reason, WHAT, (&raw const *self).cast()),
        }
    }

    /// Waits until the flag is set, for `timeout` at most, and returns whether it was set. A
    /// deadline ends the wait, too. If it may not wait at all (unwinding, inside
    /// [`no_switch`](crate::task::no_switch)), it returns the flag at once.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        let until = time::deadline_in(timeout).min(waiter::deadline());
        self.wait_until(until).unwrap_or_else(|_| self.is_set())
    }

    /// Waits for a change that a tasklet or another thread of this process must bring about, such
    /// as the release of another library's lock. Returns whether the flag is set. `what` names the
    /// object of the wait in dumps and deadlock reports, and `at` is its address, so that two waits
    /// for one object are seen as such (0: it has none). A deadline does not end the wait.
    ///
    /// Other waits for an Event keep a run from its deadlock report: anything may set the flag.
    /// This one does not: if the process has no other threads and none of its tasklets can run, it
    /// is a deadlock. (With glibc. Elsewhere threads are not counted, and there is no deadlock
    /// report.)
    ///
    /// With `look_after` it returns after that time at the latest, for callers that check again and
    /// again. That time keeps a run from its deadlock report only if it is a `limit`, at which the
    /// caller gives up.
    ///
    /// # Panics
    /// As [`wait`](Event::wait).
    pub fn wait_for_threads(
        &self,
        what: &'static str,
        at: usize,
        look_after: Option<Duration>,
        limit: Option<Duration>,
    ) -> bool {
        if self.is_set() {
            return true;
        }
        let until = |time: Option<Duration>| time.map_or(NEVER, time::deadline_in);
        let (look, limit) = (until(look_after), until(limit));
        let awaited = Awaited { what, at };
        match self.gathering.join(|_| !self.is_set()) {
            Ok(Some(entry)) => entry.wait_for_threads(awaited, look.min(limit), limit == NEVER),
            Ok(None) => true,
            Err(reason) => refuse(reason, what, (&raw const *self).cast()),
        }
    }

    /// Waits until the flag is set, for `limit` at most. Inside
    /// [`interruptible`](crate::signal::interruptible) a signal handler ends the wait, too; inside
    /// [`kill_as_error`](crate::task::kill_as_error) so does a kill. A deadline does not. Returns
    /// whether the flag is set. Use it for changes that may come from anywhere, also from a signal
    /// handler or another process. `what` names the object of the wait in dumps.
    ///
    /// # Errors
    /// `Interrupted`, inside [`interruptible`](crate::signal::interruptible): a signal handler has
    /// run.
    ///
    /// # Panics
    /// As [`wait`](Event::wait).
    pub fn wait_interruptible(
        &self,
        what: &'static str,
        limit: Option<Duration>,
    ) -> io::Result<bool> {
        if self.is_set() {
            return Ok(true);
        }
        if let Some(error) = waiter::take_interruption() {
            return Err(error);
        }
        let until = limit.map_or(NEVER, time::deadline_in).min(waiter::past_deadlines());
        let is_set = match self.gathering.join(|_| !self.is_set()) {
            Ok(Some(entry)) => entry.wait(what, until),
            Ok(None) => true,
            Err(reason) => refuse(reason, what, (&raw const *self).cast()),
        };
        match is_set {
            false => waiter::take_interruption().map_or(Ok(false), Err),
            true => Ok(true),
        }
    }

    fn wait_until(&self, until: u64) -> Result<bool, CannotWait> {
        if self.is_set() {
            return Ok(true);
        }
        match self.gathering.join(|_| !self.is_set())? {
            Some(entry) => Ok(entry.wait(WHAT, until)),
            None => Ok(true),
        }
    }
}

impl Default for Event {
    fn default() -> Event {
        Event::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("set", &self.is_set()).finish_non_exhaustive()
    }
}
