//! Code in the style of std: unmodified, in tasklets, or in other worlds.

use crate::error::ABSENT;
use std::time::Duration;

/// A world in which such code runs.
pub(crate) trait Install {
    /// Measures a case: nanoseconds for `n` times, or KiB for each of `n`.
    fn figure(&self, _case: &str, _n: u64) -> Result<f64, String> {
        Err(ABSENT.into())
    }

    /// Times twenty downloads, first one after the other, then all together.
    fn downloads(&self) -> Result<[Duration; 2], String> {
        Err(ABSENT.into())
    }

    /// Prints where it listens, and counts words for its clients until it is killed.
    fn serve(&self) -> Result<(), String>;
}
