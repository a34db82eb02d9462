//! A file that can be sent: what was found when it was opened, and everything that its answers
//! have in common.
//!
//! A resource never changes. Whether the file still is what it was is asked by
//! [`Stamp`]: device, inode, size, and the times of the last changes of content and status.

use std::cell::Cell;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, LAST_MODIFIED, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue};
use overlapped::time::Instant;
use overlapped_wire::http::Content;
use rustix::fs::{FileType, Statx};
use rustix::io::Errno;

use super::form::Coding;
use super::{Config, mime};
use crate::web::beneath::{Open, stat};

/// Files up to this size are kept in memory.
const KEPT_MAX: u64 = 32 << 10;

/// The coarsest step of the kernel's clock for files (`CONFIG_HZ=100`), twice. A file that was
/// changed so recently may be changed again with the same times.
const CLOCK_STEP: Duration = Duration::from_millis(20);

/// The coarsest step of a file system that keeps whole seconds (FAT).
const SECONDS_STEP: Duration = Duration::from_secs(2);

/// What tells two states of what stands under a name apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: (u32, u32),
    inode: u64,
    mode: u16,
    size: u64,
    modified: (i64, u32),
    changed: (i64, u32),
}

impl Stamp {
    pub(crate) fn of(stat: &Statx) -> Stamp {
        Stamp {
            device: (stat.stx_dev_major, stat.stx_dev_minor),
            inode: stat.stx_ino,
            mode: stat.stx_mode,
            size: stat.stx_size,
            modified: (stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
            changed: (stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec),
        }
    }

    /// Whether it may change again with the same times.
    pub(crate) fn is_fresh(&self, now: SystemTime) -> bool {
        let changed = time(self.changed);
        let is_whole = self.modified.1 == 0;
        changed.is_none_or(|at| now.duration_since(at).is_ok_and(|age| age < CLOCK_STEP))
            || is_whole && time(self.modified).is_some_and(|at| distance(now, at) < SECONDS_STEP)
    }

    /// The entity tag of the file's content in `coding`: the time of its last change in
    /// nanoseconds, and its size. No inode: copies on several machines have one tag.
    fn tag(&self, coding: Coding, weak: bool) -> String {
        let Stamp { size, modified: (seconds, nanos), .. } = self;
        let weak = if weak { "W/" } else { "" };
        let form = coding.tag();
        format!("{weak}\"{seconds:x}.{nanos:x}-{size:x}{form}\"")
    }

    /// Whether its content is not older than that of `other`, in whole seconds.
    pub(crate) fn is_as_new_as(&self, other: &Stamp) -> bool {
        self.modified.0 >= other.modified.0
    }
}

fn distance(a: SystemTime, b: SystemTime) -> Duration {
    a.duration_since(b).unwrap_or_else(|error| error.duration())
}

fn time((seconds, nanos): (i64, u32)) -> Option<SystemTime> {
    let since = Duration::new(u64::try_from(seconds).ok()?, nanos);
    UNIX_EPOCH.checked_add(since)
}

/// What a resource's content is made of.
pub(crate) enum Body {
    /// In memory.
    Kept(Arc<[u8]>),
    /// Open.
    Open(Arc<File>),
}

/// One form of a file.
pub(crate) struct Resource {
    /// The path that leads to it, as it was sent.
    pub(crate) key: Rc<str>,
    /// Its name beneath the root.
    pub(crate) name: Vec<u8>,
    /// Its whole path.
    pub(crate) whole: CString,
    pub(crate) coding: Coding,
    pub(crate) stamp: Stamp,
    /// Its fields, as a whole answer has them.
    pub(crate) headers: HeaderMap,
    /// In whole seconds, and never in the future.
    pub(crate) modified: Option<SystemTime>,
    pub(crate) body: Body,
    /// Packing it makes it smaller.
    pub(crate) compressible: bool,
    /// It may be found again by its stamp.
    pub(crate) keeps: bool,
    /// When it was last known to be what stands under its name.
    pub(crate) seen: Cell<Instant>,
    /// The state of its folder in which nothing was beside it that has its content, packed.
    pub(crate) alone: Cell<Option<Stamp>>,
    /// Asked for since the cache last looked for room.
    pub(crate) used: Cell<bool>,
}

impl Resource {
    /// Opens `name`, which `key` asks for, blocking the calling tasklet only. `kind`: the name that
    /// tells its type.
    ///
    /// # Errors
    /// `EISDIR` for a folder, `ENOENT` for what is no file either; those of opening and reading.
    pub(crate) fn load(
        config: &Config,
        key: &Rc<str>,
        name: &[u8],
        kind: &[u8],
        coding: Coding,
    ) -> Result<Resource, Errno> {
        let fd = config.folder.open(name, Open::Read)?;
        let mut stamp = Stamp::of(&stat(&fd)?);
        match FileType::from_raw_mode(stamp.mode.into()) {
            FileType::RegularFile => {}
            FileType::Directory => return Err(Errno::ISDIR),
            // A FIFO or a device is nothing that can be sent.
            _ => return Err(Errno::NOENT),
        }
        let is_local = is_local(&fd);
        let mut steady = true;
        let body = if stamp.size <= KEPT_MAX {
            let file = overlapped::fs::File::from(fd);
            let mut bytes = read(&file, stamp.size).map_err(errno)?;
            let mut after = Stamp::of(&stat(&file)?);
            if after != stamp {
                // It was changed meanwhile. If it is again, what was read may be of two versions.
                bytes = read(&file, after.size).map_err(errno)?;
                (stamp, after) = (after, Stamp::of(&stat(&file)?));
            }
            steady = after == stamp && bytes.len() as u64 == stamp.size;
            Body::Kept(bytes.into())
        } else {
            Body::Open(Arc::new(File::from(fd)))
        };
        let now = SystemTime::now();
        let steady = steady && !stamp.is_fresh(now);
        let whole = config.folder.whole(name)?;
        let mut resource = Resource {
            key: Rc::clone(key),
            name: name.to_vec(),
            whole,
            coding,
            stamp,
            headers: HeaderMap::with_capacity(8),
            modified: time((stamp.modified.0, 0)).filter(|modified| *modified <= now),
            body,
            compressible: false,
            keeps: steady && is_local,
            seen: Cell::new(Instant::now()),
            alone: Cell::new(None),
            used: Cell::new(true),
        };
        resource.describe(config, kind, !steady);
        Ok(resource)
    }

