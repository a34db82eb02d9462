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

use crate::pipe::Turns;
use crate::sys::lock::{Mutex, MutexGuard};
use crate::task::waiter::{self, Waker, Woken};
use crate::task::{Refusal, cut_short};

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

impl<C: Deref<Target = Cursor>> Turn<C> {
    /// Calls `wait`. Who is parked for good in it has the turn no more.
    pub(super) fn during<R>(&self, wait: impl FnOnce() -> R) -> R {
        waiter::with_cleanup(&|| self.0.leave(), wait)
    }
}

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
        self.queue.lock()
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
        // If it is not in the queue, the turn was handed over in the last moment.
        let quit = || {
            if !self.take_out(number) {
                self.leave();
            }
        };
        let woken =
            waiter::with_cleanup(&quit, || wait.park("a file's cursor", waiter::deadline()));
        match woken {
            Woken::Yes => Ok(()),
            Woken::TimedOut if !self.take_out(number) => Ok(()),
            Woken::TimedOut => Err(cut_short()),
            Woken::Killed => {
                quit();
                // Others may run here: the queue is not locked any more.
                waiter::leave()
            }
        }
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
        Cursor::enter(self)?.during(f);
        Ok(())
    }
}

fn refused(refusal: Refusal) -> io::Error {
    io::Error::new(io::ErrorKind::WouldBlock, refusal.reason())
}

#[cfg(all(test, not(miri)))]
mod tests {
    use std::sync::{Arc, mpsc};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::task::{Config, shield, spawn, yield_now};
    use crate::time::sleep;

    /// Runs `f` in a tasklet that is parked for good in it, on a thread that does not end.
    fn abandon(f: impl FnOnce() + Send + 'static) {
        let (done, wait) = mpsc::channel();
        thread::spawn(move || {
            let config = Config::new().grace(Duration::from_millis(20));
            let ended = config.run_until(|| {
                drop(spawn(move || shield(f)));
                yield_now();
            });
            done.send(ended.is_ok()).unwrap();
        });
        assert!(wait.recv_timeout(Duration::from_secs(30)).unwrap());
    }

    /// Takes the turn on a thread of its own, and says so.
    fn take_turn(cursor: &Arc<Cursor>) -> mpsc::Receiver<()> {
        let (cursor, (done, wait)) = (Arc::clone(cursor), mpsc::channel());
        thread::spawn(move || {
            drop(Cursor::enter(cursor));
            done.send(()).unwrap();
        });
        wait
    }

    #[test]
    fn who_is_parked_for_good_in_the_queue_holds_up_nobody() {
        let cursor = Arc::<Cursor>::default();
        let turn = Cursor::enter(Arc::clone(&cursor)).unwrap();
        let theirs = Arc::clone(&cursor);
        abandon(move || drop(Cursor::enter(theirs)));
        let next = take_turn(&cursor);
        thread::sleep(Duration::from_millis(20));
        drop(turn);
        next.recv_timeout(Duration::from_secs(30)).expect("the next one has the turn");
    }

    #[test]
    fn who_is_parked_for_good_has_its_turn_no_more() {
        let cursor = Arc::<Cursor>::default();
        let theirs = Arc::clone(&cursor);
        abandon(move || {
            let turn = Cursor::enter(theirs).unwrap();
            turn.during(|| sleep(Duration::from_secs(100_000)));
        });
        let next = take_turn(&cursor);
        next.recv_timeout(Duration::from_secs(30)).expect("the turn is free");
    }
}
