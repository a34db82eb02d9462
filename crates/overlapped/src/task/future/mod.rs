//! The bridge to async code: [`block_on`] for futures in tasklets, and a tasklet's end as a future.
//!
//! A handle can be awaited under [`block_on`], or by any other executor that polls it on the
//! handle's thread. The tasklet itself wakes the executor, as the last thing it does, inside
//! `no_switch`. There it also drops the locals that the executor's code has made.

mod block_on;

use std::pin::Pin;
use std::task::{Context, Poll};

pub use block_on::block_on;

use super::{JoinError, ScopedTasklet, Tasklet};

impl<T> Unpin for Tasklet<T> {}

/// The tasklet's end as a future: it gives what [`join`](Tasklet::join) gives, and blocks no
/// tasklet. Polled or joined again after it was ready, it gives [`JoinError::Taken`].
///
/// ```
/// use overlapped::{run, spawn, task::block_on};
/// run(|| {
///     let parts = [spawn(|| 1), spawn(|| 2)];
///     let sum = block_on(async {
///         let mut sum = 0;
///         for part in parts {
///             sum += part.await.unwrap();
///         }
///         sum
///     });
///     assert_eq!(sum, 3);
/// }).unwrap();
/// ```
impl<T> Future for Tasklet<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.is_finished() {
            return Poll::Ready(self.take_result());
        }
        // Cloning and dropping are the executor's code: the block is not borrowed meanwhile, and
        // the tasklet may have ended afterwards.
        let waker = cx.waker().clone();
        if self.is_finished() {
            return Poll::Ready(self.take_result());
        }
        let old = self.block().extra_or_new(|extra| extra.waker.replace(waker));
        drop(old);
        Poll::Pending
    }
}

/// The end of the tasklet, as that of a [`Tasklet`].
impl<T> Future for ScopedTasklet<'_, T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(self.tasklet_mut()).poll(cx)
    }
}
