//! `serve http`: a folder, and a folder of scripts.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use http::HeaderValue;
use overlapped_serve::Peer;
use overlapped_serve::web::{self, Cgi, Files, Handler, Hosts, Missing};
use overlapped_wire::http::{Http, Limits};
use serde::Deserialize;

use super::layers;
use super::source::Source;
use super::values::{Limit, Size, Span, Variable};

/// Where scripts are, if nobody says otherwise.
const CGI_PREFIX: &str = "/cgi-bin/";
/// As much as a script may be sent.
const BODY_MAX: u64 = 64 << 20;

/// What an HTTP server serves.
#[derive(Debug, Clone, clap::Args, Deserialize)]
#[command(next_help_heading = "Files and scripts")]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Content {
    /// The folder whose files are served; nothing outside of it ever is, wherever links lead
    #[arg(value_name = "DIR", help_heading = "Arguments")]
    folder: PathBuf,
    /// Lists folders that have no index
    #[arg(long)]
    #[serde(default)]
    list: bool,
    /// The name that stands for its folder; may be repeated, the first that is there is taken
    /// [default: index.html]
    #[arg(long, value_name = "NAME")]
    #[serde(default)]
    index: Vec<String>,
    /// Serves names that begin with a dot, too; else only those in .well-known
    #[arg(long)]
    #[serde(default)]
    hidden: bool,
    /// The Cache-Control of every file, such as max-age=3600 [default: none]
    #[arg(long, value_name = "VALUE")]
    cache_control: Option<String>,
    /// Sends texts as they are, where no packed file (.br, .zst, .gz) is beside them; else those of
    /// up to 1 MiB are packed with brotli, zstd or gzip
    #[arg(long, alias = "no-compression")]
    #[serde(default)]
    no_gzip: bool,
    /// Runs the executable files of this folder as CGI scripts (RFC 3875)
    #[arg(long, value_name = "DIR")]
    cgi: Option<PathBuf>,
    /// Beneath which path the scripts are [default: /cgi-bin/]
    #[arg(long, value_name = "PATH", requires = "cgi")]
    cgi_prefix: Option<String>,
    /// How long a script may take in all [default: 5m]
    #[arg(long, value_name = "DURATION", requires = "cgi")]
    cgi_timeout: Option<Limit>,
    /// How long a script may take until its header is complete [default: --cgi-timeout where that
    /// is given, else 30s]
    #[arg(long, value_name = "DURATION", requires = "cgi")]
    cgi_header_timeout: Option<Limit>,
    /// How many scripts may run at once; further requests wait, and so do bodies until they have
    /// come whole [default: 32]
    #[arg(long, value_name = "N", requires = "cgi")]
    cgi_scripts: Option<NonZeroUsize>,
    /// How many requests may wait for a script's end; further ones are answered 503 [default: 1000]
    #[arg(long, value_name = "N", requires = "cgi")]
    cgi_queue: Option<usize>,
    /// How long a request may wait so, before it is answered 503 [default: 30s]
    #[arg(long, value_name = "DURATION", requires = "cgi")]
    cgi_queue_timeout: Option<Span>,
    /// The most bytes that a script may write; beyond, its answer breaks off [default: 1GiB]
    #[arg(long, value_name = "SIZE", requires = "cgi")]
    cgi_max_output: Option<Size>,
    /// Sets a variable in the environment of scripts, which else have those of RFC 3875, and PATH,
    /// LANG, LC_ALL and TZ of this process; may be repeated
    #[arg(long, value_name = "NAME=VALUE", requires = "cgi")]
    #[serde(default)]
    cgi_env: Vec<Variable>,
    /// Gives scripts the Authorization field as HTTP_AUTHORIZATION: clients' passwords
    #[arg(long, requires = "cgi")]
    #[serde(default)]
    cgi_authorization: bool,
    /// The most bytes that a request may bring [default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    max_body: Option<Size>,
    /// Serves another folder to requests for this host; *.example.org is every name that ends so.
    /// May be repeated
    #[arg(long, value_name = "NAME=DIR")]
    #[serde(default)]
    host: Vec<HostFolder>,
    /// Serves about.html as /about, too
    #[arg(long)]
    #[serde(default)]
    clean_urls: bool,
    /// The page of the site that is sent, with 404, where nothing is, such as /404.html
    #[arg(long, value_name = "PATH")]
    not_found: Option<String>,
    /// The page of the site that is sent for every path without a dot in its last name where
    /// nothing is, for applications that run in the browser, such as /index.html
    #[arg(long, value_name = "PATH")]
    fallback: Option<String>,
    /// Answers only users with a password: those of this file, as `htpasswd -B` writes it. It is
    /// read again when it has changed
    #[arg(long, value_name = "FILE", help_heading = LAYERS)]
    pub(super) auth: Option<PathBuf>,
    /// How many requests a second a client may send on average; ten seconds' worth may come at
    /// once. Further ones get 429 [default: no limit]
    #[arg(long, value_name = "N", help_heading = LAYERS)]
    pub(super) request_rate: Option<NonZeroU32>,
    /// Believes proxies in this network what X-Forwarded-For and X-Forwarded-Proto say of their
    /// clients: 10.0.0.0/8, an address, or unix; may be repeated
    #[arg(long, value_name = "NETWORK", help_heading = LAYERS)]
    #[serde(default)]
    pub(super) trust_forwarded: Vec<String>,
    /// A field of every answer, such as "X-Frame-Options: DENY"; may be repeated
    #[arg(long, value_name = "FIELD", help_heading = LAYERS)]
    #[serde(default)]
    pub(super) header: Vec<String>,
    /// Lets scripts of another origin read answers (CORS), such as https://example.org, or * for
    /// all; may be repeated
    #[arg(long, value_name = "ORIGIN", help_heading = LAYERS)]
    #[serde(default)]
    pub(super) cors: Vec<String>,
    /// Sends clients from a path to another one or to a URL, by 308; /old/*=/new/ moves all that is
    /// beneath. May be repeated
    #[arg(long, value_name = "FROM=TO", help_heading = LAYERS)]
    #[serde(default)]
    pub(super) redirect: Vec<String>,
    /// Sends clients that came by http to the same address by https, but for
    /// /.well-known/acme-challenge/
    #[arg(long, help_heading = LAYERS)]
    #[serde(default)]
    pub(super) redirect_https: bool,
}

