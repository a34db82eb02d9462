//! A small file: it stays in memory until all of it has come, and is saved in one job of the pool.
//!
//! The file gets its bytes, its record and its date before it has any name (`O_TMPFILE`), so that a
//! crash leaves either nothing or the whole file. That is half the system calls of a file that has
//! a name of its own meanwhile, and one visit to the pool instead of six.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use overlapped::task::{shield, unblock};
use rustix::fs::{AtFlags, CWD, linkat};
use rustix::io::Errno;

use super::record::Record;

/// The whole of a small file, and what is said of it.
#[derive(Debug, Clone)]
pub(super) struct Small {
    pub(super) bytes: Arc<Vec<u8>>,
    pub(super) record: Record,
    pub(super) modified: Option<SystemTime>,
}

impl Small {
    /// Saves the file as `name` in `folder`. `false`: this file system has no files without a name.
    ///
    /// # Errors
    /// `AlreadyExists`, where the name is taken and `replace` is not set; those of the disk.
    pub(super) fn save(&self, folder: &Path, name: OsString, replace: bool) -> io::Result<bool> {
        let (small, folder) = (self.clone(), folder.to_owned());
        // A kill shall find the file saved, or the bytes lost, and the job must end before that.
        shield(|| unblock(move || small.save_blocking(&folder, &name, replace)))
            .unwrap_or(Ok(false))
    }

    fn save_blocking(self, folder: &Path, name: &OsString, replace: bool) -> io::Result<bool> {
        let mut options = File::options();
        options.write(true).custom_flags(libc::O_TMPFILE);
        let here = if folder == Path::new("") { Path::new(".") } else { folder };
        let mut file = match options.open(here) {
            Ok(file) => file,
            Err(error) if lacks_nameless_files(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        file.write_all(&self.bytes)?;
        if !self.record.write_attribute(&file)? {
            return Ok(false);
        }
        if let Some(time) = self.modified {
            file.set_modified(time)?;
        }
        crate::close::close(&file)?;
        let path = folder.join(name);
        match name_it(&file, &path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && replace => {
                let beside = self.beside(&path);
                // What a crash has left.
                let _ = std::fs::remove_file(&beside);
                name_it(&file, &beside)?;
                std::fs::rename(&beside, &path).inspect_err(|_| {
                    let _ = std::fs::remove_file(&beside);
                })?;
            }
            named => named?,
        }
        Ok(true)
    }

    /// The name of an unfinished file of this URL: the next run knows whose it is.
    fn beside(&self, path: &Path) -> PathBuf {
        super::part::path_of(path, self.record.key)
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

fn lacks_nameless_files(error: &io::Error) -> bool {
    // EISDIR: a kernel or a file system that takes the flag for O_DIRECTORY.
    [libc::EOPNOTSUPP, libc::EISDIR, libc::EINVAL, libc::ENOENT, libc::ENOSYS]
        .map(Some)
        .contains(&error.raw_os_error())
}