    /// The same, packed: what `bytes` are.
    pub(crate) fn packed(
        config: &Config,
        plain: &Resource,
        coding: Coding,
        bytes: Vec<u8>,
    ) -> Resource {
        let mut resource = Resource {
            key: Rc::clone(&plain.key),
            name: plain.name.clone(),
            whole: plain.whole.clone(),
            coding,
            stamp: plain.stamp,
            headers: HeaderMap::with_capacity(8),
            modified: plain.modified,
            body: Body::Kept(bytes.into()),
            compressible: true,
            keeps: plain.keeps,
            seen: Cell::new(Instant::now()),
            alone: Cell::new(None),
            used: Cell::new(true),
        };
        resource.describe(config, &plain.name, true);
        resource
    }

    fn describe(&mut self, config: &Config, kind: &[u8], weak: bool) {
        let kind = mime::of(Path::new(OsStr::from_bytes(kind)));
        self.compressible = mime::is_compressible(&kind);
        let headers = &mut self.headers;
        let kind = HeaderValue::try_from(kind);
        let plain = HeaderValue::from_static("application/octet-stream");
        headers.insert(CONTENT_TYPE, kind.unwrap_or(plain));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let tag = self.stamp.tag(self.coding, weak);
        if let Ok(tag) = HeaderValue::try_from(tag) {
            headers.insert(ETAG, tag);
        }
        if let Some(modified) = self.modified
            && let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(modified))
        {
            headers.insert(LAST_MODIFIED, date);
        }
        if !self.coding.is_packed() {
            headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        }
        if let Some((name, _)) = self.coding.name() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        if self.compressible {
            headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        if let Some(control) = &config.cache_control {
            headers.insert(CACHE_CONTROL, control.clone());
        }
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> u64 {
        match &self.body {
            Body::Kept(bytes) => bytes.len() as u64,
            Body::Open(_) => self.stamp.size,
        }
    }

    /// All of it.
    pub(crate) fn content(&self) -> Content {
        match &self.body {
            Body::Kept(bytes) => Content::Shared(Arc::clone(bytes)),
            Body::Open(file) => {
                Content::File { file: Arc::clone(file), offset: 0, len: self.stamp.size }
            }
        }
    }
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

/// The file's content, which should be so long.
fn read(file: &overlapped::fs::File, size: u64) -> std::io::Result<Vec<u8>> {
    // Not more than is kept, whatever it has become.
    let mut bytes = vec![0; size.min(KEPT_MAX) as usize];
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], done as u64)? {
            0 => break,
            count => done += count,
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

/// Whether it lies on a disk or in the memory of this machine, so that its stamp tells the truth
/// and asking for it waits for no server.
fn is_local(fd: &OwnedFd) -> bool {
    /// statfs(2): ext, xfs, btrfs, tmpfs, ramfs, f2fs, zfs, bcachefs, overlayfs, squashfs, erofs.
    const LOCAL: [u32; 11] = [
        0xef53,
        0x5846_5342,
        0x9123_683e,
        0x0102_1994,
        0x8584_58f6,
        0xf2f5_2010,
        0x2fc1_2fc1,
        0xca45_1a4e,
        0x794c_7630,
        0x7371_7368,
        0xe0f5_e1e2,
    ];
    // Its magic number has 32 bits, whatever the type says.
    rustix::fs::fstatfs(fd).is_ok_and(|system| LOCAL.contains(&(system.f_type as u32)))
}
