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
//! Time limits are deadlines of the tasklet ([`timeout`](overlapped::time::timeout)), not options
//! of the socket: they cost no system call.

mod limit;
mod resolver;
mod transport;

use ureq::Agent;
use ureq::config::Config;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, RustlsConnector};

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
