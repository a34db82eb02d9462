//! Files beneath a folder.
//!
//! ```text
//! path ─▶ cache ── known ─▶ one statx: the same file? ──yes──┐
//!           │ unknown, changed                               ▼
//!           └─▶ target ─▶ openat2 beneath the root ─▶ resource ─▶ coding ─▶ conditions, ranges
//! ```
//!
//! | room | one job |
//! |---|---|
//! | `find` | which file a path asks for, and whether it is what it was |
//! | `absence` | why there is none, and what is said then |
//! | `form/` | which form of its content suits the client; `encoding`: what clients accept |
//! | `reply/` | conditions, then ranges: what of it is sent |
//! | `resource`, `cache` | one form of a file; those that are kept |
//! | `listing`, `entries` | a folder's page; which entries it shows |
//! | `mime` | types by names |

mod absence;
mod cache;
mod entries;
mod find;
mod form;
mod listing;
mod mime;
mod reply;
mod resource;
#[cfg(test)]
pub(crate) mod tests;

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use http::{HeaderValue, Method};
use overlapped_wire::http::{Answer, Service};

use super::beneath::{Folder, Way};
use super::{Call, Handler, page};
use crate::peer::Peer;
use cache::Cache;
use find::Finder;

/// What can be done with files.
const METHODS: &str = "GET, HEAD, OPTIONS";

/// Files beneath a folder, as a [`Handler`] of a [`Site`](super::Site) or a
/// [`Service`] of their own.
///
/// | | |
/// |---|---|
/// | methods | `GET`, `HEAD`, `OPTIONS` |
/// | conditions | `If-Match`, `If-None-Match`, `If-(Un)Modified-Since`, `If-Range` (RFC 9110) |
/// | entity tags | time of the last change in nanoseconds, and size |
/// | ranges | one or several, at most 16 |
/// | codings | `x.br`, `x.zst`, `x.gz` beside `x`, not older; else made of texts up to 1 MiB |
/// | folders | `index.html`; else a [listing](Files::listing), if wanted |
/// | not served | names that begin with a dot, except `.well-known`; what is no regular file |
/// | links | those that stay beneath the folder; absolute ones never |
///
/// The folder's own path is followed anew for each file: where it is a link that is pointed
/// elsewhere, the next request sees that.
///
/// **Entity tags** are the same on all servers that have copies with the same times (`cp -p`,
/// `rsync -t`, `tar`). A tag cannot tell two contents apart that have the same size and the same
/// time: where a build gives every file one fixed time, put a digest into the files' names. A file
/// that was changed just now (20 ms; two seconds if its time is in whole seconds) has a weak tag.
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
    clean_urls: bool,
    packing: bool,
    cache_control: Option<HeaderValue>,
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
        let config = Config {
            folder,
            index,
            listing: false,
            hidden: false,
            clean_urls: false,
            packing: true,
            cache_control: None,
        };
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

    /// Sets whether `/about` is `about.html` where that is there and no file is called `about`:
    /// before the folder of that name, too. Default: no.
    #[must_use]
    pub fn clean_urls(mut self, clean: bool) -> Files {
        self.change().clean_urls = clean;
        self
    }

    /// Sets whether texts are packed on the way, with brotli, zstd or gzip, where no packed file
    /// is beside them. Default: yes.
    #[must_use]
    pub fn packing(mut self, packing: bool) -> Files {
        self.change().packing = packing;
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
}

impl Handler for Files {
    fn handle(&self, call: Call<'_>) -> Answer {
        let request = &call.request;
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return page::other_method(request, METHODS);
        }
        let cache = self.cache();
        let finder = Finder { config: &self.config, cache: &cache };
        match finder.plain(call.rest()) {
            Ok(plain) => reply::answer(request, &finder.suitable(request, plain)),
            Err(absence) => absence.explain(&call, &self.config),
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
        let Config { folder, index, listing, hidden, clean_urls, packing, cache_control } =
            &*self.config;
        f.debug_struct("Files")
            .field("folder", &folder.path())
            .field("index", index)
            .field("listing", listing)
            .field("hidden", hidden)
            .field("clean_urls", clean_urls)
            .field("packing", packing)
            .field("cache_control", cache_control)
            .finish()
    }
}
