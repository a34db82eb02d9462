//! Resources: opened files, in one content coding, with the headers of their answers.
//!
//! A resource never changes. Whether its file has changed is found by comparing its [`FileStat`].

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
use rustix::fs::FileType;
use rustix::io::Errno;

use super::config::FilesConfig;
use super::encoding::Coding;
use super::mime;
use crate::web::below::Open;
use crate::web::file_stat::{FileStat, stat};

/// The size up to which a file is read into memory.
const MEMORY_MAX: u64 = 32 << 10;

/// Twice the coarsest step of the kernel's clock for files (`CONFIG_HZ=100`). A file that was
/// changed within this time may be changed again with the same times.
const CLOCK_STEP: Duration = Duration::from_millis(20);

/// The coarsest step of a file system with times in whole seconds (FAT).
const SECONDS_STEP: Duration = Duration::from_secs(2);

impl FileStat {
    /// Tells whether the file may change again with the same times.
    pub(super) fn may_change_unnoticed(&self, now: SystemTime) -> bool {
        let changed = time(self.changed);
        let is_whole = self.modified.1 == 0;
        changed.is_none_or(|at| now.duration_since(at).is_ok_and(|age| age < CLOCK_STEP))
            || is_whole && time(self.modified).is_some_and(|at| distance(now, at) < SECONDS_STEP)
    }

    /// Returns the entity tag of the file's content in `coding`: the time of its last change in
    /// nanoseconds, and its size. It has no inode, so that copies on several machines have the same
    /// tag.
    fn tag(&self, coding: Coding, weak: bool) -> String {
        let FileStat { size, modified: (seconds, nanos), .. } = self;
        let weak = if weak { "W/" } else { "" };
        let suffix = coding.tag();
        format!("{weak}\"{seconds:x}.{nanos:x}-{size:x}{suffix}\"")
    }

