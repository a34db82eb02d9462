// The helpers that std's tests have beside std, for the library that takes std's place.

pub mod net_tests {
    use super::net::*;
    fn free(addr: &str) -> SocketAddr {
        std::net::TcpListener::bind(addr).unwrap().local_addr().unwrap()
    }
    pub fn next_test_ip4() -> SocketAddr {
        free("127.0.0.1:0")
    }
    pub fn next_test_ip6() -> SocketAddr {
        free("[::1]:0")
    }
    pub fn sa4(a: Ipv4Addr, p: u16) -> SocketAddr {
        SocketAddr::V4(SocketAddrV4::new(a, p))
    }
    pub fn sa6(a: Ipv6Addr, p: u16) -> SocketAddr {
        SocketAddr::V6(SocketAddrV6::new(a, p, 0, 0))
    }
    pub fn tsa<A: ToSocketAddrs>(a: A) -> Result<Vec<SocketAddr>, String> {
        a.to_socket_addrs().map(|found| found.collect()).map_err(|error| error.to_string())
    }
    pub fn compare_ignore_zoneid(a: &SocketAddr, b: &SocketAddr) -> bool {
        match (a, b) {
            (SocketAddr::V6(a), SocketAddr::V6(b)) => {
                (a.ip(), a.flowinfo(), a.port()) == (b.ip(), b.flowinfo(), b.port())
            }
            _ => a == b,
        }
    }
}

pub mod rand {
    pub trait RngCore {
        fn next_u32(&mut self) -> u32;
        fn fill_bytes(&mut self, bytes: &mut [u8]);
    }
}

pub mod test_helpers {
    use std::path::{Path, PathBuf};

    pub struct Rng(u64);

    impl super::rand::RngCore for Rng {
        fn next_u32(&mut self) -> u32 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 32) as u32
        }
        fn fill_bytes(&mut self, bytes: &mut [u8]) {
            bytes.iter_mut().for_each(|byte| *byte = self.next_u32() as u8);
        }
    }

    pub fn test_rng() -> Rng {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
        Rng(now ^ (u64::from(std::process::id()) << 32) | 1)
    }

    pub struct TempDir(PathBuf);

    impl TempDir {
        pub fn join(&self, path: &str) -> PathBuf {
            self.0.join(path)
        }
        pub fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for TempDir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    pub fn tmpdir() -> TempDir {
        use super::rand::RngCore as _;
        let path = std::env::temp_dir().join(format!("rust-{}", test_rng().next_u32()));
        std::fs::create_dir(&path).unwrap();
        TempDir(path)
    }
}

pub use test_helpers as common;

#[track_caller]
pub fn result_unwrap<T, E: std::fmt::Debug>(x: Result<T, E>) -> T {
    x.unwrap()
}

/// The types that `main` may return.
pub trait Ended {
    fn end(self);
}

impl Ended for () {
    fn end(self) {}
}

impl<E: std::fmt::Debug> Ended for Result<(), E> {
    fn end(self) {
        self.unwrap();
    }
}

pub fn ended(main: impl Ended) {
    main.end();
}
