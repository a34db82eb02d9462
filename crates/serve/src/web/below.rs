//! Opening files below a root folder, and nothing else.
//!
//! ```text
//! openat2, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_CACHED   on the calling thread
//!    │ not in the kernel's cache of names
//!    ├─▶ the same without RESOLVE_CACHED                              on a pool thread
//!    │ no openat2 (before Linux 5.6, or a filter refuses it)
//!    └─▶ name by name, each with O_NOFOLLOW                           on a pool thread
//! ```
//!
//! Both methods follow symbolic links that stay below the root, and refuse those that lead out of
//! it. If a link is absolute, or leaves the root and comes back, the canonical path is opened by
//! the same method, provided it is below the root. The walk keeps the folders that it has passed
//! open, so a `..` in a link leads back to where it came from, whatever is renamed meanwhile.
//!
//! No open waits for another process: `O_NONBLOCK` opens a FIFO at once, and the caller checks the
//! file's type.
//!
//! openat2(2) and `O_PATH` exist on Linux only. Other systems walk, with ordinary opens.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use overlapped::task::{UnblockError, unblock};
#[cfg(target_os = "linux")]
use rustix::fs::ResolveFlags;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::file_stat::stat_in;
use crate::state::retry_at_shortage;

/// The maximum of links that one path may follow, as in the kernel.
const LINKS_MAX: usize = 40;

/// The method by which names are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// By openat2(2), at first only in the kernel's cache.
    #[cfg(target_os = "linux")]
    CachedFirst,
    /// By openat2(2) without a look into the cache (before Linux 5.12).
    #[cfg(target_os = "linux")]
    Openat2,
    /// Name by name.
    Walk,
}

impl Lookup {
    /// Returns the best method that this machine supports; it is probed once.
    #[cfg(target_os = "linux")]
    pub(crate) fn best() -> Lookup {
        static BEST: std::sync::OnceLock<Lookup> = std::sync::OnceLock::new();
        *BEST.get_or_init(|| {
            let below = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
            let probe = |resolve| {
                let flags = OFlags::PATH | OFlags::CLOEXEC;
                rustix::fs::openat2(CWD, ".", flags, Mode::empty(), resolve)
            };
            match probe(below) {
                Err(Errno::NOSYS | Errno::PERM | Errno::INVAL | Errno::TOOBIG) => Lookup::Walk,
                _ => match probe(below | ResolveFlags::CACHED) {
                    Err(Errno::INVAL) => Lookup::Openat2,
                    _ => Lookup::CachedFirst,
                },
            }
        })
    }

    /// Returns the only method of this system.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn best() -> Lookup {
        Lookup::Walk
    }
}

/// The flags for a folder, or for a file that is not read.
#[cfg(target_os = "linux")]
const PATH_ONLY: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const PATH_ONLY: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// A root folder. Each call opens its path anew, because the path may be a link that changes.
#[derive(Debug, Clone)]
pub(crate) struct Root {
    path: PathBuf,
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only Linux has a choice"))]
    lookup: Lookup,
}

/// The purpose of an open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Open {
    /// Read the file.
    Read,
    /// Only stat the file.
    Stat,
    /// Only stat the name itself: a link, not its target. On systems without `O_PATH`, a link is
    /// an error other than ENOENT.
    StatLink,
}

impl Open {
    fn flags(self) -> OFlags {
        match self {
            Open::Read => OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC,
            Open::Stat => PATH_ONLY | OFlags::CLOEXEC,
            Open::StatLink => PATH_ONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        }
    }
}

