//! A limit on requests of each client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use overlapped::time::Instant;
use overlapped_wire::http::Answer;

use crate::listen::client_of;
use crate::web::{Call, Handler, page};

/// Clients that are remembered: some 4 MiB.
const CLIENTS_MAX: usize = 65_536;

/// The most of them that are looked at when a new one needs room.
const LOOKED_AT_MAX: usize = 64;

/// A token bucket for each client, as the time at which it will be full again (GCRA): one number,
/// and nothing of a client whose bucket is full.
#[derive(Debug)]
pub(super) struct Buckets {
    /// The time after which a token is there again.
    step: Duration,
    /// The contents of a full bucket, as time.
    depth: Duration,
    full_at: Mutex<HashMap<IpAddr, Instant>>,
}

impl Buckets {
    /// Buckets of `tokens`, each of which is back after `step`.
    pub(super) fn new(tokens: u32, step: Duration) -> Buckets {
        let depth = step.saturating_mul(tokens);
        Buckets { step, depth, full_at: Mutex::default() }
    }

    /// Takes a token of the client at `address`.
    ///
    /// # Errors
    /// The time after which there is one.
    pub(super) fn take(&self, address: Option<IpAddr>, now: Instant) -> Result<(), Duration> {
        let client = client_of(address);
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let known = full_at.get(&client).copied();
        let full = known.filter(|full| *full > now).unwrap_or(now) + self.step;
        let missing = full.saturating_duration_since(now);
        if missing > self.depth {
            return Err(missing - self.depth);
        }
        if known.is_none() && full_at.len() >= CLIENTS_MAX {
            make_room(&mut full_at, now);
        }
        full_at.insert(client, full);
        Ok(())
    }

    /// Gives a token back.
    pub(super) fn give(&self, address: Option<IpAddr>) {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(full) = full_at.get_mut(&client_of(address)) {
            *full = full.checked_sub(self.step).unwrap_or(*full);
        }
    }
}

/// Forgets clients whose buckets are full, and at least one: of those looked at the one that is
/// nearest to full.
fn make_room(full_at: &mut HashMap<IpAddr, Instant>, now: Instant) {
    let looked_at = full_at.iter().take(LOOKED_AT_MAX).map(|(client, full)| (*full, *client));
    let mut looked_at: Vec<(Instant, IpAddr)> = looked_at.collect();
    looked_at.sort_unstable();
    let mut leaving = looked_at.into_iter();
    if let Some((_, first)) = leaving.next() {
        full_at.remove(&first);
    }
    for (_, client) in leaving.take_while(|(full, _)| *full <= now) {
        full_at.remove(&client);
    }
}

/// Answers `429` to clients that ask too often, with the time after which to come again. A client
/// is an address of IPv4, or a network of 64 bits of IPv6; all clients of a Unix socket are one.
/// Behind a proxy, [`Forwarded`](super::Forwarded) goes around it.
#[derive(Debug)]
pub struct RequestLimit<H> {
    inner: H,
    buckets: Buckets,
}

/// Requests that may come at once, in seconds of the rate.
const AT_ONCE: u32 = 10;

impl<H: Handler> RequestLimit<H> {
    /// On average `rate` requests a second; what was not used in ten seconds may come at once.
    pub fn new(rate: NonZeroU32, inner: H) -> RequestLimit<H> {
        let step = Duration::from_secs(1) / rate.get();
        RequestLimit { inner, buckets: Buckets::new(rate.get().saturating_mul(AT_ONCE), step) }
    }
}

impl<H: Handler> Handler for RequestLimit<H> {
    fn handle(&self, call: Call<'_>) -> Answer {
        let address = call.peer.remote.map(|remote| remote.ip());
        match self.buckets.take(address, Instant::now()) {
            Ok(()) => self.inner.handle(call),
            Err(wait) => too_many(&call.request, wait),
        }
    }
}

/// `429`, with the time after which to come again.
pub(super) fn too_many(request: &http::Request<()>, wait: Duration) -> Answer {
    let mut answer = page::refusal(request, StatusCode::TOO_MANY_REQUESTS);
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    answer
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
    fn however_many_clients_come_no_more_are_remembered() {
        let buckets = Buckets::new(2, Duration::from_secs(1));
        let now = Instant::now();
        for number in 0..CLIENTS_MAX as u32 + 10_000 {
            assert_eq!(buckets.take(v4(number), now), Ok(()));
        }
        assert!(buckets.full_at.lock().unwrap().len() <= CLIENTS_MAX);
        // Those that are full again leave first, many at a time.
        assert_eq!(buckets.take(v4(u32::MAX), now + Duration::from_secs(10)), Ok(()));
        assert!(buckets.full_at.lock().unwrap().len() <= CLIENTS_MAX - LOOKED_AT_MAX + 1);
    }
}
