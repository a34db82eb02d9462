//! Options of `serve http`: the folder of files, the folder of scripts, and the layers.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::values::{Count, Size, TimeLimit, TimeSpan, Variable, read_from_strings};

/// The options of an HTTP server.
#[derive(Debug, Clone, clap::Args, Deserialize)]
#[command(next_help_heading = "Files and scripts")]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(in crate::serve) struct HttpOptions {
    /// The folder whose files are served. Nothing outside of it is, wherever symbolic links lead
    #[arg(value_name = "DIR", help_heading = "Arguments")]
    pub(in crate::serve) folder: PathBuf,
    /// Lists the files of folders without an index
    #[arg(long)]
    #[serde(default)]
    pub(in crate::serve) list: bool,
    /// The file that is sent for its folder. May be repeated: the first one that exists is sent
    /// [default: index.html]
    #[arg(long, value_name = "NAME")]
    #[serde(default)]
    pub(in crate::serve) index: Vec<String>,
    /// Serves names that begin with a dot, too. Without it, .well-known is the only one of them
    /// that is served
    #[arg(long)]
    #[serde(default)]
    pub(in crate::serve) hidden: bool,
    /// The Cache-Control field of every file, such as max-age=3600 [default: none]
    #[arg(long, value_name = "VALUE")]
    pub(in crate::serve) cache_control: Option<String>,
    /// Disables compression. Without it, texts of 1 KiB to 1 MiB are compressed with brotli, zstd
    /// or gzip. Precompressed files beside others (.br, .zst, .gz) are sent all the same
    #[arg(long, alias = "no-compression")]
    #[serde(default)]
    pub(in crate::serve) no_gzip: bool,
    /// Runs the executable files of this folder as CGI scripts (RFC 3875)
    #[arg(long, value_name = "DIR")]
    pub(in crate::serve) cgi: Option<PathBuf>,
    /// The path below which scripts are found: /cgi-bin/NAME runs the file NAME [default:
    /// /cgi-bin/]
    #[arg(long, value_name = "PATH", requires = "cgi")]
    pub(in crate::serve) cgi_prefix: Option<String>,
    /// Time limit for a script, also after it has answered; then it is killed [default: 5m]
    #[arg(long, value_name = "DURATION", requires = "cgi")]
    pub(in crate::serve) cgi_timeout: Option<TimeLimit>,
    /// Time limit for a script's header: the lines before its output, and an empty one [default:
    /// --cgi-timeout if that is given, else 30s]
    #[arg(long, value_name = "DURATION", requires = "cgi")]
    pub(in crate::serve) cgi_header_timeout: Option<TimeLimit>,
    /// Number of scripts that run at the same time; further requests wait (--cgi-queue). A script
    /// runs until its process has ended [default: 32]
    #[arg(long, value_name = "N", requires = "cgi")]
    pub(in crate::serve) cgi_scripts: Option<Count>,
    /// Number of requests that may wait for a script to run; further ones are answered 503. 0:
    /// none waits [default: 1000]
    #[arg(long, value_name = "N", requires = "cgi")]
    pub(in crate::serve) cgi_queue: Option<usize>,
    /// Time limit for such a wait; then the request is answered 503 [default: 30s]
    #[arg(long, value_name = "DURATION", requires = "cgi")]
    pub(in crate::serve) cgi_queue_timeout: Option<TimeSpan>,
    /// Number of bytes that a script may write; at that limit it is killed, and its answer is cut
    /// off [default: 1GiB]
    #[arg(long, value_name = "SIZE", requires = "cgi")]
    pub(in crate::serve) cgi_max_output: Option<Size>,
    /// Adds a variable to the environment of scripts, which otherwise has the variables of RFC
    /// 3875, and PATH, LANG, LC_ALL and TZ of this process. May be repeated
    #[arg(long, value_name = "NAME=VALUE", requires = "cgi")]
    #[serde(default)]
    pub(in crate::serve) cgi_env: Vec<Variable>,
    /// Passes the Authorization field, and with it clients' passwords, to scripts as
    /// HTTP_AUTHORIZATION
    #[arg(long, requires = "cgi")]
    #[serde(default)]
    pub(in crate::serve) cgi_authorization: bool,
    /// Number of bytes of a request's body; a larger one is answered 413 [default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    pub(in crate::serve) max_body: Option<Size>,
    /// Serves another folder for this host: example.org=DIR. *.example.org=DIR covers all names
    /// below example.org, but not that name itself: give both. Requests for other names get the
    /// first folder. May be repeated
    #[arg(long, value_name = "NAME=DIR")]
    #[serde(default)]
    pub(in crate::serve) host: Vec<HostFolder>,
    /// Serves about.html as /about, too
    #[arg(long)]
    #[serde(default)]
    pub(in crate::serve) clean_urls: bool,
    /// The page that is sent, with status 404, for paths that do not exist: a path of the site,
    /// such as /404.html
    #[arg(long, value_name = "PATH")]
    pub(in crate::serve) not_found: Option<String>,
    /// The page that is sent, with status 200, for paths that do not exist, unless their last name
    /// has a dot: for applications that run in the browser. A path of the site, such as /index.html
    #[arg(long, value_name = "PATH")]
    pub(in crate::serve) fallback: Option<String>,
    /// Answers only users with a password: those of this file, as `htpasswd -B` writes it. The file
    /// is read again when it changes. Exempt: tokens of /.well-known/acme-challenge/
    #[arg(long, value_name = "FILE", help_heading = LAYERS)]
    pub(in crate::serve) auth: Option<PathBuf>,
    /// Requests a second that each client may send on average; a burst may have ten seconds' worth.
    /// Further ones are answered 429 [default: no limit]
    #[arg(long, value_name = "N", help_heading = LAYERS)]
    pub(in crate::serve) request_rate: Option<Count>,
    /// Takes a client's address and scheme from X-Forwarded-For and X-Forwarded-Proto, if the
    /// request comes from a proxy in this network: 10.0.0.0/8, one address, or unix (everything
    /// that arrives by a Unix socket). May be repeated
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
    /// Redirects from a path to another one or to a URL, with status 308: /old=/new. /old/*=/new/
    /// covers everything below /old. May be repeated
    #[arg(long, value_name = "FROM=TO", help_heading = LAYERS)]
    #[serde(default)]
    pub(in crate::serve) redirect: Vec<String>,
    /// Redirects from http to the same address with https, with status 308. Exempt: paths below
    /// /.well-known/acme-challenge/
    #[arg(long, help_heading = LAYERS)]
    #[serde(default)]
    pub(in crate::serve) redirect_https: bool,
}

