//! The ports on which tests run.

use clap::ValueEnum;

/// A backend on which tests run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Port {
    /// Completions by io_uring.
    Uring,
    /// Readiness.
    Poll,
}

impl Port {
    /// Returns the name that `OVERLAPPED_PORT` uses.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Port::Uring => "uring",
            Port::Poll => "poll",
        }
    }
}
