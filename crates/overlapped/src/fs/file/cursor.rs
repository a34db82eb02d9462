//! Whose turn it is at an open file's cursor: first come, first served, across threads.
//!
//! The ring does not serialise transfers at the cursor, so each of them takes its turn here; clones
//! of a file share the cursor in the kernel, and so they share this.
//!
//! ```text
//!          FREE ◀──────────────── leave, nobody waits
//!   enter   │
//!           ▼
//!          BUSY ──── somebody enters, too ───▶ QUEUED: he waits in the queue
//!                                               │ leave: the first of the queue has the turn
//! ```
//!
//! Alone, a turn costs two atomic instructions. The turn is handed over under the queue's lock: a
//! waiter that is not in the queue any more has it, whatever else has happened to him meanwhile.

use std::collections::VecDeque;
use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::pipe::Turns;
use crate::task::waiter::{self, Waker, Woken};
use crate::task::{Refusal, deadline_passed};

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

/// The turn; over when it is dropped. `C` is what keeps the cursor: a borrow, or, for a job that
/// may outlive its caller, a share.
pub(super) struct Turn<C: Deref<Target = Cursor>>(C);

impl<C: Deref<Target = Cursor>> Drop for Turn<C> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Cursor {
    /// Waits for the turn, blocking the calling tasklet, or thread.
    ///
    /// # Errors
    /// `TimedOut` at the deadline; `WouldBlock` where the caller may not wait and somebody else has
    /// the turn.
    #[inline]
    pub(super) fn enter<C: Deref<Target = Cursor>>(cursor: C) -> io::Result<Turn<C>> {
        if !cursor.is_free_for_me() {
            cursor.queue_up()?;
        }
        Ok(Turn(cursor))
    }

    #[inline]
    fn is_free_for_me(&self) -> bool {
        self.state.compare_exchange(FREE, BUSY, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cold]
    fn queue_up(&self) -> io::Result<()> {
        let (wait, waker) = waiter::prepare().map_err(refused)?;
        let number = {
            let mut queue = self.queue();
            // Under the lock, so that whoever leaves finds either nobody announced, or this one.
            if self.state.swap(QUEUED, Ordering::Acquire) == FREE {
                // Nobody waits for what is free.
                self.state.store(BUSY, Ordering::Relaxed);
                return Ok(());
            }
            queue.next += 1;
            let number = queue.next;
            queue.waiters.push_back((number, waker));
            number
        };
        let woken = wait.park("a file's cursor", waiter::deadline());
        if woken == Woken::Yes {
            return Ok(());
        }
        // If it is not there, it was handed over in the last moment.
        let has_turn = !self.take_out(number);
        match woken {
            Woken::TimedOut if has_turn => return Ok(()),
            _ if has_turn => self.leave(),
            _ => {}
        }
        if woken == Woken::Killed {
            // Others may run here: the queue is not locked any more.
            waiter::leave();
        }
        Err(deadline_passed())
    }

    /// Takes a waiter out of the queue; false where it was not in there.
    fn take_out(&self, number: u64) -> bool {
        let mut queue = self.queue();
        let place = queue.waiters.iter().position(|(waiting, _)| *waiting == number);
        place.and_then(|place| queue.waiters.remove(place)).is_some()
    }

    #[inline]
    fn leave(&self) {
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

impl Turns for Cursor {
    fn during(&self, f: &mut dyn FnMut()) -> io::Result<()> {
        let _turn = Cursor::enter(self)?;
        f();
        Ok(())
    }
}

fn refused(refusal: Refusal) -> io::Error {
    io::Error::new(io::ErrorKind::WouldBlock, refusal.reason())
}
