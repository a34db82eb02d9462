//! Ctrl-C and SIGTERM: the first asks for a clean stop, the next one ends the process at once, with
//! the exit code that shells give to that signal, for those who cannot wait. Where a stop has a
//! stage more, a server's lame-duck time, the second ends that stage, and the third the process.
//! SIGQUIT (Ctrl-\) shows
//! every tasklet on standard error, and the program goes on.
//!
//! The first is an event that a tasklet waits for. The last works even where nobody gets to run: it
//! is done in the signal's handler.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use overlapped::signal::{self, SIGINT, SIGQUIT, SIGTERM, Signals};
use overlapped::task;
use signal_hook::{flag, low_level::pipe};

/// The handlers stay for the life of the process.
#[derive(Debug)]
pub(crate) struct StopSignals {
    signals: Signals,
}

impl StopSignals {
    /// Takes over SIGINT and SIGTERM.
    pub(crate) fn register() -> io::Result<StopSignals> {
        end_at(2)?;
        Ok(StopSignals { signals: Signals::new([SIGINT, SIGTERM])? })
    }

    /// Blocks the calling tasklet until a signal comes, and gives its name.
    pub(crate) fn wait(&mut self) -> io::Result<&'static str> {
        let signal = self.signals.recv()?;
        Ok(signal::name(signal).unwrap_or("a signal"))
    }
}

/// From now on the second SIGINT or SIGTERM ends the process, or a later one.
fn end_at(last: usize) -> io::Result<()> {
    let enough = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // Handlers run in this order: at the first signal `enough` is not yet set.
        flag::register_conditional_shutdown(signal, 128 + signal, enough.clone())?;
        if last == 2 {
            flag::register(signal, enough.clone())?;
        }
    }
    if last > 2 {
        count(last - 1, enough)?;
    }
    Ok(())
}

/// Sets a flag after so many signals. Handlers can set flags, but not count; schedulers' threads
/// may be held up by the very thing that the last signal is to end. So a thread counts.
fn count(signals: usize, then: Arc<AtomicBool>) -> io::Result<()> {
    let (mut heard, told) = UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM] {
        pipe::register(signal, told.try_clone()?)?;
    }
    let count = move || {
        if heard.read_exact(&mut vec![0; signals]).is_ok() {
            then.store(true, Ordering::SeqCst);
        }
    };
    thread::Builder::new().name("counts signals".to_owned()).spawn(count).map(drop)
}

/// Remembers which signal has asked for the stop last, for those who are stopped by somebody else's
/// handlers. The handlers stay for the life of the process.
#[derive(Debug)]
pub(crate) struct LastStop {
    signal: Arc<AtomicUsize>,
}

impl LastStop {
    /// Takes over SIGINT and SIGTERM, of which the second ends the process, or a later one.
    pub(crate) fn register(end_at_the: usize) -> io::Result<LastStop> {
        end_at(end_at_the)?;
        let stop = LastStop { signal: Arc::default() };
        for signal in [SIGINT, SIGTERM] {
            flag::register_usize(signal, Arc::clone(&stop.signal), signal as usize)?;
        }
        Ok(stop)
    }

    /// Its name, if one has come.
    pub(crate) fn name(&self) -> Option<&'static str> {
        signal::name(self.signal.load(Ordering::Relaxed) as i32)
    }
}

/// How many dumps are being written.
static DUMPS: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// A dump that is being written.
struct Begun;

impl Begun {
    fn new() -> Begun {
        *dumps() += 1;
        Begun
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        *dumps() -= 1;
        DUMPS.1.notify_all();
    }
}

fn dumps() -> MutexGuard<'static, usize> {
    DUMPS.0.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until no dump is being written, for those who leave; not for a reader who has stopped.
pub(crate) fn finish_dumps() {
    const PATIENCE: Duration = Duration::from_secs(5);
    drop(DUMPS.1.wait_timeout_while(dumps(), PATIENCE, |dumps| *dumps > 0));
}

/// Begins a tasklet that shows all of them at every SIGQUIT, until it is killed.
pub(crate) fn dump_on_quit() -> io::Result<()> {
    let signals = Signals::new([SIGQUIT])?;
    let shown = task::Builder::new().name("SIGQUIT: shows all tasklets").spawn(move || {
        for signal in signals {
            if let Err(error) = signal {
                tracing::warn!("no more dumps at SIGQUIT: {error}");
                return;
            }
            // Resolving symbols takes a while, and whoever reads it may be slow.
            let dump = task::dump();
            let begun = Begun::new();
            let write = move || {
                let _ = write!(io::stderr(), "{dump:#}");
                drop(begun);
            };
            drop(task::unblock(write));
        }
    });
    shown.map(drop).map_err(io::Error::other)
}
