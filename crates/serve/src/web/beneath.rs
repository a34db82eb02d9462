//! Opening what lies beneath a folder, and nothing else.
//!
//! ```text
//! openat2, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_CACHED   in place
//!    │ not in the kernel's cache of names
//!    ├─▶ the same without RESOLVE_CACHED                              on a pool thread
//!    │ no openat2 (before Linux 5.6, or a filter refuses it)
//!    └─▶ name by name, each with O_NOFOLLOW                           on a pool thread
//! ```
//!
//! Both ways follow symbolic links that stay beneath the folder, and refuse those that lead out of
//! it. For one that is absolute, or leaves the folder and comes back, the name that the path has
//! without links is opened in the same way, if it is beneath the folder. The walk keeps the folders
//! that it has come through open, so a `..` in a link goes back to where it came from, whatever is
//! renamed meanwhile.
//!
//! Nothing is opened that waits for somebody: `O_NONBLOCK` opens a FIFO at once, and the caller
//! looks at what it is.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use overlapped::task::{UnblockError, unblock};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, Statx, StatxFlags};
use rustix::io::Errno;

use crate::state::retry_at_shortage;

/// What [`stat`] asks for.
const FACTS: StatxFlags = StatxFlags::BASIC_STATS;

/// Links that one path may follow, as the kernel counts them.
const LINKS_MAX: usize = 40;

/// How names are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// openat2(2), at first only in the kernel's cache.
    Cached,
    /// openat2(2) before Linux 5.12.
    Kernel,
    /// Name by name.
    Walk,
}

impl Way {
    /// The best that this machine has; asked once.
    pub(crate) fn of_this_machine() -> Way {
        static WAY: OnceLock<Way> = OnceLock::new();
        *WAY.get_or_init(|| {
            let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
            let works = |resolve| {
                let flags = OFlags::PATH | OFlags::CLOEXEC;
                rustix::fs::openat2(CWD, ".", flags, Mode::empty(), resolve)
            };
            match works(beneath) {
                Err(Errno::NOSYS | Errno::PERM | Errno::INVAL | Errno::TOOBIG) => Way::Walk,
                _ => match works(beneath | ResolveFlags::CACHED) {
                    Err(Errno::INVAL) => Way::Kernel,
                    _ => Way::Cached,
                },
            }
        })
    }
}

/// A folder, found anew by each call: where its name leads may change.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    path: PathBuf,
    way: Way,
}

/// What is to be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Open {
    /// To read it.
    Read,
    /// To look at it only.
    Look,
    /// To look at what has the name: at a link, not where it leads.
    Name,
}

impl Open {
    fn flags(self) -> OFlags {
        match self {
            Open::Read => OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC,
            Open::Look => OFlags::PATH | OFlags::CLOEXEC,
            Open::Name => OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        }
    }
}

