//! Creates directories, and lists their entries.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::DirEntry;
use crate::sys::file;
use crate::sys::file::{Batch, Listing};
use crate::sys::lock::Mutex;
use crate::task::blocking::on_pool;

/// Creates a directory.
///
/// # Errors
/// Those of CreateDirectory.
pub fn create_dir<P: AsRef<Path>>(path: P) -> io::Result<()> {
    DirBuilder::new().create(path)
}

/// Creates a directory, and the missing ones above it.
///
/// # Errors
/// Those of CreateDirectory, except for directories that exist already.
pub fn create_dir_all<P: AsRef<Path>>(path: P) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(path)
}

/// A builder of directories; the counterpart of `std::fs::DirBuilder`.
#[derive(Debug, Default)]
pub struct DirBuilder {
    recursive: bool,
}

impl DirBuilder {
    /// Returns a builder of one directory.
    #[must_use]
    pub fn new() -> DirBuilder {
        DirBuilder::default()
    }

    /// Creates the missing directories above it, too. A directory that exists is no error then.
    pub fn recursive(&mut self, recursive: bool) -> &mut Self {
        self.recursive = recursive;
        self
    }

    /// Creates the directory.
    ///
    /// # Errors
    /// Those of CreateDirectory.
    pub fn create<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        let (path, all) = (path.as_ref().to_owned(), self.recursive);
        on_pool("the creation of a directory", move |_| file::create_dir(&path, all))
    }
}

/// Lists a directory: everything in it except `.` and `..`, in no order.
///
/// # Errors
/// Those of opening it.
pub fn read_dir<P: AsRef<Path>>(path: P) -> io::Result<ReadDir> {
    let root = path.as_ref().to_owned();
    let path = root.clone();
    // The open returns the first entries, too: most directories have no more.
    let (listing, batch) = on_pool("the opening of a directory", move |_| {
        let mut listing = file::open_listing(path)?;
        let batch = Batch::read(&mut listing);
        Ok((listing, batch))
    })?;
    let listing = Arc::new(Mutex::new(listing));
    Ok(ReadDir { root, listing, batch: batch.entries.into(), is_last: batch.is_last })
}

/// An iterator over the entries of a directory; the counterpart of `std::fs::ReadDir`. It lists
/// some hundred entries at a time, when the last ones are used up.
pub struct ReadDir {
    root: PathBuf,
    /// Shared with the job that lists.
    listing: Arc<Mutex<Listing>>,
    batch: VecDeque<io::Result<DirEntry>>,
    is_last: bool,
}

/// An error that it keeps is returned to one caller only.
impl UnwindSafe for ReadDir {}
impl RefUnwindSafe for ReadDir {}

impl Iterator for ReadDir {
    type Item = io::Result<DirEntry>;

    fn next(&mut self) -> Option<io::Result<DirEntry>> {
        if self.batch.is_empty() && !self.is_last {
            let listing = Arc::clone(&self.listing);
            let list = move |_: &_| Ok(Batch::read(&mut listing.lock()));
            match on_pool("the listing of a directory", list) {
                Ok(batch) => {
                    (self.batch, self.is_last) = (batch.entries.into(), batch.is_last);
                }
                // A deadline: nothing has been listed, so a later call may go on.
                Err(error) => return Some(Err(error)),
            }
        }
        self.batch.pop_front()
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadDir").field(&self.root).finish()
    }
}
