//! Permits: the core of [`Mutex`](crate::sync::Mutex), [`RwLock`](crate::sync::RwLock),
//! [`Semaphore`](crate::sync::Semaphore) and [`FairLock`](crate::sync::FairLock). A lock's owner
//! holds all of them, a reader one.
//!
//! One atomic word, the state, has the number of free permits, and a flag that keeps newcomers from
//! taking any: the state is CLOSED while waiters are queued and the first of them is not on its way
//! (woken, with permits to take). One atomic instruction takes permits from an open state that has
//! enough of them, and one returns permits to an open state. All else happens under the queue's
//! lock, which is held for a few steps, never across a wait or a wake.
//!
//! ```text
//!                     ┌── shared ─────────▶ permits are handed over to it
//! first in the queue ─┤                                                     enough ─▶ takes them
//!  and enough is free └── exclusive ──▶ woken, the state is opened ─▶ comes ─┤
//!                                                                            └ too late ─▶ CLOSED;
//!                                                             next time they are handed over to it
//! ```
//!
//! An exclusive waiter is only woken, the first time. If the waiter owned the lock at once, the
//! lock would be idle until the waiter runs: on another thread, perhaps after all others that are
//! ready there. The same would happen for each waiter in the queue. So others may overtake it while
//! it is on its way, but only *once*: if it comes too late, the state is closed to newcomers and
//! the next release hands over. Shared permits are handed over at once: they keep out only callers
//! that want all.
//!
//! A waiter that leaves the queue without taking an offered permit (after a kill, at a time limit,
//! at the end of the grace time) passes it on.

use super::queue::{Key, Queue, wake_all};
use super::rt::{
    self, AtomicUsize, CannotWait, LockWait, Mutex, Ordering, Wait, Waker, Woken, lock,
};

/// Newcomers may not take permits.
const CLOSED: usize = 1;
/// One permit in the state.
const ONE: usize = 2;

/// The maximum number of permits of one lock or semaphore.
pub(in crate::sync) const PERMITS_MAX: usize = usize::MAX / (2 * ONE);

/// The queue, made at the first contention.
pub(in crate::sync) type Waiters = Option<Box<Queue<Want>>>;

/// The permits, and the queue of waiters.
pub(in crate::sync) struct Permits {
    /// The number of free permits, and [`CLOSED`].
    state: AtomicUsize,
    queue: Mutex<Waiters>,
}

/// The request of one waiter.
pub(in crate::sync) struct Want {
    permits: usize,
    /// Set if it wants all of a lock's permits: it is woken first, and handed them only after it
    /// came too late.
    exclusive: bool,
    /// Set while it has been woken and may find enough. Only the first is ever on its way.
    on_its_way: bool,
    /// Set when it has come too late once.
    late: bool,
}

/// The request of a caller.
#[derive(Clone, Copy)]
pub(in crate::sync) struct Request<'a> {
    pub(in crate::sync) permits: usize,
    pub(in crate::sync) exclusive: bool,
    /// For dumps.
    pub(in crate::sync) what: &'static str,
    /// The lock to which the permits belong; `None` for other users of permits.
    pub(in crate::sync) lock: Option<LockWait<'a>>,
    /// The end of the wait, on the port's clock.
    pub(in crate::sync) until: u64,
}

/// The reason why a caller has got no permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAcquired {
    TimedOut,
    /// It would have to wait and may not.
    Refused(CannotWait),
}

impl Permits {
    /// Makes permits of parts that the caller makes, so that this can be `const` with std's types
    /// and be compiled with loom's.
    pub(in crate::sync) const fn from_parts(state: AtomicUsize, queue: Mutex<Waiters>) -> Permits {
        Permits { state, queue }
    }

    /// Returns the state with this number of free permits.
    pub(in crate::sync) const fn initial_state(permits: usize) -> usize {
        assert!(permits <= PERMITS_MAX, "too many permits");
        permits * ONE
    }

    /// Returns the number of free permits.
    pub(in crate::sync) fn free(&self) -> usize {
        self.state.load(Ordering::Relaxed) / ONE
    }

