//! Threads for system calls that may wait for ever: opens of FIFOs and devices, locks of files.
//!
//! ```text
//! wait_patiently ─▶ queue ─▶ a thread of its own ─▶ Patience::call ─▶ the kernel
//!                                                        ▲ EINTR
//! Patience::interrupt ── a signal to the thread, again and again until the call has ended
//! ```
//!
//! Each waiting call has a thread, because that alone keeps its meaning: an open of a FIFO *is* its
//! waiting (the other side sees it), and `O_NONBLOCK` makes another call of it. Threads are small,
//! begin on demand, serve the next call when they are free, and end after some idle seconds. There
//! are [`THREADS_MAX`] at most; further calls queue.
//!
//! A waiter that leaves has its call interrupted, so that no thread, and no half-open FIFO, stays
//! behind. The signal is the highest real-time signal that has its default disposition when it is
//! first needed; its handler does nothing, and lets calls end with EINTR. It can arrive just before
//! the call begins and is lost then: so a janitor thread, which lives only as long as there is
//! anything to interrupt, sends it every 10 ms until the call has ended.

use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use super::per_process::PerProcess;
use crate::sys::lock::{Condvar, Mutex, MutexGuard};
use crate::sys::signal::spare_signals;

/// Calls that wait at the same time.
const THREADS_MAX: usize = 4096;

/// Nothing but one system call runs on these stacks, and perhaps somebody's signal handler.
const STACK_SIZE: usize = 64 << 10;

/// How long a thread stays for the next call.
const IDLE: Duration = Duration::from_secs(5);

/// Interruptions that have a call begin again.
const NUDGES: u32 = 3;

/// How often a call is interrupted until it has ended.
const ASK_AGAIN: Duration = Duration::from_millis(10);

type Job = Box<dyn FnOnce() + Send>;

/// The threads of this process.
#[derive(Default)]
pub(super) struct House {
    pool: Mutex<Pool>,
    work: Condvar,
    /// Whose calls the janitor interrupts; `None` while there is no janitor.
    janitor: Mutex<Option<Vec<(Patience, Times)>>>,
}

#[derive(Default)]
struct Pool {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

pub(super) static HOUSE: PerProcess<House> = PerProcess::new();

fn house() -> &'static House {
    HOUSE.get(House::default)
}

/// How often a call is to be interrupted.
#[derive(Clone, Copy)]
enum Times {
    UntilItEnds,
    AtMost(u32),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

/// Runs `job` on a thread where it may wait for ever.
///
/// # Errors
/// No thread could be started, and there is none that would be free some day.
pub(crate) fn wait_patiently(job: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let house = house();
    let mut pool = lock(&house.pool);
    pool.jobs.push_back(Box::new(job));
    if pool.idle >= pool.jobs.len() {
        house.work.notify_one();
        return Ok(());
    }
    if pool.threads < THREADS_MAX {
        let builder = thread::Builder::new().name("overlapped-patient".into());
        match builder.stack_size(STACK_SIZE).spawn(|| serve(house)) {
            Ok(_) => pool.threads += 1,
            Err(error) if pool.threads == 0 => {
                pool.jobs.pop_back();
                return Err(error);
            }
            // One of the others takes it.
            Err(_) => {}
        }
    }
    Ok(())
}

fn serve(house: &'static House) {
    only_our_signal();
    let mut pool = lock(&house.pool);
    loop {
        while let Some(job) = pool.jobs.pop_front() {
            drop(pool);
            job();
            pool = lock(&house.pool);
        }
        pool.idle += 1;
        let (again, timed_out) = house.work.wait_timeout(pool, IDLE);
        pool = again;
        pool.idle -= 1;
        if timed_out && pool.jobs.is_empty() {
            pool.threads -= 1;
            return;
        }
    }
}

/// A call that can be interrupted, from any thread, before and while it waits.
#[derive(Clone, Default)]
pub(crate) struct Patience(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The thread that is in the call, or about to be.
    caller: Option<libc::pthread_t>,
    interrupted: bool,
}

impl Patience {
    /// Makes `call`, again where it was interrupted by somebody else's signal. The result in the
    /// kernel's form; `-EINTR` where [`Patience::interrupt`] came first.
    pub(crate) fn call(&self, mut call: impl FnMut() -> isize) -> i32 {
        loop {
            {
                let mut state = lock(&self.0);
                if state.interrupted {
                    return -libc::EINTR;
                }
                // SAFETY: no preconditions.
                state.caller = Some(unsafe { libc::pthread_self() });
            }
            let result = call();
            let errno = io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
            lock(&self.0).caller = None;
            match result {
                0.. => return i32::try_from(result).expect("descriptors and flags are small"),
                _ if errno != libc::EINTR => return -errno,
                _ => {}
            }
        }
    }

