//! Listens: turns prepared servers into endpoints of a `Server`.

use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
use overlapped_serve::{Address, Listen, Peer, Server};
use overlapped_wire::bracket::Bracket;
use overlapped_wire::echo::Echo;
use overlapped_wire::length::Length;
use overlapped_wire::line::Line;
use overlapped_wire::zen::Zen;

use super::options::access::{Mode, Owner};
use super::options::http::HttpOptions;
use super::options::server::Listening;
use super::plan::{Handler, PreparedServer, ProtocolName};

/// A listening address of a server.
pub(super) struct Endpoint {
    pub(super) name: ProtocolName,
    pub(super) address: Address,
    pub(super) secure: bool,
    /// The folder that is served there; `None` for protocols other than HTTP.
    pub(super) folder: Option<PathBuf>,
}

impl PreparedServer {
    pub(super) fn name(&self) -> ProtocolName {
        self.plan.name
    }

    /// Returns the certificates, each with its location in the configuration.
    pub(super) fn certificates(&self) -> impl Iterator<Item = (String, (&PathBuf, &PathBuf))> {
        let Listening { tls_cert, tls_key, .. } = &self.plan.listening;
        let pairs = tls_cert.iter().zip(tls_key).enumerate();
        pairs.map(|(at, pair)| (self.plan.source.location("tls", Some(at)), pair))
    }

    /// Returns the location in the configuration of the address with index `at`.
    pub(super) fn address_location(&self, at: usize) -> String {
        self.plan.source.location("listen", Some(at))
    }

    pub(super) fn addresses(&self) -> Vec<String> {
        match &*self.plan.listening.listen {
            [] => vec![self.plan.name.default_address()],
            given => given.to_vec(),
        }
    }

    /// Listens on all addresses, and enters them into `bound`.
    pub(super) fn listen(
        &self,
        server: &mut Server,
        bound: &mut BoundAddresses,
    ) -> anyhow::Result<Vec<Endpoint>> {
        let folder = self.plan.http.as_ref().map(HttpOptions::folder).map(Path::to_owned);
        let mut endpoints = Vec::new();
        for (at, on) in self.addresses().into_iter().enumerate() {
            let result = self.add(server, self.listen_options(&on));
            let address = bound.enter(&on, self.address_location(at), result.map(Some))?;
            let (name, secure, folder) = (self.plan.name, self.tls.is_some(), folder.clone());
            endpoints.extend(address.map(|address| Endpoint { name, address, secure, folder }));
        }
        Ok(endpoints)
    }

    fn listen_options(&self, on: &str) -> Listen {
        let mut listen = Listen::on(on).limits(self.plan.limits.resolve());
        if let Some(tls) = &self.tls {
            listen = listen.tls(tls.clone());
        }
        if self.plan.listening.proxy_protocol {
            listen = listen.proxy_protocol();
        }
        if let Some(Mode(mode)) = self.plan.listening.socket_mode {
            listen = listen.socket_mode(mode);
        }
        if let Some(Owner { user, group }) = self.plan.listening.socket_owner {
            listen = listen.socket_owner(user, group);
        }
        listen
    }

    fn add(&self, server: &mut Server, listen: Listen) -> std::io::Result<Address> {
        match &self.handler {
            Handler::Echo => server.listen(listen, |_: &Peer| Echo),
            Handler::Bracket => server.listen(listen, |_: &Peer| Bracket::default()),
            Handler::Length => server.listen(listen, |_: &Peer| Length::default()),
            Handler::Line => server.listen(listen, |_: &Peer| Line::default()),
            Handler::Zen => server.listen(listen, |_: &Peer| Zen::default()),
            Handler::Http(site) => {
                let site = site.clone();
                server.listen(listen, move |peer: &Peer| site.connect(peer))
            }
        }
    }
}

/// The addresses that this process is bound to, each with its location in the configuration.
#[derive(Default)]
pub(super) struct BoundAddresses(Vec<(Address, String)>);

impl BoundAddresses {
    /// Enters the result of listening on `on`. The error names the location of `on`, and of the
    /// other address if this process is already bound to an overlapping one.
    pub(super) fn enter(
        &mut self,
        on: &str,
        location: String,
        result: std::io::Result<Option<Address>>,
    ) -> anyhow::Result<Option<Address>> {
        if let Some(other) = self.owner(on, &result) {
            bail!(
                "{location}: cannot listen on {on}: it is already taken by {other}: give one \
                 of the two servers another address"
            );
        }
        let address = result.map_err(|error| anyhow!("{location}: {error}"))?;
        if let Some(address) = &address {
            self.0.push((address.clone(), location));
        }
        Ok(address)
    }

    /// Finds the location of an address that overlaps `on`.
    fn owner(&self, on: &str, result: &std::io::Result<Option<Address>>) -> Option<&String> {
        use std::net::ToSocketAddrs;
        let requested: Vec<Address> = match (result, on.strip_prefix("unix:")) {
            (Ok(address), _) => address.iter().cloned().collect(),
            (Err(_), Some(path)) => vec![Address::Unix(path.into())],
            (Err(_), None) => on.to_socket_addrs().ok()?.map(Address::Tcp).collect(),
        };
        let is_overlapping =
            |bound: &Address| requested.iter().any(|address| address.overlaps(bound));
        self.0.iter().find(|(bound, _)| is_overlapping(bound)).map(|(_, location)| location)
    }
}

impl Endpoint {
    /// Describes the endpoint to the user. If it is the only one, its address is the third word.
    pub(super) fn line(&self, port: &str, is_only: bool) -> String {
        let Endpoint { name, address, secure, folder } = self;
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
