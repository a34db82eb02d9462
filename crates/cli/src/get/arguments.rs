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
/// Each file is saved under the name that the server or the URL gives it, in this folder or in the
/// one that --output names. It gets that name when all of it has come; until then it is called
/// *.part. Failed attempts are repeated and go on where the last one ended. Failures are listed at
/// the end, the rest goes on.
///
///   overlapped get https://example.com/a.iso https://example.com/b.iso
///   overlapped get -o page.html https://example.com/     one URL to one file
///   overlapped get -o isos/ -i urls.txt                  a list of URLs into a folder
///   overlapped get --resume -o isos/ -i urls.txt         goes on after Ctrl-C or a failure
///   overlapped get --compare -i urls.txt                 one by one against all at once
///
/// A line of a list is a URL, and behind it, each after a tab, a name and a SHA-256; either may be
/// empty.
///
/// Not meant to be there: methods other than GET, uploads, cookies that servers set, packed
/// bodies, HTTP/2, one file over several connections, following the links of pages, and a limit of
/// downloads per host beside --jobs. curl, aria2 and wget do these.
///
/// Exit code: 0 when every file is there, 1 when one is not, 130 after Ctrl-C. SIGQUIT (Ctrl-\)
/// shows what every download waits for, and goes on.
#[derive(clap::Args)]
#[allow(rustdoc::bare_urls, reason = "this text is for the terminal")]
#[command(
    verbatim_doc_comment,
    after_help = "Environment:\n  \
    http_proxy                    a proxy for http:// (not HTTP_PROXY: a CGI script's client can \
    set it)\n  \
    https_proxy, HTTPS_PROXY      a proxy for https://\n  \
    all_proxy, ALL_PROXY          a proxy for both\n  \
    no_proxy, NO_PROXY            what is asked directly: hosts with all below them, addresses, \
    networks (10.0.0.0/8), or *\n  \
    SSL_CERT_FILE, SSL_CERT_DIR   whom to trust instead of the system's list\n\n\
    A proxy is [SCHEME://][USER:PASSWORD@]HOST[:PORT]; its scheme is http, https, socks4, socks4a, \
    socks5 or socks5h. The last letter of socks4a and socks5h has the proxy look names up."
)]
pub(crate) struct Arguments {
    /// What to download, http or https; - reads URLs from standard input
    #[arg(value_name = "URL", required_unless_present = "input")]
    pub(super) urls: Vec<String>,
    /// Reads URLs from a file, one a line; - is standard input; lines that begin with # are
    /// skipped. Behind the URL a line may have a name and a SHA-256, each after a tab
    #[arg(short, long, alias = "input-file", value_name = "FILE")]
    pub(super) input: Option<PathBuf>,
    /// Where to save: a folder, made where it is missing; for a single URL, a file; devices, named
    /// pipes and - (standard output) are written to, and cannot be begun anew
    #[arg(short, long, value_name = "FILE|DIR")]
    pub(super) output: Option<PathBuf>,
    /// Downloads at a time
    #[arg(short, long, value_name = "N", default_value = "50")]
    pub(super) jobs: NonZeroUsize,
    /// Goes on with what an earlier run has left (*.part), and skips files that are there; not for
    /// devices, pipes and standard output
    #[arg(short = 'c', long, alias = "continue")]
    pub(super) resume: bool,
    /// Replaces files that are there; without it, that is a failure
    #[arg(long)]
    pub(super) overwrite: bool,
    /// A field of every request, as "NAME: VALUE"; Authorization and Cookie go to the URL's own
    /// host and port, and not to where that redirects
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    pub(super) headers: Vec<Field>,
    /// Takes users and passwords from ~/.netrc, or from the file that NETRC names, where the URL
    /// has none
    #[arg(long)]
    pub(super) netrc: bool,
    /// What the program calls itself; without it, overlapped and its version
    #[arg(short = 'A', long, value_name = "NAME", value_parser = user_agent)]
    pub(super) user_agent: Option<Field>,
    /// What the file's SHA-256 is; with another one it does not get its name, and is not there
    #[arg(long, value_name = "HEX")]
    pub(super) sha256: Option<Checksum>,
    /// Files get the date of modification that the server states, and not that of the download
    #[arg(short = 'R', long)]
    pub(super) remote_time: bool,
    /// Bytes per second of all downloads together, such as 500KiB or 2MiB
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    pub(super) rate_limit: Option<u64>,
    /// Says only what failed
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Ends when the files and their names are on the disk. Without it a loss of power soon after
    /// may take some, as with curl and wget; --resume notices a file that is shorter than it was
    #[arg(long)]
    pub(super) sync: bool,
    /// Downloads everything twice: first one by one, to be thrown away, then at once; prints both
    /// times, and how many times as fast the second was
    #[arg(long)]
    pub(super) compare: bool,
    /// Attempts after the first, when the network or the server fails; not where the answer is
    /// final, as 404 is
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(super) retries: u32,
    /// The pause before the second attempt; it doubles with each one, up to a minute
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = duration)]
    pub(super) retry_delay: Duration,
    /// Gives an attempt up when nothing has come for so long; there is no limit on the whole
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(super) timeout: Duration,
    /// Trusts the certificates in this file (PEM), and no others
    #[arg(long, value_name = "FILE")]
    pub(super) cacert: Option<PathBuf>,
    /// For the habit of curl: redirects are followed anyway
    #[arg(short = 'L', long, action = ArgAction::Count, hide = true)]
    pub(super) location: u8,
    /// For the habit of curl: what is no success is never saved anyway
    #[arg(short, long, action = ArgAction::Count, hide = true)]
    pub(super) fail: u8,
}

fn user_agent(text: &str) -> Result<Field, String> {
    format!("User-Agent: {text}").parse()
}

fn rate(text: &str) -> Result<u64, String> {
    match text.parse::<Size>()?.0 {
        0 => Err("must be more than nothing".to_owned()),
        bytes => Ok(bytes),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("must be longer than nothing".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(format!("{error}; write it as 500ms, 30s or 5m")),
    }
}