impl Root {
    /// Creates the root for the folder at `path`.
    ///
    /// # Errors
    /// The folder does not exist, or this user may not enter it.
    pub(crate) fn new(path: &Path, lookup: Lookup) -> io::Result<Root> {
        let path = std::path::absolute(path)?;
        let root = Root { path, lookup };
        root.open_root()?;
        Ok(root)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the absolute path of `name` below the root.
    pub(crate) fn absolute(&self, name: &[u8]) -> Result<CString, Errno> {
        let path = self.path.join(OsStr::from_bytes(name)).into_os_string();
        CString::new(path.into_encoded_bytes()).map_err(|_| Errno::INVAL)
    }

    /// Opens `name`, which is relative and without dot names, or empty for the root itself. Blocks
    /// only the calling tasklet.
    ///
    /// # Errors
    /// Those of openat2(2): `EXDEV` if the file is not below the root.
    pub(crate) fn open(&self, name: &[u8], purpose: Open) -> Result<OwnedFd, Errno> {
        retry_at_shortage(
            || self.try_open(name, purpose),
            |error| matches!(*error, Errno::MFILE | Errno::NFILE),
        )
    }

    fn try_open(&self, name: &[u8], purpose: Open) -> Result<OwnedFd, Errno> {
        #[cfg(target_os = "linux")]
        if self.lookup == Lookup::CachedFirst {
            match self.openat2(name, purpose, ResolveFlags::CACHED) {
                // EAGAIN also means a rename during the resolution of `..`.
                Err(Errno::AGAIN | Errno::XDEV) => {}
                result => return result,
            }
        }
        let (root, name) = (self.clone(), name.to_vec());
        match unblock(move || root.open_blocking(&name, purpose)) {
            Ok(result) => result,
            Err(UnblockError::TimedOut) => Err(Errno::TIMEDOUT),
            Err(_) => Err(Errno::IO),
        }
    }

    /// Opens `name` as [`open`](Root::open) does, but blocks the thread.
    pub(crate) fn open_blocking(&self, name: &[u8], purpose: Open) -> Result<OwnedFd, Errno> {
        match self.open_below(name, purpose) {
            Err(Errno::XDEV) if purpose != Open::StatLink => {
                self.open_below(&self.canonical(name).ok_or(Errno::XDEV)?, purpose)
            }
            opened => opened,
        }
    }

    /// Returns the canonical name of `name` below the root: absolute links may lead there. A rename
    /// meanwhile does no harm, since the result is opened like any other name.
    fn canonical(&self, name: &[u8]) -> Option<Vec<u8>> {
        let root = self.path.canonicalize().ok()?;
        let found = self.path.join(OsStr::from_bytes(name)).canonicalize().ok()?;
        Some(found.strip_prefix(root).ok()?.as_os_str().as_bytes().to_vec())
    }

    fn open_below(&self, name: &[u8], purpose: Open) -> Result<OwnedFd, Errno> {
        #[cfg(target_os = "linux")]
        if self.lookup != Lookup::Walk {
            return self.openat2_until_quiet(name, purpose);
        }
        self.walk(name, purpose)
    }

    #[cfg(target_os = "linux")]
    fn openat2_until_quiet(&self, name: &[u8], purpose: Open) -> Result<OwnedFd, Errno> {
        // The kernel fails if something is being renamed. That does not last.
        for _ in 0..1000 {
            match self.openat2(name, purpose, ResolveFlags::empty()) {
                Err(Errno::AGAIN) => {}
                result => return result,
            }
        }
        Err(Errno::AGAIN)
    }

    fn open_root(&self) -> Result<OwnedFd, Errno> {
        let flags = PATH_ONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(CWD, &self.path, flags, Mode::empty())
    }

    #[cfg(target_os = "linux")]
    fn openat2(&self, name: &[u8], purpose: Open, cached: ResolveFlags) -> Result<OwnedFd, Errno> {
        let root = if cached.is_empty() {
            self.open_root()?
        } else {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::openat2(CWD, &self.path, flags, Mode::empty(), cached)?
        };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | cached;
        let name = if name.is_empty() { b"." } else { name };
        rustix::fs::openat2(&root, name, purpose.flags(), Mode::empty(), resolve)
    }

    fn walk(&self, name: &[u8], purpose: Open) -> Result<OwnedFd, Errno> {
        let mut folders = vec![self.open_root()?];
        let mut links = 0;
        // The names still to be resolved, the next one last.
        let mut names: Vec<Vec<u8>> = significant(name).rev().map(<[u8]>::to_vec).collect();
        while let Some(name) = names.pop() {
            if name == b".." {
                folders.pop();
                if folders.is_empty() {
                    return Err(Errno::XDEV);
                }
                continue;
            }
            let here = folders.last().ok_or(Errno::XDEV)?;
            // Every open below has NOFOLLOW: it fails if the name becomes a link after this stat.
            match stat_in(here, &*name)?.file_type() {
                FileType::Symlink if names.is_empty() && purpose == Open::StatLink => {
                    return rustix::fs::openat(here, &*name, purpose.flags(), Mode::empty());
                }
                FileType::Symlink => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Errno::LOOP);
                    }
                    let target = rustix::fs::readlinkat(here, &*name, Vec::new())?;
                    if target.as_bytes().starts_with(b"/") {
                        return Err(Errno::XDEV);
                    }
                    names.extend(significant(target.as_bytes()).rev().map(<[u8]>::to_vec));
                }
                FileType::Directory => {
                    let flags = Open::Stat.flags() | OFlags::DIRECTORY | OFlags::NOFOLLOW;
                    let folder = rustix::fs::openat(here, &*name, flags, Mode::empty())?;
                    folders.push(folder);
                }
                _ if !names.is_empty() => return Err(Errno::NOTDIR),
                _ => {
                    let flags = purpose.flags() | OFlags::NOFOLLOW;
                    return rustix::fs::openat(here, &*name, flags, Mode::empty());
                }
            }
        }
        let here = folders.last().ok_or(Errno::XDEV)?;
        rustix::fs::openat(here, c".", purpose.flags() | OFlags::DIRECTORY, Mode::empty())
    }

    /// Tells whether `name` does not exist, not even as a dangling link.
    pub(crate) fn is_absent(&self, name: &[u8]) -> bool {
        matches!(self.open(name, Open::StatLink), Err(Errno::NOENT))
    }
}

