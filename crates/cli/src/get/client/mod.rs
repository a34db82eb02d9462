//! The client: ureq over tasklets, with its limits, its proxies, and the certificates that it
//! trusts.
//!
//! | file | contents |
//! |---|---|
//! | `url` | URLs, as users and servers write them, and their credentials |
//! | `netrc` | users and passwords of hosts, in a file |
//! | `proxy` | the proxy of a request |
//! | `dial` | connections, directly or through a proxy |
//! | `socks` | handshakes of SOCKS |
//! | `tls` | TLS and trusted certificates |
//! | `guard` | the difference between the end of a connection and its loss |
//!
//! Redirects are followed here, not by ureq: a `Location` is encoded, and credentials stay with
//! their origin.

mod dial;
mod guard;
mod netrc;
mod proxy;
mod socks;
mod tls;
pub(super) mod url;

use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use overlapped::time::{Duration, timeout};
use overlapped_ureq::Resolver;
use ureq::http::{HeaderName, HeaderValue, Response, StatusCode, Uri, header};
use ureq::{Agent, Body, Error};

use dial::{Dialer, HEAD_MAX, Lookup, USER_AGENT};
pub(super) use dial::{ProxyError, ProxyRefusal};
use guard::Stale;
pub(super) use netrc::Netrc;
use proxy::{Proxies, Proxy};
use tls::Tls;
pub(super) use tls::is_issuer_certificate;
use url::Url;

use crate::display::Escaped;

/// The most redirects, after which they are taken for a circle.
const REDIRECTS_MAX: usize = 10;
/// The bytes of one read. A connection with TLS has two such buffers.
const INPUT: usize = 128 << 10;
/// The most bytes of a line of a request.
const OUTPUT: usize = 16 << 10;
/// The most bytes of a redirect's body that are read, so that its connection can be kept.
const REDIRECT_BODY_MAX: u64 = 64 << 10;

/// Settings of a client.
#[derive(Debug, Clone)]
pub(super) struct Limits<'a> {
    /// The time limit up to the response head, redirects included, and then for every further byte.
    pub(super) timeout: Duration,
    /// The number of simultaneous connections.
    pub(super) connections: usize,
    /// A file with the certificates to trust, instead of the system's.
    pub(super) cacert: Option<&'a Path>,
    /// Header fields of every request.
    pub(super) fields: &'a [Field],
    /// Users and passwords for URLs without them.
    pub(super) netrc: Option<Rc<Netrc>>,
}

/// A header field given by the user.
#[derive(Debug, Clone)]
pub(super) struct Field(HeaderName, HeaderValue);

impl std::str::FromStr for Field {
    type Err = String;

    /// Parses `NAME: VALUE`.
    fn from_str(text: &str) -> Result<Field, String> {
        // No message repeats the value, which may be a secret.
        let (name, value) = text.split_once(':').ok_or("write it as NAME: VALUE")?;
        let name: HeaderName = name.trim().parse().map_err(|_| "invalid header name")?;
        // This program depends on the values of these.
        let ours = [header::RANGE, header::IF_RANGE, header::ACCEPT_ENCODING, header::CONNECTION];
        let framing = [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
        if ours.contains(&name) || framing.contains(&name) {
            return Err(format!("{name} is set by this program"));
        }
        let value = value.trim().parse().map_err(|_| "the value has control characters")?;
        Ok(Field(name, value))
    }
}

impl Field {
    /// Tells whether the field is meant only for the origin that it was given for.
    fn is_credential(&self) -> bool {
        [header::AUTHORIZATION, header::COOKIE].contains(&self.0)
    }
}

/// A client for all tasklets of this thread, which share its idle connections.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    proxies: Arc<Proxies>,
    timeout: Duration,
    connections: usize,
    fields: Vec<Field>,
    netrc: Option<Rc<Netrc>>,
}

impl Client {
    pub(super) fn new(limits: Limits<'_>) -> anyhow::Result<Client> {
        let proxies = Arc::new(Proxies::from_environment()?);
        let resolver = Arc::new(Resolver::default());
        let tls = Tls::trusting(limits.cacert)?;
        let timeout = Some(limits.timeout);
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .max_response_header_size(HEAD_MAX)
            .user_agent(USER_AGENT)
            // No compression, so that positions refer to the server's own bytes.
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
        let lookup = Lookup { proxies: proxies.clone(), resolver: resolver.clone() };
        let agent =
            Agent::with_parts(config, Dialer { proxies: proxies.clone(), resolver, tls }, lookup);
        Ok(Client {
            agent,
            proxies,
            timeout: limits.timeout,
            connections: limits.connections,
            fields: limits.fields.to_vec(),
            netrc: limits.netrc,
        })
    }

