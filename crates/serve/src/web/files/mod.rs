//! Files beneath a folder.
//!
//! ```text
//! path ─▶ cache ── known ─▶ one statx: the same file? ──yes──┐
//!           │ unknown, changed                               ▼
//!           └─▶ target ─▶ openat2 beneath the root ─▶ resource ─▶ coding ─▶ conditions, ranges
//! ```
//!
//! **What is known is looked at each time.** A replaced or removed file is seen by the next
//! request; what the cache saves is opening, reading and describing it. The look is a plain
//! statx(2) of the whole path, without `RESOLVE_BENEATH`, and that is enough: the file that it
//! finds, by device, inode and times, is one that was found beneath the root under this very path.
//! A plain statx may wait for a disk, so it is made only within two seconds after a careful one
//! (which goes to the pool where the kernel's cache of names does not have the path), and only for
//! file systems of this machine; files of others are not kept.
//!
//! **Tags are strong** (inode, time in nanoseconds, size) unless the file was changed within the
//! last 20 ms: until the kernel's clock for files has moved on, it could change again unseen. Such
//! a file is not kept, either.

mod cache;
mod conditional;
mod encoding;
mod listing;
mod mime;
mod multipart;
mod range;
mod resource;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::ffi::CString;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use http::header::{CACHE_CONTROL, LOCATION, RANGE};
use http::{HeaderValue, Method, StatusCode};
use overlapped::time::Instant;
use overlapped_wire::http::{Answer, Service};
use rustix::io::Errno;

use super::beneath::{Folder, Open, Way, stat, stat_path};
use super::target::{self, BadTarget, Empty};
use super::{Call, Handler, Peer, page};
use cache::Cache;
use encoding::Coding;
use resource::{Body, Resource, Stamp};

/// What can be done with files.
const METHODS: &str = "GET, HEAD, OPTIONS";

/// How long after a careful look a plain one may be made.
const PLAIN_LOOK_MAX: Duration = Duration::from_secs(2);

/// Smaller files are not worth packing; larger ones take too long (25 ms of a processor for this).
const PACKED_SIZES: std::ops::RangeInclusive<u64> = 1 << 10..=1 << 20;

/// Files beneath a folder, as a [`Handler`] of a [`Site`](super::Site) or a
/// [`Service`] of their own.
///
/// | | |
/// |---|---|
/// | methods | `GET`, `HEAD`, `OPTIONS` |
/// | conditions | `If-Match`, `If-None-Match`, `If-(Un)Modified-Since`, `If-Range` (RFC 9110) |
/// | ranges | one or several, at most 16 |
/// | codings | `x.br`, `x.zst`, `x.gz` beside `x`, not older; else gzip of texts up to 1 MiB |
/// | folders | `index.html`; else a [listing](Files::listing), if wanted |
/// | not served | names that begin with a dot, except `.well-known`; what is no regular file |
/// | links | those that stay beneath the folder; absolute ones never |
///
/// The folder's own path is followed anew for each file: where it is a link that is pointed
/// elsewhere, the next request sees that.
///
/// ```
/// use overlapped_serve::web::Files;
/// use overlapped_wire::http::Service;
/// # let folder = tempfile::tempdir()?;
/// # std::fs::write(folder.path().join("a.txt"), "0123456789")?;
/// let mut files = Files::new(folder.path())?;
/// overlapped::run(move || {
///     let request = http::Request::get("/a.txt").header("range", "bytes=2-4").body(()).unwrap();
///     let answer = files.call(request, &mut std::io::empty());
///     assert_eq!(answer.status(), 206);
///     assert_eq!(answer.headers()["content-range"], "bytes 2-4/10");
/// }).unwrap();
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone)]
pub struct Files {
    config: Arc<Config>,
}

/// What is chosen once.
#[derive(Clone)]
pub(crate) struct Config {
    folder: Folder,
    index: Vec<String>,
    listing: bool,
    hidden: bool,
    cache_control: Option<HeaderValue>,
}

/// Why there is no file.
#[derive(Debug)]
enum Absence {
    Bad(BadTarget),
    Refused(Errno),
    /// A folder, but the path does not end in a slash.
    NoSlash(Vec<u8>),
    /// A folder without an index, this one.
    NoIndex(Vec<u8>, OwnedFd),
}

impl From<BadTarget> for Absence {
    fn from(bad: BadTarget) -> Absence {
        Absence::Bad(bad)
    }
}

impl From<Errno> for Absence {
    fn from(errno: Errno) -> Absence {
        Absence::Refused(errno)
    }
}

impl Files {
    /// The files beneath `folder`.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, `PermissionDenied`: where there is no such folder.
    pub fn new(folder: impl AsRef<Path>) -> io::Result<Files> {
        Files::by(folder.as_ref(), Way::of_this_machine())
    }

    fn by(folder: &Path, way: Way) -> io::Result<Files> {
        let folder = Folder::new(folder, way)?;
        let index = vec!["index.html".to_owned()];
        let config = Config { folder, index, listing: false, hidden: false, cache_control: None };
        Ok(Files { config: Arc::new(config) })
    }

