//! Blocks that wait for their next tasklets.
//!
//! Each scheduler has a pool. Blocks that no tasklet took for a second, and those that are left at
//! the scheduler's end, go to the pool of the process, from which the pools of other runs take. A
//! few are kept there. A thread is started to retire the rest, since each block takes as long as
//! the life of a thread.

use std::ops::Range;

use super::block::Block;
use super::layout;
use super::retire::retire;
use crate::sys::lock::Mutex;
use crate::sys::per_process::PerProcess;
use crate::sys::thread::start;

/// The blocks that a scheduler keeps when it sleeps.
const KEPT: usize = 256;
/// The blocks that the process keeps.
const KEPT_BY_PROCESS: usize = 256;

/// The process's blocks. A child of fork(2) forgets its parent's, because one of the parent's
/// threads may have held the lock.
static SHARED: PerProcess<Mutex<Shared>> = PerProcess::new(forget_shared);

/// Async-signal-safe.
extern "C" fn forget_shared() {
    SHARED.forget();
}

#[derive(Default)]
struct Shared {
    idle: Vec<Block>,
    /// A thread is retiring the blocks that are not kept.
    is_retiring: bool,
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
        let used = self.idle.pop().or_else(|| shared().try_lock()?.idle.pop());
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

/// Gives blocks to the process.
fn give_away(blocks: impl Iterator<Item = Block>) {
    let mut pool = shared().lock();
    pool.idle.extend(blocks);
    if pool.idle.len() <= KEPT_BY_PROCESS || pool.is_retiring {
        return;
    }
    pool.is_retiring = true;
    // Starting a thread takes a while, and is no step to make others wait for.
    drop(pool);
    if start("overlapped-tls", retire_surplus).is_err() {
        // They stay until a thread can be started.
        shared().lock().is_retiring = false;
    }
}

/// Retires blocks, in a thread of its own.
fn retire_surplus() {
    loop {
        let mut pool = shared().lock();
        if pool.idle.len() <= KEPT_BY_PROCESS {
            pool.is_retiring = false;
            return;
        }
        let block = pool.idle.pop();
        drop(pool);
        block.into_iter().for_each(|block| retire(layout(), block));
    }
}

fn shared() -> &'static Mutex<Shared> {
    SHARED.get(Mutex::default)
}
