//! The limit on connections per address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::locks::IgnorePoison;

/// The number of connections of each client network, for all threads of a listener.
#[derive(Debug, Default)]
pub(crate) struct ConnectionLimit {
    taken: Mutex<HashMap<IpAddr, usize>>,
}

impl ConnectionLimit {
    /// Counts one more connection of `address`; returns `None` if it has `limit` already.
    pub(crate) fn acquire(
        self: &Arc<ConnectionLimit>,
        address: IpAddr,
        limit: usize,
    ) -> Option<AddressPermit> {
        let network = client_network(Some(address));
        let mut taken = self.lock();
        let count = taken.entry(network).or_insert(0);
        if *count >= limit {
            if limit == 0 {
                taken.remove(&network);
            }
            return None;
        }
        *count += 1;
        Some(AddressPermit { connection_limit: Arc::clone(self), network })
    }

    /// Locks the table. The lock is held for a few instructions only, never across a wait.
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.taken.lock().ignore_poison()
    }
}

/// Returns the address that stands for a client: an IPv4 address, or an IPv6 network of 64 bits,
/// because one client may have all of such a network. All clients without an address (of Unix
/// sockets) count as one.
pub(crate) fn client_network(address: Option<IpAddr>) -> IpAddr {
    let Some(address) = address else { return std::net::Ipv6Addr::UNSPECIFIED.into() };
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 => v4,
    }
}

/// The permit for one connection of an address; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct AddressPermit {
    connection_limit: Arc<ConnectionLimit>,
    network: IpAddr,
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let mut taken = self.connection_limit.lock();
        if let Some(count) = taken.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_client_and_a_mapped_address_is_its_ipv4_address() {
        let limit = Arc::new(ConnectionLimit::default());
        let take = |text: &str| limit.acquire(text.parse().unwrap(), 2);
        let first = take("2001:db8::1").unwrap();
        let _second = take("2001:db8::ffff:1").unwrap();
        assert!(take("2001:db8::2").is_none());
        assert!(take("2001:db8:0:1::1").is_some());
        drop(first);
        assert!(take("2001:db8::2").is_some());

        let _v4 = [take("192.0.2.1").unwrap(), take("::ffff:192.0.2.1").unwrap()];
        assert!(take("192.0.2.1").is_none());
    }

    #[test]
    fn addresses_without_connections_leave_no_entry() {
        let limit = Arc::new(ConnectionLimit::default());
        drop(limit.acquire("192.0.2.1".parse().unwrap(), 1));
        assert!(limit.acquire("192.0.2.1".parse().unwrap(), 0).is_none());
        assert!(limit.lock().is_empty());
    }
}
