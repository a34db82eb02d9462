//! Requests to stop: SIGINT (Ctrl-C) and SIGTERM.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use overlapped::signal::{self, SIGINT, SIGTERM, Signals};
use signal_hook::{flag, low_level::pipe};

/// The handlers stay for the life of the process.
#[derive(Debug)]
pub(crate) struct StopSignals {
    signals: Signals,
}

impl StopSignals {
    /// Installs handlers of SIGINT and SIGTERM.
    pub(crate) fn register() -> io::Result<StopSignals> {
        exit_at_second_signal()?;
        Ok(StopSignals { signals: Signals::new([SIGINT, SIGTERM])? })
    }

    /// Blocks the calling tasklet until a signal arrives, and returns its name.
    pub(crate) fn wait(&mut self) -> io::Result<&'static str> {
        let signal = self.signals.recv()?;
        Ok(signal::name(signal).unwrap_or("a signal"))
    }
}

/// Makes the second SIGINT or SIGTERM end the process.
fn exit_at_second_signal() -> io::Result<()> {
    let once = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // Handlers run in this order: at the first signal `once` is not yet set.
        flag::register_conditional_shutdown(signal, 128 + signal, once.clone())?;
        flag::register(signal, once.clone())?;
    }
    Ok(())
}

/// Counts signals for a server, whose own handlers perform the stop, and remembers the latest
/// signal. The handlers stay for the life of the process.
///
/// At the final signal it runs a clean-up that no handler may run, and the schedulers' threads may
/// be blocked by the very work that the signal is to end. So it counts on a thread of its own.
#[derive(Debug)]
pub(crate) struct StopCounter {
    signal: Arc<AtomicUsize>,
    /// The end that handlers write to, and callers with a question for the thread.
    sender: UnixStream,
    /// The thread's answers.
    answers: mpsc::Receiver<()>,
}

/// The byte of a question; no handler writes it.
const QUESTION: u8 = b'?';

impl StopCounter {
    /// Installs handlers of SIGINT and SIGTERM. The signal with the number `signals` runs `clean`
    /// and ends the process.
    pub(crate) fn register(
        signals: usize,
        clean: impl FnOnce() + Send + 'static,
    ) -> io::Result<StopCounter> {
        let last = Arc::new(AtomicUsize::new(0));
        let (mut receiver, sender) = UnixStream::pair()?;
        for signal in [SIGINT, SIGTERM] {
            flag::register_usize(signal, Arc::clone(&last), signal as usize)?;
            pipe::register(signal, sender.try_clone()?)?;
        }
        let (answer, answers) = mpsc::channel();
        let stop = StopCounter { signal: Arc::clone(&last), sender, answers };
        let count = move || {
            let mut left = signals;
            let mut byte = [0];
            while receiver.read_exact(&mut byte).is_ok() {
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

    /// Returns the name of the latest signal, if one has arrived. Does not return if the process is
    /// about to end by that signal, even if the clean stop has finished meanwhile.
    pub(crate) fn name(&self) -> Option<&'static str> {
        if (&self.sender).write_all(&[QUESTION]).is_ok() {
            let _ = self.answers.recv();
        }
        signal::name(self.signal.load(Ordering::SeqCst) as i32)
    }
}
