//! The queue for an open file's cursor: first come, first served, across threads.
//!
//! The ring does not serialise transfers at the cursor, so each of them takes its turn here. Clones
//! of a file share the cursor in the kernel, and so they share this queue.
//!
//! ```text
//!          FREE ◀──────────────── leave, with nothing in the queue
//!   enter   │
//!           ▼
//!          BUSY ──── another caller enters ───▶ QUEUED: it waits in the queue
//!                                               │ leave: the first in the queue has the turn
//! ```
//!
//! A turn without contention costs two atomic instructions. The turn is handed over under the
//! queue's lock: a waiter that is no longer in the queue has the turn, whatever else has happened
//! to the waiter meanwhile.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::sys::lock::{Mutex, MutexGuard};
use crate::task::waiter::{self, Waker, Woken};
use crate::task::{CannotWait, cancelled_wait};

const FREE: u32 = 0;
const BUSY: u32 = 1;
const QUEUED: u32 = 2;

#[derive(Default)]
pub(super) struct Cursor {
    state: AtomicU32,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiters: VecDeque<(u64, Waker)>,
    next: u64,
}

impl Cursor {
    /// Waits for the turn, blocking the calling tasklet, or thread.
    ///
    /// # Errors
    /// `TimedOut` at the deadline; `WouldBlock` if another caller has the turn and this one may not
    /// wait.
    #[inline]
    pub(super) fn enter(&self) -> io::Result<()> {
        let entered = self.state.compare_exchange(FREE, BUSY, Ordering::Acquire, Ordering::Relaxed);
        if entered.is_ok() { Ok(()) } else { self.queue_up() }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
    }

    #[cold]
    fn queue_up(&self) -> io::Result<()> {
        let (wait, waker) = waiter::prepare().map_err(refused)?;
        let number = {
            let mut queue = self.queue();
            // Under the lock, so that a caller that sees `QUEUED` finds this waiter in the queue.
            if self.state.swap(QUEUED, Ordering::Acquire) == FREE {
                // It was free, so no queue exists.
                self.state.store(BUSY, Ordering::Relaxed);
                return Ok(());
            }
            queue.next += 1;
            let number = queue.next;
            queue.waiters.push_back((number, waker));
            number
        };
        // A waiter that is no longer in the queue was given the turn at the last moment.
        let quit = || {
            if !self.remove(number) {
                self.leave();
            }
        };
        let woken =
            waiter::with_cleanup(&quit, || wait.park("a file's cursor", waiter::deadline()));
        match woken {
            Woken::Yes => Ok(()),
            Woken::TimedOut if !self.remove(number) => Ok(()),
            Woken::TimedOut => Err(cancelled_wait()),
            Woken::Killed => {
                quit();
                // Others may run here: the queue is not locked any more.
                waiter::leave()
            }
        }
    }

    /// Removes a waiter from the queue. Returns false if it was not in there.
    fn remove(&self, number: u64) -> bool {
        let mut queue = self.queue();
        let place = queue.waiters.iter().position(|(waiting, _)| *waiting == number);
        place.and_then(|place| queue.waiters.remove(place)).is_some()
    }

    /// Ends the turn.
    #[inline]
    pub(super) fn leave(&self) {
        let left = self.state.compare_exchange(BUSY, FREE, Ordering::Release, Ordering::Relaxed);
        if left.is_err() {
            self.hand_over();
        }
    }

    #[cold]
    fn hand_over(&self) {
        let mut queue = self.queue();
        match queue.waiters.pop_front() {
            Some((_, waker)) => {
                drop(queue);
                waker.wake();
            }
            None => self.state.store(FREE, Ordering::Release),
        }
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor").field("state", &self.state).finish_non_exhaustive()
    }
}

fn refused(reason: CannotWait) -> io::Error {
    io::Error::new(io::ErrorKind::WouldBlock, reason.message())
}
