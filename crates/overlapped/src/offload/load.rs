//! Load sampling: whether a worker's jobs block, as the kernel counts it.

use crate::sys::thread::waits;

/// The number of jobs in one sample.
const SAMPLE: u32 = 4;

/// The load of one worker.
pub(super) struct Load {
    jobs: u32,
    before: u32,
    /// The jobs of the last sample did not block.
    pub(super) did_not_block: bool,
}

impl Load {
    pub(super) fn new() -> Load {
        Load { jobs: 0, before: waits(), did_not_block: true }
    }

    /// Counts a job that has ended. At the end of a sample, returns the number of jobs and the
    /// number of times that they blocked.
    pub(super) fn count(&mut self) -> Option<(u32, u32)> {
        self.jobs += 1;
        if self.jobs < SAMPLE { None } else { self.end() }
    }

    /// Ends the sample early; `None` if there was no job in it.
    pub(super) fn end(&mut self) -> Option<(u32, u32)> {
        let now = waits();
        let (jobs, blocked) = (self.jobs, now.wrapping_sub(self.before));
        (self.jobs, self.before) = (0, now);
        if jobs == 0 {
            return None;
        }
        self.did_not_block = blocked == 0;
        Some((jobs, blocked))
    }

    /// Begins a sample after the worker has been idle, since the kernel counts idle waits, too.
    pub(super) fn restart(&mut self) {
        self.before = waits();
    }
}
