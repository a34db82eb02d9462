//! The state of a run that tasklets and pool threads share.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::counters::Counters;
use super::folder::finished::FinishedFolders;
use super::folder::root::Root;
use super::identity::Identities;

/// Options of a run.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) force: bool,
    pub(super) no_clobber: bool,
    pub(super) verify: bool,
    pub(super) sync: bool,
    pub(super) archive: bool,
    pub(super) one_file_system: bool,
    /// Also set by `archive`.
    pub(super) preserve: bool,
}

/// The state of a run.
#[derive(Debug)]
pub(super) struct Copying {
    pub(super) options: Options,
    pub(super) root: Root,
    pub(super) counters: Counters,
    pub(super) unnamed: UnnamedFiles,
    pub(super) identities: Identities,
    pub(super) finished: FinishedFolders,
    /// Set at the stop of the run. Jobs, which cannot be killed, look at it.
    pub(super) stopped: AtomicBool,
    /// The source whose copy gets the name DST, and whose contents must be named once DST exists.
    pub(super) renamed: Option<PathBuf>,
}

impl Copying {
    pub(super) fn new(
        options: Options,
        root: Root,
        identities: Identities,
        renamed: Option<PathBuf>,
    ) -> Copying {
        Copying {
            options,
            root,
            counters: Counters::default(),
            unnamed: UnnamedFiles::default(),
            identities,
            finished: FinishedFolders::default(),
            stopped: AtomicBool::new(false),
            renamed,
        }
    }

    /// Makes jobs begin no other file.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Relaxed);
    }

    /// Tells whether jobs must not begin another file.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }
}

/// The knowledge whether files without names (`O_TMPFILE`) have worked so far.
#[derive(Debug)]
pub(super) struct UnnamedFiles(AtomicBool);

impl Default for UnnamedFiles {
    fn default() -> UnnamedFiles {
        // The variable simulates file systems without them, on machines that have none.
        UnnamedFiles(AtomicBool::new(std::env::var_os("OVERLAPPED_COPY_NAMED").is_none()))
    }
}

impl UnnamedFiles {
    pub(super) fn work(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// Remembers that they do not work, so that none is tried again.
    pub(super) fn give_up(&self) {
        self.0.store(false, Relaxed);
    }
}
