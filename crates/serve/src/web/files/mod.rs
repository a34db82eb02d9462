//! Files below a folder.
//!
//! ```text
//! path ─▶ cache ── hit ─▶ one statx: unchanged? ──yes──────────┐
//!           │ miss, changed                                    ▼
//!           └─▶ target ─▶ openat2 below the root ─▶ resource ─▶ encoding ─▶ conditions, ranges
//! ```
//!
//! | module | job |
//! |---|---|
//! | `find` | finds the file of a path, and checks whether a cached one has changed |
//! | `not_found` | answers if there is no file |
//! | `encoding/` | chooses the content coding, compresses |
//! | `reply/` | evaluates conditions and ranges |
//! | `resource`, `cache` | an opened file with its headers; those that are kept |
//! | `listing`, `entries` | a folder's page; the entries on it |
//! | `mime` | media types by file names |

mod cache;
mod config;
mod encoding;
mod entries;
mod find;
mod listing;
mod mime;
mod not_found;
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

use super::below::{Lookup, Root};
use super::{Call, Handler, page};
use crate::peer::Peer;
use cache::Cache;
use config::FilesConfig;
use find::Finder;

/// The methods that files support.
const METHODS: &str = "GET, HEAD, OPTIONS";

/// The files below a folder, as a [`Handler`] of a [`Site`](super::Site) or a [`Service`] of their
/// own.
///
/// | | |
/// |---|---|
/// | methods | `GET`, `HEAD`, `OPTIONS` |
/// | conditions | `If-Match`, `If-None-Match`, `If-(Un)Modified-Since`, `If-Range` (RFC 9110) |
/// | entity tags | time of the last change in nanoseconds, and size |
/// | ranges | one or several, at most 16 |
/// | content codings | siblings `x.br`, `x.zst`, `x.gz`, if not older; else texts up to 1 MiB |
/// | folders | `index.html`; else a [listing](Files::listing), if enabled |
/// | not served | names that begin with a dot, except `.well-known`; anything but regular files |
/// | links | those that stay below the folder |
///
/// The folder's own path is resolved anew for each file: if it is a link that is changed, the next
/// request sees that.
///
/// **Entity tags** are the same on all servers whose copies have the same times (`cp -p`,
/// `rsync -t`, `tar`). A tag cannot tell two contents apart that have the same size and the same
/// time: if a build gives every file one fixed time, put a digest into the file names. A file that
/// was changed within the last 20 ms (two seconds if its time is in whole seconds) has a weak tag.
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
    config: Arc<FilesConfig>,
}

impl Files {
    /// Serves the files below `folder`.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, `PermissionDenied`: the folder cannot be opened.
    pub fn new(folder: impl AsRef<Path>) -> io::Result<Files> {
        Files::with_lookup(folder.as_ref(), Lookup::best())
    }

    fn with_lookup(folder: &Path, lookup: Lookup) -> io::Result<Files> {
        let root = Root::new(folder, lookup)?;
        let index = vec!["index.html".to_owned()];
        let config = FilesConfig {
            root,
            index,
            listing: false,
            hidden: false,
            clean_urls: false,
            compression: true,
            cache_control: None,
        };
        Ok(Files { config: Arc::new(config) })
    }

    /// Sets the names of index files; the first that exists stands for its folder. Default:
    /// `index.html`.
    #[must_use]
    pub fn index<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Files {
        self.change().index = names.into_iter().map(Into::into).collect();
        self
    }

    /// Sets whether a folder without an index file is listed. Default: no; the answer is `403`.
    #[must_use]
    pub fn listing(mut self, listing: bool) -> Files {
        self.change().listing = listing;
        self
    }

    /// Sets whether files are served and listed if their names, or those of their folders, begin
    /// with a dot. Default: only those in `.well-known`.
    #[must_use]
    pub fn hidden(mut self, hidden: bool) -> Files {
        self.change().hidden = hidden;
        self
    }

    /// Sets whether `/about` stands for the file `about.html`, if that exists and no file is named
    /// `about`. It precedes a folder of that name. Default: no.
    #[must_use]
    pub fn clean_urls(mut self, clean: bool) -> Files {
        self.change().clean_urls = clean;
        self
    }

    /// Sets whether texts without a precompressed sibling are compressed by the server, with
    /// brotli, zstd or gzip. Default: yes.
    #[must_use]
    pub fn compression(mut self, compression: bool) -> Files {
        self.change().compression = compression;
        self
    }

    /// Sets the `Cache-Control` of every file. Default: none; clients revalidate by the tag or the
    /// date as they see fit.
    #[must_use]
    pub fn cache_control(mut self, control: HeaderValue) -> Files {
        self.change().cache_control = Some(control);
        self
    }

    fn change(&mut self) -> &mut FilesConfig {
        Arc::make_mut(&mut self.config)
    }

    /// Returns this thread's cache for these files.
    fn cache(&self) -> Rc<Cache> {
        type Caches = Vec<(Weak<FilesConfig>, Rc<Cache>)>;
        thread_local! {
            static CACHES: RefCell<Caches> = const { RefCell::new(Vec::new()) };
        }
        let own = Arc::as_ptr(&self.config);
        CACHES.with_borrow_mut(|caches| {
            // A weak reference prevents that the address is reused.
            if let Some((_, cache)) = caches.iter().find(|(config, _)| config.as_ptr() == own) {
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
        match finder.find(call.rest()) {
            Ok(plain) => reply::answer(request, &finder.best_coding(request, plain)),
            Err(reason) => reason.answer(&call, &self.config),
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
        let FilesConfig { root, index, listing, hidden, clean_urls, compression, cache_control } =
            &*self.config;
        f.debug_struct("Files")
            .field("folder", &root.path())
            .field("index", index)
            .field("listing", listing)
            .field("hidden", hidden)
            .field("clean_urls", clean_urls)
            .field("compression", compression)
            .field("cache_control", cache_control)
            .finish()
    }
}
