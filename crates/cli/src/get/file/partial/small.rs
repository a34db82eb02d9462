//! Saves a small file, which stays in memory until it is complete, in one job of the pool.
//!
//! The file gets its bytes, its record and its date before it has any name (`O_TMPFILE`), so that a
//! crash leaves either nothing or the complete file. That takes half the system calls of a file
//! with a temporary name, and one visit to the pool instead of six.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use overlapped::task::{shield, unblock};
use rustix::fs::{AtFlags, CWD, linkat};
use rustix::io::Errno;

use super::super::record::Record;
use super::publish::SavedFiles;

/// A complete small file, with its record and date.
#[derive(Debug, Clone)]
pub(super) struct SmallFile {
    pub(super) bytes: Arc<Vec<u8>>,
    pub(super) record: Record,
    pub(super) modified: Option<SystemTime>,
    pub(super) saved_files: SavedFiles,
}

impl SmallFile {
    /// Saves the file as `name` in `folder`. Returns `false` if it has to be saved in another way,
    /// for example because the file system has no files without a name.
    ///
    /// # Errors
    /// Returns `AlreadyExists`, and errors of the disk, which the other way may avoid.
    pub(super) fn save(&self, folder: &Path, name: OsString) -> io::Result<bool> {
        let (small, folder) = (self.clone(), folder.to_owned());
        // Shielded, so that a kill finds the file either saved or lost, and the job ended.
        shield(|| unblock(move || small.save_blocking(&folder, &name))).unwrap_or(Ok(false))
    }

    fn save_blocking(self, folder: &Path, name: &OsString) -> io::Result<bool> {
        let mut options = File::options();
        options.write(true).custom_flags(libc::O_TMPFILE);
        let here = if folder == Path::new("") { Path::new(".") } else { folder };
        let mut file = options.open(here)?;
        file.write_all(&self.bytes)?;
        if !self.record.write_attribute(&file)? {
            return Ok(false);
        }
        if let Some(time) = self.modified {
            file.set_modified(time)?;
        }
        crate::close::close(&file)?;
        link_name(&file, &folder.join(name))?;
        self.saved_files.note(&file.metadata()?);
        Ok(true)
    }
}

/// Gives a file without a name its first one, if the name is free.
fn link_name(file: &File, path: &Path) -> io::Result<()> {
    // Since Linux 6.10 any user may link an own descriptor.
    match linkat(file, "", CWD, path, AtFlags::EMPTY_PATH) {
        Err(Errno::NOENT | Errno::PERM | Errno::INVAL) => {}
        linked => return linked.map_err(io::Error::from),
    }
    let link = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    linkat(CWD, link, CWD, path, AtFlags::SYMLINK_FOLLOW).map_err(io::Error::from)
}
