//! Creates directories, and lists their entries.

use std::collections::VecDeque;
use std::ffi::{CString, OsString};
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, DirEntryExt};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::owned_operation::{Base, OwnedOperation, c_path, stat};
use super::{FileType, Metadata, metadata};
use crate::sys::file;
use crate::task::blocking::on_pool;

/// Creates a directory.
///
/// # Errors
/// Those of mkdir(2).
pub fn create_dir<P: AsRef<Path>>(path: P) -> io::Result<()> {
    DirBuilder::new().create(path)
}

/// Creates a directory, and the missing ones above it.
///
/// # Errors
/// Those of mkdir(2), except for directories that exist already.
pub fn create_dir_all<P: AsRef<Path>>(path: P) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(path)
}

/// A builder of directories; the counterpart of `std::fs::DirBuilder`. std's `DirBuilderExt` for
/// Unix works on it, too.
pub struct DirBuilder {
    mode: u32,
    recursive: bool,
}

impl fmt::Debug for DirBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("DirBuilder");
        out.field("mode", &format_args!("0o{:06o}", self.mode));
        out.field("recursive", &self.recursive).finish()
    }
}

impl Default for DirBuilder {
    fn default() -> DirBuilder {
        DirBuilder::new()
    }
}

impl DirBuilder {
    /// Returns a builder of one directory, with the permissions that the process's mask leaves.
    #[must_use]
    pub fn new() -> DirBuilder {
        DirBuilder { mode: 0o777, recursive: false }
    }

    /// Creates the missing directories above it, too. A directory that exists is no error then.
    pub fn recursive(&mut self, recursive: bool) -> &mut Self {
        self.recursive = recursive;
        self
    }

    /// Creates the directory.
    ///
    /// # Errors
    /// Those of mkdir(2).
    pub fn create<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        let path = path.as_ref();
        if self.recursive { self.create_all(path) } else { self.make(path) }
    }

    fn make(&self, path: &Path) -> io::Result<()> {
        OwnedOperation::MakeDir { path: c_path(path)?, mode: self.mode }.run().map(drop)
    }

    /// Creates the missing directories, the topmost first.
    fn create_all(&self, path: &Path) -> io::Result<()> {
        let mut missing = Vec::new();
        let mut at = Some(path);
        while let Some(path) = at.filter(|path| !path.as_os_str().is_empty()) {
            match self.make(path) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(path),
                // Another process has created it meanwhile, or its parent is read-only: it exists.
                Err(_) if metadata(path).is_ok_and(|found| found.is_dir()) => break,
                Err(error) => return Err(error),
            }
            at = path.parent();
            if at.is_none() {
                let text = "failed to create whole tree";
                return Err(io::Error::other(text));
            }
        }
        for path in missing.into_iter().rev() {
            match self.make(path) {
                Err(error) if !metadata(path).is_ok_and(|found| found.is_dir()) => {
                    return Err(error);
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

impl DirBuilderExt for DirBuilder {
    fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = mode;
        self
    }
}

/// Lists a directory: everything in it except `.` and `..`, in no order.
///
/// # Errors
/// Those of opening it.
///
/// ```
/// overlapped::run(|| {
///     for entry in overlapped::fs::read_dir(".")? {
///         let entry = entry?;
///         println!("{} {:?}", entry.path().display(), entry.file_type()?);
///     }
///     std::io::Result::Ok(())
/// }).unwrap().unwrap();
/// ```
pub fn read_dir<P: AsRef<Path>>(path: P) -> io::Result<ReadDir> {
    let root = path.as_ref().to_owned();
    let path = c_path(&root)?;
    // The open returns the first entries, too: most directories have no more.
    let (dir, batch) = on_pool("the opening of a directory", move |_| {
        let dir = file::open_listing(&path)?;
        let batch = file::read_batch(&dir);
        Ok((dir, batch))
    })?;
    let folder = Arc::new(Folder { dir: Arc::new(dir), root });
    let mut list = ReadDir { folder, batch: VecDeque::new(), state: State::More };
    list.refill(batch);
    Ok(list)
}

/// An open directory, shared by its entries.
struct Folder {
    dir: Arc<OwnedFd>,
    root: PathBuf,
}

enum State {
    /// The batch may not be the last one.
    More,
    /// The listing ends with this error.
    Failed(io::Error),
    /// The listing ends with the batch.
    Last,
}

/// An iterator over the entries of a directory; the counterpart of `std::fs::ReadDir`. It reads one
/// bufferful at a time, when the last one is used up.
pub struct ReadDir {
    folder: Arc<Folder>,
    batch: VecDeque<file::Entry>,
    state: State,
}

/// An error that it keeps is returned to one caller only.
impl UnwindSafe for ReadDir {}
impl RefUnwindSafe for ReadDir {}

impl ReadDir {
    fn refill(&mut self, batch: io::Result<file::Batch>) {
        match batch {
            Ok(batch) => {
                if batch.is_last {
                    self.state = State::Last;
                }
                self.batch = batch.entries.into();
            }
            Err(error) => self.state = State::Failed(error),
        }
    }
}

impl Iterator for ReadDir {
    type Item = io::Result<DirEntry>;

    fn next(&mut self) -> Option<io::Result<DirEntry>> {
        if self.batch.is_empty() && matches!(self.state, State::More) {
            let dir = Arc::clone(&self.folder.dir);
            let batch = on_pool("the listing of a directory", move |_| file::read_batch(&dir));
            self.refill(batch);
        }
        if let Some(entry) = self.batch.pop_front() {
            return Some(Ok(DirEntry { folder: Arc::clone(&self.folder), entry }));
        }
        match std::mem::replace(&mut self.state, State::Last) {
            State::Failed(error) => Some(Err(error)),
            State::More | State::Last => None,
        }
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadDir").field(&self.folder.root).finish()
    }
}

/// An entry of a directory; the counterpart of `std::fs::DirEntry`. std's `DirEntryExt` for Unix
/// works on it, too.
pub struct DirEntry {
    folder: Arc<Folder>,
    entry: file::Entry,
}

impl DirEntry {
    /// Returns the path that was given to [`read_dir`], joined with the name.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.root.join(&self.entry.name)
    }

    /// Returns the name alone.
    #[must_use]
    pub fn file_name(&self) -> OsString {
        self.entry.name.clone()
    }

    /// Returns the kind of the file; of a symbolic link, that of the link. Most file systems tell
    /// it with the name, so that the file need not be looked up.
    ///
    /// # Errors
    /// As [`metadata`](DirEntry::metadata).
    pub fn file_type(&self) -> io::Result<FileType> {
        match self.entry.kind {
            Some(kind) => Ok(FileType::from_mode(kind)),
            None => self.metadata().map(|metadata| metadata.file_type()),
        }
    }

    /// Returns the metadata of the file; of a symbolic link, that of the link.
    ///
    /// # Errors
    /// Those of statx(2): `NotFound` if it is gone.
    pub fn metadata(&self) -> io::Result<Metadata> {
        let name = CString::new(self.entry.name.as_bytes())?;
        stat(Base::Dir(Arc::clone(&self.folder.dir)), name, false).map(Metadata::new)
    }
}

impl DirEntryExt for DirEntry {
    fn ino(&self) -> u64 {
        self.entry.inode
    }
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DirEntry").field(&self.path()).finish()
    }
}
