//! Makes a site of the options of an HTTP server: opens its folders and files, and reports their
//! faults.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use overlapped_serve::Peer;
use overlapped_serve::web::{self, Cgi, Files, Handler, Hosts, NotFoundResponse};
use overlapped_wire::http::{Http, Limits};

use super::config::Source;
use super::faults::Faults;
use super::layers;
use super::options::http::{HostFolder, HttpOptions};
use super::options::values::{Size, TimeLimit, TimeSpan, Variable};

/// The default of `cgi-prefix`.
const CGI_PREFIX: &str = "/cgi-bin/";
/// The default of `cgi-timeout`, which is that of `Cgi`.
const CGI_TIME: Duration = Duration::from_secs(300);
/// The default of `max-body`.
const BODY_MAX: u64 = 64 << 20;

/// A site that can be served.
#[derive(Clone)]
pub(super) struct Site {
    site: web::Site,
    limits: Limits,
    fields: Option<Arc<HeaderMap>>,
}

impl Site {
    /// Makes the server's side of one connection.
    pub(super) fn connect(&self, peer: &Peer) -> Http<web::Site> {
        let http = Http::with_limits(self.site.for_peer(peer), self.limits);
        match &self.fields {
            Some(fields) => http.fields(Arc::clone(fields)),
            None => http,
        }
    }
}

impl HttpOptions {
    /// Opens the folders. If there are faults, the returned site must not be served.
    pub(super) fn open(&self, source: &Source, faults: &mut Faults) -> Site {
        if let (Source::Flags, Some(hint)) = (source, self.hint()) {
            faults.note(hint);
        }
        let body_max = self.max_body.map_or(BODY_MAX, |Size(bytes)| bytes);
        let mut site = web::Site::new().at("/", self.hosts(source, faults));
        match &self.cgi {
            Some(folder) => {
                self.check_time_limits(source, faults);
                let prefix = self.cgi_prefix.as_deref().unwrap_or(CGI_PREFIX);
                if let Some(cgi) = self.scripts(folder, prefix, source, faults) {
                    let cgi = self.apply_limits(cgi.body_max(body_max)).documents(&self.folder);
                    site = site.at(prefix, cgi);
                }
            }
            None => self.refuse_script_keys(source, faults),
        }
        let (site, fields) = layers::wrap(self, source, site, faults);
        let limits = Limits { body_bytes_max: body_max, ..Limits::default() };
        Site { site: web::Site::new().at("/", site), limits, fields }
    }

    /// Makes the handler of a folder of scripts, which must not be served as files.
    fn scripts(
        &self,
        folder: &Path,
        prefix: &str,
        source: &Source,
        faults: &mut Faults,
    ) -> Option<Cgi> {
        let location = |key| source.location(key, None);
        if prefix.split('/').all(str::is_empty) {
            faults.add(format_args!(
                "{}: {prefix:?} is also the path of every file of {}: give scripts a path of their \
                 own, such as {CGI_PREFIX}",
                location("http.cgi-prefix"),
                self.folder.display()
            ));
        } else if let Some((served, path)) = self.path_as_files(folder, prefix) {
            let is_all = path.as_os_str().is_empty();
            let or = if is_all { "" } else { ", or make that path the scripts' prefix" };
            faults.add(format_args!(
                "{}: the scripts in {} would be served as files, at the path /{}: keep them \
                 outside of {}{or}",
                location("http.cgi"),
                folder.display(),
                path.display(),
                served.display(),
            ));
        }
        let cgi = Cgi::new(folder).map_err(|error| unusable_folder(folder, &error));
        faults.keep(|| location("http.cgi"), cgi)
    }

    /// Finds the path at which scripts would be served as files, and the folder that contains them;
    /// `None` if it is the path of the scripts, or hidden.
    fn path_as_files(&self, scripts: &Path, prefix: &str) -> Option<(&Path, PathBuf)> {
        let there = scripts.canonicalize().ok()?;
        let mut folders = self.host.iter().map(|host| &host.folder).chain([&self.folder]);
        folders.find_map(|folder| {
            let path = there.strip_prefix(folder.canonicalize().ok()?).ok()?;
            let is_sent = path != Path::new(prefix.trim_matches('/')) && self.is_visible(path);
            is_sent.then(|| (folder.as_path(), path.to_owned()))
        })
    }

    /// Tells whether the file at `path` in a served folder is served.
    fn is_visible(&self, path: &Path) -> bool {
        let is_hidden = |(at, name): (usize, Component<'_>)| {
            let name = name.as_os_str().as_encoded_bytes();
            name.starts_with(b".") && (at > 0 || name != b".well-known")
        };
        self.hidden || !path.components().enumerate().any(is_hidden)
    }

