//! Code of others that calls back: the subscriber of `tracing`, and whatever looks up symbols.
//!
//! It may do anything, wait and panic included, so no lock of ours is held while it runs; and
//! nothing that may wait is done while it holds a lock of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls the user's subscriber. A panic of its ends here, printed by the panic hook.
pub(crate) fn quietly<R>(tell: impl FnOnce() -> R) -> Option<R> {
    // The payload's destructor is the user's, too.
    catch_unwind(AssertUnwindSafe(tell)).map_err(std::mem::forget).ok()
}

/// The names of the functions at an address, innermost first: several where it was inlined.
///
/// `resolve` calls back with a global lock held, which is re-entrant by thread. So nothing is
/// written in there: a stream that waits would stop every other thread that looks up a symbol, and
/// let a neighbour in.
pub(crate) fn names(address: usize) -> Vec<String> {
    let mut names = Vec::new();
    backtrace::resolve(std::ptr::without_provenance_mut(address), |symbol| {
        names.extend(symbol.name().map(|name| format!("{name:#}")));
    });
    names
}
