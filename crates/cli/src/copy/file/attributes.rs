//! Owners, permissions, times and extended attributes.
//!
//! A destination that does not know some of them, or a user who may not set them, is no reason not
//! to copy: they are counted, and named once at the end. A device that fails is one.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags, chmod, chownat,
    fchmod, fgetxattr, fgetxattr_query, flistxattr, flistxattr_query, fremovexattr, fsetxattr,
    fstat, futimens, getxattr, getxattr_query, listxattr, listxattr_query, removexattr, setxattr,
    utimensat,
};
use rustix::io::Errno;

use crate::copy::Copying;
use crate::copy::ledger::Unkept;
use crate::copy::problem::{Doing, Problem};

/// Set-user-ID and set-group-ID.
const SET_IDS: u32 = 0o6000;

/// Access control lists, among the extended attributes.
const LISTS: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];

/// An object that has attributes.
#[derive(Debug)]
pub(in crate::copy) enum Object<'a> {
    Open(BorrowedFd<'a>),
    /// Opened with `O_PATH`: links, FIFOs and devices.
    Path(BorrowedFd<'a>),
}

/// Gives `to` what its source, of this state, has. Without `-p` and `-a` neither set-user-ID nor
/// set-group-ID: the copy belongs to whoever made it, perhaps not the source's owner.
pub(in crate::copy) fn keep(
    copying: &Copying,
    from: &Object<'_>,
    to: &Object<'_>,
    stat: &Stat,
) -> Result<(), Problem> {
    let noted = |what, result| note(copying, what, result);
    let kind = FileType::from_raw_mode(stat.st_mode);
    let sticky = if kind == FileType::Directory { 0o1000 } else { 0 };
    let mut mode = stat.st_mode & (0o777 | sticky);
    if copying.options.preserve {
        let (lost, result) = to.keep_owner(stat);
        noted(Unkept::Owners, result)?;
        mode = stat.st_mode & 0o7777 & !lost;
        // Before the permissions, which may forbid it.
        let lists_only = !copying.options.archive;
        noted(Unkept::Attributes, keep_extended(from, to, lists_only))?;
    }
    if kind != FileType::Symlink {
        noted(Unkept::Permissions, to.set_mode(mode))?;
    }
    noted(Unkept::Times, to.set_times(&times(stat)))
}

fn note(copying: &Copying, what: Unkept, result: Result<(), Errno>) -> Result<(), Problem> {
    match result {
        Ok(()) => Ok(()),
        Err(errno @ (Errno::IO | Errno::ROFS | Errno::BADF | Errno::STALE)) => {
            Err(Problem::at(Doing::Keep)(errno))
        }
        // As file systems say that they have no room for an attribute.
        Err(errno @ (Errno::NOSPC | Errno::DQUOT)) if what != Unkept::Attributes => {
            Err(Problem::at(Doing::Keep)(errno))
        }
        Err(errno) => {
            copying.ledger.note_unkept(what, errno);
            Ok(())
        }
    }
}

/// Copies extended attributes, and takes away the lists that a folder gives what is made in it. All
/// are tried; the first error counts.
fn keep_extended(from: &Object<'_>, to: &Object<'_>, lists_only: bool) -> Result<(), Errno> {
    let there = names(from)?;
    let mut result = Ok(());
    for name in split(&there).filter(|name| !lists_only || LISTS.contains(name)) {
        let kept = value(from, name).and_then(|value| match value {
            Some(value) => to.set(name, &value),
            None => Ok(()),
        });
        result = result.and(kept);
    }
    for name in split(&names(to)?) {
        if LISTS.contains(&name) && !split(&there).any(|other| other == name) {
            result = result.and(to.remove(name));
        }
    }
    result
}

fn split(names: &[u8]) -> impl Iterator<Item = &[u8]> {
    names.split(|&byte| byte == 0).filter(|name| !name.is_empty())
}

/// One after another, each with its zero. None where the file system has no such thing.
fn names(of: &Object<'_>) -> Result<Vec<u8>, Errno> {
    match of.list() {
        Ok(names) => Ok(names),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(Vec::new()),
        Err(errno) => Err(errno),
    }
}

/// `None`: it is gone, or the list of a file that has none but its permissions.
fn value(of: &Object<'_>, name: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
    match of.get(name) {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NODATA) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// A list that grows each time is not asked for without end.
const TRIES: usize = 100;

/// Takes as much room as is asked for first, and again where it has grown meanwhile.
fn grown(
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

    /// Leads to the object itself, also where that is a link.
    fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.fd().as_raw_fd())
    }

    /// Gives it the owner and group of its source, or the group at least. Returns the permissions
    /// that would be those of somebody else now.
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
        // Of another group, those of that group could run it as its owner: so both bits go, as
        // with cp.
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
            Object::Open(fd) => grown(|| flistxattr_query(fd), |room| flistxattr(fd, room)),
            Object::Path(_) => {
                let path = self.path();
                grown(|| listxattr_query(&path), |room| listxattr(&path, room))
            }
        }
    }

    fn get(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        match self {
            Object::Open(fd) => {
                grown(|| fgetxattr_query(fd, name), |room| fgetxattr(fd, name, room))
            }
            Object::Path(_) => {
                let path = self.path();
                grown(|| getxattr_query(&path, name), |room| getxattr(&path, name, room))
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
