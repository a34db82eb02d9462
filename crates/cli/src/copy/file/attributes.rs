//! Permissions and times.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Mode, Stat, Timespec, Timestamps, fchmod, futimens, utimensat};
use rustix::io::Errno;

/// Gives a file the permissions and times of its source. Neither set-user-ID nor set-group-ID: the
/// copy belongs to whoever made it, who may be somebody else than the source's owner.
pub(in crate::copy) fn of_file(file: BorrowedFd<'_>, stat: &Stat) -> Result<(), Errno> {
    fchmod(file, Mode::from_raw_mode(stat.st_mode & 0o777))?;
    futimens(file, &times(stat))
}

/// The same; a folder's sticky bit is kept, too.
pub(in crate::copy) fn of_folder(folder: BorrowedFd<'_>, stat: &Stat) -> Result<(), Errno> {
    fchmod(folder, Mode::from_raw_mode(stat.st_mode & 0o1777))?;
    futimens(folder, &times(stat))
}

/// Symbolic links have no permissions.
pub(in crate::copy) fn of_link(
    folder: BorrowedFd<'_>,
    name: &CStr,
    stat: &Stat,
) -> Result<(), Errno> {
    utimensat(folder, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)
}

fn times(stat: &Stat) -> Timestamps {
    let time = |seconds, nanos: u64| Timespec { tv_sec: seconds, tv_nsec: nanos as _ };
    Timestamps {
        last_access: time(stat.st_atime as _, stat.st_atime_nsec as _),
        last_modification: time(stat.st_mtime as _, stat.st_mtime_nsec as _),
    }
}
