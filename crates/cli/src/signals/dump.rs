//! SIGQUIT (Ctrl-\) dumps every tasklet on standard error.

use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use overlapped::signal::{SIGQUIT, Signals};
use overlapped::task;

/// The number of dumps that are being written.
static DUMPS: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// A dump that is being written.
struct OngoingDump;

impl OngoingDump {
    fn new() -> OngoingDump {
        *dumps() += 1;
        OngoingDump
    }
}

impl Drop for OngoingDump {
    fn drop(&mut self) {
        *dumps() -= 1;
        DUMPS.1.notify_all();
    }
}

fn dumps() -> MutexGuard<'static, usize> {
    DUMPS.0.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits at the program's end until no dump is being written, up to a limit, since its reader may
/// have stopped.
pub(crate) fn finish_dumps() {
    const TIME_MAX: Duration = Duration::from_secs(5);
    drop(DUMPS.1.wait_timeout_while(dumps(), TIME_MAX, |dumps| *dumps > 0));
}

/// Spawns a tasklet that dumps all tasklets at every SIGQUIT, until it is killed.
pub(crate) fn dump_on_quit() -> io::Result<()> {
    let signals = Signals::new([SIGQUIT])?;
    let spawned = task::Builder::new().name("SIGQUIT: shows all tasklets").spawn(move || {
        for signal in signals {
            if let Err(error) = signal {
                tracing::warn!("no more dumps at SIGQUIT: {error}");
                return;
            }
            // On the pool: resolving symbols takes a while, and the reader may be slow.
            let dump = task::dump();
            let ongoing = OngoingDump::new();
            let write = move || {
                let _ = write!(io::stderr(), "{dump:#}");
                drop(ongoing);
            };
            drop(task::unblock(write));
        }
    });
    spawned.map(drop).map_err(io::Error::other)
}
