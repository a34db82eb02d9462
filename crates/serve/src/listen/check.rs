//! Checks whether a server could listen on an address, without listening.

use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use socket2::SockAddr;

use super::explain::{self, explain};
use super::{Listen, bind};
use crate::state::Address;

impl Listen {
    /// Checks whether a server could listen on the address now, as far as that shows without
    /// listening: no client notices, and no socket file is created or removed. Returns the address;
    /// `None` for `fd:NAME`, which exists only in a process that inherits it.
    ///
    /// # Errors
    /// Those of [`Server::listen`](crate::Server::listen).
    pub fn check(&self) -> io::Result<Option<Address>> {
        if self.on.starts_with("fd:") {
            return Ok(None);
        }
        if let Some(path) = self.on.strip_prefix("unix:") {
            let address = Address::Unix(PathBuf::from(path));
            return match unix(Path::new(path)) {
                Ok(()) => Ok(Some(address)),
                Err(error) => Err(explain(&address, &error)),
            };
        }
        let mut failed = ErrorKind::InvalidInput.into();
        for wanted in explain::resolve(&self.on)? {
            let address = Address::Tcp(wanted);
            match bind::bound_tcp(wanted, false) {
                Ok(_) => return Ok(Some(address)),
                Err(error) => failed = explain(&address, &error),
            }
        }
        Err(failed)
    }
}

/// Tells whether a socket could be bound to `path`.
fn unix(path: &Path) -> io::Result<()> {
    SockAddr::unix(path)?;
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => Err(ErrorKind::AlreadyExists.into()),
        Ok(_) => match UnixStream::connect(path) {
            Err(refused) if refused.kind() == ErrorKind::ConnectionRefused => Ok(()),
            _ => Err(ErrorKind::AddrInUse.into()),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let parent = parent.unwrap_or(Path::new("."));
            Ok(rustix::fs::access(parent, Access::WRITE_OK | Access::EXEC_OK)?)
        }
        Err(error) => Err(error),
    }
}

impl Address {
    /// Tells whether listeners on the two addresses would collide.
    pub fn overlaps(&self, other: &Address) -> bool {
        let (Address::Tcp(a), Address::Tcp(b)) = (self, other) else { return self == other };
        // Port 0 stands for another port each time.
        let has_same_port = a.port() == b.port() && a.port() != 0;
        let (a, b) = (a.ip().to_canonical(), b.ip().to_canonical());
        let is_all = |all: std::net::IpAddr, other: std::net::IpAddr| {
            // A listener on all IPv6 addresses usually covers those of IPv4, too.
            all.is_unspecified() && (all.is_ipv6() || other.is_ipv4())
        };
        has_same_port && (a == b || is_all(a, b) || is_all(b, a))
    }

    /// Returns the processes that listen on the address, as far as this user may see. Only on
    /// Linux; empty elsewhere.
    pub fn holders(&self) -> Vec<u32> {
        explain::holders(self).into_iter().map(|(process, _)| process).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_overlap_if_their_listeners_would_collide() {
        let tcp = |text: &str| Address::Tcp(text.parse().unwrap());
        for (a, b, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("0.0.0.0:80", "127.0.0.2:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("[::]:80", "127.0.0.2:80", true),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            assert_eq!(tcp(a).overlaps(&tcp(b)), expected, "{a} {b}");
            assert_eq!(tcp(b).overlaps(&tcp(a)), expected, "{b} {a}");
        }
        let unix = |path: &str| Address::Unix(path.into());
        assert!(unix("/a").overlaps(&unix("/a")) && !unix("/a").overlaps(&unix("/b")));
    }
}