impl Folder {
    /// The folder at `path`.
    ///
    /// # Errors
    /// Where there is none, or it cannot be entered.
    pub(crate) fn new(path: &Path, way: Way) -> io::Result<Folder> {
        let path = std::path::absolute(path)?;
        let folder = Folder { path, way };
        folder.root(ResolveFlags::empty())?;
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The whole path of what is called `name` beneath it.
    pub(crate) fn whole(&self, name: &[u8]) -> Result<CString, Errno> {
        let path = self.path.join(OsStr::from_bytes(name)).into_os_string();
        CString::new(path.into_encoded_bytes()).map_err(|_| Errno::INVAL)
    }

    /// Opens `name` (relative, without dot names; empty: the folder itself), blocking the calling
    /// tasklet only.
    ///
    /// # Errors
    /// Those of openat2(2): `EXDEV` for what is not beneath the folder.
    pub(crate) fn open(&self, name: &[u8], how: Open) -> Result<OwnedFd, Errno> {
        retry_at_shortage(
            || self.try_open(name, how),
            |error| matches!(*error, Errno::MFILE | Errno::NFILE),
        )
    }

    fn try_open(&self, name: &[u8], how: Open) -> Result<OwnedFd, Errno> {
        if self.way == Way::Cached {
            match self.kernel(name, how, ResolveFlags::CACHED) {
                // EAGAIN also where something was renamed meanwhile, and `..` was to be resolved.
                Err(Errno::AGAIN | Errno::XDEV) => {}
                result => return result,
            }
        }
        let (folder, name) = (self.clone(), name.to_vec());
        match unblock(move || folder.open_blocking(&name, how)) {
            Ok(result) => result,
            Err(UnblockError::TimedOut) => Err(Errno::TIMEDOUT),
            Err(_) => Err(Errno::IO),
        }
    }

    /// As [`open`](Folder::open), blocking the thread.
    pub(crate) fn open_blocking(&self, name: &[u8], how: Open) -> Result<OwnedFd, Errno> {
        match self.open_beneath(name, how) {
            Err(Errno::XDEV) if how != Open::Name => {
                self.open_beneath(&self.without_links(name).ok_or(Errno::XDEV)?, how)
            }
            opened => opened,
        }
    }

    /// What `name` is without links, beneath the folder: absolute links may lead there. Whatever is
    /// renamed meanwhile, this is a name only, and opened as any other.
    fn without_links(&self, name: &[u8]) -> Option<Vec<u8>> {
        let root = self.path.canonicalize().ok()?;
        let found = self.path.join(OsStr::from_bytes(name)).canonicalize().ok()?;
        Some(found.strip_prefix(root).ok()?.as_os_str().as_bytes().to_vec())
    }

    fn open_beneath(&self, name: &[u8], how: Open) -> Result<OwnedFd, Errno> {
        if self.way == Way::Walk {
            return self.walk(name, how);
        }
        // It gives up where something is being renamed; nobody renames for ever.
        for _ in 0..1000 {
            match self.kernel(name, how, ResolveFlags::empty()) {
                Err(Errno::AGAIN) => {}
                result => return result,
            }
        }
        Err(Errno::AGAIN)
    }

    fn root(&self, resolve: ResolveFlags) -> Result<OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if resolve.is_empty() {
            return rustix::fs::openat(CWD, &self.path, flags, Mode::empty());
        }
        rustix::fs::openat2(CWD, &self.path, flags, Mode::empty(), resolve)
    }

    fn kernel(&self, name: &[u8], how: Open, cached: ResolveFlags) -> Result<OwnedFd, Errno> {
        let root = self.root(cached)?;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | cached;
        let name = if name.is_empty() { b"." } else { name };
        rustix::fs::openat2(&root, name, how.flags(), Mode::empty(), resolve)
    }

    fn walk(&self, name: &[u8], how: Open) -> Result<OwnedFd, Errno> {
        let mut folders = vec![self.root(ResolveFlags::empty())?];
        let mut links = 0;
        // What is still to be gone, the next name last.
        let mut names: Vec<Vec<u8>> = parts(name).rev().map(<[u8]>::to_vec).collect();
        while let Some(name) = names.pop() {
            if name == b".." {
                folders.pop();
                if folders.is_empty() {
                    return Err(Errno::XDEV);
                }
                continue;
            }
            let here = folders.last().ok_or(Errno::XDEV)?;
            let look = Open::Look.flags() | OFlags::NOFOLLOW;
            let found = rustix::fs::openat(here, &*name, look, Mode::empty())?;
            let mode = stat(&found)?.stx_mode;
            match rustix::fs::FileType::from_raw_mode(mode.into()) {
                rustix::fs::FileType::Symlink if names.is_empty() && how == Open::Name => {
                    return Ok(found);
                }
                rustix::fs::FileType::Symlink => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Errno::LOOP);
                    }
                    let target = rustix::fs::readlinkat(&found, c"", Vec::new())?;
                    if target.as_bytes().starts_with(b"/") {
                        return Err(Errno::XDEV);
                    }
                    names.extend(parts(target.as_bytes()).rev().map(<[u8]>::to_vec));
                }
                rustix::fs::FileType::Directory => folders.push(found),
                _ if !names.is_empty() => return Err(Errno::NOTDIR),
                _ => {
                    let flags = how.flags() | OFlags::NOFOLLOW;
                    return rustix::fs::openat(here, &*name, flags, Mode::empty());
                }
            }
        }
        let here = folders.last().ok_or(Errno::XDEV)?;
        rustix::fs::openat(here, c".", how.flags() | OFlags::DIRECTORY, Mode::empty())
    }

    /// Whether nothing is called `name`, not even a link that leads nowhere.
    pub(crate) fn is_absent(&self, name: &[u8]) -> bool {
        matches!(self.open(name, Open::Name), Err(Errno::NOENT))
    }
}

