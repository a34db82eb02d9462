//! Ctrl-C and SIGTERM: the first asks for a clean stop, the next one ends the process at once, with
//! the exit code that shells give to that signal, for those who cannot wait. Where a stop has a
//! stage more, a server's lame-duck time, the second ends that stage, and the third the process.
//! SIGQUIT (Ctrl-\) shows
//! every tasklet on standard error, and the program goes on.
//!
//! The first is an event that a tasklet waits for. The last works even where no tasklet gets to
//! run: it is done in the signal's handler or, where there is more to do than to end, by a thread.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
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
        end_at_the_second()?;
        Ok(StopSignals { signals: Signals::new([SIGINT, SIGTERM])? })
    }

    /// Blocks the calling tasklet until a signal comes, and gives its name.
    pub(crate) fn wait(&mut self) -> io::Result<&'static str> {
        let signal = self.signals.recv()?;
        Ok(signal::name(signal).unwrap_or("a signal"))
    }
}

/// From now on the second SIGINT or SIGTERM ends the process.
fn end_at_the_second() -> io::Result<()> {
    let once = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // Handlers run in this order: at the first signal `once` is not yet set.
        flag::register_conditional_shutdown(signal, 128 + signal, once.clone())?;
        flag::register(signal, once.clone())?;
    }
    Ok(())
}

/// Counts signals for those who are stopped by somebody else's handlers, and remembers which signal
/// has asked for the stop last. The handlers stay for the life of the process.
///
/// At the last signal something is to be done that a handler may not do, and schedulers' threads
/// may be held up by the very thing that the signal is to end. So a thread of its own counts.
#[derive(Debug)]
pub(crate) struct LastStop {
    signal: Arc<AtomicUsize>,
    /// The end that handlers write to, and so does a caller that asks the thread.
    told: UnixStream,
    /// The thread's answers.
    answers: mpsc::Receiver<()>,
}

/// A byte that no handler writes.
const QUESTION: u8 = b'?';

impl LastStop {
    /// Takes over SIGINT and SIGTERM: so many of them end the process, after `clean`.
    pub(crate) fn register(
        signals: usize,
        clean: impl FnOnce() + Send + 'static,
    ) -> io::Result<LastStop> {
        let last = Arc::new(AtomicUsize::new(0));
        let (mut heard, told) = UnixStream::pair()?;
        for signal in [SIGINT, SIGTERM] {
            flag::register_usize(signal, Arc::clone(&last), signal as usize)?;
            pipe::register(signal, told.try_clone()?)?;
        }
        let (answer, answers) = mpsc::channel();
        let stop = LastStop { signal: Arc::clone(&last), told, answers };
        let count = move || {
            let mut left = signals;
            let mut byte = [0];
            while heard.read_exact(&mut byte).is_ok() {
                if byte[0] == QUESTION {
                    let _ = answer.send(());
                    continue;
                }
                left -= 1;
                if left == 0 {
                    clean();
                    signal_hook::low_level::exit(128 + last.load(Ordering::SeqCst) as i32);
                }
            }
        };
        thread::Builder::new().name("counts signals".to_owned()).spawn(count)?;
        Ok(stop)
    }

    /// The name of the last signal, if one has come. Does not return where the process is to end by
    /// it, even if the clean stop was as quick.
    pub(crate) fn name(&self) -> Option<&'static str> {
        if (&self.told).write_all(&[QUESTION]).is_ok() {
            let _ = self.answers.recv();
        }
        signal::name(self.signal.load(Ordering::SeqCst) as i32)
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
