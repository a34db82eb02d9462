//! How many connections each address has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections by address, for all threads of a listener.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    taken: Mutex<HashMap<IpAddr, usize>>,
}

impl Addresses {
    /// One connection more for this address; `None` where it has `most`.
    pub(crate) fn take(self: &Arc<Addresses>, address: IpAddr, most: usize) -> Option<Ticket> {
        let site = client_of(Some(address));
        let mut taken = self.lock();
        let count = taken.entry(site).or_insert(0);
        if *count >= most {
            if most == 0 {
                taken.remove(&site);
            }
            return None;
        }
        *count += 1;
        Some(Ticket { addresses: Arc::clone(self), site })
    }

    /// Held for a few instructions only, never across a wait.
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address that stands for a client: an IPv4 address, or an IPv6 network of 64 bits, which one
/// client may have all of. Clients without an address, of Unix sockets, are one.
pub(crate) fn client_of(address: Option<IpAddr>) -> IpAddr {
    let Some(address) = address else { return std::net::Ipv6Addr::UNSPECIFIED.into() };
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 => v4,
    }
}

/// One connection of an address, until it is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    addresses: Arc<Addresses>,
    site: IpAddr,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut taken = self.addresses.lock();
        if let Some(count) = taken.get_mut(&self.site) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.site);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_64_bits_is_one_client_and_so_is_a_mapped_address() {
        let addresses = Arc::new(Addresses::default());
        let take = |text: &str| addresses.take(text.parse().unwrap(), 2);
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
    fn nothing_is_kept_of_those_who_have_gone() {
        let addresses = Arc::new(Addresses::default());
        drop(addresses.take("192.0.2.1".parse().unwrap(), 1));
        assert!(addresses.take("192.0.2.1".parse().unwrap(), 0).is_none());
        assert!(addresses.lock().is_empty());
    }
}
