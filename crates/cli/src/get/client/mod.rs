//! The client: ureq over tasklets, with its limits, and with whom it trusts.

use std::io::{self, ErrorKind};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use overlapped::fs;
use overlapped::time::Duration;
use overlapped_ureq::{Resolver, TcpConnector};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, RustlsConnector,
    Transport,
};
use ureq::{Agent, Error, Proxy, ProxyProtocol};

/// Then somebody sends us round in a circle.
const REDIRECTS_MAX: u32 = 10;
/// Bytes of an answer's head.
const HEAD_MAX: usize = 64 << 10;
/// Bytes that one read takes. A connection with TLS has two such buffers.
const INPUT: usize = 64 << 10;
/// Bytes of a request.
const OUTPUT: usize = 4 << 10;

/// What the client is to keep to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits<'a> {
    /// For the name, for connecting, for the head, and for every further byte.
    pub(super) timeout: Duration,
    /// Connections at a time.
    pub(super) connections: usize,
    /// Whom to trust, instead of the system's own.
    pub(super) cacert: Option<&'a Path>,
}

/// A client for all tasklets of this thread. They share its idle connections.
pub(super) fn agent(limits: Limits<'_>) -> anyhow::Result<Agent> {
    let trusted = match limits.cacert {
        Some(file) => certificates_in(file)?,
        None => certificates_of_the_system(),
    };
    let timeout = Some(limits.timeout);
    let config = Agent::config_builder()
        .tls_config(TlsConfig::builder().root_certs(trusted).build())
        .http_status_as_error(false)
        .max_redirects(REDIRECTS_MAX)
        .max_response_header_size(HEAD_MAX)
        .user_agent(concat!("overlapped/", env!("CARGO_PKG_VERSION")))
        // The bytes that the server has, so that positions in them mean something.
        .accept_encoding("identity")
        .input_buffer_size(INPUT)
        .output_buffer_size(OUTPUT)
        .max_idle_connections(limits.connections)
        .max_idle_connections_per_host(limits.connections)
        .timeout_resolve(timeout)
        .timeout_connect(timeout)
        .timeout_send_request(timeout)
        .timeout_recv_response(timeout)
        .timeout_per_read(timeout)
        .build();
    let is_http =
        |proxy: &Proxy| matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https);
    if config.proxy().is_some_and(|proxy| !is_http(proxy)) {
        bail!(
            "the environment asks for a SOCKS proxy, which this program cannot use: unset \
             ALL_PROXY, HTTPS_PROXY and HTTP_PROXY, or name an HTTP proxy there"
        );
    }
    // A proxy's connection, or else our own; then TLS; and all of it watched.
    let connector = ().chain(ConnectProxyConnector::default()).chain(TcpConnector);
    let connector = connector.chain(RustlsConnector::default()).chain(Watch);
    Ok(Agent::with_parts(config, connector, Resolver::default()))
}

fn certificates_in(file: &Path) -> anyhow::Result<RootCerts> {
    let name = file.display();
    let pem = fs::read(file).with_context(|| format!("cannot read --cacert {name}"))?;
    let mut trusted = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) =
            item.with_context(|| format!("--cacert {name} is damaged"))?
        {
            trusted.push(certificate);
        }
    }
    ensure!(
        !trusted.is_empty(),
        "--cacert {name} has no certificate in it: it must be in the PEM format, which begins \
         with -----BEGIN CERTIFICATE-----"
    );
    Ok(RootCerts::new_with_certs(&trusted))
}

/// What the administrator trusts. Where there is nothing of the kind, as in small containers, what
/// Mozilla trusts.
fn certificates_of_the_system() -> RootCerts {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!("a trusted certificate cannot be read: {error}");
    }
    if found.certs.is_empty() {
        tracing::debug!("the system trusts nobody; using the built-in certificates");
        return RootCerts::WebPki;
    }
    let trusted: Vec<_> = found
        .certs
        .iter()
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .collect();
    RootCerts::new_with_certs(&trusted)
}

/// Puts a [`Watched`] around every connection.
#[derive(Debug)]
struct Watch;

impl<In: Transport> Connector<In> for Watch {
    type Out = Watched<In>;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Watched<In>>, Error> {
        Ok(chained.map(Watched))
    }
}

/// A connection that tells being cut from coming to an end.
///
/// A body whose length nobody has said ends with the connection. ureq takes a reset for such an
/// end, and an end of TLS without its farewell, so that what was cut looks complete. Here both stay
/// errors.
#[derive(Debug)]
struct Watched<T>(T);

impl<T: Transport> Transport for Watched<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, limit: NextTimeout) -> Result<(), Error> {
        self.0.transmit_output(amount, limit)
    }

    fn await_input(&mut self, limit: NextTimeout) -> Result<bool, Error> {
        self.0.await_input(limit).map_err(|error| match error {
            Error::Io(error) => Error::Io(match error.kind() {
                ErrorKind::UnexpectedEof
                | ErrorKind::ConnectionAborted
                | ErrorKind::ConnectionReset => {
                    io::Error::new(ErrorKind::BrokenPipe, format!("cut off: {error}"))
                }
                _ => error,
            }),
            other => other,
        })
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }

    fn is_tls(&self) -> bool {
        self.0.is_tls()
    }
}
