//! Listeners: their addresses, and what their threads share.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use overlapped::sync::Semaphore;

use super::connection_limit::ConnectionLimit;
use super::limits::Limits;
use crate::tls::Tls;

/// The address of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A TCP address.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl Address {
    /// Returns the TCP address; `None` for a Unix socket.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }
}

impl fmt::Display for Address {
    /// Writes the address in the form that [`Listen::on`](crate::Listen::on) takes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The state of one listener on all threads.
#[derive(Debug)]
pub(crate) struct ListenerState {
    pub(crate) address: Address,
    pub(crate) limits: Limits,
    /// One permit per connection.
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) connection_limit: Arc<ConnectionLimit>,
    pub(crate) proxy_protocol: bool,
    pub(crate) tls: Option<Tls>,
    /// True for a listener that serves metrics. It stays open until the server has ended.
    pub(crate) is_monitoring: bool,
}

impl ListenerState {
    pub(crate) fn new(address: Address, limits: Limits) -> ListenerState {
        let slots = limits.connections.clamp(1, Semaphore::MAX_PERMITS);
        ListenerState {
            address,
            limits,
            slots: Arc::new(Semaphore::new(slots)),
            connection_limit: Arc::default(),
            proxy_protocol: false,
            tls: None,
            is_monitoring: false,
        }
    }
}
