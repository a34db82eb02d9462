//! Connections, directly or through a proxy.
//!
//! | | `http://` | `https://` |
//! |---|---|---|
//! | directly | TCP | TCP, TLS |
//! | HTTP proxy | TCP, the whole URL in the request | TCP, CONNECT, TLS |
//! | HTTPS proxy | TCP, TLS, the whole URL | TCP, TLS, CONNECT, TLS |
//! | SOCKS proxy | TCP, its handshake | TCP, its handshake, TLS |

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use overlapped_ureq::{Resolver, TcpConnector};
use ureq::Error;
use ureq::config::Config;
use ureq::http::uri::Scheme;
use ureq::http::{StatusCode, Uri};
use ureq::unversioned::resolver::{self, ResolvedSocketAddrs};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, NextTimeout, Transport, TransportAdapter,
};

use super::guard::GuardedStream;
use super::proxy::{Proxies, Proxy, ProxyKind};
use super::socks::{self, Target};
use super::tls::Tls;

/// The most bytes of a response head, of a server or of a proxy.
pub(super) const HEAD_MAX: usize = 64 << 10;
/// The name of this program in requests to servers and proxies, unless the user gives another one.
pub(super) const USER_AGENT: &str = concat!("overlapped/", env!("CARGO_PKG_VERSION"));

type Stream = Box<dyn Transport>;

/// Opens the connections of a client.
#[derive(Debug)]
pub(super) struct Dialer {
    pub(super) proxies: Arc<Proxies>,
    pub(super) resolver: Arc<Resolver>,
    pub(super) tls: Tls,
}

impl Connector<()> for Dialer {
    type Out = GuardedStream;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<GuardedStream>, Error> {
        let stream = match self.proxies.find(details.uri) {
            None => tcp(details, details.uri, details.addrs.clone())?,
            Some(proxy) => self.through(proxy, details)?,
        };
        let stream = match details.needs_tls() {
            true => self.tls.wrap(stream, details.uri, details)?,
            false => stream,
        };
        Ok(Some(GuardedStream::new(stream)))
    }
}

impl Dialer {
    fn through(&self, proxy: &Proxy, details: &ConnectionDetails<'_>) -> Result<Stream, Error> {
        let lookup = |uri| {
            resolver::Resolver::resolve(&*self.resolver, uri, details.config, details.timeout)
        };
        let reach = || {
            let stream = tcp(details, &proxy.uri, lookup(&proxy.uri)?)?;
            match proxy.kind {
                ProxyKind::Https => self.tls.wrap(stream, &proxy.uri, details),
                _ => Ok(stream),
            }
        };
        let stream = reach().map_err(|error| ProxyError::error(proxy, true, error))?;
        let tunnel = match proxy.kind {
            ProxyKind::Http | ProxyKind::Https if details.needs_tls() => {
                handshake(stream, details, |stream| connect(stream, proxy, details.uri))
            }
            ProxyKind::Http | ProxyKind::Https => {
                Ok(Box::new(ForwardedStream::new(stream, proxy, details.uri)) as _)
            }
            _ => {
                let target = target(details)?;
                handshake(stream, details, |stream| socks::handshake(stream, proxy, &target))
            }
        };
        tunnel.map_err(|error| ProxyError::error(proxy, false, explain_handshake(proxy, error)))
    }
}

/// Chooses the target for a SOCKS proxy: an address if one is known.
fn target(details: &ConnectionDetails<'_>) -> Result<Target, Error> {
    let host = details.uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = port_of(details.uri);
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(Target::Address(vec![SocketAddr::new(address, port)]));
    }
    match &details.addrs[..] {
        [] => Ok(Target::Name(host.to_owned(), port)),
        found => Ok(Target::Address(found.to_vec())),
    }
}

fn port_of(uri: &Uri) -> u16 {
    let default = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    uri.port_u16().unwrap_or(default)
}

