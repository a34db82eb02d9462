//! Signals as events that a tasklet waits for.
//!
//! A signal that somebody has asked for does not do what it would do by default any more: Ctrl-C
//! does not end the process, whatever is in flight. That stays so when the last listener has gone;
//! the signal does nothing then. Handlers that others have installed before are still called.
//!
//! Every listener gets every signal. Signals of one kind that come while nobody looks count as one,
//! as they do in the system itself (signal(7)). Outside a scheduler, waiting blocks the thread.
//!
//! A child of [`Command`](crate::process::Command) starts with the default for every signal.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use crate::op::{Interest, Op};
use crate::port::host::signals::{self, Listener};
use crate::task::wait::perform;

pub use libc::{
    SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGIO, SIGPIPE, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN,
    SIGTTOU, SIGURG, SIGUSR1, SIGUSR2, SIGWINCH,
};

/// Waits for the next Ctrl-C (SIGINT).
///
/// From the first call on, Ctrl-C no longer ends the process. One that comes between two calls
/// goes unseen: to miss none, keep a [`Signals`].
///
/// # Errors
/// `TimedOut` at the deadline set by [`timeout`](crate::time::timeout); for want of descriptors.
///
/// ```no_run
/// overlapped::run_until(|| {
///     overlapped::spawn(|| { /* serves for ever */ });
///     overlapped::signal::ctrl_c().unwrap();
///     println!("stopping");
/// }).unwrap();
/// ```
pub fn ctrl_c() -> io::Result<()> {
    Signals::new([SIGINT])?.recv().map(drop)
}

/// A stream of signals: what has come since it was made.
///
/// As an iterator it never ends; it gives an error where [`recv`](Signals::recv) does. It is
/// `Send`: whoever has it, waits.
///
/// ```
/// use overlapped::signal::{SIGUSR1, SIGUSR2, Signals};
/// overlapped::run(|| {
///     let mut signals = Signals::new([SIGUSR1, SIGUSR2]).unwrap();
///     let kill = format!("kill -USR1 {}", overlapped::process::id());
///     overlapped::process::Command::new("sh").args(["-c", &kill]).status().unwrap();
///     assert_eq!(signals.recv().unwrap(), SIGUSR1);
/// }).unwrap();
/// ```
#[derive(Debug)]
pub struct Signals {
    listener: Listener,
    /// Come, and not yet given.
    come: VecDeque<i32>,
}

impl Signals {
    /// A stream of these signals.
    ///
    /// # Errors
    /// `InvalidInput` for what is no signal or cannot be caught (SIGKILL, SIGSTOP) or must not be
    /// waited for (SIGSEGV, SIGILL, SIGFPE: the fault would come again); for want of descriptors.
    pub fn new(signals: impl IntoIterator<Item = i32>) -> io::Result<Signals> {
        let made = Signals { listener: Listener::new()?, come: VecDeque::new() };
        for signal in signals {
            made.add(signal)?;
        }
        Ok(made)
    }

    /// Takes in one more signal. Nothing where it is in already.
    ///
    /// # Errors
    /// As [`new`](Signals::new).
    pub fn add(&self, signal: i32) -> io::Result<()> {
        self.listener.add(signal)
    }

    /// Waits for the next signal and gives its number.
    ///
    /// # Errors
    /// `TimedOut` at the deadline set by [`timeout`](crate::time::timeout). No signal is lost by
    /// it, nor by a kill.
    pub fn recv(&mut self) -> io::Result<i32> {
        loop {
            if let Some(signal) = self.try_recv() {
                return Ok(signal);
            }
            let fd = self.listener.as_fd().as_raw_fd();
            let op = Op::Ready { fd, interest: Interest::Readable };
            // SAFETY: the borrow of `self` keeps the descriptor open; no memory is involved.
            unsafe { perform(&op, None) }?;
        }
    }

    /// A signal that has come already. Never waits.
    pub fn try_recv(&mut self) -> Option<i32> {
        if self.come.is_empty() {
            self.come.extend(self.listener.pending());
        }
        self.come.pop_front()
    }
}

impl Iterator for Signals {
    type Item = io::Result<i32>;

    fn next(&mut self) -> Option<io::Result<i32>> {
        Some(self.recv())
    }
}

/// A signal's name: `"SIGINT"`; `None` for numbers without one.
pub fn name(signal: i32) -> Option<&'static str> {
    signals::name(signal)
}
