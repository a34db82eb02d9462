//! Waits for one of many tasklets, or for all.

use super::{Joining, SelectOptions, SelectSource, WaitError, select};
use crate::sched::NEVER;
use crate::task::{JoinError, ScopedTasklet, Tasklet};

/// The handles that can be waited for: [`Tasklet`] and [`ScopedTasklet`].
pub trait Joinable: sealed::Handle<Self::Output> {
    /// The type that the tasklet returns.
    type Output;
}

pub(crate) mod sealed {
    use crate::task::{JoinError, Tasklet};

    /// The interface of a handle towards this library.
    pub trait Handle<T>: Sized {
        /// Returns the handle inside.
        fn tasklet(&self) -> &Tasklet<T>;
        /// Joins, under a name that does not shadow `join`.
        fn end(self) -> Result<T, JoinError>;
    }
}

impl<T> Joinable for Tasklet<T> {
    type Output = T;
}

impl<T> sealed::Handle<T> for Tasklet<T> {
    fn tasklet(&self) -> &Tasklet<T> {
        self
    }

    fn end(self) -> Result<T, JoinError> {
        self.join()
    }
}

impl<T> Joinable for ScopedTasklet<'_, T> {
    type Output = T;
}

impl<T> sealed::Handle<T> for ScopedTasklet<'_, T> {
    fn tasklet(&self) -> &Tasklet<T> {
        self.handle()
    }

    fn end(self) -> Result<T, JoinError> {
        self.join()
    }
}

/// Waits until one of the tasklets has ended, takes its handle out of `handles`, and returns the
/// index that it had and its result. The others stay joinable, in their order.
///
/// If several have ended, any of them is taken, each as likely as the others. The cost of a call
/// grows with the number of handles; [`TaskletGroup`](crate::task::TaskletGroup) takes thousands.
///
/// # Errors
/// [`WaitError`] says when; `handles` is unchanged then. [`WaitError::Empty`] without handles.
///
/// ```
/// use overlapped::{run, spawn, task::wait_any, time::{Duration, sleep}};
/// run(|| {
///     let naps = [30, 10, 20].map(|ms| spawn(move || {
///         sleep(Duration::from_millis(ms));
///         ms
///     }));
///     let mut handles = Vec::from(naps);
///     let (index, first) = wait_any(&mut handles).unwrap();
///     assert_eq!((index, first.unwrap()), (1, 10));
///     assert_eq!(handles.len(), 2);
/// }).unwrap();
/// ```
pub fn wait_any<H: Joinable>(
    handles: &mut Vec<H>,
) -> Result<(usize, Result<H::Output, JoinError>), WaitError> {
    let sources: Vec<Joining> =
        handles.iter().map(|handle| Joining::new(Some(handle.tasklet()))).collect();
    let sources = sources.iter().map(|source| -> &dyn SelectSource { source });
    let (at, _) = select(sources, SelectOptions { biased: false, until: Some(NEVER) })?;
    Ok((at, handles.remove(at).end()))
}

/// Joins all tasklets, one after another. Returns their results in the order of the handles.
///
/// If the wait itself fails (a deadline, a deadlock report), the error takes the place of the
/// result, and the tasklet is detached, as with [`Tasklet::join`].
///
/// ```
/// use overlapped::{run, spawn, task::wait_all};
/// run(|| {
///     let squares = (0..4).map(|n| spawn(move || n * n));
///     let handles: Vec<_> = squares.collect();
///     let results: Result<Vec<_>, _> = wait_all(handles).into_iter().collect();
///     assert_eq!(results.unwrap(), [0, 1, 4, 9]);
/// }).unwrap();
/// ```
pub fn wait_all<H: Joinable>(
    handles: impl IntoIterator<Item = H>,
) -> Vec<Result<H::Output, JoinError>> {
    handles.into_iter().map(sealed::Handle::end).collect()
}
