//! Errors of the suspension point: why a call may not wait, or waits no longer.

use std::error::Error;
use std::fmt;
use std::io;

use super::wait::is_cancelled;
use crate::sched::here;
use crate::sys::errno;

/// Why a call may not wait here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The tasklet is unwinding: std's panic count is per thread, so it must not switch.
    Unwinding,
    /// It is inside `no_switch`.
    NoSwitch,
    /// A kill is pending, which is to end the call with an error: `kill_as_error`.
    Killed,
}

/// The cause that an [`io::Error`] of this library holds where the call was ended from outside: not
/// by its operation, nor by a limit of its own.
///
/// ```
/// use overlapped::task::{Cancelled, kill_as_error};
/// use overlapped::time::{Duration, timeout, try_sleep};
/// overlapped::run(|| {
///     let late = timeout(Duration::ZERO, || try_sleep(Duration::from_secs(1))).unwrap_err();
///     assert_eq!(Cancelled::of(&late), Some(Cancelled::Deadline));
///     let sleeper = overlapped::spawn(|| kill_as_error(|| try_sleep(Duration::MAX)));
///     overlapped::yield_now();
///     sleeper.kill();
///     let killed = sleeper.join().unwrap().unwrap_err();
///     assert_eq!(Cancelled::of(&killed), Some(Cancelled::Kill));
/// }).unwrap();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cancelled {
    /// A kill of the caller is pending, and the call is inside [`kill_as_error`]. The error's kind
    /// is `Other`.
    ///
    /// [`kill_as_error`]: super::kill_as_error
    Kill,
    /// The deadline set by [`timeout`](crate::time::timeout) has passed. The error's kind is
    /// `TimedOut`.
    Deadline,
}

impl Cancelled {
    /// Tells what ended the call that returned `error`; `None` if that was neither a kill nor a
    /// deadline. Looks through [`PartialOutput`](crate::process::PartialOutput).
    pub fn of(error: &io::Error) -> Option<Cancelled> {
        let inner = error.get_ref()?;
        let within = || Cancelled::of(inner.source()?.downcast_ref()?);
        inner.downcast_ref().copied().or_else(within)
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cancelled::Kill => "cancelled: a kill of this tasklet is pending",
            Cancelled::Deadline => "the deadline set by timeout has passed",
        })
    }
}

impl Error for Cancelled {}

/// The error of a call that a kill ends.
#[cold]
pub(crate) fn killed() -> io::Error {
    io::Error::other(Cancelled::Kill)
}

/// The deadline's error (`timeout`), or the error that std gives for a socket's own limit.
pub(super) fn timed_out(by_deadline: bool) -> io::Error {
    if by_deadline {
        return deadline_passed();
    }
    io::Error::from_raw_os_error(errno::WOULD_BLOCK)
}

/// The error of a call that the deadline set by `timeout` ends.
#[cold]
pub(crate) fn deadline_passed() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, Cancelled::Deadline)
}

/// The error of a call that a signal handler ends.
#[cold]
pub(super) fn interrupted() -> io::Error {
    io::Error::from_raw_os_error(errno::INTERRUPTED)
}

/// The error of a wait that was cut short: by a kill, inside `kill_as_error`, by a signal handler,
/// inside `interruptible`, or by the deadline.
#[cold]
pub(crate) fn cut_short() -> io::Error {
    match here() {
        Some(here) if is_cancelled(here) => killed(),
        Some(here) if here.me().interrupted.take() => interrupted(),
        _ => deadline_passed(),
    }
}

#[cold]
pub(in crate::task) fn too_many() -> io::Error {
    io::Error::new(
        io::ErrorKind::QuotaExceeded,
        "too many operations in flight; raise Config::operations_max",
    )
}

/// Ends the process: a tasklet unwinds and would have to wait for `what`, which has no error to
/// return. `instead`: the remedy, as a sentence without its full stop.
#[cold]
pub(crate) fn would_wait_while_unwinding(what: &str, instead: &str) -> ! {
    let who = here().map_or_else(|| "a thread".to_owned(), |here| here.me().who());
    eprintln!(
        "overlapped: {who} is unwinding and would have to wait for {what}. A tasklet that unwinds \
         never switches, so this would never end; aborting. {instead}"
    );
    std::process::abort();
}

impl Refusal {
    /// `error`, or, where it only says that the call would have to wait, why it may not.
    pub(super) fn explain(self, error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::WouldBlock {
            return io::Error::new(io::ErrorKind::WouldBlock, self.reason());
        }
        error
    }

    /// The sentence for an error.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Refusal::Unwinding => "would wait, but this tasklet is unwinding",
            Refusal::NoSwitch => "would wait, but this is inside no_switch",
            Refusal::Killed => "would wait, but a kill of this tasklet is pending",
        }
    }
}
