//! The folder into which all copies go, and the check that a folder still has its name.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Stat, fstat, openat, statat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};

use crate::copy::identity;
use crate::copy::problem::{Problem, Step};

/// The flags with which folders are opened.
pub(super) const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The folder into which all copies of a run go, opened once.
#[derive(Debug)]
pub(in crate::copy) struct Root {
    path: PathBuf,
    folder: Result<OwnedFd, Errno>,
}

impl Root {
    pub(in crate::copy) fn open(path: &Path) -> Root {
        Root { path: path.to_owned(), folder: openat(CWD, path, FOLDER, Mode::empty()) }
    }

    /// Returns another descriptor of the folder.
    pub(super) fn folder(&self) -> Result<OwnedFd, Problem> {
        let folder = self.folder.as_ref().map_err(|errno| Problem::at(Step::Create)(*errno))?;
        fcntl_dupfd_cloexec(folder, 0).map_err(Problem::at(Step::Create))
    }

    /// Reports whether the path now belongs to another folder.
    pub(in crate::copy) fn check(&self) -> Result<(), Problem> {
        let Ok(folder) = &self.folder else { return Ok(()) };
        check_name(folder.as_fd(), || statat(CWD, &self.path, AtFlags::empty()))
    }

    pub(in crate::copy) fn path(&self) -> &Path {
        &self.path
    }

    /// Finds the object that a path of a copy now belongs to.
    pub(in crate::copy) fn find(&self, to_path: &Path) -> Result<(Stat, u64), Errno> {
        let folder = self.folder.as_ref().map_err(|errno| *errno)?;
        let above: PathBuf = self.path.components().collect();
        let path = to_path.strip_prefix(above).unwrap_or(to_path);
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)?;
        let stat = statat(folder, &path, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok((stat, identity::birth_of(folder.as_fd(), &path)))
    }
}

/// Reports whether a folder's name now belongs to something else.
pub(super) fn check_name(
    folder: BorrowedFd<'_>,
    named: impl FnOnce() -> Result<Stat, Errno>,
) -> Result<(), Problem> {
    let Ok(stat) = fstat(folder) else { return Ok(()) };
    match named() {
        Ok(named) if identity::from_stat(&named) == identity::from_stat(&stat) => Ok(()),
        Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => {
            let place = format!("/proc/self/fd/{}", folder.as_raw_fd());
            let place = std::fs::read_link(place)
                .ok()
                .filter(|place| stat.st_nlink > 0 || !is_deleted(place));
            Err(Problem::Moved(place))
        }
        // Without permission to look there, nothing is known.
        Err(_) => Ok(()),
    }
}

/// Tells whether it is the kernel's name of something that was removed.
fn is_deleted(place: &Path) -> bool {
    place.as_os_str().as_bytes().ends_with(b" (deleted)")
}