/// Returns the names in a path, without empty names and `.`.
fn significant(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|name| !name.is_empty() && *name != b".")
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::*;

    /// All methods.
    #[cfg(target_os = "linux")]
    pub(crate) const LOOKUPS: [Lookup; 3] = [Lookup::CachedFirst, Lookup::Openat2, Lookup::Walk];
    #[cfg(not(target_os = "linux"))]
    pub(crate) const LOOKUPS: [Lookup; 1] = [Lookup::Walk];

    #[track_caller]
    fn opens(root: &Root, name: &str, expected: Result<&str, Errno>) {
        let read = root.open_blocking(name.as_bytes(), Open::Read).map(|fd| {
            let mut text = String::new();
            std::fs::File::from(fd).read_to_string(&mut text).unwrap();
            text
        });
        assert_eq!(
            read.as_deref().map_err(|errno| *errno),
            expected,
            "{name} by {:?}",
            root.lookup
        );
    }

    #[test]
    fn links_that_stay_below_the_root_are_followed_and_others_are_refused() {
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
        for lookup in LOOKUPS {
            let folder = Root::new(&root, lookup).unwrap();
            for name in ["a/b/file", "a/down", "a/up", "folder/b/file", "twice", "folder/down"] {
                opens(&folder, name, Ok("inside"));
            }
            for name in ["out-and-in", "absolute", "absolute-folder/file"] {
                opens(&folder, name, Ok("inside"));
            }
            for name in ["out", "a/out", "absolute-out"] {
                opens(&folder, name, Err(Errno::XDEV));
            }
            for name in ["in", "dangling", "out", "loop", "a", "a/b/file"] {
                assert_eq!(folder.is_absent(name.as_bytes()), name == "in", "{name} by {lookup:?}");
            }
            opens(&folder, "loop", Err(Errno::LOOP));
            opens(&folder, "dangling", Err(Errno::NOENT));
            opens(&folder, "a/b/file/x", Err(Errno::NOTDIR));
            for name in ["", "a", "folder"] {
                let fd = folder.open_blocking(name.as_bytes(), Open::Read).unwrap();
                assert!(std::fs::File::from(fd).metadata().unwrap().is_dir(), "{name}");
            }
        }
    }

    #[test]
    fn a_fifo_opens_without_waiting() {
        let temp = tempfile::tempdir().unwrap();
        let fifo = temp.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        for lookup in LOOKUPS {
            let folder = Root::new(temp.path(), lookup).unwrap();
            folder.open_blocking(b"fifo", Open::Read).unwrap();
        }
    }
}
