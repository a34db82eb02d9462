//! The client's identity.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// The client of a connection or of a request, and the way it came.
///
/// ```
/// use overlapped_serve::Peer;
///
/// let peer = Peer::default().with_remote("192.0.2.7:4711".parse().unwrap()).with_secure(true);
/// assert_eq!(peer.to_string(), "192.0.2.7:4711");
/// assert!(peer.is_secure() && peer.tls().is_none());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) tls: Option<TlsPeer>,
    pub(crate) proxy: Option<SocketAddr>,
    pub(crate) secure: bool,
}

/// The results of a TLS handshake.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsPeer {
    /// The name of the server that the client asked for (SNI).
    pub server_name: Option<Arc<str>>,
    /// The application protocol that was negotiated (ALPN).
    pub protocol: Option<Arc<str>>,
}

impl Peer {
    /// Returns the client's address; with the PROXY protocol, the one that the proxy sent. `None`
    /// for a Unix socket, and for a proxy's own connections.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.remote
    }

    /// Returns the address that the client connected to. `None` for a Unix socket.
    pub fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    /// Returns the results of the TLS handshake; `None` without TLS.
    pub fn tls(&self) -> Option<&TlsPeer> {
        self.tls.as_ref()
    }

    /// Returns the address of the proxy that sent the client's address.
    pub fn proxy(&self) -> Option<SocketAddr> {
        self.proxy
    }

    /// Tells whether the client uses TLS: with this server, or, behind
    /// [`Forwarded`](crate::web::Forwarded), with a trusted proxy.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Sets the client's address.
    #[must_use]
    pub fn with_remote(mut self, remote: SocketAddr) -> Peer {
        self.remote = Some(remote);
        self
    }

    /// Sets the address that the client connected to.
    #[must_use]
    pub fn with_local(mut self, local: SocketAddr) -> Peer {
        self.local = Some(local);
        self
    }

    /// Sets whether the client uses TLS.
    #[must_use]
    pub fn with_secure(mut self, secure: bool) -> Peer {
        self.secure = secure;
        self
    }
}

impl fmt::Display for Peer {
    /// Writes the client's address, or `local` for a Unix socket.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.remote {
            Some(remote) => remote.fmt(f),
            None => f.write_str("local"),
        }
    }
}
