//! Listeners: their addresses and options, binding and adopting them, and accepting.

mod accept;
pub(crate) mod adopt;
mod bind;
mod check;
mod explain;
mod seats;
mod shortage;
pub(crate) mod successor;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

pub(crate) use accept::{Door, accept_for_ever, accept_the_rest};
pub(crate) use bind::{Bound, bind, shards};
pub(crate) use seats::{Addresses, Ticket, client_of};
pub(crate) use shortage::{Reserve, Shortage, Starving, is_shortage, with_room};

use crate::{Limits, Tls};

/// An address that is listened on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Of TCP.
    Tcp(SocketAddr),
    /// Of a Unix socket.
    Unix(PathBuf),
}

impl Address {
    /// The address of TCP; `None` for a Unix socket.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }
}

impl fmt::Display for Address {
    /// As it may be given to [`Listen::on`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Where to listen, and how.
///
/// ```
/// use overlapped_serve::{Limits, Listen};
///
/// let few = Limits { connections: 500, ..Limits::default() };
/// let public = Listen::on("0.0.0.0:7010").limits(few);
/// let local = Listen::on("unix:/run/example.socket");
/// ```
#[derive(Debug, Clone)]
#[must_use = "it is given to Server::listen"]
pub struct Listen {
    pub(crate) on: String,
    pub(crate) limits: Limits,
    pub(crate) proxy: bool,
    pub(crate) tls: Option<Tls>,
    pub(crate) watched: bool,
    pub(crate) rights: Rights,
}

/// The rights of a Unix socket; what is not said is as the system has it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rights {
    pub(crate) mode: Option<u32>,
    pub(crate) user: Option<u32>,
    pub(crate) group: Option<u32>,
}

impl Listen {
    /// Listens on `host:port`, `unix:/path`, or `fd:NAME`: a socket that systemd or a predecessor
    /// has handed over under that name. Port 0 lets the system choose; `0.0.0.0` and `[::]` are all
    /// interfaces.
    ///
    /// A socket that was handed over and has the address asked for is used, whatever its name. With
    /// port 0 that is a predecessor's for which port 0 was asked for, too.
    pub fn on(address: impl Into<String>) -> Listen {
        Listen {
            on: address.into(),
            limits: Limits::default(),
            proxy: false,
            tls: None,
            watched: false,
            rights: Rights::default(),
        }
    }

    /// What clients are allowed.
    pub fn limits(mut self, limits: Limits) -> Listen {
        self.limits = limits;
        self
    }
}

impl Listen {
    /// Speaks TLS.
    pub fn tls(mut self, tls: Tls) -> Listen {
        self.tls = Some(tls);
        self
    }

    /// The mode of a Unix socket, such as 0o660: who may write to it may connect. Nobody can
    /// connect before the socket has it. Default: as the process's umask leaves it.
    pub fn socket_mode(mut self, mode: u32) -> Listen {
        self.rights.mode = Some(mode);
        self
    }

    /// The user and the group to whom a Unix socket belongs, by their numbers. Default: those of
    /// the process.
    pub fn socket_owner(mut self, user: Option<u32>, group: Option<u32>) -> Listen {
        (self.rights.user, self.rights.group) = (user, group);
        self
    }

    /// Requires the PROXY protocol, version 1 or 2, in front of everything else: for listeners that
    /// only proxies can reach. Clients' addresses are then those that proxies tell.
    pub fn proxy_protocol(mut self) -> Listen {
        self.proxy = true;
        self
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
