//! The temporary file: a copy without its name, until it is complete.
//!
//! If the file system supports it, the copy has no name at all (`O_TMPFILE`): nothing is left of it
//! whatever happens to this process. Otherwise, and when it is about to replace something, it is
//! called `.NAME.overlapped-BOOT-NUMBER` and is removed when it is dropped, also by a killed
//! tasklet; for killed processes see `stale`. Either way its final name stands for nothing, or for
//! the previous file, and then for the complete copy, without a moment in between.

use std::collections::hash_map::RandomState;
use std::ffi::{CStr, CString};
use std::hash::{BuildHasher, Hasher};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{
    AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags, flock, fstat, linkat, openat,
    renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use super::stale::{MARK, this_boot};
use crate::copy::folder::Folder;
use crate::copy::shared::UnnamedFiles;

/// The longest name, in bytes, that file systems accept.
const NAME_MAX: usize = 255;

/// The maximum number of attempts to find a free name.
const TRIES: usize = 100;

/// A temporary file; dropping it removes it.
#[derive(Debug)]
pub(in crate::copy) struct TemporaryFile {
    file: OwnedFd,
    folder: Arc<Folder>,
    /// Its temporary name, if it has one.
    name: Option<CString>,
}

/// The result of giving a name.
#[derive(Debug)]
pub(in crate::copy) enum Named {
    Done,
    /// The name was taken, and nothing was to be replaced.
    Taken,
    /// The file can never have a name: its contents must be copied into another one.
    Never(TemporaryFile),
    /// The name is a mount point, which cannot be replaced.
    MountPoint(TemporaryFile),
}

impl TemporaryFile {
    /// Makes an empty file that only its owner can read.
    pub(in crate::copy) fn new(
        folder: &Arc<Folder>,
        unnamed: &UnnamedFiles,
        name: &CStr,
    ) -> Result<TemporaryFile, Errno> {
        let mode = Mode::RUSR | Mode::WUSR;
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let folder = Arc::clone(folder);
        if unnamed.work() {
            match openat(folder.to(), c".", flags | OFlags::TMPFILE, mode) {
                Ok(file) => return Ok(TemporaryFile { file, folder, name: None }),
                // Not supported by this file system or kernel.
                Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => {
                    unnamed.give_up();
                }
                Err(errno) => return Err(errno),
            }
        }
        let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        for _ in 0..TRIES {
            let (name, file) = beside(name, |name| openat(folder.to(), name, flags, mode))?;
            let temporary = TemporaryFile { file, folder: Arc::clone(&folder), name: Some(name) };
            if !temporary.was_removed() {
                return Ok(temporary);
            }
        }
        Err(Errno::AGAIN)
    }

    /// Locks the file, and returns whether another process has removed it as a stale one.
    fn was_removed(&self) -> bool {
        match flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => fstat(&self.file).is_ok_and(|stat| stat.st_nlink == 0) && !self.has_name(),
            Err(errno) => errno == Errno::WOULDBLOCK,
        }
    }

    /// Tells whether its name still exists. Some file systems do not count links, and report 0;
    /// their inode numbers are not reliable either, but the name is random.
    fn has_name(&self) -> bool {
        let found = |name: &CString| statat(self.folder.to(), name, AtFlags::SYMLINK_NOFOLLOW);
        self.name.as_ref().is_some_and(|name| !matches!(found(name), Err(Errno::NOENT)))
    }

    /// Gives the file its final name.
    pub(in crate::copy) fn publish(
        mut self,
        unnamed: &UnnamedFiles,
        name: &CStr,
        replace: bool,
    ) -> Result<Named, Errno> {
        let folder = Arc::clone(&self.folder);
        let to = folder.to();
        if self.name.is_none() {
            match self.link(name) {
                Ok(()) => return Ok(Named::Done),
                Err(Errno::EXIST) if !replace => return Ok(Named::Taken),
                Err(Errno::EXIST) => {
                    // Locked before it has a name, so that no process takes it for a stale one.
                    let _ = flock(&self.file, FlockOperation::NonBlockingLockExclusive);
                    let (beside, ()) = beside(name, |name| self.link(name))?;
                    self.name = Some(beside);
                }
                Err(Errno::NOENT | Errno::PERM | Errno::OPNOTSUPP | Errno::INVAL) => {
                    unnamed.give_up();
                    return Ok(Named::Never(self));
                }
                Err(errno) => return Err(errno),
            }
        }
        let Some(beside) = &self.name else { return Ok(Named::Done) };
        match rename(to, beside, name, replace) {
            Ok(()) => {
                self.name = None;
                Ok(Named::Done)
            }
            Err(Errno::EXIST) if !replace => Ok(Named::Taken),
            Err(Errno::BUSY) if replace => Ok(Named::MountPoint(self)),
            Err(errno) => Err(errno),
        }
    }

    fn link(&self, name: &CStr) -> Result<(), Errno> {
        link(self.file.as_fd(), self.folder.to(), name)
    }
}

