//! Whether a worker's jobs wait, as the kernel counts it.

use crate::sys::thread::waits;

/// After so many jobs a worker looks whether they waited.
const SAMPLE: u32 = 4;

/// Whether a worker's jobs wait.
pub(super) struct Sample {
    jobs: u32,
    before: u32,
    /// The last ones did not.
    pub(super) is_calm: bool,
}

impl Sample {
    pub(super) fn begin() -> Sample {
        Sample { jobs: 0, before: waits(), is_calm: true }
    }

    /// A job has ended. Of so many, so many waits; now and then.
    pub(super) fn count(&mut self) -> Option<(u32, u32)> {
        self.jobs += 1;
        if self.jobs < SAMPLE { None } else { self.end() }
    }

    pub(super) fn end(&mut self) -> Option<(u32, u32)> {
        let now = waits();
        let (jobs, waited) = (self.jobs, now.wrapping_sub(self.before));
        (self.jobs, self.before) = (0, now);
        if jobs == 0 {
            return None;
        }
        self.is_calm = waited == 0;
        Some((jobs, waited))
    }

    /// After having been idle, which is a wait, too.
    pub(super) fn restart(&mut self) {
        self.before = waits();
    }
}
