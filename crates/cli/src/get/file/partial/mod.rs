//! A partial file: written beside its final name, and moved there when it is complete.
//!
//! ```text
//! NAME.1a2b3c4d.part        the bytes so far; the number is the beginning of the URL's key
//! NAME.1a2b3c4d.part.note   their version, if the server can continue them
//! NAME                      nothing, until the file is complete
//! ```
//!
//! | file | contents |
//! |---|---|
//! | `mod` | the partial file, in memory or on the disk |
//! | `on_disk` | the file on the disk, with its lock and its note |
//! | `small` | saving a file that is still in memory, in one job |
//! | `publish` | giving the file its name |
//!
//! A [`PartialFile`] starts in memory (`small`), unless an earlier run has left one: then
//! [`adopt`](PartialFile::adopt) continues it, or [`restart`](PartialFile::restart) starts over in
//! its place. As soon as it is worth keeping, it is on the disk with its note, open and locked, so
//! that two processes never write into one. It ends by [`finish`](PartialFile::finish), or by being
//! dropped: then it stays if it can be continued, and is removed otherwise. That also holds for a
//! killed tasklet, and so for Ctrl-C.

mod on_disk;
pub(crate) mod publish;
mod small;

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use overlapped::fs;
use overlapped::task::{shield, unblock};

use super::key::Key;
use super::own_files;
use super::record::Record;
use super::version::Version;
pub(crate) use on_disk::path_of;
use on_disk::{OnDisk, Paths};
use publish::{SavedFiles, publish};
use small::SmallFile;

/// The number of bytes that are worth continuing in another run; fewer are downloaded again.
const WORTH_KEEPING: usize = 64 << 10;

/// A file that is being downloaded.
#[derive(Debug)]
pub(crate) struct PartialFile {
    paths: Paths,
    key: Key,
    /// True if an earlier run may have left a partial file.
    may_exist: bool,
    early: Option<InMemory>,
    open: Option<OnDisk>,
    saved_files: SavedFiles,
    /// The number of partial files that this run has left.
    left: Rc<Cell<usize>>,
}

/// A partial file in memory.
#[derive(Debug)]
struct InMemory {
    bytes: Vec<u8>,
    /// `None`: the server cannot continue these bytes.
    version: Option<Version>,
}

impl PartialFile {
    /// Makes the partial file at `path` of the URL with this key; `may_exist`: an earlier run may
    /// have left it. Touches nothing on the disk.
    pub(crate) fn new(
        path: PathBuf,
        key: Key,
        may_exist: bool,
        saved_files: SavedFiles,
        left: Rc<Cell<usize>>,
    ) -> PartialFile {
        PartialFile {
            paths: Paths::new(path),
            key,
            may_exist,
            early: None,
            open: None,
            saved_files,
            left,
        }
    }

    /// Continues what an earlier run has left, if possible.
    pub(crate) fn adopt(&mut self) -> io::Result<()> {
        if !self.may_exist {
            return Ok(());
        }
        let Some(note) = own_files::read(&self.paths.note)? else { return Ok(()) };
        let version = Version::from_note(&String::from_utf8_lossy(&note), self.key);
        if version.is_some() {
            self.open = OnDisk::acquire(&self.paths, version)?;
        }
        Ok(())
    }

    /// Returns the number of known bytes and their version; `None` if the server has to start at
    /// the first byte.
    pub(crate) fn known(&self) -> Option<(u64, &Version)> {
        let version = match (&self.open, &self.early) {
            (Some(open), _) => open.version.as_ref()?,
            (None, early) => early.as_ref()?.version.as_ref()?,
        };
        let length = self.length();
        let fits = version.length.is_none_or(|whole| length <= whole);
        (length > 0 && fits).then_some((length, version))
    }

    /// Remembers the length of the complete file, which a later response has stated.
    pub(crate) fn learn_length(&mut self, whole: u64) {
        let version = match (&mut self.open, &mut self.early) {
            (Some(open), _) => open.version.as_mut(),
            (None, early) => early.as_mut().and_then(|early| early.version.as_mut()),
        };
        if let Some(version) = version {
            version.length.get_or_insert(whole);
        }
    }

    /// Returns the number of bytes so far.
    pub(crate) fn length(&self) -> u64 {
        match (&self.open, &self.early) {
            (Some(open), _) => open.length,
            (None, early) => early.as_ref().map_or(0, |early| early.bytes.len() as u64),
        }
    }

