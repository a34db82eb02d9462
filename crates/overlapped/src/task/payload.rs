//! The payload of a panic.

use std::any::Any;
use std::fmt;

/// The payload of a panic: the value that `panic!` was given, for the caller that joins.
///
/// As a `Box<dyn Any + Send>` it would not be `Sync`, and errors that carry it would not fit into
/// other libraries' error types.
pub struct PanicPayload(Box<dyn Any + Send>);

// SAFETY: a shared reference reaches the value only by `downcast_ref` and `message`, as a type that
// is `Sync` itself.
unsafe impl Sync for PanicPayload {}

impl PanicPayload {
    pub(crate) fn new(payload: Box<dyn Any + Send>) -> PanicPayload {
        PanicPayload(payload)
    }

    /// Returns the payload, for `std::panic::resume_unwind`.
    pub fn into_inner(self) -> Box<dyn Any + Send> {
        self.0
    }

    /// Returns the payload, if it is a `T`.
    pub fn downcast_ref<T: Any + Sync>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }

    /// Returns the message, if the panic had one: `panic!`, `unwrap` and their like do.
    pub fn message(&self) -> Option<&str> {
        let text = self.downcast_ref::<&'static str>().copied();
        text.or_else(|| self.downcast_ref::<String>().map(String::as_str))
    }
}

impl fmt::Debug for PanicPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PanicPayload").field(&self.message()).finish()
    }
}
