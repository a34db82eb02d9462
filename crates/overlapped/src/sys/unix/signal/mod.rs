//! Signals by the classic self-pipe: the handler records the signal and writes a byte into a socket
//! pair, whose other end becomes readable.
//!
//! signal-hook has one handler per signal, for any number of listeners, and calls the handler that
//! was there before. Its handlers restart system calls and keep errno.

pub(crate) mod alternate_stack;
pub(crate) mod disposition;
pub(crate) mod sigpipe;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use signal_hook::consts::FORBIDDEN;
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

pub(crate) use crate::sys::native::thread::{last_signal, spare_signals};

/// A queue of signals that have come.
#[derive(Debug)]
pub(crate) struct Listener {
    delivery: SignalDelivery<Arc<UnixStream>, SignalOnly>,
    /// Dropped last: a handler that wrote to a closed end would raise SIGPIPE.
    read: Arc<UnixStream>,
}

impl Listener {
    /// Makes a listener that listens for no signal yet.
    pub(crate) fn new() -> io::Result<Listener> {
        let (read, write) = UnixStream::pair()?;
        let read = Arc::new(read);
        let none: [i32; 0] = [];
        let delivery = SignalDelivery::with_pipe(Arc::clone(&read), write, SignalOnly, none)?;
        Ok(Listener { delivery, read })
    }

    /// Adds a signal; has no effect if it was added before.
    pub(crate) fn add(&self, signal: i32) -> io::Result<()> {
        if signal <= 0 || signal > last_signal() || FORBIDDEN.contains(&signal) {
            let text = format!("signal {signal} cannot be waited for");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        self.delivery.handle().add_signal(signal)
    }

    /// Returns the signals that have come since the last call, each once.
    pub(crate) fn pending(&mut self) -> impl Iterator<Item = i32> {
        self.delivery.pending()
    }
}

impl AsFd for Listener {
    /// Returns a descriptor that is readable when a signal is pending.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}

/// Returns a signal's name, such as `"SIGINT"`.
pub(crate) fn name(signal: i32) -> Option<&'static str> {
    signal_hook::low_level::signal_name(signal)
}
