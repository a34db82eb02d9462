//! A small file: it stays in memory until all of it has come, and is saved in one job of the pool.
//!
//! The file gets its bytes, its record and its date before it has any name (`O_TMPFILE`), so that a
//! crash leaves either nothing or the whole file. That is half the system calls of a file that has
//! a name of its own meanwhile, and one visit to the pool instead of six.

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
use super::publish::Made;

/// The whole of a small file, and what is said of it.
#[derive(Debug, Clone)]
pub(super) struct Small {
    pub(super) bytes: Arc<Vec<u8>>,
    pub(super) record: Record,
    pub(super) modified: Option<SystemTime>,
    pub(super) made: Made,
}

impl Small {
    /// Saves the file as `name` in `folder`. `false`: it has to go another way, for example because
    /// this file system has no files without a name.
    ///
    /// # Errors
    /// `AlreadyExists`; those of the disk, which another way may not meet.
    pub(super) fn save(&self, folder: &Path, name: OsString) -> io::Result<bool> {
        let (small, folder) = (self.clone(), folder.to_owned());
        // A kill shall find the file saved, or the bytes lost, and the job must end before that.
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
        name_it(&file, &folder.join(name))?;
        self.made.note(&file.metadata()?);
        Ok(true)
    }
}

/// Gives a file without a name its first one, if that is free.
fn name_it(file: &File, path: &Path) -> io::Result<()> {
    // Allowed to everybody for descriptors of their own since Linux 6.10.
    match linkat(file, "", CWD, path, AtFlags::EMPTY_PATH) {
        Err(Errno::NOENT | Errno::PERM | Errno::INVAL) => {}
        linked => return linked.map_err(io::Error::from),
    }
    let link = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    linkat(CWD, link, CWD, path, AtFlags::SYMLINK_FOLLOW).map_err(io::Error::from)
}
