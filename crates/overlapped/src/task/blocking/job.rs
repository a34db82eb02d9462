//! A job on a thread of a pool, and the wait for it.
//!
//! ```text
//! Queued ──▶ Running ──▶ Done     the waiter takes the result
//!    │          └──────▶ Left     unwound or parked for good: the thread drops the result
//!    ├─────────────────▶ Left     killed or too late: the job does not begin
//!    └─────────────────▶ Back     no thread can be had: the waiter runs it itself
//! ```
//!
//! Terminal completion first, as with the port: a kill or a deadline ends the wait for a job that
//! has not begun, and then the job never begins. A job that has begun is asked to stop, and *its
//! result* decides. If a waiter left earlier, it would lose what the job takes: bytes and the
//! movement of a cursor, entries of a directory, a descriptor, a lock. And the job's changes (a
//! write, a removal) would come after later actions of tasklets that joined the waiter.
//!
//! Nevertheless the job owns all that it works on: a tasklet can be abandoned at the end of its
//! grace time.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::foreign::quietly;
use crate::offload;
use crate::offload::{On, Sleeper};
use crate::sched::NEVER;
use crate::sys::clock;
use crate::sys::errno;
use crate::sys::lock::{Mutex, MutexGuard};
use crate::sys::thread::interruptible::Interruptible;
use crate::task::waiter::{self, Wait, Waker, Woken};
use crate::task::{cancelled_wait, in_tasklet, shield};

/// The time between two interruptions of a call, if nothing else repeats them.
const ASK_AGAIN: Duration = Duration::from_millis(10);

/// A flag that tells a job to stop, because its result is not wanted any more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Tells whether the job should end early, with `ECANCELED`.
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// The function that the pool calls.
type Job<T> = Box<dyn FnOnce(&Stop) -> io::Result<T> + Send>;

enum JobState<T> {
    Queued(Waker),
    Running(Waker),
    Back(Job<T>),
    Left,
    Done(io::Result<T>),
}

struct Shared<T> {
    state: Mutex<JobState<T>>,
    stop: Stop,
}

/// Runs `job`, which ends by itself, on a thread of the pool, and waits for it. Outside a
/// scheduler, and if the caller may not wait, it runs in place. `what` is for dumps.
///
/// # Errors
/// The job's own; [`Cancelled`](crate::task::Cancelled).
pub(crate) fn on_pool<T: Send + 'static>(
    what: &'static str,
    job: impl FnOnce(&Stop) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    if !in_tasklet() {
        return job(&Stop::default());
    }
    let Ok((wait, waker)) = waiter::prepare() else {
        return job(&Stop::default());
    };
    if has_passed(waiter::deadline()) {
        return Err(cancelled_wait());
    }
    let shared = Shared::new(waker);
    let theirs = Arc::clone(&shared);
    offload::offload_and_wake(move |on| match on {
        On::Thread => theirs.run(job),
        On::Nothing => theirs.give_back(Box::new(job)),
    });
    shared.wait(what, wait, None)
}

/// Runs `job`, which may wait for ever, on a thread of its own, and waits for it. If the waiter
/// leaves, the call is interrupted. Outside a scheduler the job runs in place. Returns `None` if
/// the caller may not wait: `job` has been dropped.
///
/// # Errors
/// Those of [`on_pool`], and if no thread could be started.
pub(crate) fn on_interruptible_thread<T: Send + 'static>(
    what: &'static str,
    job: impl FnOnce(&Interruptible) -> io::Result<T> + Send + 'static,
) -> Option<io::Result<T>> {
    if !in_tasklet() {
        return Some(job(&Interruptible::default()));
    }
    let (wait, waker) = waiter::prepare().ok()?;
    if has_passed(waiter::deadline()) {
        return Some(Err(cancelled_wait()));
    }
    let shared = Shared::new(waker);
    let theirs = Arc::clone(&shared);
    let interruptible = Interruptible::default();
    let line = interruptible.clone();
    let started = offload::run_interruptible(move || {
        if let Some(scheduler) = theirs.run(|_| job(&line)) {
            scheduler.wake();
        }
    });
    Some(started.and_then(|()| shared.wait(what, wait, Some(interruptible))))
}