    /// Refuses a file with secrets that would be served.
    pub(super) fn refuse_if_served(
        &self,
        file: &Path,
        location: impl FnOnce() -> String,
        faults: &mut Faults,
    ) {
        if let Some(folder) = self.folder_of(file) {
            faults.add(format_args!(
                "{}: {} would be served to all clients, since it is in {}: move it elsewhere",
                location(),
                file.display(),
                folder.display()
            ));
        }
    }

    /// Finds the served folder from which the file would be sent, or the scripts' folder in which
    /// it could be run.
    fn folder_of(&self, file: &Path) -> Option<&Path> {
        let file = file.canonicalize().ok()?;
        let path_in = |folder: &Path| {
            let folder = folder.canonicalize().ok()?;
            file.strip_prefix(folder).ok().map(Path::to_owned)
        };
        let hosts = self.host.iter().map(|host| &host.folder);
        let mut served = hosts.chain([&self.folder]);
        let found =
            served.find(|folder| path_in(folder).is_some_and(|path| self.is_visible(&path)));
        let is_script = |folder: &&PathBuf| path_in(folder).is_some();
        found.or(self.cgi.as_ref().filter(is_script)).map(PathBuf::as_path)
    }

    /// Applies the limits and variables of scripts.
    fn apply_limits(&self, mut cgi: Cgi) -> Cgi {
        if let Some(TimeLimit(time)) = self.cgi_timeout {
            cgi = cgi.time(time);
        }
        if let Some(TimeLimit(time)) = self.cgi_header_timeout {
            cgi = cgi.header_time(time);
        }
        if let Some(scripts) = self.cgi_scripts {
            cgi = cgi.running_max(scripts.get());
        }
        if let Some(requests) = self.cgi_queue {
            cgi = cgi.queue_max(requests);
        }
        if let Some(TimeSpan(time)) = self.cgi_queue_timeout {
            cgi = cgi.queue_time(time);
        }
        if let Some(Size(bytes)) = self.cgi_max_output {
            cgi = cgi.output_max(bytes);
        }
        for Variable { name, value } in &self.cgi_env {
            cgi = cgi.env(name, value);
        }
        cgi.pass_authorization(self.cgi_authorization)
    }

    /// Refuses time limits that another one makes meaningless.
    fn check_time_limits(&self, source: &Source, faults: &mut Faults) {
        let all = self.cgi_timeout.map_or(CGI_TIME, |TimeLimit(time)| time);
        if let Some(TimeLimit(time)) = self.cgi_header_timeout
            && time > all
        {
            let location = source.location("http.cgi-header-timeout", None);
            faults.add(format_args!(
                "{location}: a script is killed after {}, whether its header is complete or not: \
                 raise {}, or lower {}",
                humantime::format_duration(all),
                source.name("cgi-timeout"),
                source.name("cgi-header-timeout"),
            ));
        }
        if self.cgi_queue == Some(0) && self.cgi_queue_timeout.is_some() {
            let location = source.location("http.cgi-queue-timeout", None);
            faults.add(format_args!(
                "{location}: no request waits, since {} is 0: raise that, or leave {} out",
                source.name("cgi-queue"),
                source.name("cgi-queue-timeout"),
            ));
        }
    }

    /// Refuses options of scripts if there are no scripts. (clap checks flags.)
    fn refuse_script_keys(&self, source: &Source, faults: &mut Faults) {
        for (key, is_given) in [
            ("cgi-prefix", self.cgi_prefix.is_some()),
            ("cgi-timeout", self.cgi_timeout.is_some()),
            ("cgi-header-timeout", self.cgi_header_timeout.is_some()),
            ("cgi-scripts", self.cgi_scripts.is_some()),
            ("cgi-queue", self.cgi_queue.is_some()),
            ("cgi-queue-timeout", self.cgi_queue_timeout.is_some()),
            ("cgi-max-output", self.cgi_max_output.is_some()),
            ("cgi-env", !self.cgi_env.is_empty()),
            ("cgi-authorization", self.cgi_authorization),
        ] {
            if is_given {
                let location = source.location(&format!("http.{key}"), None);
                faults.add(format_args!(
                    "{location}: {} has no effect without scripts: add cgi = \"DIR\", or remove it",
                    source.name(key)
                ));
            }
        }
    }

