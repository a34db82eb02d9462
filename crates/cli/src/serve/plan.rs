//! What is to run: servers with their addresses, and the process that they share.

use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
use overlapped_serve::{AccessLog, Address, Listen, Peer, Server, Tls};
use overlapped_wire::bracket::Bracket;
use overlapped_wire::echo::Echo;
use overlapped_wire::length::Length;
use overlapped_wire::line::Line;
use overlapped_wire::zen::{self, Zen};
use serde::Deserialize;

use super::faults::Faults;
use super::file::Source;
use super::open::Site;
use super::rights::{Mode, Owner};
use super::site::Content;
use super::values::{Limits, LogFormat, Process, Span};
use crate::shown::many;

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Name {
    Echo,
    Bracket,
    Length,
    Line,
    Zen,
    Http,
}

impl Name {
    pub(super) fn text(self) -> &'static str {
        match self {
            Name::Echo => "echo",
            Name::Bracket => "bracket",
            Name::Length => "length",
            Name::Line => "line",
            Name::Zen => "zen",
            Name::Http => "http",
        }
    }

    /// Where it listens, if nobody says otherwise: on this machine only.
    fn usual_address(self) -> String {
        let port = match self {
            Name::Echo => 7007,
            Name::Bracket => 7008,
            Name::Length => 7009,
            Name::Line => 7010,
            Name::Zen => zen::PORT,
            Name::Http => 8080,
        };
        format!("127.0.0.1:{port}")
    }
}

/// Where a server listens, and how.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Listening")]
pub(super) struct Listening {
    /// Addresses to listen on: host:port, unix:/path, or fd:NAME for a socket of systemd's. The
    /// host 0.0.0.0 is every interface; with port 0 the system chooses one. May be repeated
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Vec<String>,
    /// Speaks TLS with this certificate and the chain that leads to it (PEM). SIGHUP has it read
    /// again. May be repeated, for several names
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(super) tls_cert: Vec<PathBuf>,
    /// The key of the certificate (PEM). As many as there are certificates, in the same order
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(super) tls_key: Vec<PathBuf>,
    /// The mode of Unix sockets, such as 660: whoever may write may connect [default: by the umask]
    #[arg(long, value_name = "MODE")]
    pub(super) socket_mode: Option<Mode>,
    /// To whom Unix sockets belong: user, user:group or :group, by names or numbers
    #[arg(long, value_name = "OWNER")]
    pub(super) socket_owner: Option<Owner>,
    /// Requires the PROXY protocol (v1 or v2), by which a proxy tells the addresses of clients. For
    /// listeners that only the proxy can reach
    #[arg(long)]
    pub(super) proxy_protocol: bool,
}

/// One server.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) name: Name,
    pub(super) listening: Listening,
    pub(super) limits: Limits,
    /// Of HTTP.
    pub(super) content: Option<Content>,
    pub(super) source: Source,
}

/// What answers, with everything read and looked at.
enum Service {
    Echo,
    Bracket,
    Length,
    Line,
    Zen,
    Http(Site),
}

/// A server that only has to listen.
pub(super) struct Ready {
    wanted: Wanted,
    service: Service,
    tls: Option<Tls>,
}

/// An address that is listened on.
pub(super) struct Place {
    pub(super) name: Name,
    pub(super) address: Address,
    pub(super) secure: bool,
    /// What is served there.
    pub(super) folder: Option<PathBuf>,
}

impl Wanted {
    /// Reads and looks at all that it needs, but does not listen. Where there are faults, the
    /// result is not to be served; `None` where there is nothing to it at all.
    pub(super) fn prepare(self, faults: &mut Faults) -> Option<Ready> {
        let service = match (self.name, &self.content) {
            (Name::Echo, _) => Service::Echo,
            (Name::Bracket, _) => Service::Bracket,
            (Name::Length, _) => Service::Length,
            (Name::Line, _) => Service::Line,
            (Name::Zen, _) => Service::Zen,
            (Name::Http, Some(content)) => Service::Http(content.open(&self.source, faults)),
            (Name::Http, None) => {
                faults.add("an HTTP server needs a folder");
                return None;
            }
        };
        self.limits.check(&self.source, faults);
        self.check_partners(faults);
        let tls = self.tls(faults);
        Some(Ready { wanted: self, service, tls })
    }