fn has_passed(deadline: u64) -> bool {
    deadline != NEVER && clock::nanos() >= deadline
}

impl<T> Shared<T> {
    fn new(waker: Waker) -> Arc<Shared<T>> {
        Arc::new(Shared { state: Mutex::new(JobState::Queued(waker)), stop: Stop::default() })
    }

    fn state(&self) -> MutexGuard<'_, JobState<T>> {
        self.state.lock()
    }

    /// Runs the job on the pool's thread. Returns the waiter's scheduler if it is to be woken.
    fn run(&self, job: impl FnOnce(&Stop) -> io::Result<T>) -> Option<Arc<dyn Sleeper>> {
        {
            let mut state = self.state();
            match std::mem::replace(&mut *state, JobState::Left) {
                JobState::Queued(waker) => *state = JobState::Running(waker),
                _ => return None,
            }
        }
        let result = quietly(|| job(&self.stop));
        let result = result.unwrap_or_else(|| Err(io::Error::other("a job of the pool panicked")));
        let mut state = self.state();
        if let JobState::Running(waker) = &*state {
            let waker = waker.clone();
            *state = JobState::Done(result);
            drop(state);
            return waker.wake_later();
        }
        // There is no waiter: the result, a descriptor perhaps, is dropped here.
        None
    }

    /// Waits for the job.
    fn wait(
        &self,
        what: &'static str,
        wait: Wait,
        interruptible: Option<Interruptible>,
    ) -> io::Result<T> {
        let leaving = Leaving { shared: self, interruptible, armed: Cell::new(true) };
        waiter::with_cleanup(&|| leaving.leave(), || self.wait_within(what, wait, &leaving))
    }

    fn wait_within(
        &self,
        what: &'static str,
        wait: Wait,
        leaving: &Leaving<'_, T>,
    ) -> io::Result<T> {
        let woken = wait.park(what, waiter::deadline());
        let result = match self.try_take(woken) {
            Some(result) => result,
            None => shield(|| self.wait_to_the_end(what, leaving)),
        };
        leaving.armed.set(false);
        match (woken, result) {
            (Woken::TimedOut, Err(error)) if errno::says_cancelled(&error) => Err(cancelled_wait()),
            (Woken::Killed, Err(error)) if errno::says_cancelled(&error) => waiter::leave(),
            (_, result) => result,
        }
    }

    /// Waits until a job that has begun has ended. Only its end counts, because its effects cannot
    /// be undone.
    fn wait_to_the_end(&self, what: &'static str, leaving: &Leaving<'_, T>) -> io::Result<T> {
        loop {
            let ask_again = leaving.ask();
            let (wait, waker) = waiter::prepare().expect("a caller that has waited may wait");
            if let JobState::Running(place) = &mut *self.state() {
                *place = waker;
            } else {
                // The job ended meanwhile, and woke no waiter.
                waker.wake();
            }
            let woken = wait.park(what, ask_again);
            if let Some(result) = self.try_take(woken) {
                return result;
            }
        }
    }

    /// Returns the job to the waiter, because no thread can be started for it.
    fn give_back(&self, job: Job<T>) -> Option<Arc<dyn Sleeper>> {
        let mut state = self.state();
        let JobState::Queued(waker) = &*state else { return None };
        let waker = waker.clone();
        *state = JobState::Back(job);
        drop(state);
        waker.wake_later()
    }

    /// Takes the result, or the error that says that none will come; returns `None` while the job
    /// is running.
    fn try_take(&self, woken: Woken) -> Option<io::Result<T>> {
        let mut state = self.state();
        match std::mem::replace(&mut *state, JobState::Left) {
            JobState::Done(result) => Some(result),
            JobState::Back(job) if woken == Woken::Yes => {
                drop(state);
                Some(job(&self.stop))
            }
            // The job does not begin any more.
            JobState::Queued(_) | JobState::Back(_) | JobState::Left => {
                Some(Err(errno::cancelled()))
            }
            running @ JobState::Running(_) => {
                *state = running;
                None
            }
        }
    }
}

