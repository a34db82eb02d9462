//! A lock without its value: permits, who holds them, and poison.
//!
//! **Who may not wait.** A tasklet that unwinds never switches, or std's panic count would be
//! another's. So where a destructor comes to a lock that is held by a neighbour on its own thread,
//! nobody could ever release it, and the process is aborted with a message that names both. Short
//! of that everything is tried: a lock that was handed over to somebody who has not run since is
//! taken back, and a holder in another thread is given [`PATIENCE`], for which the thread is
//! blocked. Inside `no_switch` it is a panic, as for every call that has no error to return.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::permits::{Ask, Permits, Without};
use super::rt::Mutex;
use crate::port::clock;
use crate::sched::{NEVER, here};
use crate::task::Refusal;

/// How long a holder in another thread has, while a tasklet unwinds.
const PATIENCE: Duration = Duration::from_millis(20);
/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_micros(20);

/// How often a holder in another thread is looked at before the caller waits. About a microsecond.
const SPINS: u32 = 32;

/// A lock that at most `ALL` readers, or one owner, hold.
pub(in crate::sync) struct Lock<const ALL: usize> {
    permits: Permits,
    holder: Holder,
    poisoned: AtomicBool,
}

/// Whether the thread was panicking when a guard was made. Poisons when dropped with one that
/// began since.
#[derive(Debug, Clone, Copy)]
pub(in crate::sync) struct Panicking(bool);

impl Panicking {
    /// What a new guard remembers.
    #[inline]
    pub(in crate::sync) fn now() -> Panicking {
        Panicking(thread::panicking())
    }
}

impl<const ALL: usize> Lock<ALL> {
    pub(in crate::sync) const fn new() -> Lock<ALL> {
        let word = const { Permits::word(ALL) };
        Lock {
            permits: Permits::of(AtomicUsize::new(word), Mutex::new(None)),
            holder: Holder::nobody(),
            poisoned: AtomicBool::new(false),
        }
    }

    #[inline]
    pub(in crate::sync) fn lock(&self, what: &'static str) {
        if !self.permits.take_all(ALL) {
            self.contend(ALL, what);
        }
        self.holder.is_me();
    }

    #[inline]
    pub(in crate::sync) fn try_lock(&self) -> bool {
        let locked = self.permits.try_acquire(ALL);
        if locked {
            self.holder.is_me();
        }
        locked
    }

    #[inline]
    pub(in crate::sync) fn unlock(&self) {
        self.holder.is_nobody();
        self.permits.release(ALL);
    }

    #[inline]
    pub(in crate::sync) fn lock_shared(&self, what: &'static str) {
        if !self.permits.try_acquire(1) {
            self.contend(1, what);
        }
    }

    #[inline]
    pub(in crate::sync) fn try_lock_shared(&self) -> bool {
        self.permits.try_acquire(1)
    }

    #[inline]
    pub(in crate::sync) fn unlock_shared(&self) {
        self.permits.release(1);
    }

    /// The owner becomes a reader.
    pub(in crate::sync) fn downgrade(&self) {
        self.holder.is_nobody();
        self.permits.release(ALL - 1);
    }

