//! Owners, permissions, times and extended attributes.
//!
//! If the destination does not support some of them, or the user may not set them, the copy still
//! succeeds: they are counted, and reported once at the end. A device error is a failure.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags, chmod, chownat,
    fchmod, fgetxattr, fgetxattr_query, flistxattr, flistxattr_query, fremovexattr, fsetxattr,
    fstat, futimens, getxattr, getxattr_query, listxattr, listxattr_query, removexattr, setxattr,
    utimensat,
};
use rustix::io::Errno;

use crate::copy::counters::LostAttribute;
use crate::copy::problem::{Problem, Step};
use crate::copy::shared::Copying;

/// The set-user-ID and set-group-ID bits.
const SET_IDS: u32 = 0o6000;

/// The extended attributes with access control lists.
const LISTS: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];

/// An object with attributes.
#[derive(Debug)]
pub(in crate::copy) enum Object<'a> {
    Open(BorrowedFd<'a>),
    /// Opened with `O_PATH`: links, FIFOs and devices.
    Path(BorrowedFd<'a>),
}

/// Gives `to` the attributes of its source, whose state is `stat`. Without `-p` or `-a` it leaves
/// out the set-user-ID and set-group-ID bits: the copy's owner may differ from the source's.
pub(in crate::copy) fn keep(
    copying: &Copying,
    from: &Object<'_>,
    to: &Object<'_>,
    stat: &Stat,
) -> Result<(), Problem> {
    let noted = |what, result| count_lost_attribute(copying, what, result);
    let kind = FileType::from_raw_mode(stat.st_mode);
    let sticky = if kind == FileType::Directory { 0o1000 } else { 0 };
    let mut mode = stat.st_mode & (0o777 | sticky);
    if copying.options.preserve {
        let (lost, result) = to.keep_owner(stat);
        noted(LostAttribute::Owners, result)?;
        mode = stat.st_mode & 0o7777 & !lost;
        // Before the permissions, which may forbid it.
        let lists_only = !copying.options.archive;
        noted(LostAttribute::Attributes, keep_extended(from, to, lists_only))?;
    }
    if kind != FileType::Symlink {
        noted(LostAttribute::Permissions, to.set_mode(mode))?;
    }
    noted(LostAttribute::Times, to.set_times(&times(stat)))
}

fn count_lost_attribute(
    copying: &Copying,
    what: LostAttribute,
    result: Result<(), Errno>,
) -> Result<(), Problem> {
    match result {
        Ok(()) => Ok(()),
        Err(errno) if is_device_error(errno) => Err(Problem::at(Step::Keep)(errno)),
        // For an extended attribute these may mean that it does not fit, not that the disk is full.
        Err(errno @ (Errno::NOSPC | Errno::DQUOT)) if what != LostAttribute::Attributes => {
            Err(Problem::at(Step::Keep)(errno))
        }
        Err(errno) => {
            copying.counters.count_lost(what, errno);
            Ok(())
        }
    }
}

/// Tells whether an error concerns the device or the whole file, rather than one attribute.
fn is_device_error(errno: Errno) -> bool {
    matches!(errno, Errno::IO | Errno::ROFS | Errno::BADF | Errno::STALE)
}

/// Returns the first error of two results, but that of a device before any other.
fn worse(first: Result<(), Errno>, second: Result<(), Errno>) -> Result<(), Errno> {
    match (first, second) {
        (Ok(()), second) => second,
        (Err(first), Err(second)) if is_device_error(second) && !is_device_error(first) => {
            Err(second)
        }
        (Err(first), _) => Err(first),
    }
}

/// Copies extended attributes, and removes access control lists that the copy has inherited from
/// its folder. All are tried; the [worst](worse) error is returned.
fn keep_extended(from: &Object<'_>, to: &Object<'_>, lists_only: bool) -> Result<(), Errno> {
    let there = names(from)?;
    let mut result = Ok(());
    for name in split(&there).filter(|name| !lists_only || LISTS.contains(name)) {
        let kept = value(from, name).and_then(|value| match value {
            Some(value) => to.set(name, &value),
            None => Ok(()),
        });
        result = worse(result, kept);
    }
    for name in split(&names(to)?) {
        if LISTS.contains(&name) && !split(&there).any(|other| other == name) {
            result = worse(result, to.remove(name));
        }
    }
    result
}

fn split(names: &[u8]) -> impl Iterator<Item = &[u8]> {
    names.split(|&byte| byte == 0).filter(|name| !name.is_empty())
}

/// Lists the names, each with a zero byte at its end; none if the file system does not support
/// them.
fn names(of: &Object<'_>) -> Result<Vec<u8>, Errno> {
    match of.list() {
        Ok(names) => Ok(names),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(Vec::new()),
        Err(errno) => Err(errno),
    }
}

/// Reads a value. Returns `None` if it is gone, or if it is the access control list of a file that
/// has permissions alone.
fn value(of: &Object<'_>, name: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
    match of.get(name) {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NODATA) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The maximum number of attempts to read a list or a value that keeps growing.
const TRIES: usize = 100;

/// Reads into a buffer of the reported size, and again if the value has grown meanwhile.
fn read_growing(
    size: impl Fn() -> Result<usize, Errno>,
    ask: impl Fn(&mut [u8]) -> Result<usize, Errno>,
) -> Result<Vec<u8>, Errno> {
    for _ in 0..TRIES {
        let mut room = vec![0; size()?];
        if room.is_empty() {
            return Ok(room);
        }
        match ask(&mut room) {
            Ok(length) => {
                room.truncate(length);
                return Ok(room);
            }
            Err(Errno::RANGE) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::RANGE)
}

impl Object<'_> {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Object::Open(fd) | Object::Path(fd) => *fd,
        }
    }

    /// Returns a path to the object itself, even if it is a link.
    fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.fd().as_raw_fd())
    }

    /// Gives the object the owner and group of its source, or at least the group. Returns the
    /// permissions to withhold because they would now be another user's.
    fn keep_owner(&self, stat: &Stat) -> (u32, Result<(), Errno>) {
        let owner = |uid, gid| chownat(self.fd(), c"", uid, gid, AtFlags::EMPTY_PATH);
        let has = |now: &Stat| (now.st_uid == stat.st_uid, now.st_gid == stat.st_gid);
        let mut result = Ok(());
        if !fstat(self.fd()).is_ok_and(|now| has(&now) == (true, true)) {
            let group = Some(Gid::from_raw(stat.st_gid));
            result = owner(Some(Uid::from_raw(stat.st_uid)), group);
            if result.is_err() {
                let _ = owner(None, group);
            }
        }
        // With another group, its members could run the file as its owner: so both bits are
        // withheld, as by cp.
        let is_kept = fstat(self.fd()).is_ok_and(|now| has(&now) == (true, true));
        (if is_kept { 0 } else { SET_IDS }, result)
    }

    fn set_mode(&self, mode: u32) -> Result<(), Errno> {
        let mode = Mode::from_raw_mode(mode);
        match self {
            Object::Open(fd) => fchmod(fd, mode),
            Object::Path(_) => chmod(self.path(), mode),
        }
    }

    fn set_times(&self, times: &Timestamps) -> Result<(), Errno> {
        match self {
            Object::Open(fd) => futimens(fd, times),
            Object::Path(fd) => match utimensat(fd, c"", times, AtFlags::EMPTY_PATH) {
                // Linux before 5.8.
                Err(Errno::INVAL) => {
                    utimensat(rustix::fs::CWD, self.path(), times, AtFlags::empty())
                }
                result => result,
            },
        }
    }

    fn list(&self) -> Result<Vec<u8>, Errno> {
        match self {
            Object::Open(fd) => read_growing(|| flistxattr_query(fd), |room| flistxattr(fd, room)),
            Object::Path(_) => {
                let path = self.path();
                read_growing(|| listxattr_query(&path), |room| listxattr(&path, room))
            }
        }
    }

    fn get(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        match self {
            Object::Open(fd) => {
                read_growing(|| fgetxattr_query(fd, name), |room| fgetxattr(fd, name, room))
            }
            Object::Path(_) => {
                let path = self.path();
                read_growing(|| getxattr_query(&path, name), |room| getxattr(&path, name, room))
            }
        }
    }

    fn set(&self, name: &[u8], value: &[u8]) -> Result<(), Errno> {
        match self {
            Object::Open(fd) => fsetxattr(fd, name, value, XattrFlags::empty()),
            Object::Path(_) => setxattr(self.path(), name, value, XattrFlags::empty()),
        }
    }

    fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        match self {
            Object::Open(fd) => fremovexattr(fd, name),
            Object::Path(_) => removexattr(self.path(), name),
        }
    }
}

fn times(stat: &Stat) -> Timestamps {
    let time = |seconds, nanos: u64| Timespec { tv_sec: seconds, tv_nsec: nanos as _ };
    Timestamps {
        last_access: time(stat.st_atime as _, stat.st_atime_nsec as _),
        last_modification: time(stat.st_mtime as _, stat.st_mtime_nsec as _),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_device_is_reported_before_one_of_an_attribute() {
        let (device, full, refused) = (Err(Errno::IO), Err(Errno::NOSPC), Err(Errno::PERM));
        assert_eq!(worse(full, device), device);
        assert_eq!(worse(device, full), device);
        assert_eq!(worse(full, refused), full);
        assert_eq!(worse(Ok(()), full), full);
        assert_eq!(worse(full, Ok(())), full);
    }
}