/// The heading in the help of flags for layers.
const LAYERS: &str = "Requests and answers";

/// A host's name, and the folder that is served to requests for it.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub(in crate::serve) struct HostFolder {
    pub(in crate::serve) name: String,
    pub(in crate::serve) folder: PathBuf,
}

read_from_strings!(HostFolder);

impl std::str::FromStr for HostFolder {
    type Err = String;

    fn from_str(text: &str) -> Result<HostFolder, String> {
        match text.split_once('=') {
            Some((name, folder)) if !name.is_empty() && !folder.is_empty() => {
                Ok(HostFolder { name: name.to_owned(), folder: folder.into() })
            }
            _ => Err(format!("{text:?} is not a host and a folder: write example.org=DIR")),
        }
    }
}

impl HttpOptions {
    /// Makes relative paths start at `base`.
    pub(in crate::serve) fn relative_to(mut self, base: &Path) -> HttpOptions {
        self.folder = base.join(&self.folder);
        self.cgi = self.cgi.map(|cgi| base.join(cgi));
        self.auth = self.auth.map(|auth| base.join(auth));
        for host in &mut self.host {
            host.folder = base.join(&host.folder);
        }
        self
    }

    /// Returns the folder whose files are served.
    pub(in crate::serve) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns a hint for a user who tries the site in a browser.
    pub(in crate::serve) fn hint(&self) -> Option<&'static str> {
        let has_index = || self.folder.join("index.html").exists();
        (self.folder.is_dir() && !self.list && self.index.is_empty() && !has_index())
            .then_some("the folder has no index.html: --list shows its files")
    }
}
