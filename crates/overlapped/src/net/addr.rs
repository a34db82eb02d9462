//! Conversion of names to addresses, which blocks only the calling tasklet.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::{iter, option, slice, vec};

use crate::sys::resolve;
use crate::task::{UnblockError, cancelled_wait, unblock};

/// A conversion to socket addresses: std's trait of that name, with std's implementations. Names
/// are looked up on a pool thread, so that only the calling tasklet waits.
pub trait ToSocketAddrs {
    /// The iterator over the addresses.
    type Iter: Iterator<Item = SocketAddr>;

    /// Returns the addresses, in the order in which to try them.
    ///
    /// # Errors
    /// Those of the resolver, `InvalidInput` for a malformed address, `TimedOut` at the deadline.
    fn to_socket_addrs(&self) -> io::Result<Self::Iter>;

    /// Tells whether the addresses belong to one host. Then any of them will do, and a connect
    /// tries them in parallel instead of one after another.
    #[doc(hidden)]
    fn is_name(&self) -> bool {
        false
    }
}

/// Returns the addresses of `host`, looked up on a pool thread: only the calling tasklet waits.
///
/// ```
/// overlapped::run(|| {
///     let addrs: Vec<_> = overlapped::net::lookup_host("localhost:80").unwrap().collect();
///     assert!(addrs.iter().all(|addr| addr.ip().is_loopback() && addr.port() == 80));
/// }).unwrap();
/// ```
///
/// # Errors
/// As [`ToSocketAddrs::to_socket_addrs`].
pub fn lookup_host<A: ToSocketAddrs>(host: A) -> io::Result<A::Iter> {
    host.to_socket_addrs()
}

/// Implements the trait for types that are addresses already.
macro_rules! already_an_address {
    ($($from:ty),*) => {$(
        impl ToSocketAddrs for $from {
            type Iter = option::IntoIter<SocketAddr>;

            fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
                Ok(Some(SocketAddr::from(*self)).into_iter())
            }
        }
    )*};
}

already_an_address!(
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16)
);

impl ToSocketAddrs for (&str, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        let (host, port) = *self;
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)].into_iter());
        }
        let host = host.to_owned();
        match unblock(move || resolve::lookup(&host, port)) {
            Ok(found) => found.map(Vec::into_iter),
            Err(error) => Err(explain(error)),
        }
    }

    fn is_name(&self) -> bool {
        true
    }
}

impl ToSocketAddrs for (String, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (&*self.0, self.1).to_socket_addrs()
    }

    fn is_name(&self) -> bool {
        true
    }
}

impl ToSocketAddrs for str {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        if let Ok(addr) = self.parse() {
            return Ok(vec![addr].into_iter());
        }
        let invalid = |text| io::Error::new(io::ErrorKind::InvalidInput, text);
        let (host, port) = self.rsplit_once(':').ok_or(invalid("invalid socket address"))?;
        let port = port.parse().map_err(|_| invalid("invalid port value"))?;
        (host, port).to_socket_addrs()
    }

    fn is_name(&self) -> bool {
        true
    }
}

impl ToSocketAddrs for String {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (**self).to_socket_addrs()
    }

    fn is_name(&self) -> bool {
        true
    }
}

impl<'a> ToSocketAddrs for &'a [SocketAddr] {
    type Iter = iter::Cloned<slice::Iter<'a, SocketAddr>>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(self.iter().cloned())
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    type Iter = T::Iter;

    fn to_socket_addrs(&self) -> io::Result<T::Iter> {
        (**self).to_socket_addrs()
    }

    fn is_name(&self) -> bool {
        (**self).is_name()
    }
}

fn explain(error: UnblockError) -> io::Error {
    let kind = match error {
        UnblockError::TimedOut | UnblockError::Cancelled => return cancelled_wait(),
        UnblockError::Interrupted => return io::ErrorKind::Interrupted.into(),
        UnblockError::WouldBlock => io::ErrorKind::WouldBlock,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error.to_string())
}

/// Calls `f` with each address until one call succeeds, as std's `each_addr`.
pub(super) fn first_that<T>(
    addrs: impl ToSocketAddrs,
    f: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    first_of(addrs.to_socket_addrs()?, f)
}

/// Does what [`first_that`] does, with addresses.
pub(super) fn first_of<T>(
    addrs: impl IntoIterator<Item = SocketAddr>,
    mut f: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = None;
    for addr in addrs {
        match f(addr) {
            Ok(done) => return Ok(done),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "could not resolve to any addresses")
    }))
}
