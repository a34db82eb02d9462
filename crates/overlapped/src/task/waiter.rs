//! One wait that any thread may end, once: the base of locks, queues and channels between threads.
//!
//! ```text
//! prepare ─▶ (Wait, Waker)     the Waker goes where others find it, under the owner's lock
//! Wait::park                   until woken, killed, or too late
//! Waker::wake                  same scheduler: to its ready queue; else through its inbox
//! ```
//!
//! A tasklet blocks itself only; a plain thread blocks as std's locks do. A wake before the park is
//! not lost. A wake after the wait has ended does nothing. So code that hands a value over decides
//! under its own lock which waiter gets it, never by the wake.
//!
//! A caller that waits in a queue parks inside [`with_cleanup`], and leaves the queue there.
//!
//! While a `Wait` exists, the scheduler assumes that another thread may end it, so there is no
//! deadlock report. The exception is a wait for a lock that is held on this very thread.

use std::io;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use super::suspension::{
    CannotWait, checkpoint_without_error, deliver_kill, interrupted, is_cancelled, park,
};
use crate::offload::Sleeper;
use crate::op::Token;
pub(crate) use crate::sched::NEVER;
use crate::sched::{Awaited, Inbox, LockWait, Message, Waiting, Wake, here};
use crate::sys::clock;
use crate::sys::lock::{Condvar, Mutex};

/// The end of a [`Wait`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The [`Waker`] ended it.
    Yes,
    /// The limit ended it, or a kill inside `kill_as_error`.
    TimedOut,
    /// A kill ended it. The caller takes its waker back from where it put it, then calls [`leave`].
    Killed,
}

/// The right to park once; it is not `Send`.
#[must_use = "it waits only when parked"]
pub(crate) struct Wait {
    parker: Parker,
    thread: PhantomData<*const ()>,
}

enum Parker {
    Tasklet(Token),
    Thread(Arc<Flag>),
}

/// The flag that a plain thread waits for. std's `park` is not used, because the token that it
/// would take may be meant for other code in that thread.
#[derive(Default)]
struct Flag {
    woken: Mutex<bool>,
    changed: Condvar,
}

/// Ends one [`Wait`].
#[derive(Clone)]
pub(crate) struct Waker(Target);

#[derive(Clone)]
enum Target {
    Tasklet(Arc<Inbox>, Token),
    Thread(Arc<Flag>),
}

/// Prepares a wait of the calling tasklet, or thread. This is a suspension point: a pending kill is
/// delivered here, so the caller may hold no lock and have nothing half done. From here to the park
/// the caller waits for nothing else.
///
/// # Errors
/// The caller may not wait.
pub(crate) fn prepare() -> Result<(Wait, Waker), CannotWait> {
    let (parker, target) = match here() {
        Some(here) => {
            checkpoint_without_error(here)?;
            let token = here.add_remote_wait(here.me_ptr());
            (Parker::Tasklet(token), Target::Tasklet(Arc::clone(here.inbox()), token))
        }
        None => {
            let flag = Arc::<Flag>::default();
            (Parker::Thread(Arc::clone(&flag)), Target::Thread(flag))
        }
    };
    Ok((Wait { parker, thread: PhantomData }, Waker(target)))
}

/// Calls `wait`. If the calling tasklet is parked for good meanwhile, `cleanup` is called instead:
/// it does for others what destructors would have done if the wait had been unwound. It runs on the
/// scheduler's own stack, so it neither runs nor drops anything of the user's.
///
/// Between the return of `wait` and the point where the caller has left its queue, the caller waits
/// for nothing.
pub(crate) fn with_cleanup<R>(cleanup: &impl Fn(), wait: impl FnOnce() -> R) -> R {
    match here() {
        Some(here) => here.with_cleanup(cleanup, wait),
        None => wait(),
    }
}

