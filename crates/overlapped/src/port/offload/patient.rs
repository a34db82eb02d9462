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
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

/// Calls that wait at the same time.
const THREADS_MAX: usize = 4096;

/// Nothing but one system call runs on these stacks, and perhaps somebody's signal handler.
const STACK_SIZE: usize = 64 << 10;

/// How long a thread stays for the next call.
const IDLE: Duration = Duration::from_secs(5);

/// How often a call is interrupted until it has ended.
const ASK_AGAIN: Duration = Duration::from_millis(10);

type Job = Box<dyn FnOnce() + Send>;

struct Pool {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { jobs: VecDeque::new(), threads: 0, idle: 0 });
static WORK: Condvar = Condvar::new();

/// Whose calls the janitor interrupts; `None` while there is no janitor.
static JANITOR: Mutex<Option<Vec<Patience>>> = Mutex::new(None);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `job` on a thread where it may wait for ever.
///
/// # Errors
/// No thread could be started, and there is none that would be free some day.
pub(crate) fn wait_patiently(job: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut pool = lock(&POOL);
    pool.jobs.push_back(Box::new(job));
    if pool.idle >= pool.jobs.len() {
        WORK.notify_one();
        return Ok(());
    }
    if pool.threads < THREADS_MAX {
        let builder = thread::Builder::new().name("overlapped-patient".into());
        match builder.stack_size(STACK_SIZE).spawn(serve) {
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

fn serve() {
    only_our_signal();
    let mut pool = lock(&POOL);
    loop {
        while let Some(job) = pool.jobs.pop_front() {
            drop(pool);
            job();
            pool = lock(&POOL);
        }
        pool.idle += 1;
        let waited = WORK.wait_timeout(pool, IDLE);
        let (again, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        pool = again;
        pool.idle -= 1;
        if timeout.timed_out() && pool.jobs.is_empty() {
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

    /// Ends the call early, where it has not ended. Returns at once.
    pub(crate) fn interrupt(&self) {
        {
            let mut state = lock(&self.0);
            state.interrupted = true;
            if state.caller.is_none() {
                return;
            }
        }
        let mut janitor = lock(&JANITOR);
        match &mut *janitor {
            Some(list) => list.push(self.clone()),
            None => {
                let builder = thread::Builder::new().name("overlapped-janitor".into());
                let list = vec![self.clone()];
                if builder.stack_size(STACK_SIZE).spawn(clean).is_ok() {
                    *janitor = Some(list);
                } else {
                    // The one signal that can be sent without a thread to repeat it.
                    self.kick();
                }
            }
        }
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
fn clean() {
    loop {
        {
            let mut janitor = lock(&JANITOR);
            let list = janitor.get_or_insert_default();
            list.retain(Patience::kick);
            if list.is_empty() {
                *janitor = None;
                return;
            }
        }
        thread::sleep(ASK_AGAIN);
    }
}

extern "C" fn ignore(_: libc::c_int) {}

/// The signal that interrupts; taken at the first call. `None` where every real-time signal has a
/// use already: then waiting calls end by themselves only.
fn signal() -> Option<libc::c_int> {
    static SIGNAL: OnceLock<Option<libc::c_int>> = OnceLock::new();
    *SIGNAL.get_or_init(|| {
        let mut candidates = (libc::SIGRTMIN()..=libc::SIGRTMAX()).rev();
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

/// Other signals are for threads that have room for their handlers.
fn only_our_signal() {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises the set, the others take a valid one.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        for signal in libc::SIGRTMIN()..=libc::SIGRTMAX() {
            libc::sigdelset(set.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut());
    }
}

/// Calls that have a thread.
#[cfg(test)]
pub(crate) fn patient_calls() -> usize {
    let pool = lock(&POOL);
    pool.threads - pool.idle
}
