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

use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use super::descriptor::in_fork_children;

/// A handler in children of fork(2), which is registered when it is first needed.
///
/// No lock guards the registration, since a child could inherit it held. So two threads may both
/// register the handler, and calling it twice must have no further effect. (glibc 2.36 and later do
/// not call a handler in the child of a fork that had begun before the registration.)
pub(crate) struct ForkHandler {
    handler: extern "C" fn(),
    is_registered: AtomicBool,
}

impl ForkHandler {
    /// Makes the static. `handler` must be async-signal-safe (pthread_atfork(3)).
    pub(crate) const fn new(handler: extern "C" fn()) -> ForkHandler {
        ForkHandler { handler, is_registered: AtomicBool::new(false) }
    }

    /// Registers the handler, unless that has been done.
    pub(crate) fn register(&self) {
        if !self.is_registered.load(Ordering::Acquire) {
            in_fork_children(self.handler);
            self.is_registered.store(true, Ordering::Release);
        }
    }
}

/// A value of the process; see the module's comment.
pub(crate) struct PerProcess<T> {
    value: AtomicPtr<T>,
    /// The handler in children, which calls [`PerProcess::forget`].
    forget: ForkHandler,
}

impl<T: Sync + 'static> PerProcess<T> {
    /// Makes the static. `forget` must call this static's [`PerProcess::forget`], since a handler
    /// has no argument.
    pub(crate) const fn new(forget: extern "C" fn()) -> PerProcess<T> {
        let value = AtomicPtr::new(std::ptr::null_mut());
        PerProcess { value, forget: ForkHandler::new(forget) }
    }

    /// Returns this process's own value, which the first call makes.
    pub(crate) fn get(&self, make: impl FnOnce() -> T) -> &'static T {
        let found = self.value.load(Ordering::Acquire);
        // SAFETY: the stored value was leaked, so it lives for ever.
        if let Some(value) = unsafe { found.as_ref() } {
            return value;
        }
        self.forget.register();
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