    /// Ends the call early, where it has not ended. Returns at once. False: a signal has been sent
    /// once, and may have come too early; there is no thread to repeat it.
    pub(crate) fn interrupt(&self) -> bool {
        {
            let mut state = lock(&self.0);
            state.interrupted = true;
            if state.caller.is_none() {
                return true;
            }
        }
        let is_seen_to = self.leave_to_janitor(Times::UntilItEnds);
        if !is_seen_to {
            self.kick();
        }
        is_seen_to
    }

    /// Has the call, which this thread is about to make, begin again a few times soon.
    pub(crate) fn nudge(&self) {
        self.leave_to_janitor(Times::AtMost(NUDGES));
    }

    /// False where there is none to be had.
    fn leave_to_janitor(&self, times: Times) -> bool {
        let house = house();
        let mut janitor = lock(&house.janitor);
        if let Some(list) = &mut *janitor {
            list.push((self.clone(), times));
            return true;
        }
        let builder = thread::Builder::new().name("overlapped-janitor".into());
        let is_there = builder.stack_size(STACK_SIZE).spawn(|| clean(house)).is_ok();
        if is_there {
            *janitor = Some(vec![(self.clone(), times)]);
        }
        is_there
    }

    /// Sends the signal; false where there is nobody to send it to.
    fn kick(&self) -> bool {
        let state = lock(&self.0);
        let (Some(caller), Some(signal)) = (state.caller, signal()) else {
            return false;
        };
        // SAFETY: the caller's thread cannot end while it is noted here: it takes its note away
        // under this lock first.
        unsafe { libc::pthread_kill(caller, signal) };
        true
    }
}

/// What the janitor does.
fn clean(house: &House) {
    loop {
        {
            let mut janitor = lock(&house.janitor);
            let list = janitor.get_or_insert_default();
            list.retain_mut(|(patience, times)| match (patience.kick(), times) {
                (is_waiting, Times::UntilItEnds) => is_waiting,
                (_, Times::AtMost(left)) => {
                    *left -= 1;
                    *left > 0
                }
            });
            if list.is_empty() {
                *janitor = None;
                return;
            }
        }
        thread::sleep(ASK_AGAIN);
    }
}

extern "C" fn ignore(_: libc::c_int) {}

/// Tells whether this is the address of the signal's handler.
pub(crate) fn is_handler(address: usize) -> bool {
    address == ignore as *const () as usize
}

/// The signal that interrupts; taken at the first call. `None` where every real-time signal has a
/// use already: then waiting calls end by themselves only.
fn signal() -> Option<libc::c_int> {
    static SIGNAL: OnceLock<Option<libc::c_int>> = OnceLock::new();
    *SIGNAL.get_or_init(|| {
        let mut candidates = spare_signals();
        candidates.find(|&signal| {
            let mut now = MaybeUninit::<libc::sigaction>::zeroed();
            // SAFETY: a zeroed sigaction is a valid one; both calls read and write these only. The
            // handler does nothing.
            unsafe {
                let asked = libc::sigaction(signal, std::ptr::null(), now.as_mut_ptr());
                if asked != 0 || now.assume_init().sa_sigaction != libc::SIG_DFL {
                    return false;
                }
                let mut ours = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
                ours.sa_sigaction = ignore as *const () as usize;
                libc::sigaction(signal, &ours, std::ptr::null_mut()) == 0
            }
        })
    })
}

/// Other signals are for threads that have room for their handlers. One that the program waits for
/// (sigwait(3)) would even end the process, by its default, if a single thread let it through.
fn only_our_signal() {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises the set, the others take a valid one.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        if let Some(signal) = signal() {
            libc::sigdelset(set.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut());
    }
}

/// Calls that have a thread.
#[cfg(test)]
pub(crate) fn patient_calls() -> usize {
    let pool = lock(&house().pool);
    pool.threads - pool.idle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_is_nudged_begins_again() {
        let patience = Patience::default();
        let mut times = 0;
        let result = patience.call(|| {
            times += 1;
            // A nudge that comes before the call is lost, so there may have to be more of them.
            for _ in 0..100 {
                patience.nudge();
                // SAFETY: no descriptors.
                if unsafe { libc::poll(std::ptr::null_mut(), 0, 200) } < 0 {
                    break;
                }
            }
            if times < 3 { -1 } else { 7 }
        });
        assert_eq!((result, times), (7, 3));
    }
}