    /// Starts over at the first byte of this version, if the server names one.
    pub(crate) fn restart(&mut self, version: Option<Version>) -> io::Result<()> {
        if self.open.is_none() && !self.may_exist {
            self.early = Some(InMemory { bytes: Vec::new(), version });
            return Ok(());
        }
        self.begin(version)
    }

    /// Starts a file on the disk.
    fn begin(&mut self, version: Option<Version>) -> io::Result<()> {
        if self.open.is_none() {
            self.open = OnDisk::acquire(&self.paths, None)?;
        }
        self.open.as_mut().ok_or(ErrorKind::NotConnected)?.restart(&self.paths, version)
    }

    /// Appends received bytes.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(early) = &mut self.early {
            if early.bytes.len() + bytes.len() < WORTH_KEEPING {
                early.bytes.extend_from_slice(bytes);
                return Ok(());
            }
            self.put_on_disk()?;
        }
        let open = self.open.as_mut().ok_or(ErrorKind::NotConnected)?;
        open.append(bytes)?;
        if open.length >= WORTH_KEEPING as u64 {
            open.write_note(&self.paths, self.key)?;
        }
        Ok(())
    }

    /// Moves the bytes from memory to the disk.
    fn put_on_disk(&mut self) -> io::Result<()> {
        let Some(early) = self.early.take() else { return Ok(()) };
        self.begin(early.version)?;
        if early.bytes.is_empty() { Ok(()) } else { self.append(&early.bytes) }
    }

    /// Gives the complete file its modification date and its name. An existing file of that name is
    /// an error, unless it is to be replaced; the name never stands for anything but a complete
    /// file.
    pub(crate) fn finish(
        &mut self,
        name: &Path,
        modified: Option<SystemTime>,
        replace: bool,
    ) -> io::Result<()> {
        let (folder, record) = (name.parent().unwrap_or(Path::new("")), self.record());
        let file_name = name.file_name().unwrap_or_default();
        if let Some(early) = &mut self.early {
            let bytes = Arc::new(std::mem::take(&mut early.bytes));
            let small =
                SmallFile { bytes, record, modified, saved_files: self.saved_files.clone() };
            match small.save(folder, file_name.to_owned()) {
                Ok(true) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::AlreadyExists && !replace => {
                    return Err(error);
                }
                // The other way may succeed, or has the better error.
                Ok(false) | Err(_) => {}
            }
            early.bytes = Arc::unwrap_or_clone(small.bytes);
            self.put_on_disk()?;
        }
        if let Some(open) = &self.open {
            if let Some(time) = modified {
                open.file.set_modified(time)?;
            }
            crate::close::close(&open.file)?;
            record.write(&open.file, folder, Path::new(file_name))?;
        }
        // Shielded, so that a kill finds either the partial file or the final one, not both.
        shield(|| {
            let (from, to, saved_files) =
                (self.paths.bytes.clone(), name.to_owned(), self.saved_files.clone());
            unblock(move || publish(&from, &to, replace, &saved_files))
                .map_err(io::Error::other)??;
            match self.open.take() {
                Some(OnDisk { noted: true, .. }) => own_files::remove(&self.paths.note),
                _ => Ok(()),
            }
        })
    }

    fn record(&self) -> Record {
        Record { key: self.key, length: self.length() }
    }

    /// Removes what is left of a published file, if its run ended while publishing it.
    pub(crate) fn sweep(&self, name: &Path) {
        if !self.may_exist {
            return;
        }
        let (part, file) = (fs::symlink_metadata(&self.paths.bytes), fs::symlink_metadata(name));
        let is_left = match (part, file) {
            (Ok(part), Ok(file)) => part.ino() == file.ino() && part.dev() == file.dev(),
            (Err(error), Ok(_)) => error.kind() == ErrorKind::NotFound,
            _ => false,
        };
        if is_left {
            let _ = fs::remove_file(&self.paths.bytes);
            let _ = fs::remove_file(&self.paths.note);
        }
    }

    /// Returns the path of the file that stays after a failure, if it can be continued.
    pub(crate) fn kept(&self) -> Option<&Path> {
        let is_noted = self.open.as_ref()?.noted;
        self.known().filter(|_| is_noted).map(|_| &*self.paths.bytes)
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if self.open.is_none() {
            return;
        }
        if self.kept().is_some() {
            self.left.set(self.left.get() + 1);
        } else {
            let _ = fs::remove_file(&self.paths.bytes);
            let _ = fs::remove_file(&self.paths.note);
        }
    }
}

#[cfg(test)]
mod tests;
