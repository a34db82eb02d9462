//! Token buckets of all clients, in bounded memory.
//!
//! A bucket is stored as the time at which it will be full again (GCRA): one number, and nothing
//! for a client whose bucket is full. **No bucket is removed before it is full**; otherwise a flood
//! of other addresses would give its client a new one. So the table may be full of buckets that are
//! not full. Then clients that are not in it share the buckets of their larger networks, of which
//! there is a fixed number:
//!
//! ```text
//! take ─▶ in the table? ──yes──▶ its own bucket
//!            │ no
//!            ├─▶ there is room: a new bucket, filled as its network's is now
//!            └─▶ the table is full: its network's bucket
//! ```
//!
//! So a token that a client has taken from its network's bucket stays taken when it gets a bucket
//! of its own. Whatever addresses send requests, no client gets more than one bucket holds. A
//! client may get less while others of its network fill the table.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use overlapped::time::Instant;

use crate::locks::IgnorePoison;
use crate::state::client_network;

/// The maximum number of clients with buckets of their own, about 4 MiB.
const CLIENTS_MAX: usize = 65_536;

/// The number of network buckets. Networks that share one are allowed less, never more.
const NETWORKS: usize = 4_096;

/// The time between two scans of the table for full buckets.
const SCAN_PERIOD: Duration = Duration::from_millis(100);

/// The token buckets.
#[derive(Debug)]
pub(super) struct Buckets {
    /// The time after which a token is replenished.
    step: Duration,
    /// The size of a bucket, as the time to fill it.
    depth: Duration,
    /// The secret hash key, so that no client can choose a network that shares a bucket with
    /// another.
    key: RandomState,
    state: Mutex<Table>,
}

/// The times at which buckets will be full again.
#[derive(Debug, Default)]
struct Table {
    clients: HashMap<IpAddr, Instant>,
    /// The networks' buckets; empty until the table of clients is full for the first time.
    networks: Vec<Option<Instant>>,
    scanned_at: Option<Instant>,
}

impl Buckets {
    /// Creates buckets of `tokens` tokens; one is replenished after each `step`.
    pub(super) fn new(tokens: u32, step: Duration) -> Buckets {
        let depth = step.saturating_mul(tokens);
        Buckets { step, depth, key: RandomState::new(), state: Mutex::default() }
    }

    /// Takes a token of the client at `address`.
    ///
    /// # Errors
    /// The time after which there will be one.
    pub(super) fn take(&self, address: Option<IpAddr>, now: Instant) -> Result<(), Duration> {
        let client = client_network(address);
        let mut state = self.state();
        if let Some(full) = state.clients.get_mut(&client) {
            *full = self.take_from(*full, now)?;
            return Ok(());
        }
        state.remove_full(now);
        let network = self.network(client);
        let shared = state.networks.get(network).copied().flatten();
        let full = self.take_from(shared.unwrap_or(now), now)?;
        if state.clients.len() < CLIENTS_MAX {
            state.clients.insert(client, full);
        } else {
            state.networks.resize(NETWORKS, None);
            state.networks[network] = Some(full);
        }
        Ok(())
    }

    /// Checks that the client at `address` has a token, and takes none.
    ///
    /// # Errors
    /// The time after which there will be one.
    pub(super) fn peek(&self, address: Option<IpAddr>, now: Instant) -> Result<(), Duration> {
        let client = client_network(address);
        let state = self.state();
        let own = state.clients.get(&client).copied();
        let shared = || state.networks.get(self.network(client)).copied().flatten();
        self.take_from(own.or_else(shared).unwrap_or(now), now).map(|_| ())
    }

    /// Takes a token from a bucket that would be full at `full`; returns its new time.
    fn take_from(&self, full: Instant, now: Instant) -> Result<Instant, Duration> {
        let full = full.max(now) + self.step;
        let missing = full.saturating_duration_since(now);
        if missing > self.depth { Err(missing - self.depth) } else { Ok(full) }
    }

    /// Gives a token back. A token of a network's bucket stays taken.
    pub(super) fn give_back(&self, address: Option<IpAddr>) {
        if let Some(full) = self.state().clients.get_mut(&client_network(address)) {
            *full = full.checked_sub(self.step).unwrap_or(*full);
        }
    }

    /// Returns the index of the bucket of a client's network.
    fn network(&self, client: IpAddr) -> usize {
        self.key.hash_one(network_of(client)) as usize % NETWORKS
    }

    /// Locks the state: for a few instructions, and now and then for a scan.
    fn state(&self) -> MutexGuard<'_, Table> {
        self.state.lock().ignore_poison()
    }
}

/// Returns the number of a client's network, all of whose addresses may have one owner: 16 bits of
/// IPv4, 32 of IPv6.
pub(super) fn network_of(client: IpAddr) -> u64 {
    match client {
        IpAddr::V4(v4) => u64::from(v4.to_bits() >> 16),
        IpAddr::V6(v6) => 1 << 32 | (v6.to_bits() >> 96) as u64,
    }
}