/// Gives an open file a name.
pub(super) fn link(file: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    match linkat(file, c"", to, name, AtFlags::EMPTY_PATH) {
        // Linux before 6.10 requires a privilege for this.
        Err(Errno::NOENT) => {
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            linkat(CWD, path, to, name, AtFlags::SYMLINK_FOLLOW)
        }
        result => result,
    }
}

impl AsFd for TemporaryFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let _ = unlinkat(self.folder.to(), name, AtFlags::empty());
        }
    }
}

/// Creates something that is complete at once: under `name` if that is free, otherwise beside it.
pub(super) fn make(
    to: BorrowedFd<'_>,
    name: &CStr,
    replace: bool,
    mut make: impl FnMut(&CStr) -> Result<(), Errno>,
) -> Result<Named, Errno> {
    match make(name) {
        Ok(()) => return Ok(Named::Done),
        Err(Errno::EXIST) if !replace => return Ok(Named::Taken),
        Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    let (beside, ()) = beside(name, make)?;
    renameat(to, &beside, to, name).map(|()| Named::Done).inspect_err(|_| {
        let _ = unlinkat(to, &beside, AtFlags::empty());
    })
}

fn rename(folder: BorrowedFd<'_>, from: &CStr, to: &CStr, replace: bool) -> Result<(), Errno> {
    if replace {
        return renameat(folder, from, folder, to);
    }
    let empty = AtFlags::empty();
    match renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
        // Not every file system supports this. A link fails if the name is taken. If links are not
        // counted, the kernel takes the file for one without any, and refuses the link.
        Err(Errno::INVAL | Errno::NOSYS) => match linkat(folder, from, folder, to, empty) {
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOENT) => {
                rename_unless(folder, from, to)
            }
            result => result.and_then(|()| unlinkat(folder, from, empty)),
        },
        result => result,
    }
}

/// Checks the name before renaming: on a file system without better means, this process at least
/// takes no name that it has given before.
fn rename_unless(folder: BorrowedFd<'_>, from: &CStr, to: &CStr) -> Result<(), Errno> {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    match statat(folder, to, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Err(Errno::EXIST),
        Err(Errno::NOENT) => renameat(folder, from, folder, to),
        Err(errno) => Err(errno),
    }
}

/// Creates something under a free name beside `name`.
fn beside<T>(
    name: &CStr,
    mut make: impl FnMut(&CStr) -> Result<T, Errno>,
) -> Result<(CString, T), Errno> {
    for _ in 0..TRIES {
        let candidate = temporary_name(name.to_bytes(), RandomState::new().build_hasher().finish());
        match make(&candidate) {
            Ok(made) => return Ok((candidate, made)),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::EXIST)
}

fn temporary_name(name: &[u8], number: u64) -> CString {
    let ending = format!("{MARK}{}-{:08x}", this_boot(), number as u32);
    let mut bytes = Vec::with_capacity(NAME_MAX);
    // A name that is too long is left out, because cutting it could split a character.
    if name.len() + ending.len() < NAME_MAX {
        bytes.push(b'.');
        bytes.extend_from_slice(name);
    }
    bytes.extend_from_slice(ending.as_bytes());
    CString::new(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_beside_is_hidden_and_never_too_long() {
        let name = format!(".a.overlapped-{}-23456789", this_boot());
        assert_eq!(temporary_name(b"a", 0x1_2345_6789).as_bytes(), name.as_bytes());
        for length in 1..=255 {
            let name = temporary_name(&vec![b'n'; length], u64::MAX);
            assert!(name.as_bytes().len() <= NAME_MAX && name.as_bytes()[0] == b'.');
        }
    }
}
