#![forbid(unsafe_code)]
#![doc = include_str!("../README.md")]
//!
//! # Structure
//!
//! ureq defines three traits for replacing its sockets, and each is implemented by one type here:
//!
//! | ureq's trait | here | does |
//! |---|---|---|
//! | `Resolver` | [`Resolver`] | looks a name up, on a pool thread |
//! | `Connector` | [`TcpConnector`] | connects to addresses |
//! | `Transport` | [`TcpTransport`] | fills ureq's input buffer, empties its output buffer |
//!
//! TLS is ureq's own connector, chained after [`TcpConnector`]. ureq keeps idle connections behind
//! a mutex, which no tasklet may hold while it waits: the only call that ureq makes under it is
//! `is_open`, which never waits.
//!
//! Time limits are deadlines of the tasklet ([`timeout`]), not options of the socket: they cost no
//! system call.

mod resolver;
mod transport;

use std::io::{self, ErrorKind};

use overlapped::time::timeout;
use ureq::config::Config;
use ureq::unversioned::transport::{
    ConnectProxyConnector, Connector, NextTimeout, RustlsConnector,
};
use ureq::{Agent, Error};

pub use resolver::Resolver;
pub use transport::{TcpConnector, TcpTransport};

/// Makes an agent whose requests block only the calling tasklet; outside a scheduler, the thread.
///
/// To insert further connectors, make an agent of [`TcpConnector`] and [`Resolver`] with
/// [`Agent::with_parts`].
pub fn agent(config: Config) -> Agent {
    let connector = ().chain(ConnectProxyConnector::default()).chain(TcpConnector);
    Agent::with_parts(config, connector.chain(RustlsConnector::default()), Resolver::default())
}

/// Runs `call` within the rest of `limit`. If the time ends the call, the error names ureq's limit.
fn within<T>(limit: NextTimeout, call: impl FnOnce() -> io::Result<T>) -> Result<T, Error> {
    let result = match limit.after.is_not_happening() {
        true => call(),
        false if limit.after.is_zero() => return Err(Error::Timeout(limit.reason)),
        false => timeout(*limit.after, call),
    };
    result.map_err(|error| match error.kind() {
        ErrorKind::TimedOut if error.raw_os_error().is_none() => Error::Timeout(limit.reason),
        _ => Error::Io(error),
    })
}