    /// Refuses what would mean nothing without something else.
    fn check_partners(&self, faults: &mut Faults) {
        let Listening { listen, tls_cert, tls_key, socket_mode, socket_owner, .. } =
            &self.listening;
        if tls_cert.len() != tls_key.len() {
            faults.add(format_args!(
                "{} and {}: give a key for each certificate, in the same order",
                many(tls_cert.len() as u64, "certificate"),
                many(tls_key.len() as u64, "key")
            ));
        }
        for (key, is_given) in
            [("socket-mode", socket_mode.is_some()), ("socket-owner", socket_owner.is_some())]
        {
            if is_given && !listen.iter().any(|on| on.starts_with("unix:")) {
                let place = self.source.place(key, None);
                faults.add(format_args!(
                    "{place}: only Unix sockets have a mode and an owner: listen on unix:/path"
                ));
            }
        }
        let is_unix = |on: &String| on.starts_with("unix:");
        let has_addresses = listen.is_empty() || !listen.iter().all(is_unix);
        if self.limits.per_address.is_some() && !has_addresses && !self.listening.proxy_protocol {
            faults.add(format_args!(
                "{}: clients of Unix sockets have no addresses: leave {} out, or give {} behind a \
                 proxy that tells them",
                self.source.place("limits.per-address", None),
                self.source.name("per-address"),
                self.source.name("proxy-protocol"),
            ));
        }
        if let Some(content) = &self.content {
            self.check_layers(content, has_addresses, faults);
        }
    }

    /// Refuses layers that would do nothing, and notes those that may do another thing than is
    /// meant.
    fn check_layers(&self, content: &Content, has_addresses: bool, faults: &mut Faults) {
        let Listening { listen, tls_cert, tls_key, proxy_protocol, .. } = &self.listening;
        for (at, key) in tls_key.iter().enumerate() {
            content.refuse_if_served(key, || self.source.place("tls", Some(at)), faults);
        }
        if let Source::File { file, .. } = &self.source {
            let place = || self.source.place("http.folder", None);
            content.refuse_if_served(file.path(), place, faults);
        }
        if content.redirect_https && !tls_cert.is_empty() && content.trust_forwarded.is_empty() {
            faults.add(format_args!(
                "{}: every client of this server comes by TLS, so nobody would be sent on: {} \
                 belongs to another server, which listens on port 80 without TLS (a second \
                 [[server]] of a configuration file); or behind a proxy, beside {}",
                self.source.place("http.redirect-https", None),
                self.source.name("redirect-https"),
                self.source.name("trust-forwarded"),
            ));
        }
        let trusts = |on: &str| content.trust_forwarded.iter().position(|network| network == on);
        let may_be_unix = |on: &String| on.starts_with("unix:") || on.starts_with("fd:");
        if let Some(at) = trusts("unix")
            && !listen.iter().any(may_be_unix)
        {
            faults.add(format_args!(
                "{}: nobody comes by a Unix socket: leave unix out, or give {}",
                self.source.place("http.trust-forwarded", Some(at)),
                self.source.value("listen", "unix:/path"),
            ));
        }
        let is_one = !has_addresses && !proxy_protocol && content.trust_forwarded.is_empty();
        for (key, is_given) in
            [("request-rate", content.request_rate.is_some()), ("auth", content.auth.is_some())]
        {
            if is_given && is_one {
                faults.note(format_args!(
                    "{}: all clients of a Unix socket count as one for {}, unless a proxy tells \
                     their addresses: {} or {}",
                    self.source.place(&format!("http.{key}"), None),
                    self.source.name(key),
                    self.source.value("trust-forwarded", "unix"),
                    self.source.name("proxy-protocol"),
                ));
            }
        }
    }

    /// Reads the certificates, one after another, so that a message says which one is wrong.
    fn tls(&self, faults: &mut Faults) -> Option<Tls> {
        let Listening { tls_cert, tls_key, .. } = &self.listening;
        if tls_cert.is_empty() {
            return None;
        }
        for (at, pair) in tls_cert.iter().zip(tls_key).enumerate() {
            faults.keep(|| self.source.place("tls", Some(at)), Tls::from_files([pair]));
        }
        let tls = Tls::from_files(tls_cert.iter().zip(tls_key)).ok()?;
        Some(if self.name == Name::Http { tls.protocols(["http/1.1"]) } else { tls })
    }
}

impl Ready {
    pub(super) fn name(&self) -> Name {
        self.wanted.name
    }

    /// The certificates, each with its place.
    pub(super) fn certificates(&self) -> impl Iterator<Item = (String, (&PathBuf, &PathBuf))> {
        let Listening { tls_cert, tls_key, .. } = &self.wanted.listening;
        let pairs = tls_cert.iter().zip(tls_key).enumerate();
        pairs.map(|(at, pair)| (self.wanted.source.place("tls", Some(at)), pair))
    }

    /// The place in which its address number `at` was given.
    pub(super) fn place_of(&self, at: usize) -> String {
        self.wanted.source.place("listen", Some(at))
    }

    pub(super) fn addresses(&self) -> Vec<String> {
        match &*self.wanted.listening.listen {
            [] => vec![self.wanted.name.usual_address()],
            given => given.to_vec(),
        }
    }

