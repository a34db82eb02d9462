//! What each subject does with files: the code that its user would write.
//!
//! Files are read by [`TASKS`] tasks. A tree is copied while it is walked, [`TASKS`] files at a
//! time; those that cannot read a folder make the folders first, and copy the files from one list.

mod compio;
mod go;
mod monoio;
mod overlapped;
mod plain;
mod raw;
mod tokio;

use super::{ABSENT, Name, say};
use crate::files::TASKS;
use crate::files::material::Tree;
use ::overlapped::port::PortChoice;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a subject may do with files. Each method runs in a process of its own.
pub(crate) trait Files {
    /// Reads so many blocks at random places of one file.
    fn random_reads(&self, _file: &Path, _reads: u64) -> Result<Duration, String> {
        Err(ABSENT.into())
    }

    /// Opens, stats, reads and closes so many files of the tree, over and over.
    fn small_files(&self, _tree: &Tree, _files: u64) -> Result<Duration, String> {
        Err(ABSENT.into())
    }

    /// Copies one file.
    fn copy_big(&self, _from: &Path, _to: &Path) -> Result<Duration, String> {
        Err(ABSENT.into())
    }

    /// Copies a tree.
    fn copy_tree(&self, _from: &Path, _to: &Path) -> Result<Duration, String> {
        Err(ABSENT.into())
    }

    /// How it does that, where there is a choice.
    fn remark(&self, _case: &str) -> Option<&'static str> {
        None
    }
}

pub(crate) fn of(name: Name) -> Result<Box<dyn Files>, String> {
    Ok(match name {
        Name::OverlappedUring => Box::new(overlapped::Overlapped { port: PortChoice::Uring }),
        Name::OverlappedPoll => Box::new(overlapped::Overlapped { port: PortChoice::Poll }),
        Name::Tokio => Box::new(tokio::Tokio),
        Name::Compio => Box::new(compio::Compio),
        Name::Monoio => Box::new(monoio::Monoio),
        Name::Raw => Box::new(raw::Raw),
        Name::Go => Box::new(go::Go),
        Name::Pread => Box::new(plain::Pread),
        Name::Cp => Box::new(plain::Cp),
        Name::May => return Err("it has no files of its own".into()),
        _ => return Err(ABSENT.into()),
    })
}

/// A buffer of the read and write loops of those that have no copy of their own.
const COPY_BYTES: usize = 256 * 1024;

/// Folders that are walked at a time: the next one is listed while files of this one are copied.
/// More would have the file system jump between them.
const FOLDERS: usize = 2;

/// How many of `all` one task does.
fn share(all: u64, task: usize) -> u64 {
    (all + task as u64) / TASKS as u64
}

/// One file to copy.
type Pair = (PathBuf, PathBuf);

/// Makes the folders by std's calls and lists the files, for those that cannot read a folder.
fn folders_by_std(from: &Path, to: &Path, files: &mut Vec<Pair>) -> std::io::Result<()> {
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
