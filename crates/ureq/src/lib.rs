#![forbid(unsafe_code)]
#![doc = include_str!("../README.md")]
//!
//! # How it is made
//!
//! ureq asks three things of whoever replaces its sockets, and each is one type here:
//!
//! | ureq's trait | here | does |
//! |---|---|---|
//! | `Resolver` | [`Resolver`] | a name to addresses, on a pool thread |
//! | `Connector` | [`TcpConnector`] | addresses to a connection |
//! | `Transport` | [`TcpTransport`] | fills ureq's input buffer, empties its output buffer |
//!
//! TLS is ureq's own connector, chained behind [`TcpConnector`]. ureq keeps idle connections behind
//! a mutex, which must not be held by a tasklet that waits: the only call that it makes meanwhile
//! is `is_open`, which never waits.
//!
//! Time limits are deadlines of the tasklet ([`timeout`]), not options of the socket, so that they
//! cost no system call.

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

/// An agent whose requests block only the calling tasklet; outside a scheduler, the thread.
///
/// With connectors of one's own between, [`Agent::with_parts`] makes one of [`TcpConnector`] and
/// [`Resolver`].
pub fn agent(config: Config) -> Agent {
    let connector = ().chain(ConnectProxyConnector::default()).chain(TcpConnector);
    Agent::with_parts(config, connector.chain(RustlsConnector::default()), Resolver::default())
}

/// Runs `call` with what `limit` leaves of time, and says which of ureq's limits it was that ended
/// it.
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
