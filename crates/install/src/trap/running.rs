//! The tasklets of this crate that run, by their stacks: a stopped call is made by the one on whose
//! stack its stack pointer lies.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::caller::{self, Mark};

/// A tasklet of this crate that has begun, and has not ended.
struct RunningTasklet {
    /// An address near the beginning of its stack; it uses those below.
    top: usize,
    /// The size of its stack, at most.
    size: usize,
    mark: *const Mark,
}

// SAFETY: the mark is atomic. It is in the tasklet's thread-locals, which outlive this value.
unsafe impl Send for RunningTasklet {}

static RUNNING: Mutex<Vec<RunningTasklet>> = Mutex::new(Vec::new());

fn running() -> MutexGuard<'static, Vec<RunningTasklet>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts the calling tasklet on the list, until the result is dropped. `top` and `size` are those of
/// its stack.
pub(super) fn enter(top: usize, size: usize) -> impl Drop {
    struct Entered(usize);

    impl Drop for Entered {
        fn drop(&mut self) {
            running().retain(|one| one.top != self.0);
        }
    }

    running().push(RunningTasklet { top, size, mark: caller::mark() });
    Entered(top)
}

/// Tells whether an address is on the stack of a tasklet that runs its own code. While the list is
/// being changed the answer is no: the thread that changes it may itself have been stopped.
pub(super) fn is_of_marked(address: usize) -> bool {
    let Ok(running) = RUNNING.try_lock() else { return false };
    let is_its = |one: &&RunningTasklet| address <= one.top && one.top - address < one.size;
    let tasklet = running.iter().find(is_its);
    // SAFETY: the mark is in the tasklet's own thread-locals, which exist while it is in the list.
    tasklet.is_some_and(|one| unsafe { &*one.mark }.is_set())
}
