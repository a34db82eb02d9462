//! Signals by the classic self-pipe: the handler notes the signal and writes a byte into a socket
//! pair, whose other end becomes readable.
//!
//! signal-hook has one handler per signal, for any number of listeners, and calls the handler that
//! was there before. Its handlers restart system calls and keep errno.

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
    /// Goes last: a handler that met a closed end would raise SIGPIPE.
    read: Arc<UnixStream>,
}

impl Listener {
    /// A listener for no signal yet.
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

    /// The signals that have come since it was last asked, each once.
    pub(crate) fn pending(&mut self) -> impl Iterator<Item = i32> {
        self.delivery.pending()
    }
}

impl AsFd for Listener {
    /// Readable when something is pending.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}

/// `"SIGINT"` and so on.
pub(crate) fn name(signal: i32) -> Option<&'static str> {
    signal_hook::low_level::signal_name(signal)
}