    /// Requests a URL and follows redirects.
    pub(super) fn get(
        &self,
        url: &Url,
        fields: &[(HeaderName, HeaderValue)],
    ) -> Result<Response<Body>, Error> {
        // One limit for everything; ureq's own limits name the phase that took too long.
        timeout(self.timeout, || self.follow(url, fields))
    }

    fn follow(
        &self,
        url: &Url,
        fields: &[(HeaderName, HeaderValue)],
    ) -> Result<Response<Body>, Error> {
        let (mut url, mut authorization) = (url.clone(), url.authorization.clone());
        let mut is_at_origin = true;
        for _ in 0..=REDIRECTS_MAX {
            let mut all = fields.to_vec();
            let ours = self.fields.iter().filter(|field| is_at_origin || !field.is_credential());
            all.extend(ours.map(|Field(name, value)| (name.clone(), value.clone())));
            let listed = || self.netrc.as_ref()?.authorization(&url.uri);
            let credentials = authorization.clone().or_else(listed);
            let response = self.ask(&url, credentials.as_deref(), &all)?;
            let Some(location) = location(&response) else { return Ok(response) };
            let next = url.join(location).map_err(Error::BadUri)?;
            is_at_origin &= next.is_same_origin(&url);
            authorization = match next.is_same_origin(&url) {
                true => next.authorization.clone().or(authorization),
                false => next.authorization.clone(),
            };
            let (from, to) = (url.uri.to_string(), next.uri.to_string());
            tracing::debug!("{} redirects to {}", url::masked(&from), url::masked(&to));
            url = next;
            let mut body = response.into_body().into_reader().take(REDIRECT_BODY_MAX);
            let _ = std::io::copy(&mut body, &mut std::io::sink());
        }
        Err(Error::TooManyRedirects)
    }

    /// Tells whether requests for the URL carry the user's credentials.
    pub(super) fn has_credentials(&self, url: &Url) -> bool {
        let listed = || self.netrc.as_ref().and_then(|netrc| netrc.authorization(&url.uri));
        url.authorization.is_some()
            || self.fields.iter().any(|field| field.0 == header::AUTHORIZATION)
            || listed().is_some()
    }

    /// Returns the name of the HTTP proxy that forwards requests to the server.
    pub(super) fn forwarder(&self, uri: &Uri) -> Option<String> {
        self.proxies.forwarder(uri).map(Proxy::name)
    }

    /// Makes one request on a live connection.
    fn ask(
        &self,
        url: &Url,
        authorization: Option<&str>,
        fields: &[(HeaderName, HeaderValue)],
    ) -> Result<Response<Body>, Error> {
        let mut dead = 0;
        loop {
            let mut request = self.agent.get(&url.uri);
            for (name, value) in fields {
                request = request.header(name, value);
            }
            let is_given = fields.iter().any(|(name, _)| name == header::AUTHORIZATION);
            if let Some(authorization) = authorization.filter(|_| !is_given) {
                request = request.header(header::AUTHORIZATION, authorization);
            }
            match request.call() {
                // Each failure removes one of the idle connections.
                Err(error) if Stale::is(&error) && dead <= self.connections => dead += 1,
                result => {
                    let proxy = self.proxies.forwarder(&url.uri);
                    let named = |error| match proxy {
                        Some(proxy) => ProxyError::error(proxy, true, error),
                        None => error,
                    };
                    return result.map_err(named).and_then(refuse_coded);
                }
            }
        }
    }
}

/// Refuses a body in a transfer coding that was not requested (RFC 9112, 6.1): its encoded bytes
/// would be taken for the file.
fn refuse_coded(response: Response<Body>) -> Result<Response<Body>, Error> {
    for value in response.headers().get_all(header::TRANSFER_ENCODING) {
        let value = String::from_utf8_lossy(value.as_bytes());
        let is_plain = |coding: &str| {
            ["", "chunked", "identity"].iter().any(|plain| coding.eq_ignore_ascii_case(plain))
        };
        if let Some(coding) = value.split(',').map(str::trim).find(|coding| !is_plain(coding)) {
            let text = format!(
                "the server sends the file in the transfer coding {}, which was not requested",
                Escaped::new(coding.as_ref())
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, text).into());
        }
    }
    Ok(response)
}

/// Returns the target of a redirect.
fn location(response: &Response<Body>) -> Option<&[u8]> {
    let is_redirect = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let location = response.headers().get(header::LOCATION).filter(|_| is_redirect)?;
    Some(location.as_bytes())
}