    /// The names that stand for their folder, the first that is there. Default: `index.html`.
    #[must_use]
    pub fn index<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Files {
        self.change().index = names.into_iter().map(Into::into).collect();
        self
    }

    /// Whether a folder without an index is listed. Default: no; it is `403`.
    #[must_use]
    pub fn listing(mut self, listing: bool) -> Files {
        self.change().listing = listing;
        self
    }

    /// Whether files are served, and listed, whose names, or whose folders' names, begin with a
    /// dot. Default: only those in `.well-known`.
    #[must_use]
    pub fn hidden(mut self, hidden: bool) -> Files {
        self.change().hidden = hidden;
        self
    }

    /// The `Cache-Control` of every file. Default: none, so that clients ask again by the tag or
    /// the date as they think fit.
    #[must_use]
    pub fn cache_control(mut self, control: HeaderValue) -> Files {
        self.change().cache_control = Some(control);
        self
    }

    fn change(&mut self) -> &mut Config {
        Arc::make_mut(&mut self.config)
    }

    /// This thread's cache for these files.
    fn cache(&self) -> Rc<Cache> {
        type Caches = Vec<(Weak<Config>, Rc<Cache>)>;
        thread_local! {
            static CACHES: RefCell<Caches> = const { RefCell::new(Vec::new()) };
        }
        let mine = Arc::as_ptr(&self.config);
        CACHES.with_borrow_mut(|caches| {
            // A weak reference keeps the address from being used again.
            if let Some((_, cache)) = caches.iter().find(|(config, _)| config.as_ptr() == mine) {
                return Rc::clone(cache);
            }
            caches.retain(|(config, _)| config.strong_count() > 0);
            let cache = Rc::<Cache>::default();
            caches.push((Arc::downgrade(&self.config), Rc::clone(&cache)));
            cache
        })
    }