impl Table {
    /// Removes full buckets if the table is full, but not too often.
    fn remove_full(&mut self, now: Instant) {
        let is_due =
            self.scanned_at.is_none_or(|at| now.saturating_duration_since(at) >= SCAN_PERIOD);
        if self.clients.len() >= CLIENTS_MAX && is_due {
            self.scanned_at = Some(now);
            self.clients.retain(|_, full| *full > now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(number: u32) -> Option<IpAddr> {
        Some(IpAddr::from(number.to_be_bytes()))
    }

    #[test]
    fn a_bucket_allows_a_burst_and_refills_with_time() {
        let buckets = Buckets::new(3, Duration::from_secs(1));
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        for _ in 0..3 {
            assert_eq!(buckets.take(v4(1), now), Ok(()));
        }
        assert_eq!(buckets.take(v4(1), now), Err(Duration::from_secs(1)));
        assert_eq!(buckets.take(v4(2), now), Ok(()), "another client");
        assert_eq!(buckets.take(v4(1), after(1)), Ok(()));
        assert!(buckets.take(v4(1), after(1)).is_err());
        buckets.give_back(v4(1));
        assert_eq!(buckets.take(v4(1), after(1)), Ok(()));
        for _ in 0..3 {
            assert_eq!(buckets.take(v4(1), after(100)), Ok(()));
        }
        assert!(buckets.take(v4(1), after(100)).is_err(), "never more than it holds");
    }

    #[test]
    fn a_network_of_64_bits_is_one_client() {
        let buckets = Buckets::new(1, Duration::from_secs(1));
        let now = Instant::now();
        let take = |text: &str| buckets.take(Some(text.parse().unwrap()), now).is_ok();
        assert!(take("2001:db8::1") && !take("2001:db8::2") && take("2001:db8:0:1::1"));
        assert!(take("192.0.2.1") && !take("::ffff:192.0.2.1"));
        assert!(buckets.take(None, now).is_ok() && buckets.take(None, now).is_err());
    }

    #[test]
    fn no_client_gets_more_than_one_bucket_whatever_addresses_send_requests() {
        const TOKENS: u32 = 10;
        let step = Duration::from_secs(1);
        let begin = Instant::now();
        let buckets = Buckets::new(TOKENS, step);
        // The model: what each client may get, without a limit on memory.
        let mut model: HashMap<u32, Instant> = HashMap::new();
        let mut now = begin;
        let mut random = 1_u32;
        let mut next = |below: u32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 8) % below
        };
        let mut refused = 0;
        for round in 0..20 {
            // A flood of forged addresses, then all clients of the earlier rounds.
            let flood = round % 4 * 20_000;
            for _ in 0..flood {
                let forged = 0x0a00_0000 + next(1 << 24);
                let _ = buckets.take(v4(forged), now);
            }
            for client in 0..500 {
                for _ in 0..next(15) {
                    let full = model.get(&client).copied().unwrap_or(now).max(now) + step;
                    let may = full - now <= step * TOKENS;
                    if buckets.take(v4(client), now).is_ok() {
                        assert!(may, "client {client} of round {round} has had too many");
                        model.insert(client, full);
                    } else {
                        refused += 1;
                    }
                }
            }
            now += Duration::from_millis(next(3_000).into());
        }
        assert!(refused > 1_000, "{refused}");
    }

    #[test]
    fn the_table_has_a_maximum_and_full_buckets_are_removed() {
        let buckets = Buckets::new(2, Duration::from_secs(1));
        let now = Instant::now();
        for number in 0..CLIENTS_MAX as u32 + 10_000 {
            let _ = buckets.take(v4(number), now);
        }
        assert_eq!(buckets.state().clients.len(), CLIENTS_MAX);
        let stranger = v4(0xc000_0201);
        assert_eq!(buckets.take(stranger, now), Ok(()), "one of another network");
        let later = now + Duration::from_secs(10);
        assert_eq!(buckets.take(stranger, later), Ok(()));
        assert_eq!(buckets.state().clients.len(), 1);
    }

    #[test]
    fn tokens_taken_from_a_network_stay_taken_in_a_clients_own_bucket() {
        let buckets = Buckets::new(10, Duration::from_secs(1));
        let now = Instant::now();
        for number in 0..CLIENTS_MAX as u32 {
            assert_eq!(buckets.take(v4(number), now), Ok(()));
        }
        let late = v4(0xc000_0201);
        let taken = (0..100).filter(|_| buckets.take(late, now).is_ok()).count();
        assert_eq!(taken, 10);
        // Now there is room.
        let later = now + Duration::from_secs(2);
        let taken = (0..100).filter(|_| buckets.take(late, later).is_ok()).count();
        assert_eq!((taken, buckets.state().clients.len()), (2, 1));
    }
}
