//! A meeting point for a fixed number of tasklets or threads.

use std::fmt;

use super::base::gathering::Gathering;
use super::base::lock::refuse;
use crate::sched::NEVER;

const WHAT: &str = "a Barrier";

/// `std::sync::Barrier` that blocks the calling tasklet only; outside a scheduler, the thread.
///
/// A tasklet that is killed while it waits does not count any more. Deadlines of
/// [`timeout`](crate::time::timeout) do not end the wait.
///
/// ```
/// use overlapped::sync::Barrier;
///
/// overlapped::run(|| {
///     let barrier = Barrier::new(3);
///     let leaders: usize = overlapped::scope(|s| {
///         let parts = [(); 3].map(|()| s.spawn(|| barrier.wait().is_leader()));
///         parts.into_iter().map(|part| usize::from(part.join().unwrap())).sum()
///     });
///     assert_eq!(leaders, 1);
/// }).unwrap();
/// ```
pub struct Barrier {
    gathering: Gathering,
    n: usize,
}

/// The result of [`Barrier::wait`].
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// Tells whether the caller is the leader of its round: the last to come.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl Barrier {
    /// Makes a barrier for `n`; 0 counts as 1.
    pub const fn new(n: usize) -> Barrier {
        Barrier { gathering: Gathering::new(), n }
    }

    /// Waits until `n` have come. Then all go on, and the barrier is ready for the next round.
    ///
    /// # Panics
    /// If it would have to wait inside [`no_switch`](crate::task::no_switch).
    pub fn wait(&self) -> BarrierWaitResult {
        let queue = self.gathering.lock();
        if queue.waiting() + 1 >= self.n {
            queue.release_all();
            return BarrierWaitResult(true);
        }
        drop(queue);
        // Preparing to wait may let others run, and the others may complete the round but for this
        // one.
        match self.gathering.join(|queue| queue.waiting() + 1 < self.n) {
            Ok(Some(entry)) => {
                let released = entry.wait(WHAT, NEVER);
                assert!(released, "nothing but the last to come ends the wait");
                BarrierWaitResult(false)
            }
            Ok(None) => self.wait(),
            Err(reason) => refuse(reason, WHAT, (&raw const *self).cast()),
        }
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").finish_non_exhaustive()
    }
}

impl fmt::Debug for BarrierWaitResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierWaitResult").field("is_leader", &self.is_leader()).finish()
    }
}