    /// Takes all permits, whose number is `all`, if they are free and newcomers may.
    #[inline]
    pub(in crate::sync) fn take_all(&self, all: usize) -> bool {
        let (free, acquire) = (all * ONE, Ordering::Acquire);
        self.state.compare_exchange(free, 0, acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes permits, if there are enough and newcomers may.
    #[inline]
    pub(in crate::sync) fn try_acquire(&self, permits: usize) -> bool {
        self.try_take(permits, permits)
    }

    /// Takes a reader's permit, if another one is left over and newcomers may.
    #[inline]
    pub(in crate::sync) fn try_share(&self) -> bool {
        self.try_take(1, 2)
    }

    /// Takes permits, if at least `free` are free and newcomers may.
    #[inline]
    fn try_take(&self, permits: usize, free: usize) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        while state & CLOSED == 0 && state / ONE >= free {
            match self.swap(state, state - permits * ONE) {
                Ok(()) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    /// Tells whether a waiter waits for the permits that are given back next.
    pub(in crate::sync) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Relaxed) & CLOSED != 0
    }

    /// Gives permits back.
    #[inline]
    pub(in crate::sync) fn release(&self, permits: usize) {
        let state = self.state.fetch_add(permits * ONE, Ordering::Release);
        if state & CLOSED != 0 {
            self.serve();
        }
    }

    /// Waits for permits. A suspension point: a kill unwinds out of it.
    pub(in crate::sync) fn acquire(&self, request: &Request<'_>) -> Result<(), NotAcquired> {
        let (wait, waker) = rt::prepare().map_err(NotAcquired::Refused)?;
        let Some(key) = self.take_or_queue(request, waker) else { return Ok(()) };
        let waiter = QueuedWaiter { permits: self, key };
        let ended = rt::with_cleanup(&|| waiter.abandon(), || waiter.wait(wait, request));
        // The waiter has left the queue.
        std::mem::forget(waiter);
        ended
    }

    /// Takes permits past all waiters, for a caller that cannot wait: even permits that have been
    /// handed over to an exclusive waiter that has not run since.
    pub(in crate::sync) fn take_past_waiters(&self, permits: usize) -> bool {
        let mut waiters = lock(&self.queue);
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            if state / ONE >= permits {
                match self.swap(state, state - permits * ONE) {
                    Ok(()) => return true,
                    Err(now) => state = now,
                }
                continue;
            }
            let Some(queue) = &mut *waiters else { return false };
            let Some(key) = queue.find_granted(|want| want.exclusive) else { return false };
            queue.revoke(key);
            let want = queue.want(key);
            (want.late, want.on_its_way) = (true, false);
            let back = want.permits;
            self.state.fetch_or(CLOSED, Ordering::Relaxed);
            state = self.state.fetch_add(back * ONE, Ordering::AcqRel) + back * ONE;
        }
    }

    fn swap(&self, old: usize, new: usize) -> Result<(), usize> {
        let swapped =
            self.state.compare_exchange_weak(old, new, Ordering::AcqRel, Ordering::Acquire);
        swapped.map(drop)
    }

    /// Takes permits, or queues the caller and closes the state. A release sees this as one step.
    fn take_or_queue(&self, request: &Request<'_>, waker: Waker) -> Option<Key> {
        let mut waiters = lock(&self.queue);
        let queue = waiters.get_or_insert_with(|| Box::new(Queue::new()));
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let open = state & CLOSED == 0;
            let swapped = if open && state / ONE >= request.permits {
                match self.swap(state, state - request.permits * ONE) {
                    Ok(()) => return None,
                    Err(now) => Err(now),
                }
            } else if open && queue.waiting() == 0 {
                self.swap(state, state | CLOSED)
            } else {
                Ok(()) // Closed already, or the first waiter, on its way, will do it.
            };
            match swapped {
                Ok(()) => break,
                Err(now) => state = now,
            }
        }
        let Request { permits, exclusive, .. } = *request;
        Some(queue.push(Want { permits, exclusive, on_its_way: false, late: false }, waker))
    }

    /// Serves the queue after a release, and wakes the waiters that it served.
    #[cold]
    fn serve(&self) {
        let mut waiters = lock(&self.queue);
        let Some(queue) = &mut *waiters else { return };
        let wakers = self.serve_queue(queue);
        drop(waiters);
        wake_all(wakers);
    }