    #[inline]
    pub(in crate::sync) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Relaxed)
    }

    pub(in crate::sync) fn clear_poison(&self) {
        self.poisoned.store(false, Ordering::Relaxed);
    }

    /// A guard that was made with `before` is dropped.
    #[inline]
    pub(in crate::sync) fn poison_since(&self, before: Panicking) {
        if !before.0 && thread::panicking() {
            self.poisoned.store(true, Ordering::Relaxed);
        }
    }

    /// `value`, or an error with it where the lock is poisoned.
    #[inline]
    pub(in crate::sync) fn guarded<T>(&self, value: T) -> Result<T, PoisonError<T>> {
        if self.is_poisoned() { Err(PoisonError::new(value)) } else { Ok(value) }
    }

    /// Others hold it, or come first.
    #[cold]
    fn contend(&self, permits: usize, what: &'static str) {
        // A neighbour on this thread will not release it while we spin, and one that the lock was
        // handed over to will not take it up.
        if self.holder.is_elsewhere() {
            for _ in 0..SPINS {
                if self.permits.is_closed() {
                    break;
                }
                std::hint::spin_loop();
                if self.permits.try_acquire(permits) {
                    return;
                }
            }
        }
        let ask = Ask { permits, exclusive: permits == ALL, what, until: NEVER };
        match self.permits.acquire(&ask) {
            Ok(()) => {}
            Err(Without::Refused(Refusal::Unwinding)) => self.seize(permits, what),
            Err(Without::Refused(refusal @ Refusal::NoSwitch)) => {
                panic!("{what} {}", refusal.reason());
            }
            Err(Without::TimedOut) => unreachable!("locks have no time limit"),
        }
    }

    /// For a tasklet that unwinds.
    #[cold]
    fn seize(&self, permits: usize, what: &'static str) {
        let until = clock::nanos() + PATIENCE.as_nanos() as u64;
        while !self.permits.seize(permits) {
            if self.holder.is_here() || clock::nanos() >= until {
                let lock = format!("{what} at {:p}, {}", &raw const *self, self.holder.describe());
                would_wait_while_unwinding(&lock);
            }
            thread::sleep(ASK_EVERY);
        }
    }
}

/// Ends the process: a tasklet unwinds and would have to wait for `what`, which has no error to
/// return.
#[cold]
pub(in crate::sync) fn would_wait_while_unwinding(what: &str) -> ! {
    let who = here().map_or_else(String::new, |here| here.me().who());
    eprintln!(
        "overlapped: {who} is unwinding and would have to wait for {what}. A tasklet that unwinds \
         never switches, so this would never end; aborting. Drop guards before what may be killed \
         or panic, or use try_lock in destructors"
    );
    std::process::abort();
}

/// What becomes of a call without an error to return that would have to wait and may not.
#[cold]
pub(in crate::sync) fn refuse(refusal: Refusal, what: &'static str, at: *const ()) -> ! {
    match refusal {
        Refusal::Unwinding => would_wait_while_unwinding(&format!("{what} at {at:p}")),
        Refusal::NoSwitch => panic!("{what} {}", refusal.reason()),
    }
}

/// Who locked it, as far as it was a tasklet. Only for messages, and to tell whether the holder
/// runs on the caller's own thread: a guard does not leave the thread that it was made on. Numbers,
/// since a guard may outlive its scheduler, at whose address another thread's may be by then.
struct Holder {
    /// The number of its scheduler, or [`PLAIN`]; 0: nobody, readers, or one who has not run since
    /// the lock was handed over to it.
    sched: AtomicU64,
    /// Its id there.
    tasklet: AtomicU64,
}

/// In the place of a scheduler: a thread without one.
const PLAIN: u64 = u64::MAX;

impl Holder {
    const fn nobody() -> Holder {
        Holder { sched: AtomicU64::new(0), tasklet: AtomicU64::new(0) }
    }

    #[inline]
    fn is_me(&self) {
        let sched = match here() {
            Some(here) => {
                self.tasklet.store(here.me().id, Ordering::Relaxed);
                here.number
            }
            None => PLAIN,
        };
        self.sched.store(sched, Ordering::Relaxed);
    }

    #[inline]
    fn is_nobody(&self) {
        self.sched.store(0, Ordering::Relaxed);
    }

    /// Whether it is a tasklet of the caller's scheduler.
    fn is_here(&self) -> bool {
        here().is_some_and(|here| self.sched.load(Ordering::Relaxed) == here.number)
    }

    /// Whether it is known to run on another thread.
    fn is_elsewhere(&self) -> bool {
        self.sched.load(Ordering::Relaxed) != 0 && !self.is_here()
    }

    fn describe(&self) -> String {
        let mut found = None;
        if let Some(here) = here().filter(|_| self.is_here()) {
            let tasklet = self.tasklet.load(Ordering::Relaxed);
            here.each(|_, block| {
                if block.id == tasklet {
                    found = Some(format!("locked by {}", block.who()));
                }
            });
        }
        found.unwrap_or_else(|| "held by readers or by another thread".to_owned())
    }
}
