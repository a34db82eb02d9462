//! Listeners: their options, binding and inheriting their sockets, accepting connections.
//!
//! ```text
//! accept      the acceptor           bind      listening sockets        check    without listening
//! connection  the connection task    inherit   sockets handed over      explain  error messages
//! plain_http  HTTP on a TLS port     restart   hot restart
//! ```

mod accept;
mod bind;
mod check;
mod connection;
mod explain;
mod inherit;
mod plain_http;
pub(crate) mod restart;

use std::net::SocketAddr;

pub(crate) use accept::{ListeningSocket, accept_forever, accept_queued};
pub(crate) use bind::{Bound, bind_listener, shards};

use crate::state::{Address, Limits, ListenerState};
use crate::tls::Tls;

/// An address to listen on, with the options of the listener.
///
/// ```
/// use overlapped_serve::{Limits, Listen};
///
/// let few = Limits { connections: 500, ..Limits::default() };
/// let public = Listen::on("0.0.0.0:7010").limits(few);
/// let local = Listen::on("unix:/run/example.socket");
/// ```
#[derive(Debug, Clone)]
#[must_use = "pass it to Server::listen"]
pub struct Listen {
    pub(crate) on: String,
    pub(crate) limits: Limits,
    pub(crate) proxy_protocol: bool,
    pub(crate) tls: Option<Tls>,
    pub(crate) is_monitoring: bool,
    pub(crate) permissions: Permissions,
}

/// The permissions of a Unix socket; `None` keeps what the system has set.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Permissions {
    pub(crate) mode: Option<u32>,
    pub(crate) user: Option<u32>,
    pub(crate) group: Option<u32>,
}

impl Listen {
    /// Listens on `host:port`, `unix:/path`, or `fd:NAME`: a socket that systemd or a hot restart
    /// has handed over under that name. With port 0 the system chooses the port; `0.0.0.0` and
    /// `[::]` mean all interfaces.
    ///
    /// A handed-over socket with the wanted address is used, whatever its name. For port 0 that is
    /// a socket of the old process for which port 0 was wanted, too.
    pub fn on(address: impl Into<String>) -> Listen {
        Listen {
            on: address.into(),
            limits: Limits::default(),
            proxy_protocol: false,
            tls: None,
            is_monitoring: false,
            permissions: Permissions::default(),
        }
    }

    /// Sets the limits.
    pub fn limits(mut self, limits: Limits) -> Listen {
        self.limits = limits;
        self
    }
}

impl Listen {
    /// Enables TLS with these certificates.
    pub fn tls(mut self, tls: Tls) -> Listen {
        self.tls = Some(tls);
        self
    }

    /// Sets the mode of a Unix socket, such as 0o660: users who may write to it may connect. No
    /// client can connect before the socket has it. Default: by the process's umask.
    pub fn socket_mode(mut self, mode: u32) -> Listen {
        self.permissions.mode = Some(mode);
        self
    }

    /// Sets the user and the group that own a Unix socket, by their numbers. Default: those of the
    /// process.
    pub fn socket_owner(mut self, user: Option<u32>, group: Option<u32>) -> Listen {
        (self.permissions.user, self.permissions.group) = (user, group);
        self
    }

    /// Requires the PROXY protocol, version 1 or 2, in front of everything else. It is for
    /// listeners that only proxies can reach: a client's address is then the one that the proxy
    /// sends.
    pub fn proxy_protocol(mut self) -> Listen {
        self.proxy_protocol = true;
        self
    }
}

impl Listen {
    /// Creates the state of the listener, which is bound to `address`.
    pub(crate) fn into_state(self, address: Address) -> ListenerState {
        ListenerState {
            proxy_protocol: self.proxy_protocol,
            tls: self.tls,
            is_monitoring: self.is_monitoring,
            ..ListenerState::new(address, self.limits)
        }
    }
}

impl From<&str> for Listen {
    fn from(address: &str) -> Listen {
        Listen::on(address)
    }
}

impl From<String> for Listen {
    fn from(address: String) -> Listen {
        Listen::on(address)
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Listen {
        Listen::on(address.to_string())
    }
}