    /// Serves the queue. Afterwards the state is closed if and only if a waiter is queued and the
    /// first is not on its way.
    fn serve_queue(&self, queue: &mut Queue<Want>) -> Vec<Waker> {
        let mut wakers = Vec::new();
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            let Some(key) = queue.first() else {
                self.state.fetch_and(!CLOSED, Ordering::Relaxed);
                return wakers;
            };
            let want = queue.want(key);
            if want.on_its_way {
                return wakers;
            }
            let (permits, waits_first) = (want.permits, want.exclusive && !want.late);
            let swapped = if state / ONE < permits {
                match self.swap(state, state | CLOSED) {
                    Ok(()) => return wakers,
                    Err(now) => Err(now),
                }
            } else if waits_first {
                want.on_its_way = true;
                wakers.extend(queue.take_waker(key));
                self.state.fetch_and(!CLOSED, Ordering::Relaxed);
                return wakers;
            } else {
                let left = state - permits * ONE;
                self.swap(state, left).map(|()| {
                    wakers.extend(queue.grant(key));
                    left
                })
            };
            state = swapped.unwrap_or_else(|now| now);
        }
    }
}

/// A waiter's entry in the queue. If it is unwound, it passes on what it was offered.
struct QueuedWaiter<'a> {
    permits: &'a Permits,
    key: Key,
}

impl QueuedWaiter<'_> {
    /// Waits until the permits are there, and leaves the queue, with them or without.
    fn wait(&self, mut wait: Wait, request: &Request<'_>) -> Result<(), NotAcquired> {
        loop {
            let woken = match request.lock {
                Some(lock) => wait.park_for_lock(lock, request.until),
                None => wait.park(request.what, request.until),
            };
            match woken {
                Woken::Yes if self.arrive() => return Ok(()),
                Woken::Yes => {}
                Woken::TimedOut => {
                    return if self.quit(true) { Ok(()) } else { Err(NotAcquired::TimedOut) };
                }
                Woken::Killed => rt::leave(),
            }
            let (again, waker) = match rt::prepare() {
                Ok(prepared) => prepared,
                Err(reason) => {
                    self.quit(false);
                    return Err(NotAcquired::Refused(reason));
                }
            };
            if self.renew(waker) {
                return Ok(());
            }
            wait = again;
        }
    }

    /// Leaves the queue for a waiter that is parked for good.
    fn abandon(&self) {
        self.quit(false);
    }

    /// Takes the permits after a wake. Returns whether the waiter has them now; then it has left
    /// the queue.
    fn arrive(&self) -> bool {
        let mut waiters = lock(&self.permits.queue);
        let queue = queue_of(&mut waiters);
        if queue.is_granted(self.key) {
            queue.remove(self.key);
            return true;
        }
        let wanted = queue.want(self.key).permits;
        let mut state = self.permits.state.load(Ordering::Relaxed);
        loop {
            let enough = state / ONE >= wanted;
            let new = if enough { state - wanted * ONE } else { state | CLOSED };
            match self.permits.swap(state, new) {
                Ok(()) if enough => break,
                Ok(()) => {
                    let want = queue.want(self.key);
                    (want.on_its_way, want.late) = (false, true);
                    return false;
                }
                Err(now) => state = now,
            }
        }
        queue.remove(self.key);
        let wakers = self.permits.serve_queue(queue);
        drop(waiters);
        wake_all(wakers);
        true
    }

    /// Prepares to wait again. Returns true if it need not: it has been handed its permits
    /// meanwhile and has left the queue.
    fn renew(&self, waker: Waker) -> bool {
        let mut waiters = lock(&self.permits.queue);
        let queue = queue_of(&mut waiters);
        let granted = queue.is_granted(self.key);
        if granted {
            queue.remove(self.key);
        } else {
            queue.renew(self.key, waker);
        }
        granted
    }

    /// Leaves the queue. Returns whether the waiter has been handed its permits nevertheless. They
    /// are kept, if `keep`, or passed on.
    fn quit(&self, keep: bool) -> bool {
        let mut waiters = lock(&self.permits.queue);
        let queue = queue_of(&mut waiters);
        let (want, granted) = queue.remove(self.key);
        if granted && keep {
            return true;
        }
        if granted {
            self.permits.state.fetch_add(want.permits * ONE, Ordering::Release);
        }
        let wakers = self.permits.serve_queue(queue);
        drop(waiters);
        wake_all(wakers);
        granted
    }
}

impl Drop for QueuedWaiter<'_> {
    fn drop(&mut self) {
        self.quit(false);
    }
}

fn queue_of(waiters: &mut Waiters) -> &mut Queue<Want> {
    waiters.as_mut().expect("it was made when the first waiter came")
}