/// The state of a waiter that may be unwound at any moment.
struct Leaving<'a, T> {
    shared: &'a Shared<T>,
    interruptible: Option<Interruptible>,
    armed: Cell<bool>,
}

impl<T> Leaving<'_, T> {
    /// Refuses the result.
    fn leave(&self) {
        let left = std::mem::replace(&mut *self.shared.state(), JobState::Left);
        drop(left);
        self.ask();
    }

    /// Asks the job to end. Returns when to ask again.
    fn ask(&self) -> u64 {
        self.shared.stop.set();
        match &self.interruptible {
            Some(interruptible) if !interruptible.interrupt() => {
                clock::nanos() + ASK_AGAIN.as_nanos() as u64
            }
            _ => NEVER,
        }
    }
}

impl<T> Drop for Leaving<'_, T> {
    fn drop(&mut self) {
        if self.armed.get() {
            self.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{JoinError, run, spawn, yield_now};
    use crate::time::{sleep, timeout};
    use std::sync::mpsc;

    #[test]
    fn a_job_returns_its_result_and_its_panic_is_an_error() {
        run(|| {
            assert_eq!(on_pool("a test", |_| Ok(7)).unwrap(), 7);
            let error = on_pool("a test", |_| -> io::Result<()> {
                std::panic::resume_unwind(Box::new("quietly"))
            });
            assert!(error.is_err());
        })
        .unwrap();
    }

    /// Kills the waiter of a job that has begun and waits to be stopped. Returns its end.
    fn killed(
        result: fn() -> io::Result<u8>,
    ) -> (Result<io::Result<u8>, JoinError>, mpsc::Receiver<&'static str>) {
        let (tx, rx) = mpsc::channel();
        let waiter = spawn(move || {
            on_pool("a test", move |stop| {
                tx.send("began").unwrap();
                while !stop.is_set() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                std::thread::sleep(Duration::from_millis(5));
                tx.send("stopped").unwrap();
                result()
            })
        });
        yield_now();
        assert_eq!(rx.recv().unwrap(), "began");
        waiter.kill();
        (waiter.join(), rx)
    }

    #[test]
    fn a_kill_asks_a_running_job_to_stop_and_the_result_decides() {
        run(|| {
            let (ended, rx) = killed(|| Ok(7));
            assert_eq!(rx.try_recv(), Ok("stopped"), "it had left before the job's end");
            assert_eq!(ended.unwrap().unwrap(), 7, "the result of a job that has run is returned");
            let (ended, rx) = killed(|| Err(io::Error::from_raw_os_error(libc::EIO)));
            assert_eq!(rx.try_recv(), Ok("stopped"));
            assert_eq!(ended.unwrap().unwrap_err().raw_os_error(), Some(libc::EIO));
            let (ended, rx) = killed(|| Err(io::Error::from_raw_os_error(libc::ECANCELED)));
            assert_eq!(rx.try_recv(), Ok("stopped"));
            assert!(matches!(ended, Err(JoinError::Killed)), "{ended:?}");
        })
        .unwrap();
    }

    #[test]
    fn a_kill_that_a_job_outlived_is_delivered_at_the_next_wait() {
        run(|| {
            let (tx, rx) = mpsc::channel();
            let waiter = spawn(move || {
                on_pool("a test", move |stop| {
                    tx.send(()).unwrap();
                    while !stop.is_set() {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    Ok(())
                })
                .unwrap();
                yield_now();
            });
            yield_now();
            rx.recv().unwrap();
            waiter.kill();
            assert!(matches!(waiter.join(), Err(JoinError::Killed)));
        })
        .unwrap();
    }

    #[test]
    fn a_job_that_has_not_begun_when_its_waiter_is_killed_never_begins() {
        run(|| {
            let shared = |waker| Shared::<()>::new(waker);
            let (tx, rx) = mpsc::channel();
            let waiter = spawn(move || {
                let (wait, waker) = waiter::prepare().unwrap();
                let shared = shared(waker);
                tx.send(Arc::clone(&shared)).unwrap();
                shared.wait("a test", wait, None)
            });
            yield_now();
            let shared = rx.recv().unwrap();
            waiter.kill();
            assert!(matches!(waiter.join(), Err(JoinError::Killed)));
            assert!(shared.run(|_| unreachable!("its waiter has left")).is_none());
        })
        .unwrap();
    }

    #[test]
    fn a_deadline_asks_a_running_job_to_stop_and_the_result_decides() {
        /// Runs a job that waits to be stopped; again if a busy machine did not let it begin.
        fn stopped(result: fn() -> io::Result<()>) -> io::Result<()> {
            loop {
                let (tx, rx) = mpsc::channel();
                let ended = timeout(Duration::from_millis(20), || {
                    on_pool("a test", move |stop| {
                        tx.send(()).unwrap();
                        while !stop.is_set() {
                            std::thread::sleep(Duration::from_millis(1));
                        }
                        result()
                    })
                });
                if rx.try_recv().is_ok() {
                    return ended;
                }
                assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
            }
        }
        run(|| {
            stopped(|| Ok(())).unwrap();
            let cut = stopped(|| Err(io::Error::from_raw_os_error(libc::ECANCELED)));
            assert_eq!(cut.unwrap_err().kind(), io::ErrorKind::TimedOut);
            let own = stopped(|| Err(io::Error::from_raw_os_error(libc::EIO)));
            assert_eq!(own.unwrap_err().raw_os_error(), Some(libc::EIO));
            let never_begun = timeout(Duration::ZERO, || on_pool("a test", |_| Ok(())));
            assert_eq!(never_begun.unwrap_err().kind(), io::ErrorKind::TimedOut);
        })
        .unwrap();
    }

    #[test]
    fn a_call_that_waits_for_ever_is_interrupted_by_a_kill_and_by_a_deadline() {
        let forever = |interruptible: &Interruptible| {
            // SAFETY: `pause` takes no pointers.
            let result = interruptible.call(|| unsafe { libc::pause() } as isize);
            assert_eq!(result, -libc::EINTR);
            Err::<(), _>(io::Error::from_raw_os_error(libc::EINTR))
        };
        run(|| {
            let late = timeout(Duration::from_millis(20), || {
                on_interruptible_thread("a test", forever).unwrap()
            });
            assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
            let victims: Vec<_> = (0..50)
                .map(|_| spawn(move || on_interruptible_thread("a test", forever)))
                .collect();
            sleep(Duration::from_millis(10));
            victims.iter().for_each(|victim| victim.kill());
            for victim in victims {
                assert!(victim.join().is_err());
            }
            wait_until_no_call_is_left();
        })
        .unwrap();
        // Parked for good, on a thread that does not end.
        let (done, wait) = mpsc::channel();
        std::thread::spawn(move || {
            let config = crate::task::Config::new().grace(Duration::from_millis(20));
            let ended = config.run_until(|| {
                drop(spawn(move || {
                    crate::task::shield(|| on_interruptible_thread("a test", forever))
                }));
                yield_now();
            });
            done.send(ended.is_ok()).unwrap();
        });
        assert!(wait.recv_timeout(Duration::from_secs(30)).unwrap());
        wait_until_no_call_is_left();
    }

    fn wait_until_no_call_is_left() {
        let late = crate::time::Instant::now() + Duration::from_secs(30);
        while offload::interruptible_calls() > 0 {
            assert!(crate::time::Instant::now() < late, "threads are left behind");
            sleep(Duration::from_millis(5));
        }
    }
}
