//! Who is on the other side.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// The client of a connection, and how it came.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) tls: Option<TlsPeer>,
    pub(crate) proxy: Option<SocketAddr>,
}

/// What a TLS handshake told.
#[derive(Debug, Clone, Default)]
pub struct TlsPeer {
    /// The name of the server that the client asked for (SNI).
    pub server_name: Option<Arc<str>>,
    /// The application's protocol that was agreed on (ALPN).
    pub protocol: Option<Arc<str>>,
}

impl Peer {
    /// The client's address; with the PROXY protocol, the one that the proxy told. `None` for a
    /// Unix socket, and for a proxy's own connections.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.remote
    }

    /// The address that the client connected to. `None` for a Unix socket.
    pub fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    /// What the TLS handshake told; `None` without TLS.
    pub fn tls(&self) -> Option<&TlsPeer> {
        self.tls.as_ref()
    }

    /// The address of the proxy that told the client's address.
    pub fn proxy(&self) -> Option<SocketAddr> {
        self.proxy
    }
}

impl fmt::Display for Peer {
    /// The client's address, or `local` for a Unix socket.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.remote {
            Some(remote) => remote.fmt(f),
            None => f.write_str("local"),
        }
    }
}
