//! System calls that may wait for ever, and can be interrupted from any thread.
//!
//! ```text
//!              call                    result, or EINTR by another signal: call again
//!   (no caller) ──▶ caller = thread ──▶ the kernel ──▶ (no caller)
//!        │                │ interrupt: a signal every 10 ms until the call has ended
//!        └── interrupt ───┴──▶ interrupted: every call ends with EINTR
//! ```
//!
//! The signal is one that has its default disposition when it is first needed (on Linux the highest
//! such real-time signal). Its handler does nothing, and lets calls end with EINTR. A signal that
//! arrives just before the call begins is lost. So a thread, the *interrupter*, sends it again
//! until the call has ended. It lives only as long as there is a call to interrupt.

use std::io;
use std::mem::MaybeUninit;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::sys::lock::{Mutex, MutexGuard};
use crate::sys::per_process::PerProcess;
use crate::sys::signal::spare_signals;

use super::start::{sleep, start_small};

/// The time between two signals to one call.
const PERIOD: Duration = Duration::from_millis(10);

/// The number of signals that make a call begin again.
const RESTARTS: u32 = 3;

/// A system call that can be interrupted, from any thread, before and while it waits.
#[derive(Clone, Default)]
pub(crate) struct Interruptible(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The thread that is in the call, or about to be.
    caller: Option<libc::pthread_t>,
    interrupted: bool,
}

/// The number of signals to one call.
#[derive(Clone, Copy)]
enum Times {
    UntilItEnds,
    AtMost(u32),
}

/// The calls to interrupt; `None` while there is no interrupter.
type Queue = Mutex<Option<Vec<(Interruptible, Times)>>>;

static QUEUE: PerProcess<Queue> = PerProcess::new(forget_queue);

extern "C" fn forget_queue() {
    QUEUE.forget();
}

impl Interruptible {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// Makes `call`, and again if another signal interrupted it. The result is in the kernel's
    /// form; `-EINTR` if [`Interruptible::interrupt`] came first.
    pub(crate) fn call(&self, mut call: impl FnMut() -> isize) -> i32 {
        loop {
            {
                let mut state = self.state();
                if state.interrupted {
                    return -libc::EINTR;
                }
                // SAFETY: no preconditions.
                state.caller = Some(unsafe { libc::pthread_self() });
            }
            let result = call();
            let errno = io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
            self.state().caller = None;
            match result {
                0.. => return i32::try_from(result).expect("descriptors and flags are small"),
                _ if errno != libc::EINTR => return -errno,
                _ => {}
            }
        }
    }

    /// Ends the call early, if it has not ended. Returns at once. Returns false if no thread
    /// repeats the signal, which has been sent once and may have come too early.
    pub(crate) fn interrupt(&self) -> bool {
        {
            let mut state = self.state();
            state.interrupted = true;
            if state.caller.is_none() {
                return true;
            }
        }
        let is_repeated = self.enqueue(Times::UntilItEnds);
        if !is_repeated {
            self.send_signal();
        }
        is_repeated
    }

    /// Interrupts this thread's next call a few times, so that the call begins again.
    pub(crate) fn restart_soon(&self) {
        self.enqueue(Times::AtMost(RESTARTS));
    }

    /// Leaves the call to the interrupter. Returns false if no thread can be started.
    fn enqueue(&self, times: Times) -> bool {
        let queue = QUEUE.get(Queue::default);
        let mut calls = queue.lock();
        if let Some(calls) = &mut *calls {
            calls.push((self.clone(), times));
            return true;
        }
        let is_started = start_small("overlapped-intr", || interrupt_all(queue)).is_ok();
        if is_started {
            *calls = Some(vec![(self.clone(), times)]);
        }
        is_started
    }

    /// Sends the signal. Returns false if no thread is in the call, or no signal is available.
    fn send_signal(&self) -> bool {
        let state = self.state();
        let (Some(caller), Some(signal)) = (state.caller, signal()) else {
            return false;
        };
        // SAFETY: the caller's thread cannot end while it is recorded here: it clears the record
        // under this lock first.
        unsafe { libc::pthread_kill(caller, signal) };
        true
    }
}

/// Sends signals until every call has ended: the interrupter's thread.
fn interrupt_all(queue: &Queue) {
    loop {
        {
            let mut calls = queue.lock();
            let list = calls.get_or_insert_default();
            list.retain_mut(|(call, times)| match (call.send_signal(), times) {
                (is_waiting, Times::UntilItEnds) => is_waiting,
                (_, Times::AtMost(left)) => {
                    *left -= 1;
                    *left > 0
                }
            });
            if list.is_empty() {
                *calls = None;
                return;
            }
        }
        sleep(PERIOD);
    }
}

extern "C" fn ignore(_: libc::c_int) {}

/// Tells whether this is the address of the signal's handler.
pub(crate) fn is_handler(address: usize) -> bool {
    address == ignore as *const () as usize
}

/// Returns the signal that interrupts, chosen by the first call. `None` if every candidate is in
/// use already: then calls only end by themselves.
fn signal() -> Option<libc::c_int> {
    static SIGNAL: OnceLock<Option<libc::c_int>> = OnceLock::new();
    *SIGNAL.get_or_init(|| {
        spare_signals().find(|&signal| {
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

/// Blocks all signals on the calling thread, except the one that interrupts. Other signals are for
/// threads that have room for their handlers. One that the program waits for (sigwait(3)) would
/// even end the process, by its default, if a single thread did not block it.
pub(crate) fn block_other_signals() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_is_to_restart_begins_again() {
        let interruptible = Interruptible::default();
        let mut times = 0;
        let result = interruptible.call(|| {
            times += 1;
            // A signal that comes before the call is lost, so more than one may be needed.
            for _ in 0..100 {
                interruptible.restart_soon();
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