/// The heading of flags for layers around files and scripts.
const LAYERS: &str = "Requests and answers";

/// A host's name, and the folder that is served to requests for it.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
struct HostFolder {
    name: String,
    folder: PathBuf,
}

impl std::str::FromStr for HostFolder {
    type Err = String;

    fn from_str(text: &str) -> Result<HostFolder, String> {
        match text.split_once('=') {
            Some((name, folder)) if !name.is_empty() && !folder.is_empty() => {
                Ok(HostFolder { name: name.to_owned(), folder: folder.into() })
            }
            _ => Err(format!("{text:?} is not a host and its folder: write example.org=DIR")),
        }
    }
}

impl TryFrom<String> for HostFolder {
    type Error = String;

    fn try_from(text: String) -> Result<HostFolder, String> {
        text.parse()
    }
}

/// A site that can be served.
#[derive(Clone)]
pub(super) struct Site {
    site: web::Site,
    limits: Limits,
}

impl Content {
    /// Relative paths begin at `base`.
    pub(super) fn beneath(mut self, base: &Path) -> Content {
        self.folder = base.join(&self.folder);
        self.cgi = self.cgi.map(|cgi| base.join(cgi));
        self.auth = self.auth.map(|auth| base.join(auth));
        for host in &mut self.host {
            host.folder = base.join(&host.folder);
        }
        self
    }

    /// The folder whose files are served.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Looks at the folders.
    pub(super) fn open(&self, source: &Source) -> anyhow::Result<Site> {
        let place = |key| source.place(key, None);
        let body_max = self.max_body.map_or(BODY_MAX, |Size(bytes)| bytes);
        let mut site = web::Site::new().at("/", self.hosts(source)?);
        if let Some(folder) = &self.cgi {
            let cgi = Cgi::new(folder).with_context(|| no_folder(place("http.cgi"), folder))?;
            let cgi = self.limit(cgi.body_max(body_max)).documents(&self.folder);
            let prefix = self.cgi_prefix.as_deref().unwrap_or(CGI_PREFIX);
            if prefix.split('/').all(str::is_empty) {
                bail!(
                    "{}: beneath {prefix:?} is every file of {}, and a path has either a file or a \
                     script: give scripts a path of their own, such as {CGI_PREFIX}",
                    place("http.cgi-prefix"),
                    self.folder.display()
                );
            }
            self.keep_sources(folder, prefix).with_context(|| place("http.cgi"))?;
            site = site.at(prefix, cgi);
        }
        let site = web::Site::new().at("/", layers::around(self, source, site)?);
        Ok(Site { site, limits: Limits { body_bytes_max: body_max, ..Limits::default() } })
    }

