//! Finds the file of a path.
//!
//! **A cached file is checked at each request.** A replaced or removed file is noticed by the next
//! request; the cache saves opening and reading a file and building its headers. The check is a
//! plain statx(2) of the absolute path, without `RESOLVE_BENEATH`. That suffices: a file with the
//! same device, inode and times was found below the root under this very path. A plain statx may
//! wait for a disk. So it is used only within two seconds after a careful one (which goes to the
//! pool if the kernel's cache of names does not have the path), and only for local file systems;
//! files of others are not cached.
//!
//! **Entity tags consist of time and size** (the last change, in nanoseconds), so that copies with
//! the same time have the same tag on every server. They are strong unless the file was changed
//! within the last 20 ms, or two seconds if its time is in whole seconds: until the file system's
//! clock has advanced, it could change again unnoticed. Such a file is not cached, either.

use std::rc::Rc;
use std::time::Duration;

use overlapped::time::Instant;
use rustix::io::Errno;

use super::cache::Cache;
use super::config::FilesConfig;
use super::encoding::Coding;
use super::not_found::NotFound;
use super::resource::Resource;
use crate::web::below::Open;
use crate::web::file_stat::{stat, stat_path};
use crate::web::target::{self, EmptyNames, TargetError};

/// The time after a careful check in which a plain one suffices.
const PLAIN_CHECK_MAX: Duration = Duration::from_secs(2);

/// The finder of the files of one [`Files`](super::Files) on one thread.
pub(super) struct Finder<'a> {
    pub(super) config: &'a FilesConfig,
    pub(super) cache: &'a Cache,
}

impl Finder<'_> {
    /// Finds the uncompressed file of the path `rest`.
    pub(super) fn find(&self, rest: &str) -> Result<Rc<Resource>, NotFound> {
        if let Some(known) = self.cache.get(Coding::Identity, rest) {
            if self.is_current(&known) {
                return Ok(known);
            }
            self.cache.remove(&known);
        }
        let target = target::decode(rest, EmptyNames::Skip)?;
        if !self.config.hidden && target::is_hidden(&target.path) {
            return Err(TargetError::NotFound.into());
        }
        let key: Rc<str> = rest.into();
        let load = |name: &[u8], may_cache: bool| {
            self.load(&key, name, last_name(name), Coding::Identity).map(|mut resource| {
                resource.may_cache &= may_cache;
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
                // Not cached: a file with the preceding name may appear.
                match load(&[&*target.path, b".html"].concat(), false) {
                    Ok(resource) => return Ok(resource),
                    Err(Errno::ISDIR | Errno::NOENT) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
            return Err(match absent {
                Errno::ISDIR => NotFound::NoSlash(target.path),
                errno => errno.into(),
            });
        }
        for (at, index) in self.config.index.iter().enumerate() {
            let mut name = target.path.clone();
            if !name.is_empty() {
                name.push(b'/');
            }
            name.extend_from_slice(index.as_bytes());
            // Only the first name is cached: a file with a preceding name may appear.
            match load(&name, at == 0) {
                Ok(resource) => return Ok(resource),
                Err(Errno::ISDIR | Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        let fd = self.config.root.open(&target.path, Open::Read)?;
        if stat(&fd)?.file_type() != rustix::fs::FileType::Directory {
            return Err(Errno::NOTDIR.into());
        }
        Err(NotFound::NoIndex(target.path, fd))
    }

    /// Tells whether a cached file is unchanged; see the module.
    pub(super) fn is_current(&self, known: &Resource) -> bool {
        let now = Instant::now();
        let found = if now.duration_since(known.checked_at.get()) < PLAIN_CHECK_MAX {
            stat_path(&known.absolute)
        } else {
            let found = self.config.root.open(&known.name, Open::Stat);
            known.checked_at.set(now);
            found.and_then(|fd| stat(&fd))
        };
        found.is_ok_and(|found| found == known.stat)
    }

    /// Loads a file. If no descriptors are left, drops the cache with its descriptors and tries
    /// once more.
    pub(super) fn load(
        &self,
        key: &Rc<str>,
        name: &[u8],
        type_name: &[u8],
        coding: Coding,
    ) -> Result<Resource, Errno> {
        match Resource::load(self.config, key, name, type_name, coding) {
            Err(Errno::MFILE | Errno::NFILE) => {
                self.cache.clear();
                Resource::load(self.config, key, name, type_name, coding)
            }
            result => result,
        }
    }
}

/// Returns the last name of a path.
fn last_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}