    /// Makes the handler of each host's files.
    fn hosts(&self, source: &Source, faults: &mut Faults) -> Box<dyn Handler> {
        let cache_control = self.cache_control(source, faults);
        self.check_paths(source, faults);
        let location = source.location("http.folder", None);
        let files = self.files(&self.folder, &location, cache_control.as_ref(), faults);
        if let Some(files) = &files {
            self.check_pages(files, source, faults);
        }
        let mut hosts = Hosts::new(files.map_or_else(empty, |files| Box::new(files)));
        for (at, HostFolder { name, folder }) in self.host.iter().enumerate() {
            let location = source.location("http.host", Some(at));
            let files = self.files(folder, &location, cache_control.as_ref(), faults);
            for path in files.iter().flat_map(NotFoundResponse::absent) {
                let folder = folder.display();
                faults.note(format_args!("{location}: {folder} has no {path}: it is not used"));
            }
            let files = files.map_or_else(empty, |files| Box::new(files));
            faults.keep(|| location.clone(), hosts.add(name, files));
            self.note_bare_name(name, &location, faults);
        }
        Box::new(hosts)
    }

    /// Adds a note that `*.example.org` does not cover `example.org`, if no other folder does.
    fn note_bare_name(&self, name: &str, location: &str, faults: &mut Faults) {
        let Some(bare) = name.strip_prefix("*.").filter(|bare| bare.contains('.')) else { return };
        let holds = |HostFolder { name, .. }: &HostFolder| match name.strip_prefix('*') {
            Some(ending) => bare.ends_with(ending),
            None => name.eq_ignore_ascii_case(bare),
        };
        if !self.host.iter().any(holds) {
            faults.note(format_args!(
                "{location}: requests for {bare} itself are answered from {}, since {name} covers \
                 only the names below it: add \"{bare}=DIR\" for them",
                self.folder.display()
            ));
        }
    }

    /// Warns of custom pages that do not exist.
    fn check_pages(&self, files: &NotFoundResponse<Files>, source: &Source, faults: &mut Faults) {
        let absent = files.absent();
        for (key, page) in [("not-found", &self.not_found), ("fallback", &self.fallback)] {
            if let Some(page) = page.as_ref().filter(|page| absent.contains(page)) {
                let location = source.location(&format!("http.{key}"), None);
                let is_folder =
                    !page.ends_with('/') && self.folder.join(page.trim_start_matches('/')).is_dir();
                let or = match is_folder {
                    true => format!(" (it is a folder; the path of its index is {page}/)"),
                    false => String::new(),
                };
                faults.warn(format_args!(
                    "{location}: {} has no page {page} that is served{or}: create it, or correct \
                     the path",
                    self.folder.display()
                ));
            }
        }
    }

    /// Refuses custom pages that are not paths.
    fn check_paths(&self, source: &Source, faults: &mut Faults) {
        for (key, page) in [("not-found", &self.not_found), ("fallback", &self.fallback)] {
            if let Some(page) = page {
                let tried = NotFoundResponse::new(empty()).page(page);
                faults.keep(|| source.location(&format!("http.{key}"), None), tried);
            }
        }
    }

    fn cache_control(&self, source: &Source, faults: &mut Faults) -> Option<HeaderValue> {
        let text = self.cache_control.as_ref()?;
        let value = HeaderValue::from_str(text).map_err(|_| {
            format!("{text:?} is not a Cache-Control value: write max-age=3600 or no-cache")
        });
        faults.keep(|| source.location("http.cache-control", None), value)
    }

    /// Makes the handler of one folder's files, with its custom pages.
    fn files(
        &self,
        folder: &Path,
        location: &str,
        cache_control: Option<&HeaderValue>,
        faults: &mut Faults,
    ) -> Option<NotFoundResponse<Files>> {
        let files = Files::new(folder).map_err(|error| unusable_folder(folder, &error));
        let mut files = faults.keep(|| location.to_owned(), files)?;
        files = files
            .listing(self.list)
            .hidden(self.hidden)
            .clean_urls(self.clean_urls)
            .compression(!self.no_gzip);
        if !self.index.is_empty() {
            files = files.index(&self.index);
        }
        if let Some(value) = cache_control {
            files = files.cache_control(value.clone());
        }
        let mut missing = NotFoundResponse::new(files);
        // `check_paths` reports pages that are not paths.
        if let Some(path) = &self.not_found {
            missing = missing.clone().page(path).unwrap_or(missing);
        }
        if let Some(path) = &self.fallback {
            missing = missing.clone().fallback(path).unwrap_or(missing);
        }
        Some(missing)
    }
}

/// Stands in for files that could not be opened.
fn empty() -> Box<dyn Handler> {
    Box::new(web::Site::new())
}

fn unusable_folder(path: &Path, error: &std::io::Error) -> String {
    let path = path.display();
    format!("cannot serve {path}: {error}. It must be a folder that this user can read")
}
