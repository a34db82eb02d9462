//! Publishes a complete file under its name. All functions block; they run as jobs of the pool.
//!
//! An existing file is replaced only if the user asked for it, and never if this run has saved it:
//! the names of two URLs may be equal in this folder (folded case, or other spellings of one
//! letter).

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::super::checksum::Checksum;
use super::super::key::Key;
use super::super::record;

/// The files that this run has saved.
#[derive(Debug, Clone, Default)]
pub(crate) struct SavedFiles(Arc<Mutex<HashSet<(u64, u64)>>>);

impl SavedFiles {
    fn lock(&self) -> MutexGuard<'_, HashSet<(u64, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a file that has got its name.
    pub(super) fn note(&self, file: &Metadata) {
        self.lock().insert(identity(file));
    }

    /// Finds the owner of a name that was free before, or could have been replaced.
    pub(crate) fn owner_of(&self, path: &Path, key: Key, sha256: Option<Checksum>) -> NameOwner {
        let is_ours = |found: Metadata| self.lock().contains(&identity(&found));
        if fs::symlink_metadata(path).is_ok_and(is_ours) {
            return NameOwner::ThisRun;
        }
        let found = fs::metadata(path).ok();
        if found.as_ref().is_some_and(Metadata::is_dir) {
            return NameOwner::Folder;
        }
        let is_right = |checksum: Checksum| matches!(checksum.check_file(path), Ok(Ok(())));
        match (record::read_current(path), found) {
            (Some(record), Some(found))
                if record.key == key
                    && record.length == found.len()
                    && sha256.is_none_or(is_right) =>
            {
                NameOwner::SameUrl
            }
            _ => NameOwner::Another,
        }
    }
}

/// The owner of a name that a file was to get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameOwner {
    ThisRun,
    Folder,
    /// A file that another process has saved from the same URL.
    SameUrl,
    Another,
}

/// The end of a sentence that begins with the name.
impl fmt::Display for NameOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NameOwner::ThisRun => {
                "was saved in this run from another URL, whose name is the same in this folder; \
                 use a list to give each URL a name"
            }
            NameOwner::Folder => "is a folder; --output saves elsewhere",
            NameOwner::SameUrl | NameOwner::Another => {
                "was created by another program during the download; --overwrite replaces it, \
                 --output saves elsewhere"
            }
        })
    }
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Moves a file to its name.
///
/// # Errors
/// Returns `AlreadyExists` if the name is taken and must not be replaced, and errors of the disk.
pub(super) fn publish(
    from: &Path,
    to: &Path,
    replace: bool,
    saved_files: &SavedFiles,
) -> io::Result<()> {
    match rename_new(from, to) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && replace => {
            // Under the lock, so that each file sees those that were published before it.
            let mut files = saved_files.lock();
            let there = fs::symlink_metadata(to);
            if there.is_ok_and(|there| files.contains(&identity(&there))) {
                return Err(error);
            }
            fs::rename(from, to)?;
            files.insert(identity(&fs::symlink_metadata(to)?));
        }
        other => {
            other?;
            saved_files.note(&fs::symlink_metadata(to)?);
        }
    }
    Ok(())
}

/// Renames a file without replacing another one.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not supported by this file system or kernel.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        renamed => return renamed.map_err(io::Error::from),
    }
    match fs::hard_link(from, to) {
        Ok(()) => return fs::remove_file(from),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(error),
        Err(_) => {}
    }
    // Neither are links, so the check and the rename are two steps. A file that cannot be examined
    // may exist.
    match fs::symlink_metadata(to) {
        Err(error) if error.kind() == ErrorKind::NotFound => fs::rename(from, to),
        Err(error) => Err(error),
        Ok(_) => Err(ErrorKind::AlreadyExists.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_this_run_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let saved_files = SavedFiles::default();
        for name in ["old", "a", "b", "c"] {
            fs::write(path(name), name).unwrap();
        }
        let refused = publish(&path("a"), &path("old"), false, &saved_files).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        publish(&path("a"), &path("old"), true, &saved_files).unwrap();
        let refused = publish(&path("b"), &path("old"), true, &saved_files).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        publish(&path("b"), &path("new"), false, &saved_files).unwrap();
        let refused = publish(&path("c"), &path("new"), true, &saved_files).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(path("old")).unwrap(), "a");
        assert_eq!(fs::read_to_string(path("new")).unwrap(), "b");
        let key = Key::from_url("http://host/c");
        let owner_of = |name: &str| saved_files.owner_of(&path(name), key, None);
        assert_eq!((owner_of("new"), owner_of("c")), (NameOwner::ThisRun, NameOwner::Another));
        assert_eq!(saved_files.owner_of(folder.path(), key, None), NameOwner::Folder);
    }
}
