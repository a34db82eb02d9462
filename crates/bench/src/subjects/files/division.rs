//! The division of the work among tasks.
//!
//! Files are read by [`TASKS`] tasks. A tree is copied while it is walked, [`TASKS`] files at a
//! time. Subjects that cannot read a folder make the folders first, and copy the files from one
//! list.

use std::path::{Path, PathBuf};

/// Tasks that work at the same time, in subjects that have tasks.
pub(super) const TASKS: usize = 64;

/// The buffer of a read and write loop, for subjects that have no copy of their own.
pub(super) const COPY_BYTES: usize = 256 * 1024;

/// Folders that are walked at the same time: the next one is listed while files of this one are
/// copied. With more of them the file system would jump between them.
pub(super) const FOLDERS: usize = 2;

/// Returns the share of one task in `all`.
pub(super) fn share(all: u64, task: usize) -> u64 {
    (all + task as u64) / TASKS as u64
}

/// One file to copy: its path, and that of its copy.
pub(super) type Pair = (PathBuf, PathBuf);

/// Makes the folders by std's calls and lists the files, for subjects that cannot read a folder.
pub(super) fn folders_by_std(from: &Path, to: &Path, files: &mut Vec<Pair>) -> std::io::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            folders_by_std(&entry.path(), &target, files)?;
        } else {
            files.push((entry.path(), target));
        }
    }
    Ok(())
}