    /// Listens on all of its addresses, which `taken` has from then on.
    pub(super) fn listen(
        &self,
        server: &mut Server,
        taken: &mut Taken,
    ) -> anyhow::Result<Vec<Place>> {
        let folder = self.wanted.content.as_ref().map(Content::folder).map(Path::to_owned);
        let mut places = Vec::new();
        for (at, on) in self.addresses().into_iter().enumerate() {
            let listened = self.add(server, self.how(&on));
            let address = taken.enter(&on, self.place_of(at), listened.map(Some))?;
            let (name, secure, folder) = (self.wanted.name, self.tls.is_some(), folder.clone());
            places.extend(address.map(|address| Place { name, address, secure, folder }));
        }
        Ok(places)
    }

    fn how(&self, on: &str) -> Listen {
        let mut listen = Listen::on(on).limits(self.wanted.limits.resolve());
        if let Some(tls) = &self.tls {
            listen = listen.tls(tls.clone());
        }
        if self.wanted.listening.proxy_protocol {
            listen = listen.proxy_protocol();
        }
        if let Some(Mode(mode)) = self.wanted.listening.socket_mode {
            listen = listen.socket_mode(mode);
        }
        if let Some(Owner { user, group }) = self.wanted.listening.socket_owner {
            listen = listen.socket_owner(user, group);
        }
        listen
    }

    fn add(&self, server: &mut Server, listen: Listen) -> std::io::Result<Address> {
        match &self.service {
            Service::Echo => server.listen(listen, |_: &Peer| Echo),
            Service::Bracket => server.listen(listen, |_: &Peer| Bracket::default()),
            Service::Length => server.listen(listen, |_: &Peer| Length::default()),
            Service::Line => server.listen(listen, |_: &Peer| Line::default()),
            Service::Zen => server.listen(listen, |_: &Peer| Zen::default()),
            Service::Http(site) => {
                let site = site.clone();
                server.listen(listen, move |peer: &Peer| site.with(peer))
            }
        }
    }
}

/// The addresses that are taken by this process, and the places where they were given.
#[derive(Default)]
pub(super) struct Taken(Vec<(Address, String)>);

impl Taken {
    /// Enters the address that listening on `on` gave. The error names the place where `on` was
    /// given, and the other one where it was given twice.
    pub(super) fn enter(
        &mut self,
        on: &str,
        place: String,
        listened: std::io::Result<Option<Address>>,
    ) -> anyhow::Result<Option<Address>> {
        if let Some(other) = self.holder(on, &listened) {
            bail!(
                "{place}: cannot listen on {on}: {other} has it already, and one address belongs \
                 to one server: choose another one for one of them"
            );
        }
        let address = listened.map_err(|error| anyhow!("{place}: {error}"))?;
        if let Some(address) = &address {
            self.0.push((address.clone(), place));
        }
        Ok(address)
    }

    /// The place where an address was given that is in the way of `on`.
    fn holder(&self, on: &str, listened: &std::io::Result<Option<Address>>) -> Option<&String> {
        use std::net::ToSocketAddrs;
        let wanted: Vec<Address> = match (listened, on.strip_prefix("unix:")) {
            (Ok(address), _) => address.iter().cloned().collect(),
            (Err(_), Some(path)) => vec![Address::Unix(path.into())],
            (Err(_), None) => on.to_socket_addrs().ok()?.map(Address::Tcp).collect(),
        };
        let is_in_the_way = |taken: &Address| wanted.iter().any(|wanted| wanted.overlaps(taken));
        self.0.iter().find(|(taken, _)| is_in_the_way(taken)).map(|(_, place)| place)
    }
}

impl Process {
    pub(super) fn has_lame_duck(&self) -> bool {
        self.lame_duck.is_some_and(|Span(time)| !time.is_zero())
    }

    /// A server with these options.
    pub(super) fn server(&self) -> Server {
        let mut server = Server::new();
        if let Some(threads) = self.threads {
            server = server.threads(threads.get());
        }
        if let Some(Span(grace)) = self.drain {
            server = server.grace(grace);
        }
        if let Some(Span(time)) = self.lame_duck {
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

impl Place {
    /// What a user is told. The address is the third word where it is the only one.
    pub(super) fn line(&self, port: &str, is_only: bool) -> String {
        let Place { name, address, secure, folder } = self;
        let tls = if *secure { ", TLS" } else { "" };
        match (folder, address.tcp()) {
            (Some(folder), Some(address)) => {
                let scheme = if *secure { "https" } else { "http" };
                format!("serving {} at {scheme}://{address}/ (port {port})\n", folder.display())
            }
            (Some(folder), None) => {
                format!("serving {} at {address} (port {port}{tls})\n", folder.display())
            }
            (None, _) if is_only => format!("listening on {address} (port {port}{tls})\n"),
            (None, _) => format!("listening on {address} ({}, port {port}{tls})\n", name.text()),
        }
    }
}
