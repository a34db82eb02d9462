//! Tasklets that borrow: std's scoped threads.

use std::any::Any;
use std::fmt;
use std::io;
use std::panic::RefUnwindSafe;
use std::sync::Arc;

use super::builder::Builder;
use super::this::{Identity, Thread};
use crate::task::{self, JoinError};

/// The place where scoped tasklets are spawned, made by [`scope`].
#[repr(transparent)]
pub struct Scope<'scope, 'env>(task::Scope<'scope, 'env>);

/// The fields of a scope are consistent at any time, as std's are.
impl RefUnwindSafe for Scope<'_, '_> {}

/// The handle of a scoped tasklet, as `std::thread::ScopedJoinHandle`. It stays on its thread: so
/// do all tasklets that could use it.
pub struct ScopedJoinHandle<'scope, T> {
    tasklet: task::ScopedTasklet<'scope, T>,
    thread: Thread,
}

/// Runs `f`, which may spawn tasklets that borrow from the caller, and returns when all of them
/// have ended: `std::thread::scope`.
///
/// # Panics
/// If a tasklet of the scope panicked and was not joined.
///
/// ```
/// use overlapped::thread;
///
/// overlapped::run(|| {
///     let mut a = vec![1, 2, 3];
///     let mut x = 0;
///     thread::scope(|s| {
///         s.spawn(|| assert_eq!(a.len(), 3));
///         s.spawn(|| x += a[0] + a[2]);
///     });
///     a.push(4);
///     assert_eq!(x, 4);
/// }).unwrap();
/// ```
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    task::scope_or_panic("a scoped thread panicked", |inner| {
        let scope = std::ptr::from_ref(inner).cast::<Scope<'_, 'env>>();
        // SAFETY: `Scope` is a transparent wrapper (`repr(transparent)`), and the reference lives
        // as long as the one from which it was made.
        f(unsafe { &*scope })
    })
}

impl<'scope, 'env> Scope<'scope, 'env> {
    /// Spawns a tasklet that may borrow what outlives the scope.
    ///
    /// # Panics
    /// If [`Builder::spawn_scoped`] returns an error.
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        match Builder::new().spawn_scoped(self, f) {
            Ok(handle) => handle,
            Err(error) => panic!("overlapped::thread::Scope::spawn: {error}"),
        }
    }

    pub(super) fn inner(&'scope self) -> &'scope task::Scope<'scope, 'env> {
        &self.0
    }
}

impl Builder {
    /// Spawns a tasklet of `scope`.
    ///
    /// # Errors
    /// As [`Builder::spawn`]; `WouldBlock` while the caller is unwinding or inside
    /// [`no_switch`](crate::task::no_switch).
    ///
    /// # Panics
    /// As [`Builder::spawn`].
    #[track_caller]
    pub fn spawn_scoped<'scope, 'env, F, T>(
        self,
        scope: &'scope Scope<'scope, 'env>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        let identity = Identity::new(self.name.clone());
        let own = identity.clone();
        let body = move || {
            own.assume();
            f()
        };
        let tasklet = self.settings().spawn_scoped(scope.inner(), body)?;
        Ok(ScopedJoinHandle::new(tasklet, identity))
    }
}

impl<'scope, T> ScopedJoinHandle<'scope, T> {
    pub(super) fn new(
        tasklet: task::ScopedTasklet<'scope, T>,
        identity: Arc<Identity>,
    ) -> ScopedJoinHandle<'scope, T> {
        ScopedJoinHandle { tasklet, thread: Thread::of(identity) }
    }

    /// Returns the tasklet's handle, to unpark or to identify it.
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// Waits until the tasklet has ended, and returns its result.
    ///
    /// # Errors
    /// The payload of the tasklet's panic. If the result is missing for another reason, the payload
    /// is a [`JoinError`].
    pub fn join(self) -> super::Result<T> {
        self.tasklet.join().map_err(|error| -> Box<dyn Any + Send> {
            match error {
                JoinError::Panicked(payload) => payload.into_inner(),
                error => Box::new(error),
            }
        })
    }

    /// Tells whether it has ended. Never waits.
    pub fn is_finished(&self) -> bool {
        self.tasklet.handle().is_finished()
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJoinHandle").finish_non_exhaustive()
    }
}
