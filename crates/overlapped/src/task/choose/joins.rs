//! Waiting for one of many tasklets, or for all.

use super::{Joining, Manner, Offer, WaitError, choose};
use crate::sched::NEVER;
use crate::task::{JoinError, ScopedTasklet, Tasklet};

/// The handles that can be waited for: [`Tasklet`] and [`ScopedTasklet`].
pub trait Joinable: sealed::Handle<Self::Output> {
    /// What the tasklet returns.
    type Output;
}

pub(crate) mod sealed {
    use crate::task::{JoinError, Tasklet};

    /// What the library needs of a handle.
    pub trait Handle<T>: Sized {
        /// The handle inside.
        fn tasklet(&self) -> &Tasklet<T>;
        /// `join`, by another name.
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

/// Waits until one of the tasklets has ended, takes its handle out of `handles`, and gives the
/// index that it had and its result. The others stay joinable, in their order.
///
/// Where several have ended, any of them, each as likely as the others. The cost of a call grows
/// with the number of handles; [`TaskletGroup`](crate::task::TaskletGroup) takes thousands.
///
/// # Errors
/// [`WaitError`] says when; `handles` is as it was then. [`WaitError::Empty`] without handles.
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
    let offers: Vec<Joining> =
        handles.iter().map(|handle| Joining::new(Some(handle.tasklet()))).collect();
    let offers = offers.iter().map(|offer| -> &dyn Offer { offer });
    let (at, _) = choose(offers, Manner { biased: false, until: Some(NEVER) })?;
    Ok((at, handles.remove(at).end()))
}

/// Joins them all, one after another: their results in the order of the handles.
///
/// Where the wait itself fails (a deadline, a deadlock verdict), the error stands in the place of
/// the result, and the tasklet is detached, as with [`Tasklet::join`].
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
