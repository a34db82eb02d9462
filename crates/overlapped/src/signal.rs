//! Signals as events that a tasklet waits for.
//!
//! A signal that has a listener loses its default effect: Ctrl-C does not end the process any more.
//! After the last listener has gone, the signal has no effect at all. Handlers that were installed
//! before are still called.
//!
//! Every listener gets every signal. Signals of one kind that come between two calls count as one,
//! as they do in the system itself (signal(7)). Outside a scheduler, waiting blocks the thread.
//!
//! A child of [`Command`](crate::process::Command) starts with the default for every signal.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use crate::op::{Op, Wait};
use crate::sched::interrupts;
use crate::sys::signal;
use crate::sys::signal::Listener;
use crate::sys::thread;
use crate::task;
use crate::task::wait::perform;
use crate::watchdog;

/// The outcome of a call when a signal handler has run while it waited: signal(7).
///
/// | the call | a handler with `SA_RESTART` | one without |
/// |---|---|---|
/// | `Yes`: it is made again (recv, accept, wait4 …) | goes on | ends with `EINTR` |
/// | `No`: it never is (poll, nanosleep, a socket with a time limit …) | ends | ends |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Restart {
    /// The handler was installed with `SA_RESTART`; the call is made again after such a
    /// handler.
    Yes,
    /// The handler was installed without; every handler ends the call.
    No,
}

const WITHOUT_RESTART: u8 = 1;
const WITH_RESTART: u8 = 2;

/// Ends the waits of the calling thread's tasklets inside [`interruptible`], because a signal
/// handler runs. The handler calls it, on the thread where it runs: it is async-signal-safe.
/// `restart` is that of the handler. Tells whether the thread has a scheduler; elsewhere the call
/// has no effect.
///
/// All of these waits end, as if each tasklet were a thread that the signal had been sent to. Waits
/// of other threads' tasklets go on, and waits that begin after the handler has returned.
pub fn interrupt_waits(restart: Restart) -> bool {
    interrupts::interrupt(match restart {
        Restart::Yes => WITH_RESTART,
        Restart::No => WITHOUT_RESTART,
    })
}

/// Tells whether a signal handler is an internal one of this library, which does not concern the
/// program: it makes a snapshot of a thread, or interrupts a thread of the library's own. This is
/// for code between the program and sigaction(2).
pub fn is_internal_handler(address: usize) -> bool {
    watchdog::is_handler(address) || thread::interruptible::is_handler(address)
}

/// Runs `f` with waits that a signal handler ends, if it calls [`interrupt_waits`]: with an error
/// of the kind `Interrupted` (`EINTR`), or `UnblockError::Interrupted`. For code that replaces
/// calls of C, which signals interrupt. No other wait of this library is ended by a signal.
///
/// An operation that ends by itself meanwhile returns its result; the next wait in `f` then returns
/// the error. Nested, the outer `restart` counts. Waits for locks, channels and joins go on; those
/// of [`sync`](crate::sync) that a deadline ends may end as by one, and
/// [`Event::wait_interruptible`](crate::sync::Event::wait_interruptible) has the error. `restart`
/// is the row of [`Restart`]'s table that holds for the calls in `f`.
///
/// ```
/// use overlapped::net::UdpSocket;
/// use overlapped::signal::{Restart, interrupt_waits, interruptible};
/// overlapped::run(|| {
///     let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
///     let waiter = overlapped::spawn(move || {
///         interruptible(Restart::Yes, || socket.recv(&mut [0])).unwrap_err().kind()
///     });
///     overlapped::yield_now();
///     interrupt_waits(Restart::Yes); // As a handler with SA_RESTART would.
///     overlapped::yield_now();
///     assert!(!waiter.is_finished());
///     interrupt_waits(Restart::No);
///     assert_eq!(waiter.join().unwrap(), std::io::ErrorKind::Interrupted);
/// }).unwrap();
/// ```
pub fn interruptible<T>(restart: Restart, f: impl FnOnce() -> T) -> T {
    let handlers = match restart {
        Restart::Yes => WITHOUT_RESTART,
        Restart::No => WITHOUT_RESTART | WITH_RESTART,
    };
    task::interruptible(handlers, f)
}