    /// Tells whether the content is not older than that of `other`, in whole seconds.
    pub(super) fn is_as_new_as(&self, other: &FileStat) -> bool {
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

/// The content of a resource.
pub(crate) enum FileContent {
    /// Bytes in memory.
    Memory(Arc<[u8]>),
    /// An open file.
    File(Arc<File>),
}

/// A file in one content coding.
pub(crate) struct Resource {
    /// The request's path, as it was sent.
    pub(crate) key: Rc<str>,
    /// The name below the root.
    pub(crate) name: Vec<u8>,
    /// The absolute path.
    pub(crate) absolute: CString,
    pub(crate) coding: Coding,
    pub(crate) stat: FileStat,
    /// The headers of an answer with the whole content.
    pub(crate) headers: HeaderMap,
    /// The modification time in whole seconds; `None` if it is in the future.
    pub(crate) modified: Option<SystemTime>,
    pub(crate) body: FileContent,
    /// True if its media type suggests that compression makes it smaller.
    pub(crate) compressible: bool,
    /// True if a comparison of metadata notices every later change.
    pub(crate) may_cache: bool,
    /// The time of the last careful check; see `find`.
    pub(crate) checked_at: Cell<Instant>,
    /// The metadata of its folder when it had no precompressed sibling.
    pub(crate) no_sibling: Cell<Option<FileStat>>,
    /// True if it was used since the cache's hand last passed.
    pub(crate) used: Cell<bool>,
}

impl Resource {
    /// Opens `name` for the path `key`, blocking only the calling tasklet. The name `type_name`
    /// determines the media type.
    ///
    /// # Errors
    /// `EISDIR` for a folder, `ENOENT` for other files that are not regular; those of opening and
    /// reading.
    pub(crate) fn load(
        config: &FilesConfig,
        key: &Rc<str>,
        name: &[u8],
        type_name: &[u8],
        coding: Coding,
    ) -> Result<Resource, Errno> {
        let fd = config.root.open(name, Open::Read)?;
        let mut found = stat(&fd)?;
        match found.file_type() {
            FileType::RegularFile => {}
            FileType::Directory => return Err(Errno::ISDIR),
            // FIFOs and devices are not served.
            _ => return Err(Errno::NOENT),
        }
        let is_local = is_local(&fd);
        let mut steady = true;
        let body = if found.size <= MEMORY_MAX {
            let file = overlapped::fs::File::from(fd);
            let mut bytes = read(&file, found.size).map_err(errno)?;
            let mut after = stat(&file)?;
            if after != found {
                // The file has changed meanwhile. If it changes again, the bytes may be of two
                // versions.
                bytes = read(&file, after.size).map_err(errno)?;
                (found, after) = (after, stat(&file)?);
            }
            steady = after == found && bytes.len() as u64 == found.size;
            FileContent::Memory(bytes.into())
        } else {
            FileContent::File(Arc::new(File::from(fd)))
        };
        let now = SystemTime::now();
        let steady = steady && !found.may_change_unnoticed(now);
        let absolute = config.root.absolute(name)?;
        let mut resource = Resource {
            key: Rc::clone(key),
            name: name.to_vec(),
            absolute,
            coding,
            stat: found,
            headers: HeaderMap::with_capacity(8),
            modified: time((found.modified.0, 0)).filter(|modified| *modified <= now),
            body,
            compressible: false,
            may_cache: steady && is_local,
            checked_at: Cell::new(Instant::now()),
            no_sibling: Cell::new(None),
            used: Cell::new(true),
        };
        resource.set_headers(config, type_name, !steady);
        Ok(resource)
    }

    /// Creates the resource for `plain` in `coding`, with the compressed `bytes`.
    pub(crate) fn compressed(
        config: &FilesConfig,
        plain: &Resource,
        coding: Coding,
        bytes: Vec<u8>,
    ) -> Resource {
        let mut resource = Resource {
            key: Rc::clone(&plain.key),
            name: plain.name.clone(),
            absolute: plain.absolute.clone(),
            coding,
            stat: plain.stat,
            headers: HeaderMap::with_capacity(8),
            modified: plain.modified,
            body: FileContent::Memory(bytes.into()),
            compressible: true,
            may_cache: plain.may_cache,
            checked_at: Cell::new(Instant::now()),
            no_sibling: Cell::new(None),
            used: Cell::new(true),
        };
        resource.set_headers(config, &plain.name, true);
        resource
    }

    fn set_headers(&mut self, config: &FilesConfig, type_name: &[u8], weak: bool) {
        let kind = mime::media_type(Path::new(OsStr::from_bytes(type_name)));
        self.compressible = mime::is_compressible(&kind);
        let headers = &mut self.headers;
        let kind = HeaderValue::try_from(kind);
        let plain = HeaderValue::from_static("application/octet-stream");
        headers.insert(CONTENT_TYPE, kind.unwrap_or(plain));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let tag = self.stat.tag(self.coding, weak);
        if let Ok(tag) = HeaderValue::try_from(tag) {
            headers.insert(ETAG, tag);
        }
        if let Some(modified) = self.modified
            && let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(modified))
        {
            headers.insert(LAST_MODIFIED, date);
        }
        if !self.coding.is_compressed_here() {
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

    /// Returns the number of bytes.
    pub(crate) fn len(&self) -> u64 {
        match &self.body {
            FileContent::Memory(bytes) => bytes.len() as u64,
            FileContent::File(_) => self.stat.size,
        }
    }

    /// Returns the whole content.
    pub(crate) fn content(&self) -> Content {
        match &self.body {
            FileContent::Memory(bytes) => Content::Shared(Arc::clone(bytes)),
            FileContent::File(file) => {
                Content::File { file: Arc::clone(file), offset: 0, len: self.stat.size }
            }
        }
    }
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

/// Reads the content of a file that should have `size` bytes.
fn read(file: &overlapped::fs::File, size: u64) -> std::io::Result<Vec<u8>> {
    // The file may have grown: bound the memory.
    let mut bytes = vec![0; size.min(MEMORY_MAX) as usize];
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

/// Tells whether the file is on a disk or in the memory of this machine, so that its metadata is
/// accurate and reading it waits for no server.
#[cfg(target_os = "linux")]
fn is_local(fd: &OwnedFd) -> bool {
    /// Magic numbers of statfs(2): ext, xfs, btrfs, tmpfs, ramfs, f2fs, zfs, bcachefs, overlayfs,
    /// squashfs, erofs.
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
    // The magic number has 32 bits, whatever the field's type is.
    rustix::fs::fstatfs(fd).is_ok_and(|system| LOCAL.contains(&(system.f_type as u32)))
}

/// Returns false, so that nothing is cached: other systems tell a file system's type differently.
#[cfg(not(target_os = "linux"))]
fn is_local(_: &OwnedFd) -> bool {
    false
}