    /// Refuses scripts that would be sent as files by another path than that of scripts.
    fn keep_sources(&self, scripts: &Path, prefix: &str) -> anyhow::Result<()> {
        let there = scripts.canonicalize()?;
        for folder in self.host.iter().map(|host| &host.folder).chain([&self.folder]) {
            let Ok(path) = there.strip_prefix(folder.canonicalize()?).map(Path::to_owned) else {
                continue;
            };
            if path != Path::new(prefix.trim_matches('/')) {
                bail!(
                    "the scripts in {} would be sent to everybody as files, by the path /{}: keep \
                     them outside of {}{}",
                    scripts.display(),
                    path.display(),
                    folder.display(),
                    match path.as_os_str().is_empty() {
                        true => String::new(),
                        false => ", or make that the scripts' prefix".to_owned(),
                    }
                );
            }
        }
        Ok(())
    }

    /// Scripts within their limits, with their variables.
    fn limit(&self, mut cgi: Cgi) -> Cgi {
        if let Some(Limit(time)) = self.cgi_timeout {
            cgi = cgi.time(time);
        }
        if let Some(Limit(time)) = self.cgi_header_timeout {
            cgi = cgi.header_time(time);
        }
        if let Some(scripts) = self.cgi_scripts {
            cgi = cgi.running_max(scripts.get());
        }
        if let Some(requests) = self.cgi_queue {
            cgi = cgi.queue_max(requests);
        }
        if let Some(Span(time)) = self.cgi_queue_timeout {
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

    /// The folder, of those that are served, in which a file is.
    pub(super) fn folder_of(&self, file: &Path) -> Option<&Path> {
        let file = file.canonicalize().ok()?;
        let hosts = self.host.iter().map(|host| &host.folder);
        let mut folders = hosts.chain([&self.folder]).chain(&self.cgi);
        let found = folders
            .find(|folder| folder.canonicalize().is_ok_and(|folder| file.starts_with(folder)));
        found.map(PathBuf::as_path)
    }

    /// The files of each host.
    fn hosts(&self, source: &Source) -> anyhow::Result<Box<dyn Handler>> {
        let files = self.files(&self.folder, source.place("http.folder", None), source)?;
        if self.host.is_empty() {
            return Ok(Box::new(files));
        }
        let mut hosts = Hosts::new(files);
        for (at, HostFolder { name, folder }) in self.host.iter().enumerate() {
            let place = source.place("http.host", Some(at));
            let files = self.files(folder, place.clone(), source)?;
            hosts = hosts.at(name, files).context(place)?;
        }
        Ok(Box::new(hosts))
    }

    /// The files of one folder, with what is said where none is.
    fn files(&self, folder: &Path, at: String, source: &Source) -> anyhow::Result<Missing<Files>> {
        let place = |key| source.place(key, None);
        let mut files = Files::new(folder)
            .with_context(|| no_folder(at, folder))?
            .listing(self.list)
            .hidden(self.hidden)
            .clean_urls(self.clean_urls)
            .packing(!self.no_gzip);
        if !self.index.is_empty() {
            files = files.index(&self.index);
        }
        if let Some(text) = &self.cache_control {
            let value = HeaderValue::from_str(text).with_context(|| {
                let place = place("http.cache-control");
                format!("{place}: {text:?} cannot be a Cache-Control; max-age=3600 or no-cache can")
            })?;
            files = files.cache_control(value);
        }
        let mut missing = Missing::new(files);
        if let Some(path) = &self.not_found {
            missing = missing.page(path).with_context(|| place("http.not-found"))?;
        }
        if let Some(path) = &self.fallback {
            missing = missing.fallback(path).with_context(|| place("http.fallback"))?;
        }
        Ok(missing)
    }

    /// What a user who looks at the site first will miss.
    pub(super) fn hint(&self) -> Option<&'static str> {
        let has_index = || self.folder.join("index.html").exists();
        (self.folder.is_dir() && !self.list && self.index.is_empty() && !has_index())
            .then_some("the folder has no index.html: with --list its files are shown")
    }
}

impl Site {
    /// The server's side of one connection.
    pub(super) fn with(&self, peer: &Peer) -> Http<web::Site> {
        Http::with_limits(self.site.for_peer(peer), self.limits)
    }
}

fn no_folder(place: String, path: &Path) -> String {
    let path = path.display();
    format!("{place}: cannot serve {path}: it must be a folder that this user may read")
}
