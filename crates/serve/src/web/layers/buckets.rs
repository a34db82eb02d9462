//! A token bucket for each client, in bounded memory.
//!
//! A bucket is kept as the time at which it will be full again (GCRA): one number, and nothing of a
//! client whose bucket is full. **No bucket is forgotten before it is full**, or a flood of other
//! addresses would give its client a fresh one. So the table of clients may be full of buckets that
//! are not; then clients that are not in it share those of their larger networks, of which there
//! is a fixed number:
//!
//! ```text
//! take ─▶ in the table? ──yes──▶ its own bucket
//!            │ no
//!            ├─▶ there is room: a bucket of its own, which begins as its network's is now
//!            └─▶ the table is full: its network's
//! ```
//!
//! A request that a client takes of its network's bucket thus stays taken when it gets one of its
//! own: whatever addresses come, no client gets more than one bucket holds. One may get less, while
//! others of its network fill the table.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use overlapped::time::Instant;

use crate::locks::IgnorePoison;
use crate::state::client_network;

/// Clients that have buckets of their own: some 4 MiB.
const CLIENTS_MAX: usize = 65_536;

/// Buckets of larger networks. Networks that have the same one are held to less, never to more.
const NETWORKS: usize = 4_096;

/// Between two searches of the whole table for buckets that are full.
const PAUSE: Duration = Duration::from_millis(100);

/// Token buckets of all clients.
#[derive(Debug)]
pub(super) struct Buckets {
    /// The time after which a token is there again.
    step: Duration,
    /// The contents of a full bucket, as time.
    depth: Duration,
    /// The secret by which networks are spread, so that none can be made to share another's bucket.
    key: RandomState,
    state: Mutex<State>,
}

/// Times at which buckets will be full again.
#[derive(Debug, Default)]
struct State {
    clients: HashMap<IpAddr, Instant>,
    /// Empty until the table of clients is full for the first time.
    networks: Vec<Option<Instant>>,
    searched: Option<Instant>,
}

impl Buckets {
    /// Buckets of `tokens`, each of which is back after `step`.
    pub(super) fn new(tokens: u32, step: Duration) -> Buckets {
        let depth = step.saturating_mul(tokens);
        Buckets { step, depth, key: RandomState::new(), state: Mutex::default() }
    }

    /// Takes a token of the client at `address`.
    ///
    /// # Errors
    /// The time after which there is one.
    pub(super) fn take(&self, address: Option<IpAddr>, now: Instant) -> Result<(), Duration> {
        let client = client_network(address);
        let mut state = self.state();
        if let Some(full) = state.clients.get_mut(&client) {
            *full = self.less(*full, now)?;
            return Ok(());
        }
        state.make_room(now);
        let network = self.network(client);
        let shared = state.networks.get(network).copied().flatten();
        let full = self.less(shared.unwrap_or(now), now)?;
        if state.clients.len() < CLIENTS_MAX {
            state.clients.insert(client, full);
        } else {
            state.networks.resize(NETWORKS, None);
            state.networks[network] = Some(full);
        }
        Ok(())
    }

    /// Tells whether there is a token of the client at `address`, and takes none.
    ///
    /// # Errors
    /// The time after which there is one.
    pub(super) fn peek(&self, address: Option<IpAddr>, now: Instant) -> Result<(), Duration> {
        let client = client_network(address);
        let state = self.state();
        let own = state.clients.get(&client).copied();
        let shared = || state.networks.get(self.network(client)).copied().flatten();
        self.less(own.or_else(shared).unwrap_or(now), now).map(|_| ())
    }

    /// The time at which a bucket that would be full at `full` is so with one token less.
    fn less(&self, full: Instant, now: Instant) -> Result<Instant, Duration> {
        let full = full.max(now) + self.step;
        let missing = full.saturating_duration_since(now);
        if missing > self.depth { Err(missing - self.depth) } else { Ok(full) }
    }

    /// Gives a token back. One that was a network's stays taken.
    pub(super) fn give(&self, address: Option<IpAddr>) {
        if let Some(full) = self.state().clients.get_mut(&client_network(address)) {
            *full = full.checked_sub(self.step).unwrap_or(*full);
        }
    }

    /// The place of the bucket of a client's network.
    fn network(&self, client: IpAddr) -> usize {
        self.key.hash_one(network_of(client)) as usize % NETWORKS
    }

    /// Held for a few instructions, and now and then for a search.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().ignore_poison()
    }
}

/// The number of a client's network, of which one owner may have all addresses: 16 bits of IPv4, 32
/// of IPv6.
pub(super) fn network_of(client: IpAddr) -> u64 {
    match client {
        IpAddr::V4(v4) => u64::from(v4.to_bits() >> 16),
        IpAddr::V6(v6) => 1 << 32 | (v6.to_bits() >> 96) as u64,
    }
}

impl State {
    /// Forgets clients whose buckets are full, where the table is, and not too often.
    fn make_room(&mut self, now: Instant) {
        let is_due = self.searched.is_none_or(|at| now.saturating_duration_since(at) >= PAUSE);
        if self.clients.len() >= CLIENTS_MAX && is_due {
            self.searched = Some(now);
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
    fn a_bucket_is_emptied_at_once_and_filled_with_time() {
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
        buckets.give(v4(1));
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
    fn whatever_addresses_come_no_client_ever_gets_more_than_its_own() {
        const TOKENS: u32 = 10;
        let step = Duration::from_secs(1);
        let begin = Instant::now();
        let buckets = Buckets::new(TOKENS, step);
        // What each client may have, without any limit on memory.
        let mut model: HashMap<u32, Instant> = HashMap::new();
        let mut now = begin;
        let mut random = 1_u32;
        let mut next = |below: u32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 8) % below
        };
        let mut refused = 0;
        for round in 0..20 {
            // A flood of forged addresses, of each a few, then everybody who was there before.
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
    fn however_many_clients_come_no_more_are_remembered_and_those_that_are_full_leave() {
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
    fn what_a_client_has_taken_of_its_network_stays_taken_when_it_gets_a_bucket_of_its_own() {
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
