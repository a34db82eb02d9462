//! Calls of foreign code: the subscriber of `tracing`, the symbol look-up, destructors.
//!
//! Foreign code may do anything, wait and panic included. So the library holds none of its locks
//! while it runs, and does not wait while foreign code holds a lock of its own.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls foreign code. Its panics end here, after the panic hook has printed them.
pub(crate) fn quietly<R>(call: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(call)).map_err(discard).ok()
}

/// Drops the payload of a panic. Its destructor is foreign code, too. If it panics, the payload of
/// that panic is leaked.
fn discard(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}

/// Returns the names of the functions at an address, innermost first: several if it was inlined.
///
/// `resolve` calls back while it holds a global lock, which the same thread may take again. So the
/// callback writes nothing. A write might wait: then all other threads that look up a symbol would
/// wait, too, and another tasklet of this thread could enter `resolve` although the lock is held.
pub(crate) fn names(address: usize) -> Vec<String> {
    let mut names = Vec::new();
    backtrace::resolve(std::ptr::without_provenance_mut(address), |symbol| {
        names.extend(symbol.name().map(|name| format!("{name:#}")));
    });
    names
}
