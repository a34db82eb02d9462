//! A socket address in the kernel's form, for accept, connect and datagrams. Conversions only.

use std::ffi::OsStr;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net as unix;

use socket2::{SockAddr, SockAddrStorage};

use crate::sys::native;

/// `sockaddr_storage` and its length, at one place that a kernel may read and write.
#[repr(C)]
pub(crate) struct SocketAddrBuf {
    /// The address itself.
    pub(crate) storage: SockAddrStorage,
    /// The capacity before a call that writes, and the length written after it.
    pub(crate) len: libc::socklen_t,
}

impl SocketAddrBuf {
    /// Room for any address.
    pub(crate) fn empty() -> SocketAddrBuf {
        let storage = SockAddrStorage::zeroed();
        let len = storage.size_of();
        SocketAddrBuf { storage, len }
    }

    /// Makes a copy of an address in the kernel's form.
    ///
    /// # Errors
    /// `InvalidInput` if `len` is longer than any address.
    ///
    /// # Safety
    /// `addr` is valid for reads of `len` bytes.
    pub(crate) unsafe fn copied(addr: *const u8, len: usize) -> io::Result<SocketAddrBuf> {
        let mut copy = SocketAddrBuf::empty();
        if len > copy.len as usize {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: the caller's promise; the storage has room for that many bytes.
        unsafe {
            std::ptr::copy_nonoverlapping(addr, (&raw mut copy.storage).cast::<u8>(), len);
        }
        copy.len = len as libc::socklen_t;
        Ok(copy)
    }

    /// Copies as much of the address as there is room for, and says how long it is, as the kernel
    /// does.
    ///
    /// # Safety
    /// `len` is valid for reads and writes, and `addr` for writes of `*len` bytes.
    pub(crate) unsafe fn copy_to(&self, addr: *mut u8, len: *mut u32) {
        // SAFETY: the caller's promise; no more than the storage has, or there is room for.
        unsafe {
            let count = (*len).min(self.len).min(size_of::<SockAddrStorage>() as u32);
            let from = (&raw const self.storage).cast::<u8>();
            std::ptr::copy_nonoverlapping(from, addr, count as usize);
            *len = self.len;
        }
    }

    /// Returns the address that the kernel wrote.
    pub(crate) fn to_std(&self) -> io::Result<SocketAddr> {
        self.to_socket2().as_socket().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "the peer's address is neither IPv4 nor IPv6",
            )
        })
    }

    /// Returns the address that the kernel wrote, for sockets of the Unix family.
    ///
    /// std's type cannot hold a path of 108 bytes, which leaves no room for a final zero. Such an
    /// address is returned as unnamed, since with an error the message would be lost.
    pub(crate) fn to_unix(&self) -> io::Result<unix::SocketAddr> {
        let unnamed = || unix::SocketAddr::from_pathname("");
        match self.family() {
            libc::AF_UNIX => {}
            // Linux writes nothing for a sender without a name.
            _ if self.len == 0 => return unnamed(),
            libc::AF_UNSPEC => return unnamed(),
            _ => {
                let text = "file descriptor did not correspond to a Unix socket";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
        }
        match self.path() {
            [] => unnamed(),
            [0, name @ ..] => native::abi::from_abstract_name(name),
            path => {
                let path = path.split(|&byte| byte == 0).next().unwrap_or_default();
                unix::SocketAddr::from_pathname(OsStr::from_bytes(path)).or_else(|_| unnamed())
            }
        }
    }

    fn family(&self) -> libc::c_int {
        let storage = (&raw const self.storage).cast::<libc::sockaddr_storage>();
        // SAFETY: `SockAddrStorage` is a transparent `sockaddr_storage`, borrowed and initialised.
        libc::c_int::from(unsafe { (*storage).ss_family })
    }

    /// Returns the bytes behind the family that `len` covers.
    fn path(&self) -> &[u8] {
        let room = size_of::<SockAddrStorage>();
        // SAFETY: the storage is borrowed with the result; every byte of it was zeroed first.
        let bytes: &[u8] =
            unsafe { std::slice::from_raw_parts((&raw const self.storage).cast(), room) };
        let begin = std::mem::offset_of!(libc::sockaddr_un, sun_path);
        bytes.get(begin..(self.len as usize).min(room)).unwrap_or_default()
    }

    fn copy(&self) -> SockAddrStorage {
        let mut copy = SockAddrStorage::zeroed();
        // SAFETY: `sockaddr_storage` is plain bytes, valid for every bit pattern of its fields,
        // and both places are whole `SockAddrStorage` values that do not overlap.
        unsafe {
            std::ptr::copy_nonoverlapping(&raw const self.storage, &raw mut copy, 1);
        }
        copy
    }

    /// Returns the address as socket2 has it.
    pub(crate) fn to_socket2(&self) -> SockAddr {
        // SAFETY: the storage was zeroed and then filled by the kernel or from an address, so it
        // holds an initialised address of some family.
        unsafe { SockAddr::new(self.copy(), self.len) }
    }
}

