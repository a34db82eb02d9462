//! What threads of one process share: a child of fork(2) has none of them, and begins anew.
//!
//! ```text
//!   nothing ──get──▶ made ──forget, in the child──▶ nothing ──get──▶ made anew …
//! ```
//!
//! The child must not even look at its copy: another thread of the parent may have held a lock in
//! it, which nobody in the child will ever release. So what has been made is never freed, and
//! forgetting is one store, which the handler of a fork may do (signal-safety(7)).

use std::sync::atomic::{AtomicPtr, Ordering};

/// See the module's comment.
pub(super) struct PerProcess<T>(AtomicPtr<T>);

impl<T: Sync + 'static> PerProcess<T> {
    pub(super) const fn new() -> PerProcess<T> {
        PerProcess(AtomicPtr::new(std::ptr::null_mut()))
    }

    /// This process's own, made when it is first asked for.
    pub(super) fn get(&self, make: impl FnOnce() -> T) -> &'static T {
        let there = self.0.load(Ordering::Acquire);
        // SAFETY: what is stored there was leaked.
        if let Some(it) = unsafe { there.as_ref() } {
            return it;
        }
        super::forget_in_children();
        let new = Box::into_raw(Box::new(make()));
        match self.0.compare_exchange(there, new, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: leaked just now.
            Ok(_) => unsafe { &*new },
            Err(other) => {
                // SAFETY: made above, and known to nobody else. What another thread stored was
                // leaked.
                unsafe {
                    drop(Box::from_raw(new));
                    &*other
                }
            }
        }
    }

    /// In a child of fork(2), before it has a second thread.
    pub(super) fn forget(&self) {
        self.0.store(std::ptr::null_mut(), Ordering::Release);
    }
}
