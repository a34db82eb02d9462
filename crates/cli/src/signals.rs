//! Ctrl-C and SIGTERM as something that a tasklet can wait for.
//!
//! The classic self-pipe: the signal handler writes a byte into a socket pair, and a tasklet waits
//! for the other end to become readable. So a signal is one more completion, and there is no thread
//! for it. The first signal asks for a clean stop; the next one ends the process at once, with the
//! exit code that shells give to that signal, for those who cannot wait.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level::pipe};

/// The reading end of the self-pipe. The handlers stay for the life of the process.
#[derive(Debug)]
pub(crate) struct StopSignals {
    pipe: UnixStream,
    last: Arc<AtomicUsize>,
}

impl StopSignals {
    /// Takes over SIGINT and SIGTERM.
    pub(crate) fn register() -> io::Result<StopSignals> {
        let (ours, handlers) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let last = Arc::new(AtomicUsize::new(0));
        let again = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // Handlers run in this order: at the first signal `again` is not yet set.
            flag::register_conditional_shutdown(signal, 128 + signal, again.clone())?;
            flag::register(signal, again.clone())?;
            flag::register_usize(signal, last.clone(), signal.unsigned_abs() as usize)?;
            pipe::register(signal, handlers.try_clone()?)?;
        }
        Ok(StopSignals { pipe: ours, last })
    }

    /// Blocks the calling tasklet until a signal comes, and gives its name.
    pub(crate) fn wait(&mut self) -> io::Result<&'static str> {
        loop {
            overlapped::net::wait_readable(&self.pipe)?;
            match self.pipe.read(&mut [0; 16]) {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        let signal = i32::try_from(self.last.load(Ordering::SeqCst));
        Ok(if signal == Ok(SIGTERM) { "SIGTERM" } else { "SIGINT" })
    }
}