impl From<SockAddr> for SocketAddrBuf {
    fn from(addr: SockAddr) -> SocketAddrBuf {
        let len = addr.len();
        SocketAddrBuf { storage: addr.as_storage(), len }
    }
}

impl From<SocketAddr> for SocketAddrBuf {
    fn from(addr: SocketAddr) -> SocketAddrBuf {
        SockAddr::from(addr).into()
    }
}

impl From<&unix::SocketAddr> for SocketAddrBuf {
    fn from(addr: &unix::SocketAddr) -> SocketAddrBuf {
        let mut bytes = Vec::new();
        if let Some(path) = addr.as_pathname() {
            bytes.extend_from_slice(path.as_os_str().as_bytes());
        } else if let Some(name) = native::abi::abstract_name(addr) {
            bytes.push(0);
            bytes.extend_from_slice(name);
        }
        // To socket2, as to Linux, a leading zero begins an abstract name. No bytes mean unnamed.
        let addr = SockAddr::unix(OsStr::from_bytes(&bytes));
        addr.expect("an address that std has made fits").into()
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

    #[test]
    fn unix_addresses_survive_the_way_to_the_kernels_form_and_back() {
        let longest = "x".repeat(107);
        for path in ["", "a", "/a/b c", &longest] {
            let addr = unix::SocketAddr::from_pathname(path).unwrap();
            let back = SocketAddrBuf::from(&addr).to_unix().unwrap();
            assert_eq!(back.as_pathname(), addr.as_pathname());
            assert_eq!(back.is_unnamed(), path.is_empty());
        }
        #[cfg(target_os = "linux")]
        for name in [&b""[..], b"a\0b", &[7; 107]] {
            let addr = native::abi::from_abstract_name(name).unwrap();
            let back = SocketAddrBuf::from(&addr).to_unix().unwrap();
            assert_eq!(native::abi::abstract_name(&back), Some(name));
        }
        assert!(SocketAddrBuf::empty().to_unix().unwrap().is_unnamed(), "nothing was written");
        let written = SocketAddrBuf::from(SockAddr::unix("a").unwrap());
        assert!(SocketAddrBuf { len: 0, ..written }.to_unix().unwrap().is_unnamed());
        let inet = SocketAddrBuf::from("127.0.0.1:80".parse::<SocketAddr>().unwrap());
        assert_eq!(inet.to_unix().unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert!(SocketAddrBuf::from(SockAddr::unix("/a").unwrap()).to_std().is_err());
    }

    #[test]
    fn a_path_without_an_end_is_an_address_without_a_name() {
        let mut addr = SocketAddrBuf::from(SockAddr::unix("x").unwrap());
        let place = (&raw mut addr.storage).cast::<libc::sockaddr_un>();
        // SAFETY: the storage has room for any address and is borrowed by no other code.
        unsafe { (*place).sun_path = [b'x' as _; 108] };
        for len in [110, 111, 128, 200] {
            addr.len = len;
            assert!(addr.to_unix().unwrap().is_unnamed());
        }
    }
}
