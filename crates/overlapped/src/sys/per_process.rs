//! A value that all threads of one process share. A child of fork(2) has none of those threads, and
//! begins with a value of its own.
//!
//! ```text
//!   nothing ──get──▶ made ──forget, in the child──▶ nothing ──get──▶ made anew …
//! ```
//!
//! The child must not even look at its copy: another thread of the parent may have held a lock in
//! it, which no thread of the child will ever release. So what has been made is never freed, and
//! forgetting is one store, which the handler of a fork may do (signal-safety(7)).

use std::sync::Once;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::descriptor::in_fork_children;

/// A value of the process; see the module's comment.
pub(crate) struct PerProcess<T> {
    value: AtomicPtr<T>,
    /// The handler in children, which calls [`PerProcess::forget`].
    forget: extern "C" fn(),
    is_registered: Once,
}

impl<T: Sync + 'static> PerProcess<T> {
    /// Makes the static. `forget` must call this static's [`PerProcess::forget`], since a handler
    /// has no argument.
    pub(crate) const fn new(forget: extern "C" fn()) -> PerProcess<T> {
        let value = AtomicPtr::new(std::ptr::null_mut());
        PerProcess { value, forget, is_registered: Once::new() }
    }

    /// Returns this process's own value, which the first call makes.
    pub(crate) fn get(&self, make: impl FnOnce() -> T) -> &'static T {
        let found = self.value.load(Ordering::Acquire);
        // SAFETY: the stored value was leaked, so it lives for ever.
        if let Some(value) = unsafe { found.as_ref() } {
            return value;
        }
        self.is_registered.call_once(|| in_fork_children(self.forget));
        let new = Box::into_raw(Box::new(make()));
        match self.value.compare_exchange(found, new, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: the value was leaked just now.
            Ok(_) => unsafe { &*new },
            Err(other) => {
                // SAFETY: made above, and known to no other thread. A value that another thread
                // stored was leaked.
                unsafe {
                    drop(Box::from_raw(new));
                    &*other
                }
            }
        }
    }

    /// Forgets the value, in a child of fork(2), before it has a second thread.
    pub(crate) fn forget(&self) {
        self.value.store(std::ptr::null_mut(), Ordering::Release);
    }
}
