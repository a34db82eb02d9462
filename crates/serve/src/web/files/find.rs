//! Which file a path asks for.
//!
//! **What is known is looked at each time.** A replaced or removed file is seen by the next
//! request; what the cache saves is opening, reading and describing it. The look is a plain
//! statx(2) of the whole path, without `RESOLVE_BENEATH`, and that is enough: the file that it
//! finds, by device, inode and times, is one that was found beneath the root under this very path.
//! A plain statx may wait for a disk, so it is made only within two seconds after a careful one
//! (which goes to the pool where the kernel's cache of names does not have the path), and only for
//! file systems of this machine; files of others are not kept.
//!
//! **Tags are made of time and size** (of the last change, in nanoseconds), so that copies which
//! keep the time have one tag on every server. They are strong unless the file was changed within
//! the last 20 ms, or two seconds where its time is in whole seconds: until the clock for files has
//! moved on, it could change again unseen. Such a file is not kept, either.

use std::rc::Rc;
use std::time::Duration;

use overlapped::time::Instant;
use rustix::io::Errno;

use super::Config;
use super::absence::Absence;
use super::cache::Cache;
use super::form::Coding;
use super::resource::{Resource, Stamp};
use crate::web::beneath::{Open, stat, stat_path};
use crate::web::target::{self, BadTarget, Empty};

/// How long after a careful look a plain one may be made.
const PLAIN_LOOK_MAX: Duration = Duration::from_secs(2);

/// Finds files of one [`Files`](super::Files), and their forms, on one thread.
pub(super) struct Finder<'a> {
    pub(super) config: &'a Config,
    pub(super) cache: &'a Cache,
}

impl Finder<'_> {
    /// The file that `rest` asks for, as it is.
    pub(super) fn plain(&self, rest: &str) -> Result<Rc<Resource>, Absence> {
        if let Some(known) = self.cache.get(Coding::Identity, rest) {
            if self.is_current(&known) {
                return Ok(known);
            }
            self.cache.remove(&known);
        }
        let target = target::decode(rest, Empty::Skip)?;
        if !self.config.hidden && target::is_hidden(&target.path) {
            return Err(BadTarget::Nowhere.into());
        }
        let key: Rc<str> = rest.into();
        let load = |name: &[u8], keeps: bool| {
            self.load(&key, name, last(name), Coding::Identity).map(|mut resource| {
                resource.keeps &= keeps;
                self.cache.put(resource)
            })
        };
        if !target.is_folder {
            let absent = match load(&target.path, true) {
                Ok(resource) => return Ok(resource),
                Err(absent @ (Errno::ISDIR | Errno::NOENT)) => absent,
                Err(errno) => return Err(errno.into()),
            };
            if self.config.clean_urls {
                // Looked for anew each time: the name that goes before it may come.
                match load(&[&*target.path, b".html"].concat(), false) {
                    Ok(resource) => return Ok(resource),
                    Err(Errno::ISDIR | Errno::NOENT) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
            return Err(match absent {
                Errno::ISDIR => Absence::NoSlash(target.path),
                errno => errno.into(),
            });
        }
        for (at, index) in self.config.index.iter().enumerate() {
            let mut name = target.path.clone();
            if !name.is_empty() {
                name.push(b'/');
            }
            name.extend_from_slice(index.as_bytes());
            // One that another name would go before is looked for anew: that name may come.
            match load(&name, at == 0) {
                Ok(resource) => return Ok(resource),
                Err(Errno::ISDIR | Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        let fd = self.config.folder.open(&target.path, Open::Read)?;
        let mode = stat(&fd)?.stx_mode;
        if rustix::fs::FileType::from_raw_mode(mode.into()) != rustix::fs::FileType::Directory {
            return Err(Errno::NOTDIR.into());
        }
        Err(Absence::NoIndex(target.path, fd))
    }

    /// Whether the file is still what it was; see the module.
    pub(super) fn is_current(&self, known: &Resource) -> bool {
        let now = Instant::now();
        let found = if now.duration_since(known.seen.get()) < PLAIN_LOOK_MAX {
            stat_path(&known.whole)
        } else {
            let found = self.config.folder.open(&known.name, Open::Look);
            known.seen.set(now);
            found.and_then(|fd| stat(&fd))
        };
        found.is_ok_and(|stat| Stamp::of(&stat) == known.stamp)
    }

    /// Loads, and once more where there were no descriptors left, without those that the cache
    /// keeps.
    pub(super) fn load(
        &self,
        key: &Rc<str>,
        name: &[u8],
        kind: &[u8],
        coding: Coding,
    ) -> Result<Resource, Errno> {
        match Resource::load(self.config, key, name, kind, coding) {
            Err(Errno::MFILE | Errno::NFILE) => {
                self.cache.clear();
                Resource::load(self.config, key, name, kind, coding)
            }
            result => result,
        }
    }
}

/// The last name of a path.
fn last(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}
