//! What a panic was about.

use std::any::Any;
use std::fmt;

/// A panic's payload: what `panic!` was given, on its way to whoever joins.
///
/// As a `Box<dyn Any + Send>` it would not be `Sync`, and errors that carry it would not fit into
/// other libraries' error types.
pub struct PanicPayload(Box<dyn Any + Send>);

// SAFETY: through a shared reference the value is reached by `downcast_ref` and `message` only, as
// a type that is `Sync` itself.
unsafe impl Sync for PanicPayload {}

impl PanicPayload {
    pub(crate) fn new(payload: Box<dyn Any + Send>) -> PanicPayload {
        PanicPayload(payload)
    }

    /// The payload, for `std::panic::resume_unwind`.
    pub fn into_inner(self) -> Box<dyn Any + Send> {
        self.0
    }

    /// The payload, if it is a `T`.
    pub fn downcast_ref<T: Any + Sync>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }

    /// The message, if the panic had one: `panic!`, `unwrap` and their like do.
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
