//! The turn at a file's cursor: first come, first served, across threads.
//!
//! The ring does not serialise transfers at the cursor, so each of them takes its turn here. Clones
//! of a file share the cursor in the kernel, and so they share this lock. A turn without contention
//! costs two atomic instructions.

use std::io;
use std::ops::Deref;

use super::state::State;
use crate::sync::{FairLock, NotAcquired};
use crate::task::{cancelled_wait, waiter};

/// The turn at a file's cursor, which ends when this is dropped. `S` keeps the file's state: by a
/// borrow, or by a share for a job that may outlive its caller.
pub(crate) struct Turn<S: Deref<Target = State>>(S);

impl<S: Deref<Target = State>> Turn<S> {
    /// Waits for the turn, blocking the calling tasklet, or thread.
    ///
    /// # Errors
    /// `TimedOut` at the deadline; `WouldBlock` if another caller has the turn and this one may not
    /// wait.
    #[inline]
    pub(crate) fn take(state: S) -> io::Result<Turn<S>> {
        if !state.cursor.try_lock() {
            wait_for(&state.cursor)?;
        }
        Ok(Turn(state))
    }

    /// Calls `wait`. A tasklet that is parked for good in it loses the turn.
    pub(crate) fn during<R>(&self, wait: impl FnOnce() -> R) -> R {
        waiter::with_cleanup(&|| self.0.cursor.unlock(), wait)
    }
}

impl<S: Deref<Target = State>> Drop for Turn<S> {
    fn drop(&mut self) {
        self.0.cursor.unlock();
    }
}

#[cold]
fn wait_for(cursor: &FairLock) -> io::Result<()> {
    cursor.lock("a file's cursor", waiter::deadline()).map_err(|reason| match reason {
        NotAcquired::TimedOut => cancelled_wait(),
        NotAcquired::Refused(reason) => reason.into(),
    })
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

    /// Takes the turn on a new thread, which then sends a message.
    fn take_turn(state: &Arc<State>) -> mpsc::Receiver<()> {
        let (state, (done, wait)) = (Arc::clone(state), mpsc::channel());
        thread::spawn(move || {
            drop(Turn::take(state));
            done.send(()).unwrap();
        });
        wait
    }

    #[test]
    fn a_waiter_that_is_parked_for_good_holds_up_no_other() {
        let state = Arc::<State>::default();
        let turn = Turn::take(Arc::clone(&state)).unwrap();
        let theirs = Arc::clone(&state);
        abandon(move || drop(Turn::take(theirs)));
        let next = take_turn(&state);
        thread::sleep(Duration::from_millis(20));
        drop(turn);
        next.recv_timeout(Duration::from_secs(30)).expect("the next one has the turn");
    }

    #[test]
    fn a_tasklet_that_is_parked_for_good_loses_its_turn() {
        let state = Arc::<State>::default();
        let theirs = Arc::clone(&state);
        abandon(move || {
            let turn = Turn::take(theirs).unwrap();
            turn.during(|| sleep(Duration::from_secs(100_000)));
        });
        let next = take_turn(&state);
        next.recv_timeout(Duration::from_secs(30)).expect("the turn is free");
    }
}
