//! Threads that this library starts.
//!
//! `locals` starts two more kinds, which end at once and have no name: one thread to find out where
//! the C library keeps a thread's data, and one for each block of thread-locals that it retires.
//!
//! Each kind has a name of its own, by which `ps -L` and a debugger show it. Linux keeps 15 bytes
//! of a name.
//!
//! | name | started by | ends |
//! |---|---|---|
//! | `overlapped-N` | a run with several threads | with its run |
//! | `overlapped-pool` | `offload`: blocking calls | after some idle seconds |
//! | `overlapped-tick` | `offload`: the pool's ticker | after some idle seconds |
//! | `overlapped-wait` | `offload`: a call that may wait for ever | after some idle seconds |
//! | `overlapped-intr` | [`super::interruptible`]: interrupts such calls | with the last of them |
//! | `overlapped-wdog` | `watchdog`: looks for stalls | with the last watched scheduler |
//! | `overlapped-tell` | `watchdog`: reports what was found | with the watchdog |
//! | `overlapped-dump` | `watchdog`: dumps by signal | never |
//! | `overlapped-warn` | `watchdog`: one warning | when the subscriber has it |
//! | `overlapped-tls` | `locals`: retires thread-locals | when few are left idle |

use std::io;
use std::thread::{Builder, JoinHandle};

use super::count::Helper;

pub(crate) use std::thread::{current, park, park_timeout, sleep, yield_now};

pub use std::thread::available_parallelism;

/// The stack of a small thread. One system call runs there, and perhaps a signal handler of the
/// program's.
const SMALL_STACK: usize = 64 << 10;

/// Starts a thread.
pub(crate) fn start<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().name(name.to_owned()).spawn(run)
}

/// Starts a thread for system calls and little else, on a small stack.
pub(crate) fn start_small(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    Builder::new().name(name.to_owned()).stack_size(SMALL_STACK).spawn(run).map(drop)
}

/// Starts a thread that never holds a lock that a tasklet could wait for, so deadlock reports do
/// not count it.
pub(crate) fn start_helper(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let helper = move || {
        let _uncounted_at_the_end = Helper;
        run();
    };
    Helper::prepare();
    start(name, helper)?;
    Helper::count();
    Ok(())
}