/// Returns the time, on the port's clock, at which a wait of the calling tasklet ends, for calls
/// that can return that they were cancelled: the deadline (`time::timeout`), or 0 if a kill is to
/// end the call with an error. [`NEVER`]: only the event ends the wait.
pub(crate) fn deadline() -> u64 {
    here().map_or(NEVER, |here| here.me().deadline.get().min(past_deadlines()))
}

/// Returns the same for a call that no deadline ends.
pub(crate) fn past_deadlines() -> u64 {
    let Some(here) = here() else { return NEVER };
    let me = here.me();
    match me.kill_errors.get() {
        0 if me.interruptible.get() == 0 => NEVER,
        _ if is_cancelled(here) => 0,
        _ => UNTIL_KILLED,
    }
}

/// Takes the request of a signal handler to end the caller's wait. Returns the error for it.
pub(crate) fn take_interruption() -> Option<io::Error> {
    here().filter(|here| here.me().interrupted.take()).map(|_| interrupted())
}

/// The limit of a wait that has no deadline, but that a kill or a signal handler ends.
const UNTIL_KILLED: u64 = NEVER - 1;

/// Delivers the kill that ended a wait: leaves the call by unwinding.
pub(crate) fn leave() -> ! {
    if let Some(here) = here() {
        deliver_kill(here);
    }
    unreachable!("only a tasklet that must end is woken by a kill")
}

impl Wait {
    /// Blocks until woken, killed, or the port's clock shows `until`. `what` is for dumps.
    pub(crate) fn park(self, what: &'static str, until: u64) -> Woken {
        let can_fail = until != NEVER;
        self.park_in(|token| Waiting::Remote { token, what, can_fail }, until)
    }

    /// Blocks for a lock. If the lock is held on this thread, no other thread can end the wait.
    pub(crate) fn park_for_lock(self, lock: LockWait<'_>, until: u64) -> Woken {
        let (kind, holder) = (lock.kind, NonNull::from(lock.holder));
        let count = |by: isize| {
            if let Some(here) = here() {
                here.count_lock_wait(by);
            }
        };
        count(1);
        let woken = self.park_in(|token| Waiting::Lock { token, kind, holder }, until);
        count(-1);
        woken
    }

    /// Blocks for an event that a tasklet or a thread of this process must bring about. `polls`: at
    /// `until` the caller only checks again, so the timer does not count as a way out of a
    /// deadlock.
    pub(crate) fn park_for_threads(self, awaited: Awaited, until: u64, polls: bool) -> Woken {
        let polls = polls && until != NEVER;
        let count = |by: isize| {
            if let Some(here) = here() {
                here.count_thread_wait(by, polls);
            }
        };
        count(1);
        let what = NonNull::from(&awaited);
        let woken = self.park_in(|token| Waiting::Threads { token, what }, until);
        count(-1);
        woken
    }

    fn park_in(self, waiting: impl FnOnce(Token) -> Waiting, until: u64) -> Woken {
        match &self.parker {
            Parker::Thread(flag) => flag.park(until),
            Parker::Tasklet(token) => {
                let here = here().expect("a wait is parked by the tasklet that prepared it");
                let until = match until {
                    NEVER => NEVER,
                    _ if is_cancelled(here) => 0,
                    UNTIL_KILLED => NEVER,
                    until => until,
                };
                match park(here, waiting(*token), until) {
                    Wake::Done => Woken::Yes,
                    Wake::TimedOut => Woken::TimedOut,
                    Wake::Killed if is_cancelled(here) => Woken::TimedOut,
                    Wake::Killed => Woken::Killed,
                    Wake::Closed | Wake::Deadlock => unreachable!("it waits for no channel"),
                }
            }
        }
    }
}

impl Drop for Wait {
    /// Ends the registration of a wait that was not parked, or was woken by something else.
    fn drop(&mut self) {
        if let (Parker::Tasklet(token), Some(here)) = (&self.parker, here()) {
            here.remove_remote_wait(*token);
        }
    }
}

