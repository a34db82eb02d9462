//! Finished folders of the copy, whose names are checked at the end.
//!
//! Nothing keeps a finished folder open, so another process may move or remove it while others are
//! copied. So each name is checked once more at the end. One system call for each, by its path from
//! the folder into which all copies go, costs little compared with having made it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;

use super::root::Root;
use crate::copy::counters::Counters;
use crate::copy::identity::{self, Identity, UNKNOWN};
use crate::copy::problem::Problem;

/// The finished folders of a run.
#[derive(Debug, Default)]
pub(in crate::copy) struct FinishedFolders(Mutex<Vec<FinishedFolder>>);

/// The path of a copy, with the folder's identity and time of birth; `None` if it was missing,
/// which has been reported.
type FinishedFolder = (PathBuf, Option<(Identity, u64)>);

impl FinishedFolders {
    pub(in crate::copy) fn add(&self, path: PathBuf, found: Option<(Identity, u64)>) {
        self.lock().push((path, found));
    }

    /// Reports each folder that has lost its name, but not those in it. Blocks the thread.
    pub(in crate::copy) fn check(&self, root: &Root, counters: &Counters, stopped: &AtomicBool) {
        let mut places = std::mem::take(&mut *self.lock());
        // Each folder after its parent, and of equal paths the missing one first.
        places.sort();
        let mut lost: HashSet<&Path> = HashSet::new();
        for (path, known) in &places {
            if stopped.load(Relaxed) {
                return;
            }
            let is_in_lost = path.parent().is_some_and(|above| lost.contains(above));
            if is_in_lost || known.is_none() {
                lost.insert(path);
            } else if let Some(known) = known
                && is_lost(root, path, *known)
                && lost.insert(path)
            {
                counters.fail(path.clone(), Problem::MovedLater);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<FinishedFolder>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells whether the path no longer belongs to the folder. Some file systems give a folder another
/// inode number once no process has it open: if the time of birth is the same, or unknown, another
/// number means nothing.
fn is_lost(root: &Root, path: &Path, (known, birth): (Identity, u64)) -> bool {
    match root.find(path) {
        Ok((now, _)) if identity::from_stat(&now) == known => false,
        Ok((now, born)) => {
            let is_folder =
                rustix::fs::FileType::from_raw_mode(now.st_mode) == rustix::fs::FileType::Directory;
            !is_folder || birth != UNKNOWN && born != UNKNOWN && birth != born
        }
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => true,
        // Without permission to look there, nothing is known.
        Err(_) => false,
    }
}
