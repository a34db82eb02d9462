//! The plan of a server, from its options, and the checks of options against each other.

use overlapped_serve::Tls;
use overlapped_wire::zen;
use serde::Deserialize;

use super::config::Source;
use super::faults::Faults;
use super::options::http::HttpOptions;
use super::options::server::{Limits, Listening};
use super::options::values::Rate;
use super::site::Site;
use crate::display::count;

/// A protocol that a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ProtocolName {
    Echo,
    Bracket,
    Length,
    Line,
    Zen,
    Http,
}

impl ProtocolName {
    pub(super) fn text(self) -> &'static str {
        match self {
            ProtocolName::Echo => "echo",
            ProtocolName::Bracket => "bracket",
            ProtocolName::Length => "length",
            ProtocolName::Line => "line",
            ProtocolName::Zen => "zen",
            ProtocolName::Http => "http",
        }
    }

    /// Returns the address to listen on by default: on this machine only.
    pub(super) fn default_address(self) -> String {
        let port = match self {
            ProtocolName::Echo => 7007,
            ProtocolName::Bracket => 7008,
            ProtocolName::Length => 7009,
            ProtocolName::Line => 7010,
            ProtocolName::Zen => zen::PORT,
            ProtocolName::Http => 8080,
        };
        format!("127.0.0.1:{port}")
    }
}

/// One server.
#[derive(Debug, Clone)]
pub(super) struct ServerPlan {
    pub(super) name: ProtocolName,
    pub(super) listening: Listening,
    pub(super) limits: Limits,
    /// Options of HTTP; `None` for other protocols.
    pub(super) http: Option<HttpOptions>,
    pub(super) source: Source,
}

/// The source of answers, with all of its files read and checked.
pub(super) enum Handler {
    Echo,
    Bracket,
    Length,
    Line,
    Zen,
    Http(Site),
}

/// A server that is ready to listen.
pub(super) struct PreparedServer {
    pub(super) plan: ServerPlan,
    pub(super) handler: Handler,
    pub(super) tls: Option<Tls>,
}

impl ServerPlan {
    /// Reads and checks all files that the server needs, without listening. If there are faults,
    /// the result must not be served; it is `None` if not even a handler could be made.
    pub(super) fn prepare(self, faults: &mut Faults) -> Option<PreparedServer> {
        let handler = match (self.name, &self.http) {
            (ProtocolName::Echo, _) => Handler::Echo,
            (ProtocolName::Bracket, _) => Handler::Bracket,
            (ProtocolName::Length, _) => Handler::Length,
            (ProtocolName::Line, _) => Handler::Line,
            (ProtocolName::Zen, _) => Handler::Zen,
            (ProtocolName::Http, Some(http)) => Handler::Http(http.open(&self.source, faults)),
            (ProtocolName::Http, None) => {
                faults.add("an HTTP server needs a folder");
                return None;
            }
        };
        self.check_limits(faults);
        self.check_combinations(faults);
        let tls = self.tls(faults);
        Some(PreparedServer { plan: self, handler, tls })
    }

    /// Refuses a limit that another one makes meaningless.
    fn check_limits(&self, faults: &mut Faults) {
        if self.limits.allowance.is_some() && self.limits.rate == Some(Rate(0)) {
            faults.add(format_args!(
                "{}: it has no effect, because a {} of 0 sets no minimum rate: raise that, or \
                 leave {} out",
                self.source.location("limits.allowance", None),
                self.source.name("rate"),
                self.source.name("allowance"),
            ));
        }
    }

