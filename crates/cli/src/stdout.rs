//! Writes results to standard output.

use std::io::{self, Write};

use anyhow::Context;

/// Marks an error of [`print`].
#[derive(Debug)]
struct StdoutError;

impl std::fmt::Display for StdoutError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cannot write to standard output")
    }
}

/// Writes to standard output and flushes it. Unlike with `print!`, a closed pipe is an error, not a
/// panic.
pub(crate) fn print(text: impl std::fmt::Display) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "{text}").and_then(|()| out.flush()).context(StdoutError)
}

/// Tells whether [`print`] failed because the reader of standard output is gone.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let closed = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.is::<StdoutError>() && error.root_cause().downcast_ref().is_some_and(closed)
}