fn tcp(
    details: &ConnectionDetails<'_>,
    uri: &Uri,
    addrs: ResolvedSocketAddrs,
) -> Result<Stream, Error> {
    let details = ConnectionDetails {
        uri,
        addrs,
        config: details.config,
        request_level: details.request_level,
        resolver: details.resolver,
        now: details.now,
        timeout: details.timeout,
        current_time: details.current_time.clone(),
        run_connector: details.run_connector.clone(),
        register_shutdown: details.register_shutdown.clone(),
    };
    let stream = TcpConnector.connect(&details, None::<()>)?;
    Ok(Box::new(stream.ok_or(Error::ConnectionFailed)?))
}

/// Runs `call`, which performs the handshake with the proxy by blocking reads and writes.
fn handshake(
    stream: Stream,
    details: &ConnectionDetails<'_>,
    call: impl FnOnce(&mut TransportAdapter) -> io::Result<()>,
) -> Result<Stream, Error> {
    let mut adapter = TransportAdapter::new(stream, details.current_time.clone());
    adapter.set_timeout(details.timeout);
    call(&mut adapter)?;
    // A `Tunnel` is not TLS for ureq: TLS with the proxy does not protect the way to the server.
    Ok(Box::new(Tunnel(adapter.into_inner())))
}

/// Explains the end of a connection during the handshake with a proxy.
fn explain_handshake(proxy: &Proxy, error: Error) -> Error {
    let Error::Io(inner) = &error else { return error };
    match inner.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            let kind = proxy.kind.name();
            let text = format!("it closes the connection in the handshake: does it speak {kind}?");
            Error::Io(io::Error::new(ErrorKind::ConnectionAborted, text))
        }
        _ => error,
    }
}

/// A failure to reach a proxy, or in the conversation with it.
#[derive(Debug)]
pub(crate) struct ProxyError {
    /// `HOST:PORT`
    pub(crate) proxy: String,
    /// True if the error arose on the way to the proxy: "the server" in its text is the proxy.
    pub(crate) is_server: bool,
    pub(crate) error: Error,
}

impl ProxyError {
    /// Adds the proxy's name to an error.
    pub(super) fn error(proxy: &Proxy, is_server: bool, error: Error) -> Error {
        match &error {
            Error::Io(inner) if inner.get_ref().is_some_and(|inner| inner.is::<ProxyError>()) => {
                error
            }
            _ => Error::Io(io::Error::other(ProxyError { proxy: proxy.name(), is_server, error })),
        }
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the proxy {}: {}", self.proxy, self.error)
    }
}

impl std::error::Error for ProxyError {}

/// The refusal of a proxy.
#[derive(Debug)]
pub(crate) struct ProxyRefusal(pub(crate) StatusCode);

impl fmt::Display for ProxyRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => f.write_str(
                "asks for a user and a password: write them into the environment variable that \
                 names the proxy, as in http://USER:PASSWORD@HOST:PORT",
            ),
            status => write!(f, "refuses: {status}"),
        }
    }
}

impl std::error::Error for ProxyRefusal {}

/// Requests a tunnel to the server from a proxy (RFC 9110, 9.3.6).
fn connect(stream: &mut (impl Read + Write), proxy: &Proxy, uri: &Uri) -> io::Result<()> {
    let to = format!("{}:{}", uri.host().unwrap_or_default(), port_of(uri));
    let mut request =
        format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\nUser-Agent: {USER_AGENT}\r\n");
    if let Some(authorization) = proxy.authorization() {
        request += &format!("Proxy-Authorization: {authorization}\r\n");
    }
    stream.write_all((request + "\r\n").as_bytes())?;
    stream.flush()?;
    let mut len = 0;
    loop {
        match status(&response_head(stream, &mut len)?) {
            // Interim responses may come before the final one (RFC 9110, 15.2).
            Some(status) if status.is_informational() => {}
            Some(status) if status.is_success() => return Ok(()),
            Some(status) => return Err(io::Error::other(ProxyRefusal(status))),
            None => return Err(io::Error::other("it is not an HTTP proxy")),
        }
    }
}

/// Reads the head of one response, and adds its length to `len`, the bytes of all heads so far.
fn response_head(stream: &mut impl Read, len: &mut usize) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    // Byte by byte: the bytes after the head are the server's.
    while !head.ends_with(b"\r\n\r\n") && !head.ends_with(b"\n\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
        *len += 1;
        if *len > HEAD_MAX {
            return Err(io::Error::other("its response head is too long"));
        }
    }
    Ok(head)
}

