//! Looks up names.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use overlapped::net::{SocketAddr, ToSocketAddrs};
use overlapped::time::{Duration, Instant};
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{self as unversioned, DefaultResolver, ResolvedSocketAddrs};
use ureq::unversioned::transport::NextTimeout;

use crate::limit::within;

/// Looks names up on a pool thread. ureq's own resolver blocks the thread, and all its tasklets.
///
/// ureq looks the name up for every request, even on an existing connection; so results are cached
/// for a while.
#[derive(Debug, Default)]
pub struct Resolver {
    /// Cached results. No tasklet waits while it holds the lock.
    known: Mutex<HashMap<String, (Instant, Vec<SocketAddr>)>>,
}

impl Resolver {
    /// The time for which a result is cached, as by curl.
    const REMEMBERED: Duration = Duration::from_secs(60);
    /// The maximum number of names in the cache.
    const NAMES_MAX: usize = 1024;

    fn known(&self) -> MutexGuard<'_, HashMap<String, (Instant, Vec<SocketAddr>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look_up(&self, name: String, limit: NextTimeout) -> Result<Vec<SocketAddr>, Error> {
        if let Some((since, found)) = self.known().get(&name)
            && since.elapsed() < Resolver::REMEMBERED
        {
            return Ok(found.clone());
        }
        let found: Vec<_> = within(limit, || name.to_socket_addrs())?.collect();
        let mut known = self.known();
        if known.len() >= Resolver::NAMES_MAX {
            known.retain(|_, (since, _)| since.elapsed() < Resolver::REMEMBERED);
        }
        if known.len() < Resolver::NAMES_MAX {
            known.insert(name, (Instant::now(), found.clone()));
        }
        Ok(found)
    }
}

impl unversioned::Resolver for Resolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        limit: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let bad_uri = || Error::BadUri(uri.to_string());
        let scheme = uri.scheme().ok_or_else(bad_uri)?;
        let authority = uri.authority().ok_or_else(bad_uri)?;
        let name = DefaultResolver::host_and_port(scheme, authority).ok_or_else(bad_uri)?;
        let found = self.look_up(name, limit)?;
        let mut addrs = self.empty();
        // ureq's array has room for 16 addresses; its push panics beyond.
        for addr in config.ip_family().keep_wanted(found.into_iter()).take(16) {
            addrs.push(addr);
        }
        if addrs.is_empty() { Err(Error::HostNotFound) } else { Ok(addrs) }
    }
}