    /// Refuses options that have no effect without others.
    fn check_combinations(&self, faults: &mut Faults) {
        let Listening { listen, tls_cert, tls_key, socket_mode, socket_owner, .. } =
            &self.listening;
        if tls_cert.len() != tls_key.len() {
            faults.add(format_args!(
                "{} and {}: give one key for each certificate, in the same order",
                count(tls_cert.len() as u64, "certificate"),
                count(tls_key.len() as u64, "key")
            ));
        }
        for (key, is_given) in
            [("socket-mode", socket_mode.is_some()), ("socket-owner", socket_owner.is_some())]
        {
            if is_given && !listen.iter().any(|on| on.starts_with("unix:")) {
                let location = self.source.location(key, None);
                faults.add(format_args!(
                    "{location}: only Unix sockets have a mode and an owner: listen on unix:/path"
                ));
            }
        }
        let is_unix = |on: &String| on.starts_with("unix:");
        let has_addresses = listen.is_empty() || !listen.iter().all(is_unix);
        if self.limits.per_address.is_some() && !has_addresses && !self.listening.proxy_protocol {
            faults.add(format_args!(
                "{}: clients of Unix sockets have no addresses: leave {} out, or give {} if a \
                 proxy reports the addresses",
                self.source.location("limits.per-address", None),
                self.source.name("per-address"),
                self.source.name("proxy-protocol"),
            ));
        }
        if let Some(http) = &self.http {
            self.check_layers(http, has_addresses, faults);
        }
    }

    /// Refuses layers that have no effect, and adds notes on those whose effect may be unexpected.
    fn check_layers(&self, http: &HttpOptions, has_addresses: bool, faults: &mut Faults) {
        let Listening { listen, tls_cert, tls_key, proxy_protocol, .. } = &self.listening;
        for (at, key) in tls_key.iter().enumerate() {
            http.refuse_if_served(key, || self.source.location("tls", Some(at)), faults);
        }
        if let Source::File { file, .. } = &self.source {
            let location = || self.source.location("http.folder", None);
            http.refuse_if_served(file.path(), location, faults);
        }
        if http.redirect_https && !tls_cert.is_empty() && http.trust_forwarded.is_empty() {
            faults.add(format_args!(
                "{}: every client of this server uses TLS, so no request would be redirected: put \
                 {} into another server, which listens on port 80 without TLS (a second \
                 [[server]] of a configuration file), or add {}, behind a proxy",
                self.source.location("http.redirect-https", None),
                self.source.name("redirect-https"),
                self.source.name("trust-forwarded"),
            ));
        }
        let trusts = |on: &str| http.trust_forwarded.iter().position(|network| network == on);
        let may_be_unix = |on: &String| on.starts_with("unix:") || on.starts_with("fd:");
        if let Some(at) = trusts("unix")
            && !listen.iter().any(may_be_unix)
        {
            faults.add(format_args!(
                "{}: this server listens on no Unix socket: leave unix out, or give {}",
                self.source.location("http.trust-forwarded", Some(at)),
                self.source.value("listen", "unix:/path"),
            ));
        }
        let is_one = !has_addresses && !proxy_protocol && http.trust_forwarded.is_empty();
        for (key, is_given) in
            [("request-rate", http.request_rate.is_some()), ("auth", http.auth.is_some())]
        {
            if is_given && is_one {
                faults.note(format_args!(
                    "{}: {} counts all clients of a Unix socket as one, unless a proxy reports \
                     their addresses: {} or {}",
                    self.source.location(&format!("http.{key}"), None),
                    self.source.name(key),
                    self.source.value("trust-forwarded", "unix"),
                    self.source.name("proxy-protocol"),
                ));
            }
        }
    }

    /// Reads the certificates one by one, so that a message names the faulty one.
    fn tls(&self, faults: &mut Faults) -> Option<Tls> {
        let Listening { tls_cert, tls_key, .. } = &self.listening;
        if tls_cert.is_empty() {
            return None;
        }
        for (at, pair) in tls_cert.iter().zip(tls_key).enumerate() {
            faults.keep(|| self.source.location("tls", Some(at)), Tls::from_files([pair]));
        }
        let tls = Tls::from_files(tls_cert.iter().zip(tls_key)).ok()?;
        Some(if self.name == ProtocolName::Http { tls.protocols(["http/1.1"]) } else { tls })
    }
}
