//! A mode for debugging that finds waiting calls past libc's functions, with their tasklets and
//! places.
//!
//! ```text
//! a thread that runs such tasklets: seccomp stops its system calls that may wait
//!      │ the kernel reports
//! supervisor (a plain thread): a tasklet, in its own code? ──▶ reporter (a plain thread):
//!      │ lets the call go on, in every case        asks the library for the place, lets it go on,
//!      ▼                                           looks up names, prints
//! the call waits, and its thread with it
//! ```
//!
//! **Every call goes on as if it had not been stopped** (`SECCOMP_USER_NOTIF_FLAG_CONTINUE`):
//! seccomp only reports. Rejected: `SECCOMP_RET_TRAP`, a signal in the thread that calls. A filter
//! holds for good, for all threads and programs that the thread starts. A program that is started
//! has no handler and would be killed by its first read. So would a thread that calls with its
//! signals blocked, as glibc does in posix_spawn(3).
//!
//! **The stack pointer shows which tasklet calls**; `/proc` has it. A call is reported only if the
//! pointer lies on the stack of a tasklet of this crate, and the tasklet is marked: it is not in a
//! function of this crate. A call that has nothing to wait for is not reported either: on a
//! descriptor in non-blocking mode, on a file, with a zero time.
//!
//! **The supervisor waits for the kernel alone.** The reporter waits for the library's answer,
//! which a signal handler of the stopped thread gives: the signal interrupts the call, which begins
//! again after it, and then the supervisor lets it go on. Work that takes locks (symbols, output)
//! comes after that.
//!
//! A program that a tasklet has started, and that outlives this process, finds its waiting calls
//! missing (`ENOSYS`), because no supervisor lets them go on. That is one more reason to use this
//! for debugging only.

mod classify;
mod filter;
mod message;
mod reporter;
mod running;
mod supervisor;

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::raw::call;

pub use reporter::RawCall;
pub(crate) use reporter::raw_calls;

/// True once the supervisor works; false again in a child of fork(2).
static ON: AtomicBool = AtomicBool::new(false);

/// Tells whether raw calls are trapped.
pub(crate) fn is_on() -> bool {
    ON.load(Relaxed)
}

/// Switches trapping off in a child of fork(2), which has no supervisor: its threads get no
/// filters.
pub(crate) fn forget() {
    ON.store(false, Release);
}

/// Puts the calling tasklet's thread under the filter for good. Puts the tasklet on the list of
/// those that run, until the result is dropped. Call it before the tasklet is marked.
pub(crate) fn enter(stack_size: usize) -> Option<impl Drop> {
    if !ON.load(Acquire) {
        return None;
    }
    let here = 0u8;
    // The list comes first, since the filter stops the calls that follow.
    let entered = running::enter((&raw const here).addr(), stack_size);
    supervisor::attach_filter();
    Some(entered)
}

/// Begins to trap raw calls, in tasklets that begin from now on.
///
/// # Errors
/// The reason why raw calls cannot be trapped, with the remedy.
pub(crate) fn start() -> Result<(), String> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if is_on() {
        return Ok(());
    }
    filter::available()?;
    supervisor::start()?;
    let tested = thread::Builder::new().name("overlapped-trap-test".into()).spawn(test);
    match tested.map(thread::JoinHandle::join) {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(why))) => return Err(why),
        Ok(Err(_)) => return Err("its self-test panicked".into()),
        Err(error) => return Err(format!("cannot start the thread of its self-test: {error}")),
    }
    ON.store(true, Release);
    Ok(())
}

/// Makes a call on a thread of its own, which the kernel must report to the supervisor.
fn test() -> Result<(), String> {
    supervisor::try_attach_filter()?;
    let before = supervisor::stopped_count();
    let time = libc::timespec { tv_sec: 0, tv_nsec: 1 };
    // SAFETY: the time is borrowed for the call; the remaining time is not asked for.
    let slept = unsafe { call!(nanosleep, &raw const time, 0) };
    if slept != 0 || supervisor::stopped_count() == before {
        return Err("seccomp accepts the filter but reports no call: this kernel, or its \
                    emulation, does not behave as documented"
            .into());
    }
    Ok(())
}
