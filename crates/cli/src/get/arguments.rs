//! The options of `overlapped get`, and their help.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::ArgAction;
use overlapped::time::Duration;

use super::client::Field;
use super::file::checksum::Checksum;
use crate::serve::Size;

/// Downloads URLs, many at a time.
///
/// Each file is saved in the current folder, or in the one given by --output, under the name that
/// the server proposes, or else under the last part of its URL. It gets that name when it is
/// complete; until then it is called *.part. Failed attempts are repeated and continue where the
/// last one ended; so does the next run with every *.part that it finds, as long as the server has
/// the same version (to start over, remove the *.part). Failures are listed at the end; they do not
/// stop the other downloads.
///
///   overlapped get https://example.com/a.iso https://example.com/b.iso
///   overlapped get -o page.html https://example.com/     one URL to one file
///   overlapped get -o isos/ -i urls.txt                  a list of URLs into a folder
///   overlapped get --resume -o isos/ -i urls.txt         what is missing after Ctrl-C or a failure
///   overlapped get --compare -i urls.txt                 one by one against simultaneously
///
/// Each line of a list is one URL; the name of its file and its SHA-256 may follow, each after a
/// tab.
///
/// If a file of that name exists, the download fails and the file stays; --overwrite replaces it
/// when the new one is complete, --resume skips it. If --output names a symbolic link, the link
/// stays, and the file that it leads to is replaced or created, as with curl and wget; if the name
/// comes from a server, a URL or a list, the link itself is replaced.
///
/// User and password are given in the URL, https://USER:PASSWORD@HOST/, or in ~/.netrc (--netrc).
/// Redirects are followed. Certificates are always checked.
///
/// Not supported: methods other than GET, uploads, cookies that servers set, compressed transfer,
/// HTTP/2, one file over several connections, following links in pages, and a limit on downloads
/// per host. curl, aria2 and wget do these.
///
/// Exit code: 0 if every file is complete, 1 if one is not, 2 if the command line is malformed,
/// 130 after Ctrl-C, 143 after SIGTERM. SIGQUIT (Ctrl-\) shows what every download waits for, and
/// the downloads continue.
#[derive(clap::Args)]
#[allow(rustdoc::bare_urls, reason = "this text is for the terminal")]
#[command(
    verbatim_doc_comment,
    after_help = "Environment:\n  \
    http_proxy                    a proxy for http:// (not HTTP_PROXY: a CGI script's client can \
    set it)\n  \
    https_proxy, HTTPS_PROXY      a proxy for https://\n  \
    all_proxy, ALL_PROXY          a proxy for both\n  \
    no_proxy, NO_PROXY            exceptions: hosts with all names below them, addresses, \
    networks (10.0.0.0/8), or *\n  \
    SSL_CERT_FILE, SSL_CERT_DIR   certificates to trust instead of the system's\n\n\
    A proxy is [SCHEME://][USER:PASSWORD@]HOST[:PORT]; its scheme is http, https, socks4, socks4a, \
    socks5 or socks5h. With socks4a and socks5h the proxy looks names up."
)]
pub(crate) struct Arguments {
    /// The URLs to download, http or https; - reads URLs from standard input
    #[arg(value_name = "URL", required_unless_present = "input")]
    pub(super) urls: Vec<String>,
    /// Reads URLs from a file, one on each line; - is standard input; lines that begin with # are
    /// skipped. A name and a SHA-256 may follow the URL, each after a tab
    #[arg(short, long, alias = "input-file", value_name = "FILE")]
    pub(super) input: Option<PathBuf>,
    /// The place to save in: DIR/ is a folder, created if it is missing; another name is that of
    /// the file, if there is one URL. Devices, named pipes and - (standard output) are written as
    /// the bytes arrive
    #[arg(short, long, value_name = "FILE|DIR")]
    pub(super) output: Option<PathBuf>,
    /// Number of simultaneous downloads
    #[arg(short, long, value_name = "N", default_value = "50")]
    pub(super) jobs: NonZeroUsize,
    /// Downloads what an earlier run left out: skips files that exist, and continues each *.part.
    /// Not for devices, pipes and standard output
    #[arg(short = 'c', long, alias = "continue")]
    pub(super) resume: bool,
    /// Replaces files that exist
    #[arg(long)]
    pub(super) overwrite: bool,
    /// Adds a field to every request, as "NAME: VALUE"; Authorization and Cookie are sent to the
    /// URL's own host and port only, not to where it redirects
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    pub(super) headers: Vec<Field>,
    /// Takes users and passwords from ~/.netrc, or from the file that NETRC names, for URLs without
    /// them
    #[arg(long)]
    pub(super) netrc: bool,
    /// The name that the program sends to servers; by default overlapped and its version
    #[arg(short = 'A', long, value_name = "NAME", value_parser = user_agent)]
    pub(super) user_agent: Option<Field>,
    /// The SHA-256 that the file must have; a file with another one is a failure, and is not saved
    #[arg(long, value_name = "HEX")]
    pub(super) sha256: Option<Checksum>,
    /// Gives files the modification date that the server states, instead of the current time
    #[arg(short = 'R', long)]
    pub(super) remote_time: bool,
    /// Limit on bytes per second, of all downloads together, such as 500KiB or 2MiB
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    pub(super) rate_limit: Option<u64>,
    /// Prints only failures
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Waits at the end until the files and their names are on the disk. Without it a power failure
    /// soon after may lose some, as with curl and wget; --resume detects a file that has lost bytes
    #[arg(long)]
    pub(super) sync: bool,
    /// Downloads everything twice, first one by one, then simultaneously, and prints both times;
    /// only the files of the second time are kept
    #[arg(long, conflicts_with = "resume")]
    pub(super) compare: bool,
    /// Number of further attempts of a failed download, if another attempt may help; not after an
    /// answer such as 404
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(super) retries: u32,
    /// The pause before the second attempt; each further pause is twice as long, up to a minute
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = duration)]
    pub(super) retry_delay: Duration,
    /// Time limit for the server's answer, with all that precedes it (looking up its name,
    /// connecting to any of its addresses, TLS, redirects), and then for each further piece of the
    /// file. A server that never answers takes all attempts and the pauses between them: by default
    /// 4 x 30s + 3.5s
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(super) timeout: Duration,
    /// Trusts the certificates in this file (PEM), and those they have issued, and no others
    #[arg(long, value_name = "FILE")]
    pub(super) cacert: Option<PathBuf>,
    /// Accepted for users of curl: redirects are followed anyway
    #[arg(short = 'L', long, action = ArgAction::Count, hide = true)]
    pub(super) location: u8,
    /// Accepted for users of curl: unsuccessful answers are never saved anyway
    #[arg(short, long, action = ArgAction::Count, hide = true)]
    pub(super) fail: u8,
}

fn user_agent(text: &str) -> Result<Field, String> {
    format!("User-Agent: {text}").parse()
}

fn rate(text: &str) -> Result<u64, String> {
    match text.parse::<Size>()?.0 {
        0 => Err("must be more than 0".to_owned()),
        bytes => Ok(bytes),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("must be longer than 0".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(format!("{error}; write it as 500ms, 30s or 5m")),
    }
}
