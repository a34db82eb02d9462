//! Options of every server: its addresses and limits, and those of the whole process.

use std::path::PathBuf;

use overlapped_serve::{AccessLog, Server};
use serde::Deserialize;

use super::access::{Mode, Owner};
use super::values::{Count, Rate, TimeLimit, TimeSpan};

/// The listeners of a server.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Listening")]
pub(in crate::serve) struct Listening {
    /// Addresses to listen on: host:port, unix:/path, or fd:NAME for a socket passed by systemd.
    /// The host 0.0.0.0 is every interface; for port 0 the system chooses one. May be repeated
    #[arg(long, value_name = "ADDR")]
    pub(in crate::serve) listen: Vec<String>,
    /// Serves TLS with this certificate and its chain (PEM). SIGHUP reads it again. May be
    /// repeated, for several names
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(in crate::serve) tls_cert: Vec<PathBuf>,
    /// The key of the certificate (PEM). One for each certificate, in the same order
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(in crate::serve) tls_key: Vec<PathBuf>,
    /// The mode of Unix sockets, such as 660: write permission allows connecting [default: by
    /// umask]
    #[arg(long, value_name = "MODE")]
    pub(in crate::serve) socket_mode: Option<Mode>,
    /// The owner of Unix sockets: user, user:group or :group, by names or numbers
    #[arg(long, value_name = "OWNER")]
    pub(in crate::serve) socket_owner: Option<Owner>,
    /// Requires the PROXY protocol (v1 or v2), by which a proxy reports the addresses of clients.
    /// Only for listeners that nothing but the proxy can reach
    #[arg(long)]
    pub(in crate::serve) proxy_protocol: bool,
}

/// Limits for clients. Omitted ones have the library's defaults, all of which are safe to face the
/// internet.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[command(next_help_heading = "Limits")]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(in crate::serve) struct Limits {
    /// Number of simultaneous connections. Further clients wait until one ends; none is refused
    /// [default: 10000]
    #[arg(long, value_name = "N")]
    max_connections: Option<Count>,
    /// Number of simultaneous connections from one address (one /64 for IPv6); further ones are
    /// closed at once [default: 1024]
    #[arg(long, value_name = "N")]
    pub(in crate::serve) per_address: Option<Count>,
    /// Time for which a connection without a request is kept [default: 60s]
    #[arg(long, value_name = "DURATION")]
    idle_timeout: Option<TimeLimit>,
    /// Time limit for the head of a request (for the whole request, in the small protocols), and
    /// for a TLS handshake [default: 10s]
    #[arg(long, value_name = "DURATION")]
    head_timeout: Option<TimeLimit>,
    /// Time limit for answering one request, including reading its body [default: no limit]
    #[arg(long, value_name = "DURATION")]
    request_timeout: Option<TimeLimit>,
    /// Minimum rate at which a client must send a body, and receive an answer, on average: bytes a
    /// second, such as 500 or 1KiB. Slower connections are closed. 0: no minimum [default: 500]
    #[arg(long, value_name = "SIZE")]
    pub(in crate::serve) rate: Option<Rate>,
    /// Time by which a client may fall behind --rate, so the longest pause [default: 60s]
    #[arg(long, value_name = "DURATION")]
    pub(in crate::serve) allowance: Option<TimeLimit>,
}

impl Limits {
    pub(in crate::serve) fn resolve(&self) -> overlapped_serve::Limits {
        let usual = overlapped_serve::Limits::default();
        let time = |limit: Option<TimeLimit>, usual| limit.map_or(usual, |TimeLimit(time)| time);
        overlapped_serve::Limits {
            connections: self.max_connections.map_or(usual.connections, Count::get),
            per_address: self.per_address.map_or(usual.per_address, Count::get),
            idle: time(self.idle_timeout, usual.idle),
            head: time(self.head_timeout, usual.head),
            request: self.request_timeout.map(|TimeLimit(time)| time).or(usual.request),
            rate: self.rate.map_or(usual.rate, |Rate(bytes)| bytes),
            allowance: time(self.allowance, usual.allowance),
            ..usual
        }
    }
}

/// The format of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::serve) enum LogFormat {
    Combined,
    Json,
}

/// Options of the whole process.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Process")]
pub(in crate::serve) struct Process {
    /// Number of threads that serve; the kernel distributes clients over them [default: 1]
    #[arg(long, value_name = "N")]
    pub(in crate::serve) threads: Option<Count>,
    /// Time limit for finishing requests that are being answered after SIGTERM or Ctrl-C
    /// [default: 10s]
    #[arg(long, value_name = "DURATION")]
    pub(in crate::serve) drain: Option<TimeSpan>,
    /// Time for which clients are still served after SIGTERM or Ctrl-C, while /readyz (see
    /// --metrics) already answers 503. Longer than load balancers need to notice [default: 0s]
    #[arg(long, value_name = "DURATION")]
    pub(in crate::serve) lame_duck: Option<TimeSpan>,
    /// Answers /metrics (for Prometheus), /healthz and /readyz on a separate address
    #[arg(long, value_name = "ADDR")]
    pub(in crate::serve) metrics: Option<String>,
    /// Appends a line for each request to this file; - is standard output. SIGHUP reopens the file
    #[arg(long, value_name = "FILE")]
    pub(in crate::serve) access_log: Option<std::path::PathBuf>,
    /// Format of --access-log: combined, as Apache and nginx write it, or JSON [default: combined]
    #[arg(long, value_name = "FORMAT", requires = "access_log")]
    pub(in crate::serve) log_format: Option<LogFormat>,
}

impl Process {
    pub(in crate::serve) fn has_lame_duck(&self) -> bool {
        self.lame_duck.is_some_and(|TimeSpan(time)| !time.is_zero())
    }

    /// Makes a server with these options.
    pub(in crate::serve) fn server(&self) -> Server {
        let mut server = Server::new();
        if let Some(threads) = self.threads {
            server = server.threads(threads.get());
        }
        if let Some(TimeSpan(grace)) = self.drain {
            server = server.grace(grace);
        }
        if let Some(TimeSpan(time)) = self.lame_duck {
            server = server.lame_duck(time);
        }
        server = server.log_format(match self.log_format {
            None | Some(LogFormat::Combined) => overlapped_serve::LogFormat::Combined,
            Some(LogFormat::Json) => overlapped_serve::LogFormat::Json,
        });
        match &self.access_log {
            Some(path) if path.as_os_str() == "-" => server.access_log(AccessLog::Stdout),
            Some(path) => server.access_log(AccessLog::File(path.clone())),
            None => server,
        }
    }
}