/// The names in a path that do something.
fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|name| !name.is_empty() && *name != b".")
}

/// What an open file is. It waits for no disk: what is open is in memory.
pub(crate) fn stat(file: &impl std::os::fd::AsFd) -> Result<Statx, Errno> {
    rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, FACTS)
}

/// What stands at a path. It may wait for a disk, so only for paths that were used just now.
pub(crate) fn stat_path(path: &CString) -> Result<Statx, Errno> {
    rustix::fs::statx(CWD, path, AtFlags::STATX_DONT_SYNC, FACTS)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::*;

    /// Every way that can be tested here.
    pub(crate) const WAYS: [Way; 3] = [Way::Cached, Way::Kernel, Way::Walk];

    #[track_caller]
    fn holds(folder: &Folder, name: &str, expected: Result<&str, Errno>) {
        let read = folder.open_blocking(name.as_bytes(), Open::Read).map(|fd| {
            let mut text = String::new();
            std::fs::File::from(fd).read_to_string(&mut text).unwrap();
            text
        });
        assert_eq!(read.as_deref().map_err(|errno| *errno), expected, "{name} by {:?}", folder.way);
    }

    #[test]
    fn links_within_are_followed_and_links_out_are_not() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("root");
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("a/b/file"), "inside").unwrap();
        std::fs::write(temp.path().join("canary"), "outside").unwrap();
        for (target, name) in [
            ("b/file", "a/down"),
            ("../a/./b//file", "a/up"),
            ("a", "folder"),
            ("folder/up", "twice"),
            ("../canary", "out"),
            ("../../canary", "a/out"),
            ("../root/a/b/file", "out-and-in"),
            ("loop", "loop"),
            ("nothing", "dangling"),
        ] {
            symlink(target, root.join(name)).unwrap();
        }
        symlink(root.join("a/b/file"), root.join("absolute")).unwrap();
        symlink(root.join("a/b"), root.join("absolute-folder")).unwrap();
        symlink(temp.path().join("canary"), root.join("absolute-out")).unwrap();
        for way in WAYS {
            let folder = Folder::new(&root, way).unwrap();
            for name in ["a/b/file", "a/down", "a/up", "folder/b/file", "twice", "folder/down"] {
                holds(&folder, name, Ok("inside"));
            }
            for name in ["out-and-in", "absolute", "absolute-folder/file"] {
                holds(&folder, name, Ok("inside"));
            }
            for name in ["out", "a/out", "absolute-out"] {
                holds(&folder, name, Err(Errno::XDEV));
            }
            for name in ["in", "dangling", "out", "loop", "a", "a/b/file"] {
                assert_eq!(folder.is_absent(name.as_bytes()), name == "in", "{name} by {way:?}");
            }
            holds(&folder, "loop", Err(Errno::LOOP));
            holds(&folder, "dangling", Err(Errno::NOENT));
            holds(&folder, "a/b/file/x", Err(Errno::NOTDIR));
            for name in ["", "a", "folder"] {
                let fd = folder.open_blocking(name.as_bytes(), Open::Read).unwrap();
                assert!(std::fs::File::from(fd).metadata().unwrap().is_dir(), "{name}");
            }
        }
    }

    #[test]
    fn a_fifo_opens_at_once() {
        let temp = tempfile::tempdir().unwrap();
        let fifo = temp.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        for way in WAYS {
            let folder = Folder::new(temp.path(), way).unwrap();
            folder.open_blocking(b"fifo", Open::Read).unwrap();
        }
    }
}
