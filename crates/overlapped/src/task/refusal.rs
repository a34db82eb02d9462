//! Errors of the suspension point: why a call may not wait, or waits no longer.

use std::io;

use crate::port;
use crate::sched::here;

/// Why a call may not wait here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The tasklet is unwinding: std's panic count is per thread, so it must not switch.
    Unwinding,
    /// It is inside `no_switch`.
    NoSwitch,
}

/// The deadline's error (`timeout`), or the error that std gives for a socket's own limit.
pub(super) fn timed_out(by_deadline: bool) -> io::Error {
    if by_deadline {
        return io::Error::new(io::ErrorKind::TimedOut, "the deadline set by timeout has passed");
    }
    io::Error::from_raw_os_error(port::WOULD_BLOCK)
}

/// The error of a call that the deadline set by `timeout` ends.
#[cold]
pub(crate) fn deadline_passed() -> io::Error {
    timed_out(true)
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
        }
    }
}
