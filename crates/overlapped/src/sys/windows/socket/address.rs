//! A socket address in the system's form, for accept, connect and datagrams. Conversions only.

use std::io;
use std::net::SocketAddr;

use socket2::{SockAddr, SockAddrStorage};

/// An address and its length, as the system writes and reads them.
#[repr(C)]
pub(crate) struct SocketAddrBuf {
    pub(crate) storage: SockAddrStorage,
    pub(crate) len: i32,
}

impl SocketAddrBuf {
    /// Makes a place for an address; `len` is its room.
    pub(crate) fn empty() -> SocketAddrBuf {
        let storage = SockAddrStorage::zeroed();
        let len = storage.size_of();
        SocketAddrBuf { storage, len }
    }

    /// Returns the address, if it is one of the internet.
    pub(crate) fn to_std(&self) -> io::Result<SocketAddr> {
        let mut copy = SockAddrStorage::zeroed();
        // SAFETY: both places are whole values of one type of plain bytes, and do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(&raw const self.storage, &raw mut copy, 1) };
        // SAFETY: the storage was zeroed and then filled by the system or from an address.
        let addr = unsafe { SockAddr::new(copy, self.len) };
        addr.as_socket().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "the peer's address is neither IPv4 nor IPv6",
            )
        })
    }
}

impl From<SocketAddr> for SocketAddrBuf {
    fn from(addr: SocketAddr) -> SocketAddrBuf {
        let addr = SockAddr::from(addr);
        let len = addr.len();
        SocketAddrBuf { storage: addr.as_storage(), len }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_way_to_the_systems_form_and_back() {
        for text in ["127.0.0.1:80", "[::1]:65535", "[fe80::1%7]:9"] {
            let addr: SocketAddr = text.parse().unwrap();
            assert_eq!(SocketAddrBuf::from(addr).to_std().unwrap(), addr);
        }
    }
}