impl Waker {
    /// Ends the wait, if it has not ended.
    pub(crate) fn wake(&self) {
        match &self.0 {
            Target::Thread(flag) => {
                *flag.woken.lock() = true;
                flag.changed.notify_one();
            }
            Target::Tasklet(inbox, token) => wake_tasklet(inbox, *token),
        }
    }

    /// Ends the wait from a thread of the pool. The caller wakes the scheduler that this returns.
    pub(crate) fn wake_later(&self) -> Option<Arc<dyn Sleeper>> {
        match &self.0 {
            Target::Thread(_) => {
                self.wake();
                None
            }
            // Closed: the scheduler has ended, and the waiter with it.
            Target::Tasklet(inbox, token) => match inbox.leave(Message::Wake(*token)) {
                Ok(true) => Some(Arc::clone(inbox) as Arc<dyn Sleeper>),
                Ok(false) | Err(_) => None,
            },
        }
    }
}

fn wake_tasklet(inbox: &Arc<Inbox>, token: Token) {
    // A tasklet that has not parked yet is woken by a message: its inbox is read after it has
    // parked.
    if here()
        .filter(|here| Arc::ptr_eq(here.inbox(), inbox))
        .is_some_and(|here| here.wake_remote_wait(token))
    {
        return;
    }
    // Closed: the scheduler has ended, and the waiter with it.
    let _ = inbox.post(Message::Wake(token));
}

impl Flag {
    fn park(&self, until: u64) -> Woken {
        let mut woken = self.woken.lock();
        while !*woken {
            if until == NEVER {
                woken = self.changed.wait(woken);
                continue;
            }
            let left = clock::until(until);
            if left == Duration::ZERO {
                return Woken::TimedOut;
            }
            (woken, _) = self.changed.wait_timeout(woken, left);
        }
        Woken::Yes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{run, spawn, yield_now};
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::thread;

    #[test]
    fn a_wake_before_the_park_is_not_lost() {
        run(|| {
            let (wait, waker) = prepare().unwrap();
            waker.wake();
            assert_eq!(wait.park("a test", NEVER), Woken::Yes);
        })
        .unwrap();
    }

    #[test]
    fn another_tasklet_or_thread_ends_the_wait() {
        run(|| {
            for from_thread in [false, true] {
                let (wait, waker) = prepare().unwrap();
                if from_thread {
                    thread::spawn(move || waker.wake());
                } else {
                    spawn(move || waker.wake());
                }
                assert_eq!(wait.park("a test", NEVER), Woken::Yes);
            }
        })
        .unwrap();
    }

    #[test]
    fn a_thread_waits_as_well() {
        let (wait, waker) = prepare().unwrap();
        thread::spawn(move || waker.wake());
        assert_eq!(wait.park("a test", NEVER), Woken::Yes);
        let (wait, _waker) = prepare().unwrap();
        assert_eq!(wait.park("a test", clock::nanos() + 1_000_000), Woken::TimedOut);
    }

    #[test]
    fn a_threads_own_token_survives_its_waits() {
        thread::current().unpark();
        let (wait, _waker) = prepare().unwrap();
        assert_eq!(wait.park("a test", clock::nanos() + 1_000_000), Woken::TimedOut);
        let begin = clock::nanos();
        thread::park_timeout(Duration::from_secs(10));
        assert!(clock::nanos() - begin < 5_000_000_000, "the token is still there");
    }

    #[test]
    fn a_wake_after_the_end_does_nothing_and_a_kill_ends_the_wait() {
        run(|| {
            let kept = Rc::new(RefCell::new(None));
            let place = Rc::clone(&kept);
            let victim = spawn(move || {
                let (wait, waker) = prepare().unwrap();
                *place.borrow_mut() = Some(waker);
                let woken = wait.park("a test", NEVER);
                assert_eq!(woken, Woken::Killed);
                leave();
            });
            yield_now();
            victim.kill();
            assert!(victim.join().is_err());
            let waker = kept.take().unwrap();
            waker.wake();
            assert!(crate::sched::here().unwrap().remote_wait_count() == 0);
        })
        .unwrap();
    }
}
