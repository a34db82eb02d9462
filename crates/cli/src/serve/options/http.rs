//! `serve http`: a folder, and a folder of scripts, as flags and as keys of the file.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::values::{Count, Size, TimeLimit, TimeSpan, Variable};

/// What an HTTP server serves.
#[derive(Debug, Clone, clap::Args, Deserialize)]
#[command(next_help_heading = "Files and scripts")]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(in crate::serve) struct HttpOptions {
    /// The folder whose files are served; nothing outside of it ever is, wherever links lead
    #[arg(value_name = "DIR", help_heading = "Arguments")]
    pub(in crate::serve) folder: PathBuf,
    /// Lists folders that have no index
    #[arg(long)]
    #[serde(default)]
    pub(in crate::serve) list: bool,
    /// The file that is sent where its folder is asked for. May be repeated: the first that is
    /// there is sent [default: index.html]
    #[arg(long, value_name = "NAME")]
    #[serde(default)]
    pub(in crate::serve) index: Vec<String>,
    /// Serves names that begin with a dot, too. Without it, none of them is served but
    /// .well-known
    #[arg(long)]
    #[serde(default)]
    pub(in crate::serve) hidden: bool,
    /// The Cache-Control field of every file, such as max-age=3600 [default: none]
    #[arg(long, value_name = "VALUE")]
    pub(in crate::serve) cache_control: Option<String>,
    /// Packs nothing. Without it, texts of 1 KiB to 1 MiB are packed with brotli, zstd or gzip.
    /// Packed files that lie beside others (.br, .zst, .gz) are sent with it, too
    #[arg(long, alias = "no-compression")]
    #[serde(default)]
    pub(in crate::serve) no_gzip: bool,
    /// Runs the executable files of this folder as CGI scripts (RFC 3875)
    #[arg(long, value_name = "DIR")]
    pub(in crate::serve) cgi: Option<PathBuf>,
    /// The path beneath which scripts are found: /cgi-bin/NAME runs the file NAME [default:
    /// /cgi-bin/]
    #[arg(long, value_name = "PATH", requires = "cgi")]
    pub(in crate::serve) cgi_prefix: Option<String>,
    /// Longest time that a script may run, also after it has answered; then it is killed [default:
    /// 5m]
    #[arg(long, value_name = "DURATION", requires = "cgi")]
    pub(in crate::serve) cgi_timeout: Option<TimeLimit>,
    /// Longest time that a script may take until its header is complete: the lines before its
    /// output, and an empty one [default: --cgi-timeout where that is given, else 30s]
    #[arg(long, value_name = "DURATION", requires = "cgi")]
    pub(in crate::serve) cgi_header_timeout: Option<TimeLimit>,
    /// Number of scripts that may run at the same time. Requests for more of them wait
    /// (--cgi-queue). A script runs until its process has ended [default: 32]
    #[arg(long, value_name = "N", requires = "cgi")]
    pub(in crate::serve) cgi_scripts: Option<Count>,
    /// Number of requests that may wait until a script may run; further ones are answered 503. 0:
    /// none waits [default: 1000]
    #[arg(long, value_name = "N", requires = "cgi")]
    pub(in crate::serve) cgi_queue: Option<usize>,
    /// Longest time that such a request may wait; then it is answered 503 [default: 30s]
    #[arg(long, value_name = "DURATION", requires = "cgi")]
    pub(in crate::serve) cgi_queue_timeout: Option<TimeSpan>,
    /// Number of bytes that a script may write; beyond that it is killed, and its answer breaks off
    /// [default: 1GiB]
    #[arg(long, value_name = "SIZE", requires = "cgi")]
    pub(in crate::serve) cgi_max_output: Option<Size>,
    /// Adds a variable to the environment of scripts. Without it they have those of RFC 3875, and
    /// PATH, LANG, LC_ALL and TZ of this process. May be repeated
    #[arg(long, value_name = "NAME=VALUE", requires = "cgi")]
    #[serde(default)]
    pub(in crate::serve) cgi_env: Vec<Variable>,
    /// Shows scripts the Authorization field, and with it clients' passwords, as HTTP_AUTHORIZATION
    #[arg(long, requires = "cgi")]
    #[serde(default)]
    pub(in crate::serve) cgi_authorization: bool,
    /// Number of bytes that the body of a request may have; more is answered 413 [default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    pub(in crate::serve) max_body: Option<Size>,
    /// Serves another folder to requests for this host: example.org=DIR. *.example.org=DIR is for
    /// all names beneath example.org, but not for that name itself: give both. Requests for other
    /// names get the first folder. May be repeated
    #[arg(long, value_name = "NAME=DIR")]
    #[serde(default)]
    pub(in crate::serve) host: Vec<HostFolder>,
    /// Serves about.html as /about, too
    #[arg(long)]
    #[serde(default)]
    pub(in crate::serve) clean_urls: bool,
    /// The page that is sent, with status 404, for paths where nothing is: a path of the site, such
    /// as /404.html
    #[arg(long, value_name = "PATH")]
    pub(in crate::serve) not_found: Option<String>,
    /// The page that is sent, with status 200, for paths where nothing is, but not for those with a
    /// dot in their last name: for applications that run in the browser. A path of the site, such
    /// as /index.html
    #[arg(long, value_name = "PATH")]
    pub(in crate::serve) fallback: Option<String>,
    /// Answers only users with a password: those of this file, as `htpasswd -B` writes it. It is
    /// read again when it has changed. Not asked for: tokens of /.well-known/acme-challenge/
    #[arg(long, value_name = "FILE", help_heading = LAYERS)]
    pub(in crate::serve) auth: Option<PathBuf>,
    /// Requests a second that each client may send on average; as many as in ten seconds may
    /// come at once. More are answered 429 [default: no limit]
    #[arg(long, value_name = "N", help_heading = LAYERS)]
    pub(in crate::serve) request_rate: Option<Count>,
    /// Takes a client's address and scheme from X-Forwarded-For and X-Forwarded-Proto, if the
    /// request comes from a proxy in this network: 10.0.0.0/8, one address, or unix (all that come
    /// by a Unix socket). May be repeated
    #[arg(long, value_name = "NETWORK", help_heading = LAYERS)]
    #[serde(default)]
    pub(in crate::serve) trust_forwarded: Vec<String>,
    /// Adds a field to every answer, such as "X-Frame-Options: DENY". May be repeated
    #[arg(long, value_name = "FIELD", help_heading = LAYERS)]
    #[serde(default)]
    pub(in crate::serve) header: Vec<String>,
    /// Lets scripts of pages from another origin read answers (CORS): https://example.org, or * for
    /// all origins. May be repeated
    #[arg(long, value_name = "ORIGIN", help_heading = LAYERS)]
    #[serde(default)]
    pub(in crate::serve) cors: Vec<String>,
    /// Sends clients from a path to another one or to a URL, by status 308: /old=/new.
    /// /old/*=/new/ is for all that is beneath /old. May be repeated
    #[arg(long, value_name = "FROM=TO", help_heading = LAYERS)]
    #[serde(default)]
    pub(in crate::serve) redirect: Vec<String>,
    /// Sends clients that come by http to the same address by https, by status 308. Not sent on:
    /// what is beneath /.well-known/acme-challenge/
    #[arg(long, help_heading = LAYERS)]
    #[serde(default)]
    pub(in crate::serve) redirect_https: bool,
}

/// The heading of flags for layers around files and scripts.
const LAYERS: &str = "Requests and answers";

/// A host's name, and the folder that is served to requests for it.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub(in crate::serve) struct HostFolder {
    pub(in crate::serve) name: String,
    pub(in crate::serve) folder: PathBuf,
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

impl HttpOptions {
    /// Relative paths begin at `base`.
    pub(in crate::serve) fn beneath(mut self, base: &Path) -> HttpOptions {
        self.folder = base.join(&self.folder);
        self.cgi = self.cgi.map(|cgi| base.join(cgi));
        self.auth = self.auth.map(|auth| base.join(auth));
        for host in &mut self.host {
            host.folder = base.join(&host.folder);
        }
        self
    }

    /// The folder whose files are served.
    pub(in crate::serve) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What a user who looks at the site first will miss.
    pub(in crate::serve) fn hint(&self) -> Option<&'static str> {
        let has_index = || self.folder.join("index.html").exists();
        (self.folder.is_dir() && !self.list && self.index.is_empty() && !has_index())
            .then_some("the folder has no index.html: with --list its files are shown")
    }
}
