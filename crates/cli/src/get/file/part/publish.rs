//! Giving a complete file its name. All of it blocks; it is for jobs of the pool.
//!
//! A name that is taken is replaced only where that was asked for, and never where this run has
//! given it to another file: two URLs' names may be one name here (folded case, other spellings of
//! one letter).

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
use super::super::record::{self, Key};

/// The files that this run has given names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Made(Arc<Mutex<HashSet<(u64, u64)>>>);

impl Made {
    fn lock(&self) -> MutexGuard<'_, HashSet<(u64, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a file that has got its name.
    pub(super) fn note(&self, file: &Metadata) {
        self.lock().insert(identity(file));
    }

    /// Finds out who has a name that was free before, or might have been replaced.
    pub(crate) fn who_took(&self, path: &Path, key: Key, sha256: Option<Checksum>) -> Taken {
        let is_ours = |found: Metadata| self.lock().contains(&identity(&found));
        if fs::symlink_metadata(path).is_ok_and(is_ours) {
            return Taken::ThisRun;
        }
        let found = fs::metadata(path).ok();
        if found.as_ref().is_some_and(Metadata::is_dir) {
            return Taken::Folder;
        }
        let is_right = |checksum: Checksum| matches!(checksum.check_file(path), Ok(Ok(())));
        match (record::now_of(path), found) {
            (Some(record), Some(found))
                if record.key == key
                    && record.length == found.len()
                    && sha256.is_none_or(is_right) =>
            {
                Taken::SameUrl
            }
            _ => Taken::Another,
        }
    }
}

/// The owner of the name that a file was to get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    ThisRun,
    Folder,
    /// A file that another process has saved from the same URL.
    SameUrl,
    Another,
}

/// As the end of a sentence that begins with the name.
impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Taken::ThisRun => {
                "was saved in this run from another URL, whose name is the same in this folder; a \
                 list can give each URL a name"
            }
            Taken::Folder => "is a folder; --output saves elsewhere",
            Taken::SameUrl | Taken::Another => {
                "was made by another program while this was downloaded; --overwrite replaces it, \
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
/// `AlreadyExists`, where the name is taken, and is not to be replaced; those of the disk.
pub(super) fn publish(from: &Path, to: &Path, replace: bool, made: &Made) -> io::Result<()> {
    match rename_new(from, to) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && replace => {
            // One after the other, so that each sees what the one before has made.
            let mut files = made.lock();
            let there = fs::symlink_metadata(to);
            if there.is_ok_and(|there| files.contains(&identity(&there))) {
                return Err(error);
            }
            fs::rename(from, to)?;
            files.insert(identity(&fs::symlink_metadata(to)?));
        }
        other => {
            other?;
            made.note(&fs::symlink_metadata(to)?);
        }
    }
    Ok(())
}

/// Renames a file without replacing another one.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // This file system, or this kernel, cannot.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        renamed => return renamed.map_err(io::Error::from),
    }
    match fs::hard_link(from, to) {
        Ok(()) => return fs::remove_file(from),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(error),
        Err(_) => {}
    }
    // Nor can it link; a look has to do. What cannot be looked at may be there.
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
    fn what_this_run_has_made_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let made = Made::default();
        for name in ["old", "a", "b", "c"] {
            fs::write(path(name), name).unwrap();
        }
        let refused = publish(&path("a"), &path("old"), false, &made).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        publish(&path("a"), &path("old"), true, &made).unwrap();
        let refused = publish(&path("b"), &path("old"), true, &made).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        publish(&path("b"), &path("new"), false, &made).unwrap();
        let refused = publish(&path("c"), &path("new"), true, &made).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(path("old")).unwrap(), "a");
        assert_eq!(fs::read_to_string(path("new")).unwrap(), "b");
        let key = Key::of("http://host/c");
        let who_took = |name: &str| made.who_took(&path(name), key, None);
        assert_eq!((who_took("new"), who_took("c")), (Taken::ThisRun, Taken::Another));
        assert_eq!(made.who_took(folder.path(), key, None), Taken::Folder);
    }
}
