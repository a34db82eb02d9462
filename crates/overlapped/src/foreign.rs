//! Code of others: the subscriber of `tracing`, what looks up symbols and calls back, destructors.
//!
//! It may do anything, wait and panic included, so no lock of ours is held while it runs; and
//! nothing that may wait is done while it holds a lock of its own.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls what is the user's. A panic of its ends here, printed by the panic hook.
pub(crate) fn quietly<R>(call: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(call)).map_err(discard).ok()
}

/// Drops what a panic was about. Its destructor is the user's, too: what that panics with is
/// forgotten.
fn discard(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
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
