//! The client's address and scheme, as a proxy in front reports them.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::{HeaderMap, HeaderName};
use overlapped_wire::http::{Answer, ClientIdentity};

use super::invalid;
use crate::web::{Call, Handler};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// A range of addresses: `10.0.0.0/8`, `2001:db8::/32`, one address, or `unix` for all clients of a
/// Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(Range);

/// The form of a network: all Unix sockets, or an address with the length of its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    Unix,
    Addresses(IpAddr, u8),
}

impl Network {
    /// Tells whether the network contains an address; `None` is a client of a Unix socket.
    pub fn contains(&self, address: Option<IpAddr>) -> bool {
        match (self.0, address.map(|address| address.to_canonical())) {
            (Range::Unix, None) => true,
            (Range::Addresses(IpAddr::V4(base), bits), Some(IpAddr::V4(address))) => {
                prefix(base.to_bits().into(), 32, bits)
                    == prefix(address.to_bits().into(), 32, bits)
            }
            (Range::Addresses(IpAddr::V6(base), bits), Some(IpAddr::V6(address))) => {
                prefix(base.to_bits(), 128, bits) == prefix(address.to_bits(), 128, bits)
            }
            _ => false,
        }
    }
}

/// Returns the first `bits` of an address of `width` bits.
fn prefix(address: u128, width: u32, bits: u8) -> u128 {
    address.checked_shr(width - u32::from(bits)).unwrap_or(0)
}

impl FromStr for Network {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Network> {
        let refuse = || {
            invalid(format!(
                "{text:?} is not a network: write it as 10.0.0.0/8, 2001:db8::/32, 192.0.2.7, or \
                 unix for clients of a Unix socket"
            ))
        };
        if text == "unix" {
            return Ok(Network(Range::Unix));
        }
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().map_err(|_| refuse())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| refuse())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        if bits > width {
            return Err(refuse());
        }
        Ok(Network(Range::Addresses(address, bits)))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Range::Unix => f.write_str("unix"),
            Range::Addresses(address, bits) => write!(f, "{address}/{bits}"),
        }
    }
}

/// A layer that takes the client's address and scheme from `X-Forwarded-For` and
/// `X-Forwarded-Proto`, but only in requests from trusted proxies: other clients could write
/// anything there.
///
/// Each proxy has appended the address that it saw to the field. So the addresses are read from the
/// end, and the first one that is not a trusted proxy's is the client's.
#[derive(Debug, Clone)]
pub struct Forwarded<H> {
    inner: H,
    trusted: Vec<Network>,
}

impl<H: Handler> Forwarded<H> {
    /// Trusts the proxies in these networks.
    pub fn new(trusted: impl IntoIterator<Item = Network>, inner: H) -> Forwarded<H> {
        Forwarded { inner, trusted: trusted.into_iter().collect() }
    }

    fn is_trusted(&self, address: Option<IpAddr>) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// Returns the client's address; `None` if no proxy has reported it.
    fn client(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let mut found = None;
        for field in headers.get_all(X_FORWARDED_FOR).iter().rev() {
            for item in field.to_str().ok()?.rsplit(',') {
                // Items in front of a malformed one were not written by a trusted proxy.
                let Some(address) = parse(item.trim()) else { return found };
                found = Some(address);
                if !self.is_trusted(found) {
                    return found;
                }
            }
        }
        found
    }
}

/// Parses an address, with or without a port.
fn parse(item: &str) -> Option<IpAddr> {
    let bare = item.strip_prefix('[').and_then(|item| item.strip_suffix(']')).unwrap_or(item);
    let address = bare.parse().or_else(|_| item.parse().map(|at: SocketAddr| at.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

/// Returns the scheme that the nearest proxy has reported.
fn is_secure(headers: &HeaderMap) -> Option<bool> {
    let last = headers.get_all(X_FORWARDED_PROTO).iter().next_back()?.to_str().ok()?;
    match last.rsplit(',').next()?.trim() {
        scheme if scheme.eq_ignore_ascii_case("https") => Some(true),
        scheme if scheme.eq_ignore_ascii_case("http") => Some(false),
        _ => None,
    }
}

impl<H: Handler> Handler for Forwarded<H> {
    fn handle(&self, mut call: Call<'_>) -> Answer {
        if !self.is_trusted(call.peer.remote.map(|remote| remote.ip())) {
            return self.inner.handle(call);
        }
        let headers = call.request.headers();
        if let Some(secure) = is_secure(headers) {
            call.peer.secure = secure;
        }
        let Some(client) = self.client(headers) else { return self.inner.handle(call) };
        // The field has no port.
        call.peer.remote = Some(SocketAddr::new(client, 0));
        let mut answer = self.inner.handle(call);
        answer.extensions_mut().get_or_insert_default::<ClientIdentity>().client = Some(client);
        answer
    }
}
