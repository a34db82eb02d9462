//! The errors of the suspension point: the reasons why a call may not wait, or stops waiting.

use std::error::Error;
use std::fmt;
use std::io;

use super::kill::is_cancelled;
use crate::sched::here;
use crate::sys::errno;

/// The reason why a call may not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CannotWait {
    /// The tasklet is unwinding: std's panic count is per thread, so it must not switch.
    Unwinding,
    /// It is inside `no_switch`.
    NoSwitch,
    /// A kill is pending and ends the call with an error: `kill_as_error`.
    Killed,
}

/// The cause in an [`io::Error`] of this library if the call was ended from outside: neither by its
/// operation nor by a limit of its own.
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
    /// [`kill_as_error`]: crate::task::kill_as_error
    Kill,
    /// The deadline set by [`timeout`](crate::time::timeout) has passed. The error's kind is
    /// `TimedOut`.
    Deadline,
}

impl Cancelled {
    /// Returns the cause of `error`, if a kill or a deadline ended the call that returned it; else
    /// `None`. It also looks into [`PartialOutput`](crate::process::PartialOutput).
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

/// Returns the error of a call that a kill ended.
#[cold]
pub(in crate::task) fn killed() -> io::Error {
    io::Error::other(Cancelled::Kill)
}

/// Returns the error of a call that ended by the deadline (`timeout`), or by a socket's own limit,
/// as in std.
pub(in crate::task) fn timed_out(by_deadline: bool) -> io::Error {
    if by_deadline {
        return deadline_passed();
    }
    errno::error(errno::AT_LIMIT)
}

/// Returns the error of a call that the deadline set by `timeout` ended.
#[cold]
pub(in crate::task) fn deadline_passed() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, Cancelled::Deadline)
}

/// Returns the error of a call that a signal handler ended.
#[cold]
pub(in crate::task) fn interrupted() -> io::Error {
    io::Error::from_raw_os_error(errno::INTERRUPTED)
}

/// Returns the error of a wait that was cancelled: by a kill (inside `kill_as_error`), by a signal
/// handler (inside `interruptible`), or by the deadline.
#[cold]
pub(crate) fn cancelled_wait() -> io::Error {
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

/// Aborts the process: a tasklet unwinds and would have to wait for `what`, which has no error to
/// return. `instead` is the remedy, as a sentence without its full stop.
#[cold]
pub(crate) fn would_wait_while_unwinding(what: &str, instead: &str) -> ! {
    let who = here().map_or_else(|| "a thread".to_owned(), |here| here.me().who());
    eprintln!(
        "overlapped: {who} is unwinding and would have to wait for {what}. A tasklet that unwinds \
         never switches, so this would never end; aborting. {instead}"
    );
    std::process::abort();
}

impl CannotWait {
    /// Returns `error`, or the reason why the call may not wait, if `error` says only that it would
    /// have to.
    pub(in crate::task) fn explain(self, error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::WouldBlock {
            return self.into();
        }
        error
    }

    /// Returns the sentence for an error.
    pub(crate) fn message(self) -> &'static str {
        match self {
            CannotWait::Unwinding => "would wait, but this tasklet is unwinding",
            CannotWait::NoSwitch => "would wait, but this is inside no_switch",
            CannotWait::Killed => "would wait, but a kill of this tasklet is pending",
        }
    }
}

impl From<CannotWait> for io::Error {
    #[cold]
    fn from(reason: CannotWait) -> io::Error {
        io::Error::new(io::ErrorKind::WouldBlock, reason.message())
    }
}
