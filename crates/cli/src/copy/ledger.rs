//! What has been done, counted by tasklets and pool threads alike.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::problem::Problem;

/// The counts.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Files that have their names.
    pub(super) files: Count,
    /// Bytes in them, holes included.
    pub(super) bytes: Count,
    pub(super) folders: Count,
    pub(super) links: Count,
    /// Of the files, those that have other names in the source.
    pub(super) hard_links: Count,
    /// Kept because of `--no-clobber`.
    pub(super) kept: Count,
    /// Bytes read so far, for the progress.
    pub(super) moved: Count,
    failures: Mutex<Vec<Failure>>,
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

/// What was not copied, and why.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) path: PathBuf,
    pub(super) problem: Problem,
}

impl Ledger {
    pub(super) fn fail(&self, path: PathBuf, problem: Problem) {
        tracing::debug!("{}: {problem}", path.display());
        self.failures().push(Failure { path, problem });
    }

    pub(super) fn failures(&self) -> MutexGuard<'_, Vec<Failure>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
