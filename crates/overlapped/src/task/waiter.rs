//! One wait that anybody may end, once, from any thread: what locks, queues and channels between
//! threads are made of.
//!
//! ```text
//! prepare ─▶ (Wait, Waker)     the Waker goes where others find it, under the owner's lock
//! Wait::park                   until woken, killed, or too late
//! Waker::wake                  same scheduler: to its ready queue; else through its inbox
//! ```
//!
//! A tasklet blocks itself only; a plain thread blocks as std's locks do. A wake before the park is
//! not lost. A wake after the wait has ended does nothing: whoever hands something over decides
//! under its own lock who has got it, never by the wake.
//!
//! Whoever waits in a queue parks inside [`with_cleanup`], and leaves the queue there.
//!
//! While a `Wait` exists, the scheduler takes it that somebody outside may end it, so there is no
//! deadlock verdict; unless it is for a lock that is held on this very thread.

use std::io;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use super::refusal::{Refusal, interrupted};
use super::wait::{checkpoint_without_error, deliver_kill, is_cancelled, park};
use crate::offload::Bell;
use crate::op::Token;
pub(crate) use crate::sched::NEVER;
use crate::sched::{Awaited, Inbox, LockWait, Message, State, Waiting, Wake, here, thread_number};
use crate::sys::clock;
use crate::sys::lock::{Condvar, Mutex};

/// How a [`Wait`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// By its [`Waker`].
    Yes,
    /// By the time; or by a kill, inside `kill_as_error`.
    TimedOut,
    /// By a kill. The caller takes its waker back from where it put it, then calls [`leave`].
    Killed,
}

/// The right to park once. Not `Send`.
#[must_use = "it waits only when parked"]
pub(crate) struct Wait {
    place: Place,
    thread: PhantomData<*const ()>,
}

enum Place {
    Tasklet(Token),
    Thread(Arc<Flag>),
}

/// What a plain thread waits for. Not std's `park`: the token that it would take may be meant for
/// somebody else in that thread.
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

/// Prepares a wait of the calling tasklet, or thread. A suspension point: a pending kill is
/// delivered here, so no lock may be held and nothing half done. From here to the park the caller
/// waits for nothing else.
///
/// # Errors
/// The caller may not wait.
pub(crate) fn prepare() -> Result<(Wait, Waker), Refusal> {
    let (place, target) = match here() {
        Some(here) => {
            checkpoint_without_error(here)?;
            let token = here.remote_wait(here.me_ptr());
            (Place::Tasklet(token), Target::Tasklet(Arc::clone(&here.inbox), token))
        }
        None => {
            let flag = Arc::<Flag>::default();
            (Place::Thread(Arc::clone(&flag)), Target::Thread(flag))
        }
    };
    Ok((Wait { place, thread: PhantomData }, Waker(target)))
}

/// Calls `wait`. If the calling tasklet is parked for good in it, `cleanup` does for others what
/// destructors would have done had the wait been unwound. On the scheduler's own stack: it neither
/// runs nor drops anything of the user's.
///
/// From where `wait` returns to where the caller has left its queue, it waits for nothing.
pub(crate) fn with_cleanup<R>(cleanup: &impl Fn(), wait: impl FnOnce() -> R) -> R {
    match here() {
        Some(here) => here.with_cleanup(cleanup, wait),
        None => wait(),
    }
}

/// Until when the calling tasklet waits in a call that can say that it was cut short, on the port's
/// clock: its deadline (`time::timeout`), or at once where a kill is to end the call with an error.
/// [`NEVER`]: nothing but the event ends the wait.
pub(crate) fn deadline() -> u64 {
    here().map_or(NEVER, |here| here.me().deadline.get().min(past_deadlines()))
}

/// As [`deadline`], for a call that no deadline cuts.
pub(crate) fn past_deadlines() -> u64 {
    let Some(here) = here() else { return NEVER };
    let me = here.me();
    match me.kill_errors.get() {
        0 if me.interruptible.get() == 0 => NEVER,
        _ if is_cancelled(here) => 0,
        _ => UNTIL_KILLED,
    }
}

/// Takes the note that a signal handler is to end the caller's wait: the error for it.
pub(crate) fn take_interruption() -> Option<io::Error> {
    here().filter(|here| here.me().interrupted.take()).map(|_| interrupted())
}

