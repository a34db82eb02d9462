//! A copy on its way: without a name, until all of it is there.
//!
//! Where the file system can do it, the copy has no name at all (`O_TMPFILE`): whatever happens to
//! this process, nothing is left of it. Elsewhere, and when it is about to replace something, it
//! is called `.NAME.overlapped-BOOT-NUMBER` and removed when it is dropped, which a killed tasklet
//! does, too; see `sweep` for killed processes. Either way its final name stands for nothing, or
//! for what stood there before, and then for the whole file, without a moment in between.

use std::collections::hash_map::RandomState;
use std::ffi::{CStr, CString};
use std::hash::{BuildHasher, Hasher};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{
    AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags, flock, fstat, linkat, openat,
    renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use super::sweep::{MARK, this_boot};
use crate::copy::folder::Folder;

/// The longest name that file systems take.
const NAME_MAX: usize = 255;

/// Names are tried until one is free.
const TRIES: usize = 100;

/// Whether files without names have worked so far.
#[derive(Debug)]
pub(in crate::copy) struct Nameless(AtomicBool);

impl Default for Nameless {
    fn default() -> Nameless {
        // For file systems that lack them, on a machine that has none of these.
        Nameless(AtomicBool::new(std::env::var_os("OVERLAPPED_COPY_NAMED").is_none()))
    }
}

/// See the module.
#[derive(Debug)]
pub(in crate::copy) struct Draft {
    file: OwnedFd,
    folder: Arc<Folder>,
    /// Its name for the time being.
    name: Option<CString>,
}

/// What giving a name came to.
#[derive(Debug)]
pub(in crate::copy) enum Named {
    Done,
    /// There was something, which was not to be replaced.
    Taken,
    /// The draft can have no name: another one must be made of it.
    Never(Draft),
    /// The name is a mount point, which cannot be replaced.
    MountPoint(Draft),
}

impl Draft {
    /// An empty file that only its owner may look at.
    pub(in crate::copy) fn new(
        folder: &Arc<Folder>,
        nameless: &Nameless,
        name: &CStr,
    ) -> Result<Draft, Errno> {
        let mode = Mode::RUSR | Mode::WUSR;
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let folder = Arc::clone(folder);
        if nameless.0.load(Relaxed) {
            match openat(folder.to(), c".", flags | OFlags::TMPFILE, mode) {
                Ok(file) => return Ok(Draft { file, folder, name: None }),
                // This file system, or this kernel, has no such thing.
                Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => {
                    nameless.0.store(false, Relaxed);
                }
                Err(errno) => return Err(errno),
            }
        }
        let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        for _ in 0..TRIES {
            let (name, file) = beside(name, |name| openat(folder.to(), name, flags, mode))?;
            let draft = Draft { file, folder: Arc::clone(&folder), name: Some(name) };
            if !draft.is_swept() {
                return Ok(draft);
            }
        }
        Err(Errno::AGAIN)
    }

    /// Locks the draft; whether another process has taken it for one that was left.
    fn is_swept(&self) -> bool {
        match flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => fstat(&self.file).is_ok_and(|stat| stat.st_nlink == 0) && !self.has_name(),
            Err(errno) => errno == Errno::WOULDBLOCK,
        }
    }

    /// Tells whether its name is still there. Some file systems do not count names, and say 0;
    /// nor are their inode numbers to be relied upon, but the name is random.
    fn has_name(&self) -> bool {
        let found = |name: &CString| statat(self.folder.to(), name, AtFlags::SYMLINK_NOFOLLOW);
        self.name.as_ref().is_some_and(|name| !matches!(found(name), Err(Errno::NOENT)))
    }

    /// Gives it its name.
    pub(in crate::copy) fn publish(
        mut self,
        nameless: &Nameless,
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
                    // Before it has a name: nobody can take it for one that was left.
                    let _ = flock(&self.file, FlockOperation::NonBlockingLockExclusive);
                    let (beside, ()) = beside(name, |name| self.link(name))?;
                    self.name = Some(beside);
                }
                Err(Errno::NOENT | Errno::PERM | Errno::OPNOTSUPP | Errno::INVAL) => {
                    nameless.0.store(false, Relaxed);
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
        // Linux before 6.10 lets only the privileged do it that way.
        Err(Errno::NOENT) => {
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            linkat(CWD, path, to, name, AtFlags::SYMLINK_FOLLOW)
        }
        result => result,
    }
}

impl AsFd for Draft {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let _ = unlinkat(self.folder.to(), name, AtFlags::empty());
        }
    }
}

/// Makes something that is whole at once: where the name is free under that name, else beside it.
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
        // Not every file system can. A second name says so if there is a first. Where names are not
        // counted, the kernel takes the file for one without any, which gets none.
        Err(Errno::INVAL | Errno::NOSYS) => match linkat(folder, from, folder, to, empty) {
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOENT) => {
                rename_unless(folder, from, to)
            }
            result => result.and_then(|()| unlinkat(folder, from, empty)),
        },
        result => result,
    }
}

/// Looks first: where a file system knows nothing better, this process at least takes no name that
/// it has given before.
fn rename_unless(folder: BorrowedFd<'_>, from: &CStr, to: &CStr) -> Result<(), Errno> {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    match statat(folder, to, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Err(Errno::EXIST),
        Err(Errno::NOENT) => renameat(folder, from, folder, to),
        Err(errno) => Err(errno),
    }
}

/// Makes something under a free name beside `name`.
fn beside<T>(
    name: &CStr,
    mut make: impl FnMut(&CStr) -> Result<T, Errno>,
) -> Result<(CString, T), Errno> {
    for _ in 0..TRIES {
        let candidate = beside_name(name.to_bytes(), RandomState::new().build_hasher().finish());
        match make(&candidate) {
            Ok(made) => return Ok((candidate, made)),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::EXIST)
}

fn beside_name(name: &[u8], number: u64) -> CString {
    let ending = format!("{MARK}{}-{:08x}", this_boot(), number as u32);
    let mut bytes = Vec::with_capacity(NAME_MAX);
    // What is too long is left out rather than cut, perhaps in the middle of a character.
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
        assert_eq!(beside_name(b"a", 0x1_2345_6789).as_bytes(), name.as_bytes());
        for length in 1..=255 {
            let name = beside_name(&vec![b'n'; length], u64::MAX);
            assert!(name.as_bytes().len() <= NAME_MAX && name.as_bytes()[0] == b'.');
        }
    }
}