/// Returns the status of a response. Its reason may be missing, with the space before it.
fn status(head: &[u8]) -> Option<StatusCode> {
    let line = head.split(|byte| *byte == b'\n').next()?.trim_ascii_end();
    let mut words = line.split(|byte| *byte == b' ');
    words.next()?.strip_prefix(b"HTTP/")?;
    StatusCode::from_bytes(words.next()?).ok()
}

/// A connection through a proxy.
#[derive(Debug)]
struct Tunnel(Stream);

impl Transport for Tunnel {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, limit: NextTimeout) -> Result<(), Error> {
        self.0.transmit_output(amount, limit)
    }

    fn await_input(&mut self, limit: NextTimeout) -> Result<bool, Error> {
        self.0.await_input(limit)
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }
}

/// A connection to a proxy that is sent the whole URL of each request (RFC 9112, 3.2.2).
///
/// The requests have no bodies, so each begins after the empty line of the previous one.
#[derive(Debug)]
struct ForwardedStream {
    stream: Stream,
    /// `http://HOST:PORT`
    origin: String,
    authorization: Option<String>,
    /// The last bytes that were sent, as many as an end of a head has: a request begins behind one.
    tail: Vec<u8>,
}

const END_OF_HEAD: &[u8] = b"\r\n\r\n";

impl ForwardedStream {
    fn new(stream: Stream, proxy: &Proxy, uri: &Uri) -> ForwardedStream {
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        ForwardedStream {
            stream,
            origin: format!("http://{authority}"),
            authorization: proxy.authorization(),
            tail: END_OF_HEAD.to_vec(),
        }
    }

    /// Inserts the origin before the target, and the credentials for the proxy.
    fn rewritten(&self, output: &[u8]) -> Vec<u8> {
        let line = output.iter().position(|byte| *byte == b'\n').map_or(output.len(), |at| at + 1);
        let (line, rest) = output.split_at(line);
        let target = line.iter().position(|byte| *byte == b' ').map_or(0, |at| at + 1);
        let (method, target) = line.split_at(target);
        let authorization = self.authorization.as_ref();
        let field = authorization.map(|value| format!("Proxy-Authorization: {value}\r\n"));
        let field = field.unwrap_or_default();
        [method, self.origin.as_bytes(), target, field.as_bytes(), rest].concat()
    }
}

impl Transport for ForwardedStream {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.stream.buffers()
    }

    fn transmit_output(&mut self, amount: usize, limit: NextTimeout) -> Result<(), Error> {
        let output = self.stream.buffers().output()[..amount].to_vec();
        let output = if self.tail == END_OF_HEAD { self.rewritten(&output) } else { output };
        // An empty line may be cut in two.
        let tail = self.tail.iter().chain(&output).copied().rev().take(END_OF_HEAD.len());
        self.tail = tail.collect();
        self.tail.reverse();
        let mut rest = &output[..];
        while !rest.is_empty() {
            let space = self.stream.buffers().output();
            let count = space.len().min(rest.len());
            space[..count].copy_from_slice(&rest[..count]);
            self.stream.transmit_output(count, limit)?;
            rest = &rest[count..];
        }
        Ok(())
    }

    fn await_input(&mut self, limit: NextTimeout) -> Result<bool, Error> {
        self.stream.await_input(limit)
    }

    fn is_open(&mut self) -> bool {
        self.stream.is_open()
    }
}

/// The lookup of server names. If the proxy looks them up itself, it is left to the proxy: this
/// machine may be unable to do it.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) proxies: Arc<Proxies>,
    pub(super) resolver: Arc<Resolver>,
}

impl resolver::Resolver for Lookup {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        limit: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        match self.proxies.find(uri) {
            Some(proxy) if !proxy.kind.wants_addresses() => Ok(self.empty()),
            _ => resolver::Resolver::resolve(&*self.resolver, uri, config, limit),
        }
    }
}
