//! A mode for debugging that finds waiting calls past libc's functions: who makes them, and where.
//!
//! ```text
//! a thread that runs tasklets of ours: its system calls that may wait are stopped by seccomp
//!      │ the kernel tells
//! supervisor (a plain thread): a tasklet of ours, in its own code? ──▶ teller (a plain thread):
//!      │ lets the call go on, in every case        asks the library where it is, lets it go on,
//!      ▼                                           looks up names, tells
//! the call waits, and its thread with it
//! ```
//!
//! **Every call goes on as if nothing had been** (`SECCOMP_USER_NOTIF_FLAG_CONTINUE`): seccomp only
//! reports. Rejected: `SECCOMP_RET_TRAP`, a signal in the thread that calls. A filter holds for all
//! threads and programs that the thread starts, for good: a program that is started has no handler
//! and would be killed by its first read, and so would a thread, or glibc itself, that calls with
//! its signals blocked, as posix_spawn(3) does.
//!
//! **Whose call it is** says the stack pointer, by `/proc`: on the stack of a tasklet that has
//! begun here, and that is marked, so not inside a function of this crate. Everybody else's call
//! goes on without a word. So does one that has nothing to wait for: a descriptor in non-blocking
//! mode, a file, no time.
//!
//! **The supervisor waits for nobody but the kernel.** The teller waits for the library's answer,
//! which a signal handler of the stopped thread gives: the signal takes the call back, which begins
//! again after it, and is let go then, by the supervisor. What takes locks (symbols, output) comes
//! after that.
//!
//! A program that a tasklet has started, and that outlives this process, finds its waiting calls
//! missing (`ENOSYS`): nobody lets them go on. One more reason why this is for debugging.

mod filter;
mod judge;
mod supervisor;
mod teller;

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::caller::{self, Mark};
use crate::raw::call;

pub use teller::RawCall;
pub(crate) use teller::{say, seen};

/// Set once the supervisor is at work, for good.
static ON: AtomicBool = AtomicBool::new(false);

/// Raw calls are looked for.
pub(crate) fn is_on() -> bool {
    ON.load(Relaxed)
}

/// Looks for none in a child of fork(2), which has no supervisor: its threads get no filters.
pub(crate) fn forget() {
    ON.store(false, Release);
}

/// A tasklet of ours that has begun, and has not ended.
struct Resident {
    /// An address near the beginning of its stack; it uses those below.
    top: usize,
    /// The size of its stack, at most.
    size: usize,
    mark: *const Mark,
}

// SAFETY: the mark is atomic, and in the tasklet's thread-locals, which outlive this.
unsafe impl Send for Resident {}

static RESIDENTS: Mutex<Vec<Resident>> = Mutex::new(Vec::new());

fn residents() -> MutexGuard<'static, Vec<Resident>> {
    RESIDENTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts the calling tasklet's thread under the filter, and the tasklet on the list, until the
/// result is dropped. Call it before the tasklet is marked.
pub(crate) fn enter(stack_size: usize) -> Option<impl Drop> {
    struct Entered(usize);

    impl Drop for Entered {
        fn drop(&mut self) {
            residents().retain(|one| one.top != self.0);
        }
    }

    if !ON.load(Acquire) {
        return None;
    }
    let mark = caller::mark();
    let here = 0u8;
    let top = (&raw const here).addr();
    // In the list first: the filter stops what comes after it.
    residents().push(Resident { top, size: stack_size, mark });
    supervisor::cover();
    Some(Entered(top))
}

/// Begins to look for raw calls, in tasklets that begin from now on.
///
/// # Errors
/// The reason why that cannot be, with the remedy.
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
        Ok(Err(_)) => return Err("the test of it panicked".into()),
        Err(error) => return Err(format!("no thread for the test of it: {error}")),
    }
    ON.store(true, Release);
    Ok(())
}

/// A thread of its own calls in vain, and the supervisor must have been told.
fn test() -> Result<(), String> {
    supervisor::try_cover()?;
    let before = supervisor::told();
    let time = libc::timespec { tv_sec: 0, tv_nsec: 1 };
    // SAFETY: a time, lent for the call; nothing is left to be told.
    let slept = unsafe { call!(nanosleep, &raw const time, 0) };
    if slept != 0 || supervisor::told() == before {
        return Err("seccomp has taken the filter and tells of no call: this kernel, or what \
                    stands in for one, does not do it as documented"
            .into());
    }
    Ok(())
}
