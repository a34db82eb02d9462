//! What has been done, counted by tasklets and pool threads alike.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::problem::Problem;
use crate::display::Escaped;

/// The counts.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Files that have their names.
    pub(super) files: Count,
    /// Bytes in them that are not in holes.
    pub(super) bytes: Count,
    /// Bytes of their holes.
    pub(super) holes: Count,
    pub(super) folders: Count,
    pub(super) links: Count,
    /// FIFOs, sockets, devices.
    pub(super) specials: Count,
    /// With `--archive`, further names that files got; without, files that have further names in
    /// the source.
    pub(super) hard_links: Count,
    /// Drafts of killed processes that were removed.
    pub(super) swept: Count,
    /// Kept because of `--no-clobber`.
    pub(super) kept: Count,
    /// Bytes of files that are behind us, holes included, for the progress.
    pub(super) moved: Count,
    failures: Mutex<Vec<Failure>>,
    /// The number of copies that lack something, and why the first one does.
    unkept: Mutex<BTreeMap<Unkept, (u64, Errno)>>,
}

/// An attribute that a copy may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unkept {
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

/// What was not copied, and why.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) path: PathBuf,
    pub(super) problem: Problem,
}

impl Ledger {
    pub(super) fn fail(&self, path: PathBuf, problem: Problem) {
        // What a signal has ended is told by the report as a whole.
        if matches!(problem, Problem::Stopped) {
            return;
        }
        tracing::debug!("{}: {problem}", Escaped::new(&path));
        self.failures().push(Failure { path, problem });
    }

    pub(super) fn note_unkept(&self, what: Unkept, why: Errno) {
        let mut unkept = self.unkept.lock().unwrap_or_else(PoisonError::into_inner);
        unkept.entry(what).or_insert((0, why)).0 += 1;
    }

    pub(super) fn unkept(&self) -> BTreeMap<Unkept, (u64, Errno)> {
        self.unkept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn failures(&self) -> MutexGuard<'_, Vec<Failure>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
