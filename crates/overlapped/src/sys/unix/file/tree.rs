//! Removing a directory with everything in it.
//!
//! Every step goes from an open directory to a name in it, never through a path: a process that
//! replaces a directory by a symbolic link meanwhile cannot lead the removal elsewhere.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::listing::read_batch;

/// A directory that is being emptied.
struct Level {
    dir: OwnedFd,
    name: CString,
    left: std::vec::IntoIter<super::Entry>,
    /// True if all entries have been read.
    is_read: bool,
}

/// Removes the directory `root` and all that is in it. If `root` is a symbolic link, only the link
/// is removed. Before each entry `stopped` is asked whether to stop, with `ECANCELED`.
pub(crate) fn remove_tree(root: &CStr, stopped: impl Fn() -> bool) -> io::Result<()> {
    let stat = rustix::fs::lstat(root)?;
    if FileType::from_raw_mode(stat.st_mode).is_symlink() {
        return Ok(rustix::fs::unlink(root)?);
    }
    let mut levels = vec![enter(CWD, root)?];
    while let Some(level) = levels.last_mut() {
        if stopped() {
            return Err(io::Error::from_raw_os_error(libc::ECANCELED));
        }
        let Some(entry) = next(level)? else {
            let Some(done) = levels.pop() else { break };
            let parent = levels.last().map_or(CWD, |level| level.dir.as_fd());
            gone_is_fine(rustix::fs::unlinkat(parent, &done.name, AtFlags::REMOVEDIR))?;
            continue;
        };
        let name = CString::new(entry.name.into_vec())?;
        let may_be_dir = entry.kind.is_none_or(|kind| kind == super::mode::DIRECTORY);
        if !may_be_dir {
            gone_is_fine(rustix::fs::unlinkat(&level.dir, &name, AtFlags::empty()))?;
            continue;
        }
        match enter(level.dir.as_fd(), &name) {
            Ok(deeper) => levels.push(deeper),
            Err(Errno::NOTDIR | Errno::LOOP) => {
                gone_is_fine(rustix::fs::unlinkat(&level.dir, &name, AtFlags::empty()))?;
            }
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Returns the next entry of the directory, after reading more of them if none are left.
fn next(level: &mut Level) -> io::Result<Option<super::Entry>> {
    if level.left.len() == 0 && !level.is_read {
        let batch = read_batch(&level.dir)?;
        (level.left, level.is_read) = (batch.entries.into_iter(), batch.is_last);
    }
    Ok(level.left.next())
}

fn enter(parent: BorrowedFd<'_>, name: &CStr) -> Result<Level, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = retry_on_intr(|| rustix::fs::openat(parent, name, flags, Mode::empty()))?;
    Ok(Level { dir, name: name.to_owned(), left: Vec::new().into_iter(), is_read: false })
}

/// Takes a missing entry for a success: another process may have removed it first.
fn gone_is_fine(result: Result<(), Errno>) -> io::Result<()> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        result => Ok(result?),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    use super::*;

    fn remove(root: &Path, stopped: impl Fn() -> bool) -> io::Result<()> {
        remove_tree(&CString::new(root.as_os_str().as_bytes()).unwrap(), stopped)
    }

    /// A directory that has been listed becomes a link to elsewhere before it is entered.
    #[test]
    fn a_removal_cannot_be_led_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let (root, elsewhere) = (folder.path().join("root"), folder.path().join("elsewhere"));
        std::fs::create_dir(&elsewhere).unwrap();
        std::fs::write(elsewhere.join("canary"), "alive").unwrap();
        for number in 0..10 {
            std::fs::create_dir_all(root.join(format!("{number}/inner"))).unwrap();
        }
        let (looks, swapped) = (Cell::new(0), Cell::new(0));
        remove(&root, || {
            looks.set(looks.get() + 1);
            // The first check came before the listing.
            for number in 0..if looks.get() > 1 { 10 } else { 0 } {
                let path = root.join(number.to_string());
                let is_entered = !path.join("inner").exists() || path.is_symlink();
                if !is_entered && looks.get() == 4 {
                    std::fs::rename(&path, folder.path().join(format!("aside{number}"))).unwrap();
                    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
                    swapped.set(swapped.get() + 1);
                }
            }
            false
        })
        .unwrap();
        assert!(swapped.get() >= 5, "not tested: {} links", swapped.get());
        assert!(elsewhere.join("canary").exists(), "the removal followed a link");
        assert!(!root.exists(), "links are removed themselves");
    }

    #[test]
    fn a_removal_stops_between_two_entries_and_removes_a_link_itself() {
        let folder = tempfile::tempdir().unwrap();
        let (root, link) = (folder.path().join("root"), folder.path().join("link"));
        std::fs::create_dir(&root).unwrap();
        for number in 0..10 {
            std::fs::write(root.join(number.to_string()), "").unwrap();
        }
        std::os::unix::fs::symlink(&root, &link).unwrap();
        remove(&link, || false).unwrap();
        assert!(!link.is_symlink() && root.exists());
        let left = Cell::new(5);
        let error = remove(&root, || left.replace(left.get() - 1) == 0).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ECANCELED));
        assert_eq!(std::fs::read_dir(&root).unwrap().count(), 5);
        remove(&root, || false).unwrap();
        let error = remove(&root, || false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
