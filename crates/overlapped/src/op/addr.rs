//! A socket address in the kernel's form, for accept and connect. Conversions only.

use std::io;
use std::net::SocketAddr;

use socket2::{SockAddr, SockAddrStorage};

/// `sockaddr_storage` and its length, at one place that a kernel may read and write.
#[repr(C)]
pub(crate) struct SocketAddrBuf {
    /// The address itself.
    pub(crate) storage: SockAddrStorage,
    /// In: the room; out: the length written.
    pub(crate) len: libc::socklen_t,
}

impl SocketAddrBuf {
    /// Room for any address.
    pub(crate) fn empty() -> SocketAddrBuf {
        let storage = SockAddrStorage::zeroed();
        let len = storage.size_of();
        SocketAddrBuf { storage, len }
    }

    /// The address that the kernel wrote.
    pub(crate) fn to_std(&self) -> io::Result<SocketAddr> {
        let mut copy = SockAddrStorage::zeroed();
        // SAFETY: `sockaddr_storage` is plain bytes, valid for every bit pattern of its fields,
        // and both places are whole `SockAddrStorage` values that do not overlap.
        unsafe {
            std::ptr::copy_nonoverlapping(&raw const self.storage, &raw mut copy, 1);
        }
        // SAFETY: the storage was zeroed and then filled by the kernel up to `len`, so an address
        // of any family stands in it, initialised.
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
    fn addresses_survive_the_way_to_the_kernels_form_and_back() {
        for text in ["127.0.0.1:80", "[::1]:65535", "[fe80::1%7]:9"] {
            let addr: SocketAddr = text.parse().unwrap();
            assert_eq!(SocketAddrBuf::from(addr).to_std().unwrap(), addr);
        }
    }
}
