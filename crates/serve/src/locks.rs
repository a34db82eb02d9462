//! Locks whose poison is ignored.
//!
//! A panic of one session must not end all others. No critical section of this crate leaves its
//! data inconsistent at a point where it can panic.

use std::sync::PoisonError;

/// The result of locking, without poison.
pub(crate) trait IgnorePoison {
    type Guard;

    /// Returns the guard, also after a panic of a former holder.
    fn ignore_poison(self) -> Self::Guard;
}

impl<G> IgnorePoison for Result<G, PoisonError<G>> {
    type Guard = G;

    fn ignore_poison(self) -> G {
        self.unwrap_or_else(PoisonError::into_inner)
    }
}
