//! Folders of the copy that are finished, and must be there when all is.
//!
//! Nothing holds a finished folder: while others are copied, somebody may move or remove it. So in
//! the end each name is looked at once more. One look at each, by its path from the folder in which
//! all copies begin, costs little beside having made it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;

use crate::copy::Copying;
use crate::copy::identity::{self, Identity, UNKNOWN};
use crate::copy::problem::Problem;

/// See the module.
#[derive(Debug, Default)]
pub(in crate::copy) struct Placed(Mutex<Vec<Place>>);

/// The path of a copy, and which folder it was and when that was born; `None`: it was not there any
/// more, which has been said.
type Place = (PathBuf, Option<(Identity, u64)>);

impl Placed {
    pub(in crate::copy) fn add(&self, path: PathBuf, found: Option<(Identity, u64)>) {
        self.lock().push((path, found));
    }

    /// Says of each folder that has lost its name, but not of those in it. Blocks the thread.
    pub(in crate::copy) fn check(&self, copying: &Copying) {
        let mut places = std::mem::take(&mut *self.lock());
        // Each after the one that it is in, and of one path the one that is missing first.
        places.sort();
        let mut lost: HashSet<&Path> = HashSet::new();
        for (path, known) in &places {
            if copying.is_stopped() {
                return;
            }
            let is_in_lost = path.parent().is_some_and(|above| lost.contains(above));
            if is_in_lost || known.is_none() {
                lost.insert(path);
            } else if let Some(known) = known
                && is_lost(copying, path, *known)
                && lost.insert(path)
            {
                copying.ledger.fail(path.clone(), Problem::MovedLater);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Some file systems give a folder another inode number once nobody has it open: where the time of
/// birth is the same, or not known, another number says nothing.
fn is_lost(copying: &Copying, path: &Path, (known, birth): (Identity, u64)) -> bool {
    match copying.root.find(path) {
        Ok((now, _)) if identity::of(&now) == known => false,
        Ok((now, born)) => {
            let is_folder =
                rustix::fs::FileType::from_raw_mode(now.st_mode) == rustix::fs::FileType::Directory;
            !is_folder || birth != UNKNOWN && born != UNKNOWN && birth != born
        }
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => true,
        // Whoever may not look there cannot tell.
        Err(_) => false,
    }
}
