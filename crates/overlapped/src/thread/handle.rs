//! The handle of a tasklet that any thread may join.
//!
//! [`Tasklet`](crate::Tasklet) would not do: programs keep std's handles in statics, send them to
//! other threads and join them there. So the result goes through a [`oneshot`] instead of the
//! tasklet's own block, and the handle is `Send` and `Sync` if the result is `Send`, as std's
//! always is.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use super::this::{Identity, Thread};
use crate::sync::oneshot::{self, NotReceived};
use crate::task::{self, JoinError, SpawnError, TaskletExit, waiter};

/// The handle of a tasklet, as `std::thread::JoinHandle`. Dropping it detaches the tasklet.
pub struct JoinHandle<T> {
    result: oneshot::Receiver<super::Result<T>>,
    thread: Thread,
}

/// Spawns a tasklet that is joined through a [`JoinHandle`].
#[track_caller]
pub(super) fn joined<F, T>(
    f: F,
    identity: Arc<Identity>,
    settings: task::Builder,
) -> Result<JoinHandle<T>, SpawnError>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    let (sender, result) = oneshot::channel();
    let instead = sender.instead();
    let handle = JoinHandle { result, thread: Thread::of(Arc::clone(&identity)) };
    let body = move || {
        identity.assume();
        let ended = catch_unwind(AssertUnwindSafe(f));
        // Nothing of it is left after a join, as with a thread.
        task::drop_locals();
        match ended {
            Err(payload) if payload.is::<TaskletExit>() => {
                drop(sender.send(Err(Box::new(JoinError::Killed))));
                resume_unwind(payload);
            }
            ended => drop(sender.send(ended)),
        }
    };
    let tasklet = settings.spawn(body)?;
    tasklet.on_abandon(move || instead(Err(Box::new(JoinError::Abandoned))));
    Ok(handle)
}

impl<T> JoinHandle<T> {
    /// Returns the tasklet's handle, to unpark or to identify it.
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// Waits until the tasklet has ended, and returns its result. Any thread may call it; a tasklet
    /// that calls it blocks itself only.
    ///
    /// # Errors
    /// The payload of the tasklet's panic. If the result is missing for another reason, the payload
    /// is a [`JoinError`]: `Killed` (or it never ran), `Abandoned`; `TimedOut` at a deadline of
    /// [`timeout`](crate::time::timeout), `Cancelled` by a kill of the caller inside
    /// [`kill_as_error`](crate::task::kill_as_error), and `WouldBlock` if the caller may not wait
    /// (unwinding, inside [`no_switch`](crate::task::no_switch)): the tasklet is detached then.
    pub fn join(self) -> super::Result<T> {
        let failed = |error: JoinError| -> Box<dyn Any + Send> { Box::new(error) };
        match self.result.recv_until(waiter::deadline()) {
            Ok(result) => result,
            Err(NotReceived::Disconnected) => Err(failed(JoinError::Killed)),
            Err(NotReceived::TimedOut) => Err(failed(JoinError::from_cancelled_wait())),
            Err(NotReceived::Empty | NotReceived::Refused) => Err(failed(JoinError::WouldBlock)),
        }
    }

    /// Tells whether it has ended. Never waits.
    pub fn is_finished(&self) -> bool {
        self.result.is_ready()
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").finish_non_exhaustive()
    }
}