/// No deadline, but a kill ends the wait, or a signal handler.
const UNTIL_KILLED: u64 = NEVER - 1;

/// No deadline.
pub(crate) const FOR_EVER: u64 = NEVER;

/// A tasklet or plain thread. Names no other one in this process, also when it has ended: what it
/// owns may outlive it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The number of its scheduler; that of a plain thread.
    number: u64,
    /// Its id there, from 1; 0: a plain thread.
    id: u64,
}

/// The calling tasklet; outside a scheduler, the thread.
pub(crate) fn caller() -> Caller {
    match here() {
        Some(here) => Caller { number: here.number, id: here.me().id },
        None => Caller { number: thread_number(), id: 0 },
    }
}

/// Delivers the kill that ended a wait.
pub(crate) fn leave() -> ! {
    if let Some(here) = here() {
        deliver_kill(here);
    }
    unreachable!("only a tasklet that must end is woken by a kill")
}

impl Wait {
    /// Blocks until woken, killed, or the port's clock shows `until`. `what`: for dumps.
    pub(crate) fn park(self, what: &'static str, until: u64) -> Woken {
        let can_fail = until != NEVER;
        self.park_in(|token| Waiting::Remote { token, what, can_fail }, until)
    }

    /// As [`park`](Wait::park), for a lock: where it is held on this thread nobody outside can end
    /// the wait.
    pub(crate) fn park_for_lock(self, lock: LockWait<'_>, until: u64) -> Woken {
        let (kind, holder) = (lock.kind, NonNull::from(lock.holder));
        let count = |by: isize| {
            if let Some(here) = here() {
                here.lock_waits.set(here.lock_waits.get().wrapping_add_signed(by));
                here.locks_awaited.set(here.locks_awaited.get() || by > 0);
            }
        };
        count(1);
        let woken = self.park_in(|token| Waiting::Lock { token, kind, holder }, until);
        count(-1);
        woken
    }

    /// As [`park`](Wait::park), for what a tasklet or a thread of this process must bring about.
    /// `looks`: the time is only for looking again, and brings nothing about.
    pub(crate) fn park_for_threads(self, awaited: Awaited, until: u64, looks: bool) -> Woken {
        let looks = isize::from(looks && until != NEVER);
        let count = |by: isize| {
            if let Some(here) = here() {
                here.thread_waits.set(here.thread_waits.get().wrapping_add_signed(by));
                here.thread_looks.set(here.thread_looks.get().wrapping_add_signed(by * looks));
            }
        };
        count(1);
        let what = NonNull::from(&awaited);
        let woken = self.park_in(|token| Waiting::Threads { token, what }, until);
        count(-1);
        woken
    }

    fn park_in(self, waiting: impl FnOnce(Token) -> Waiting, until: u64) -> Woken {
        match &self.place {
            Place::Thread(flag) => flag.park(until),
            Place::Tasklet(token) => {
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
    /// Whoever has not parked, or was woken by something else, is not to be woken any more.
    fn drop(&mut self) {
        if let (Place::Tasklet(token), Some(here)) = (&self.place, here()) {
            here.remote_waits.borrow_mut().remove(*token);
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

    /// As [`wake`](Waker::wake), from a thread of the pool: the bell that this returns is
    /// to be rung.
    pub(crate) fn wake_by_bell(&self) -> Option<Arc<dyn Bell>> {
        match &self.0 {
            Target::Thread(_) => {
                self.wake();
                None
            }
            // Closed: the scheduler has ended, and the waiter with it.
            Target::Tasklet(inbox, token) => match inbox.leave(Message::Wake(*token)) {
                Ok(true) => Some(Arc::clone(inbox) as Arc<dyn Bell>),
                Ok(false) | Err(_) => None,
            },
        }
    }
}

fn wake_tasklet(inbox: &Arc<Inbox>, token: Token) {
    if let Some(here) = here().filter(|here| Arc::ptr_eq(&here.inbox, inbox)) {
        let waiter = here.remote_waits.borrow().get(token).copied();
        let Some(waiter) = waiter else { return };
        if here.block(waiter).state.get() == State::Waiting {
            here.remote_waits.borrow_mut().remove(token);
            here.wake(waiter, Wake::Done);
            return;
        }
        // It has not parked yet: the inbox is read after it has.
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
            assert!(crate::sched::here().unwrap().remote_waits.borrow().len() == 0);
        })
        .unwrap();
    }
}