    /// The file that `rest` asks for, as it is.
    fn plain(&self, cache: &Cache, rest: &str) -> Result<Rc<Resource>, Absence> {
        if let Some(known) = cache.get(Coding::Identity, rest) {
            if self.is_current(&known) {
                return Ok(known);
            }
            cache.remove(&known);
        }
        let target = target::decode(rest, Empty::Skip)?;
        if !self.config.hidden && target::is_hidden(&target.path) {
            return Err(BadTarget::Nowhere.into());
        }
        let key: Rc<str> = rest.into();
        let load = |name: &[u8], keeps: bool| {
            let load = || Resource::load(&self.config, &key, name, last(name), Coding::Identity);
            load_or_close(cache, load).map(|mut resource| {
                resource.keeps &= keeps;
                cache.put(resource)
            })
        };
        if !target.is_folder {
            return match load(&target.path, true) {
                Ok(resource) => Ok(resource),
                Err(Errno::ISDIR) => Err(Absence::NoSlash(target.path)),
                Err(errno) => Err(errno.into()),
            };
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
    fn is_current(&self, known: &Resource) -> bool {
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

    /// The form of `plain` that suits the client best.
    fn suitable(
        &self,
        cache: &Cache,
        request: &http::Request<()>,
        plain: Rc<Resource>,
    ) -> Rc<Resource> {
        if !plain.compressible || !request.headers().contains_key(http::header::ACCEPT_ENCODING) {
            return plain;
        }
        let is_alone = self.is_alone(&plain);
        for coding in encoding::wanted(request.headers()) {
            if coding == Coding::Identity {
                break;
            }
            if !is_alone && let Some(sibling) = self.sibling(cache, &plain, coding) {
                return sibling;
            }
            // A range of what is packed anew each time would be a range of nothing certain.
            if coding == Coding::Gzip
                && !request.headers().contains_key(RANGE)
                && let Some(packed) = self.packed(cache, &plain)
            {
                return packed;
            }
        }
        plain
    }

    /// Whether nothing is beside `plain` that has its content, packed. A folder that is what it was
    /// holds the names that it held: one look instead of three.
    fn is_alone(&self, plain: &Resource) -> bool {
        let end = plain.whole.as_bytes().iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        let Ok(parent) = CString::new(&plain.whole.as_bytes()[..=end]) else { return false };
        let Ok(found) = stat_path(&parent) else { return false };
        let found = Stamp::of(&found);
        if plain.alone.get() == Some(found) {
            return true;
        }
        let is_alone = [Coding::Brotli, Coding::Zstd, Coding::Gzip].iter().all(|coding| {
            let ending = coding.name().map_or("", |(_, ending)| ending);
            self.config.folder.is_absent(&[&*plain.name, ending.as_bytes()].concat())
        });
        if is_alone && plain.keeps && !found.is_fresh(SystemTime::now()) {
            plain.alone.set(Some(found));
        }
        is_alone
    }

    /// The file beside `plain` that has its content in `coding`, if it is not older.
    fn sibling(&self, cache: &Cache, plain: &Resource, coding: Coding) -> Option<Rc<Resource>> {
        if let Some(known) = cache.get(coding, &plain.key) {
            if self.is_current(&known) && known.stamp.is_as_new_as(&plain.stamp) {
                return Some(known);
            }
            cache.remove(&known);
        }
        let (_, ending) = coding.name()?;
        let name = [&*plain.name, ending.as_bytes()].concat();
        let load = || Resource::load(&self.config, &plain.key, &name, &plain.name, coding);
        let sibling = load_or_close(cache, load).ok()?;
        sibling.stamp.is_as_new_as(&plain.stamp).then(|| cache.put(sibling))
    }

    /// `plain`, packed; `None` where that is not worth it.
    fn packed(&self, cache: &Cache, plain: &Resource) -> Option<Rc<Resource>> {
        if !PACKED_SIZES.contains(&plain.len()) {
            return None;
        }
        if let Some(known) = cache.get(Coding::Packed, &plain.key) {
            if known.stamp == plain.stamp {
                return Some(known);
            }
            cache.remove(&known);
        }
        let content = match &plain.body {
            Body::Kept(bytes) => Arc::clone(bytes),
            Body::Open(file) => {
                let file = overlapped::fs::File::from(file.try_clone().ok()?);
                let mut bytes = vec![0; usize::try_from(plain.len()).ok()?];
                file.read_exact_at(&mut bytes, 0).ok()?;
                bytes.into()
            }
        };
        let before = content.len();
        let packed = overlapped::task::unblock(move || gzip(&content)).ok()?.ok()?;
        if packed.len() >= before {
            return None;
        }
        Some(cache.put(Resource::packed(&self.config, plain, packed)))
    }

    /// The answer where there is no file.
    fn explain(&self, call: &Call<'_>, absence: Absence) -> Answer {
        let request = &call.request;
        let status = match absence {
            Absence::Bad(BadTarget::Malformed) => StatusCode::BAD_REQUEST,
            Absence::Bad(BadTarget::Nowhere) => StatusCode::NOT_FOUND,
            Absence::NoSlash(path) => return with_slash(call, &path),
            Absence::NoIndex(path, fd) if self.config.listing => {
                return listing::answer(call, &self.config, path, fd);
            }
            Absence::NoIndex(..) => StatusCode::FORBIDDEN,
            Absence::Refused(errno) => match errno {
                // What is outside is nowhere.
                Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP | Errno::NAMETOOLONG => {
                    StatusCode::NOT_FOUND
                }
                // A socket in the file system.
                Errno::NXIO => StatusCode::NOT_FOUND,
                Errno::ACCESS | Errno::PERM => StatusCode::FORBIDDEN,
                errno => {
                    let path = call.rest();
                    tracing::error!(%errno, ?path, "a file cannot be opened");
                    match errno {
                        Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::TIMEDOUT => {
                            return page::busy(request);
                        }
                        _ => StatusCode::INTERNAL_SERVER_ERROR,
                    }
                }
            },
        };
        page::refusal(request, status)
    }
}

/// Loads, and once more where there were no descriptors left, without those that the cache keeps.
fn load_or_close(
    cache: &Cache,
    load: impl Fn() -> Result<Resource, Errno>,
) -> Result<Resource, Errno> {
    match load() {
        Err(Errno::MFILE | Errno::NFILE) => {
            cache.clear();
            load()
        }
        result => result,
    }
}

/// The last name of a path.
fn last(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}

/// The same path with a slash at its end. It is made of decoded names, so it is one absolute path
/// of this site, whatever was sent.
fn with_slash(call: &Call<'_>, path: &[u8]) -> Answer {
    let mut location = String::new();
    if let Some(prefix) = call.prefix.strip_prefix('/') {
        location += &target::encode(prefix.as_bytes());
    }
    if !path.is_empty() {
        location += &target::encode(path);
    }
    location.push('/');
    if let Some(query) = call.request.uri().query() {
        location.push('?');
        location += query;
    }
    let mut answer = page::refusal(&call.request, StatusCode::MOVED_PERMANENTLY);
    match HeaderValue::try_from(location) {
        Ok(location) => _ = answer.headers_mut().insert(LOCATION, location),
        Err(_) => *answer.status_mut() = StatusCode::BAD_REQUEST,
    }
    // Whoever makes a file of the folder is not to be kept from it.
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

pub(crate) fn gzip(content: &[u8]) -> io::Result<Vec<u8>> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(5));
    packer.write_all(content)?;
    packer.finish()
}

impl Handler for Files {
    fn handle(&self, call: Call<'_>) -> Answer {
        let request = &call.request;
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return page::other_method(request, METHODS);
        }
        let cache = self.cache();
        match self.plain(&cache, call.rest()) {
            Ok(plain) => conditional::answer(request, &self.suitable(&cache, request, plain)),
            Err(absence) => self.explain(&call, absence),
        }
    }
}

impl Service for Files {
    fn call(&mut self, request: http::Request<()>, body: &mut dyn Read) -> Answer {
        self.handle(Call::new(request, body, Peer::default()))
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config { folder, index, listing, hidden, cache_control } = &*self.config;
        f.debug_struct("Files")
            .field("folder", &folder.path())
            .field("index", index)
            .field("listing", listing)
            .field("hidden", hidden)
            .field("cache_control", cache_control)
            .finish()
    }
}
