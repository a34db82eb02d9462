//! The objects that this run reads and makes, identified by device and inode number.
//!
//! Names are ambiguous: through links, bind mounts and folded case two of them are one object. A
//! copy must replace neither a source nor another copy of the same run, so each folder and file is
//! compared by identity. Copies in folders that this run has made are not remembered, since nothing
//! is ever replaced there.

use std::collections::{HashMap, HashSet};
use std::ffi::CStr;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::fs::{AtFlags, Stat, StatxFlags, statat, statx};

use super::plan::Item;

/// A device and an inode number.
pub(super) type Identity = (u64, u64);

pub(super) fn from_stat(stat: &Stat) -> Identity {
    (stat.st_dev, stat.st_ino)
}

/// The objects of a run.
#[derive(Debug, Default)]
pub(super) struct Identities {
    /// The paths on the command line.
    roots: Vec<PathBuf>,
    /// Folders that are read, and everything named on the command line.
    sources: Set,
    /// Folders that copies go into.
    targets: Set,
    made_folders: Set,
    /// Copies in folders that existed before, with their times of birth: if another process removes
    /// one, the next file may get its number.
    made: Mutex<HashMap<Identity, u64>>,
    /// Locks for giving names, each for many folders, chosen by inode number.
    naming: [Mutex<()>; 16],
    /// Set when all folders of all sources are in `sources`.
    all_read: OnceLock<()>,
}

impl Identities {
    pub(super) fn new(items: &[Item]) -> Identities {
        let roots: Vec<_> = items.iter().map(Item::source).collect();
        let sources = Set::default();
        for root in &roots {
            if let Ok(metadata) = root.symlink_metadata() {
                sources.insert((metadata.dev(), metadata.ino()));
            }
        }
        Identities { roots, sources, ..Identities::default() }
    }

    /// Adds a folder that is read, and returns whether copies go into it.
    pub(super) fn reads(&self, folder: Identity) -> bool {
        // Both sides first add and then compare: of two threads, at least one sees the other's
        // entry.
        self.sources.insert(folder);
        self.targets.contains(folder)
    }

    /// Adds a folder that copies go into.
    pub(super) fn writes(&self, folder: Identity) -> Written {
        let is_new = self.targets.insert(folder);
        if self.is_source(folder) {
            Written::IsSource
        } else if is_new {
            Written::First
        } else {
            Written::Repeated
        }
    }

    pub(super) fn is_source(&self, object: Identity) -> bool {
        self.sources.contains(object)
    }

    pub(super) fn add_made_folder(&self, folder: Identity) {
        self.made_folders.insert(folder);
    }

    pub(super) fn is_made_folder(&self, folder: Identity) -> bool {
        self.made_folders.contains(folder)
    }

    /// Adds a copy in a folder that existed before.
    pub(super) fn add_made(&self, folder: BorrowedFd<'_>, name: &CStr) {
        if let Ok(made) = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            let birth = birth_of(folder, name);
            self.lock_made().insert(from_stat(&made), birth);
        }
    }

    /// Tells whether the object of this name is such a copy.
    pub(super) fn is_made(&self, there: &Stat, folder: BorrowedFd<'_>, name: &CStr) -> bool {
        let made = self.lock_made().get(&from_stat(there)).copied();
        made.is_some_and(|birth| {
            let now = birth_of(folder, name);
            birth == now || birth == UNKNOWN || now == UNKNOWN
        })
    }

    fn lock_made(&self) -> MutexGuard<'_, HashMap<Identity, u64>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no other thread gives a copy its name in this folder.
    pub(super) fn naming_lock(&self, (_, folder): Identity) -> MutexGuard<'_, ()> {
        let turn = &self.naming[folder as usize % self.naming.len()];
        turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds all folders of the sources, for a target on another mount: the mount may show a range
    /// of a source, which would otherwise be found only when that range is read.
    pub(super) fn read_all(&self, stopped: &AtomicBool) {
        self.all_read.get_or_init(|| {
            let mut paths = self.roots.clone();
            while let Some(path) = paths.pop().filter(|_| !stopped.load(Relaxed)) {
                let Ok(metadata) = path.symlink_metadata() else { continue };
                if metadata.is_dir() {
                    self.sources.insert((metadata.dev(), metadata.ino()));
                    let entries = fs::read_dir(&path).into_iter().flatten().flatten();
                    let folders = entries.filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir()));
                    paths.extend(folders.map(|entry| entry.path()));
                }
            }
        });
    }
}

/// The role of a target folder in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// It was unknown.
    First,
    Repeated,
    /// It is one of the folders that are copied.
    IsSource,
}

/// A set of identities, by device: half as large as a set of pairs.
#[derive(Debug, Default)]
struct Set(Mutex<HashMap<u64, HashSet<u64>>>);

impl Set {
    /// Adds an identity, and returns whether it is new.
    fn insert(&self, (device, number): Identity) -> bool {
        let mut set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        set.entry(device).or_default().insert(number)
    }

    fn contains(&self, (device, number): Identity) -> bool {
        let set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        set.get(&device).is_some_and(|numbers| numbers.contains(&number))
    }
}

/// The time of birth if the file system does not report it.
pub(super) const UNKNOWN: u64 = 0;

/// Returns a file's time of birth; an empty name stands for the open one.
pub(super) fn birth_of(folder: BorrowedFd<'_>, name: &CStr) -> u64 {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
    match statx(folder, name, flags, StatxFlags::BTIME) {
        Ok(found) if found.stx_mask & StatxFlags::BTIME.bits() != 0 => {
            let seconds = found.stx_btime.tv_sec as u64;
            seconds.wrapping_mul(1_000_000_000).wrapping_add(found.stx_btime.tv_nsec.into())
        }
        _ => UNKNOWN,
    }
}

/// Returns the number of the mount through which it was opened; `None` if the kernel does not
/// report it (Linux before 5.8).
pub(super) fn mount_of(folder: impl AsFd) -> Option<u64> {
    let found = statx(folder, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok()?;
    (found.stx_mask & StatxFlags::MNT_ID.bits() != 0).then_some(found.stx_mnt_id)
}
