//! Blocks that wait for their next tasklets.
//!
//! Each scheduler has a pool. Blocks that no tasklet took for a second, and those that are left at
//! the scheduler's end, go to the pool of the process, from which the pools of other runs take. A
//! few are kept there. A thread is started to retire the rest, since each block takes as long as
//! the life of a thread.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, Once, TryLockError};

use super::block::Block;
use super::layout;
use super::retire::retire;
use crate::sys::descriptor::in_fork_children;
use crate::sys::thread::{start, yield_now};

/// The blocks that a scheduler keeps when it sleeps.
const KEPT: usize = 256;
/// The blocks that the process keeps.
const KEPT_BY_PROCESS: usize = 256;
/// The maximum number of attempts to get the process's blocks. In a child of fork(2) the lock may
/// be held for ever, by a thread of the parent's.
const ATTEMPTS_MAX: usize = 10_000;

/// The process's blocks.
static SHARED: Mutex<Shared> = Mutex::new(Shared { idle: Vec::new() });

struct Shared {
    idle: Vec<Block>,
}

/// Set while a thread is retiring the blocks that are not kept. Changed under the lock, and by
/// [`forget_thread`].
static IS_RETIRING: AtomicBool = AtomicBool::new(false);

/// Forgets that the parent had such a thread, in a child of fork(2). Async-signal-safe.
extern "C" fn forget_thread() {
    IS_RETIRING.store(false, Relaxed);
}

/// The blocks of one scheduler that no tasklet is on.
#[derive(Default)]
pub(crate) struct Pool {
    idle: Vec<Block>,
    /// The smallest number of such blocks since the last call of [`Pool::trim`].
    low_water: usize,
}

impl Pool {
    /// Returns a block for a tasklet with this stack, with the thread-locals of a new thread. The
    /// caller is on its thread's own block.
    ///
    /// Ends the process if no memory is left for one, as any allocation does.
    pub(crate) fn take(&mut self, stack: Range<usize>) -> Block {
        let layout = layout();
        let used = self.idle.pop().or_else(|| SHARED.try_lock().ok()?.idle.pop());
        self.low_water = self.low_water.min(self.idle.len());
        let block = match used {
            Some(block) => {
                block.renew(layout);
                block
            }
            None => match Block::new(layout) {
                Some(Ok(block)) => block,
                Some(Err(refusal)) => unreachable!("it has been tried out: {refusal}"),
                None => std::alloc::handle_alloc_error(std::alloc::Layout::new::<[u8; 4096]>()),
            },
        };
        block.enter(layout, stack);
        block
    }

    /// Takes a block back, after its destructors have run. No code is on it.
    pub(crate) fn give(&mut self, block: Block) {
        self.idle.push(block);
    }

    /// Tells whether [`Pool::trim`] has something to do.
    pub(crate) fn is_trimmable(&self) -> bool {
        self.idle.len() > KEPT
    }

    /// Gives away the blocks that no tasklet took since the last call, beyond those that are kept.
    pub(crate) fn trim(&mut self) {
        let surplus = self.low_water.saturating_sub(KEPT);
        if surplus > 0 {
            give_away(self.idle.drain(..surplus));
        }
        self.low_water = self.idle.len();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if !self.idle.is_empty() {
            give_away(self.idle.drain(..));
        }
    }
}

/// Gives blocks to the process. They are lost if the lock of its pool cannot be taken.
fn give_away(blocks: impl Iterator<Item = Block>) {
    let Some(mut shared) = lock() else { return };
    shared.idle.extend(blocks);
    if shared.idle.len() > KEPT_BY_PROCESS && !IS_RETIRING.load(Relaxed) {
        static FORKS: Once = Once::new();
        FORKS.call_once(|| in_fork_children(forget_thread));
        // If no thread can be started, they stay until one can.
        IS_RETIRING.store(start("overlapped-tls", retire_surplus).is_ok(), Relaxed);
    }
}

/// Retires blocks, in a thread of its own.
fn retire_surplus() {
    while let Some(mut shared) = lock() {
        if shared.idle.len() <= KEPT_BY_PROCESS {
            IS_RETIRING.store(false, Relaxed);
            return;
        }
        let block = shared.idle.pop();
        drop(shared);
        block.into_iter().for_each(|block| retire(layout(), block));
    }
}

fn lock() -> Option<MutexGuard<'static, Shared>> {
    for _ in 0..ATTEMPTS_MAX {
        match SHARED.try_lock() {
            Ok(shared) => return Some(shared),
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => yield_now(),
        }
    }
    None
}
