//! Counters of a run, shared by tasklets and pool threads.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::problem::Problem;
use crate::display::Escaped;

/// The counters.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Files whose copies have their names.
    pub(super) files: Count,
    /// Their bytes outside of holes.
    pub(super) bytes: Count,
    /// Their bytes in holes.
    pub(super) holes: Count,
    pub(super) folders: Count,
    pub(super) links: Count,
    /// FIFOs, sockets, devices.
    pub(super) specials: Count,
    /// With `--archive`, further names given to files; otherwise, files with further names in the
    /// source.
    pub(super) hard_links: Count,
    /// Temporary files of killed processes that were removed.
    pub(super) stale_removed: Count,
    /// Existing files kept because of `--no-clobber`.
    pub(super) kept: Count,
    /// Bytes processed, holes included, for the progress.
    pub(super) moved: Count,
    failures: Mutex<Vec<Failure>>,
    /// For each attribute, the number of copies that lack it, and the first error.
    lost_attributes: Mutex<BTreeMap<LostAttribute, (u64, Errno)>>,
}

/// An attribute that a copy may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LostAttribute {
    Owners,
    Permissions,
    Times,
    Attributes,
    Links,
}

#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A source that was not copied.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) path: PathBuf,
    pub(super) problem: Problem,
}

impl Counters {
    pub(super) fn fail(&self, path: PathBuf, problem: Problem) {
        // The report mentions the stop as a whole.
        if matches!(problem, Problem::Stopped) {
            return;
        }
        tracing::debug!("{}: {problem}", Escaped::new(&path));
        self.failures().push(Failure { path, problem });
    }

    pub(super) fn count_lost(&self, what: LostAttribute, why: Errno) {
        let mut lost_attributes =
            self.lost_attributes.lock().unwrap_or_else(PoisonError::into_inner);
        lost_attributes.entry(what).or_insert((0, why)).0 += 1;
    }

    pub(super) fn lost_attributes(&self) -> BTreeMap<LostAttribute, (u64, Errno)> {
        self.lost_attributes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn failures(&self) -> MutexGuard<'_, Vec<Failure>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