/// Returns the number of the calling tasklet's scheduler, which is unique in this process; `None`
/// outside. Async-signal-safe.
pub fn scheduler_number() -> Option<u64> {
    task::scheduler_number()
}

/// Sets the function that schedulers call after a [`request`]. Returns false if there is one
/// already, which stays.
///
/// It is called on the scheduler's own stack, or on the stack of a tasklet in the middle of a call:
/// it must neither wait nor panic, nor call foreign code.
pub fn answer_requests(f: fn()) -> bool {
    interrupts::answer_requests(f)
}

/// Asks the scheduler of the calling tasklet to call the function of [`answer_requests`] when it
/// next polls: after a few dozen switches, and before it sleeps. Returns false without a scheduler
/// or such a function.
///
/// This is for code that may run in a signal handler, and cannot do its work there: the call takes
/// no lock and allocates nothing. It makes no system call, so it works for this thread only: a
/// handler that has interrupted the scheduler itself, which may be about to sleep, gets false.
pub fn request() -> bool {
    task::request()
}

pub use libc::{
    SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGIO, SIGPIPE, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN,
    SIGTTOU, SIGURG, SIGUSR1, SIGUSR2, SIGWINCH,
};

/// Waits for the next Ctrl-C (SIGINT).
///
/// From the first call on, Ctrl-C no longer ends the process. One that comes between two calls
/// is lost: to miss none, keep a [`Signals`].
///
/// # Errors
/// `TimedOut` at the deadline set by [`timeout`](crate::time::timeout); an error if no descriptors
/// are left.
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

/// A stream of the signals that have come since it was made.
///
/// As an iterator it never ends; it yields an error when [`recv`](Signals::recv) returns one. It is
/// `Send`: any thread may wait for its signals.
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
    /// The signals that have come and were not returned yet.
    come: VecDeque<i32>,
}

impl Signals {
    /// Creates a stream of these signals.
    ///
    /// # Errors
    /// `InvalidInput` for a number that is not a signal, a signal that cannot be caught (SIGKILL,
    /// SIGSTOP), or one that must not be waited for (SIGSEGV, SIGILL, SIGFPE: the fault would come
    /// again); an error if no descriptors are left.
    pub fn new(signals: impl IntoIterator<Item = i32>) -> io::Result<Signals> {
        let made = Signals { listener: Listener::new()?, come: VecDeque::new() };
        for signal in signals {
            made.add(signal)?;
        }
        Ok(made)
    }

    /// Adds one more signal. A signal that is in already changes nothing.
    ///
    /// # Errors
    /// As [`new`](Signals::new).
    pub fn add(&self, signal: i32) -> io::Result<()> {
        self.listener.add(signal)
    }

    /// Waits for the next signal and returns its number.
    ///
    /// # Errors
    /// `TimedOut` at the deadline set by [`timeout`](crate::time::timeout). No signal is lost by
    /// it, nor by a kill.
    pub fn recv(&mut self) -> io::Result<i32> {
        loop {
            if let Some(signal) = self.try_recv() {
                return Ok(signal);
            }
            let op = Op::Wait(Wait::Signal { listener: self.listener.as_fd().as_raw_fd() });
            // SAFETY: the borrow of `self` keeps the descriptor open; no memory is involved.
            unsafe { perform(&op, None) }?;
        }
    }

    /// Returns a signal that has come already. Never waits.
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

/// Returns a signal's name, `"SIGINT"` for instance; `None` for numbers without one.
pub fn name(signal: i32) -> Option<&'static str> {
    signal::name(signal)
}
