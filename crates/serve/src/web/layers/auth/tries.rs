//! Tries under way. Those that are the same share what comes of it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use overlapped::sync::Event;
use overlapped::time::Instant;

use crate::locks::IgnorePoison;

use super::Verdict;

/// A client, the users that are asked (an address that its owner keeps), and the digest of a name
/// and a password.
pub(super) type Key = (IpAddr, usize, [u8; 32]);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tries(Mutex<HashMap<Key, Arc<Try>>>);

#[derive(Debug, Default)]
struct Try {
    ended: Event,
    verdict: OnceLock<Verdict>,
}

/// The part that a request has in a try.
#[derive(Debug)]
pub(super) enum Join<'a> {
    /// It is to find out, and to tell the others.
    Alone(Done<'a>),
    Told(Verdict),
    /// Nobody has found out: time is over, or whoever was to was killed.
    GivenUp,
}

impl Tries {
    /// Begins a try, or waits for the one that is under way.
    pub(super) fn join(&self, key: Key, until: Instant) -> Join<'_> {
        let under_way = {
            let mut tries = self.lock();
            match tries.get(&key) {
                Some(under_way) => Arc::clone(under_way),
                None => {
                    tries.insert(key, Arc::default());
                    return Join::Alone(Done { tries: self, key });
                }
            }
        };
        under_way.ended.wait_timeout(until.saturating_duration_since(Instant::now()));
        under_way.verdict.get().map_or(Join::GivenUp, |verdict| Join::Told(*verdict))
    }

    /// Held for a few instructions only, never across a wait.
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Try>>> {
        self.0.lock().ignore_poison()
    }
}

/// Ends a try when it is dropped, whatever ends its owner.
#[derive(Debug)]
pub(super) struct Done<'a> {
    tries: &'a Tries,
    key: Key,
}

impl Done<'_> {
    pub(super) fn tell(self, verdict: Verdict) {
        if let Some(under_way) = self.tries.lock().get(&self.key) {
            let _ = under_way.verdict.set(verdict);
        }
    }
}

impl Drop for Done<'_> {
    fn drop(&mut self) {
        let ended = self.tries.lock().remove(&self.key);
        if let Some(ended) = ended {
            ended.ended.set();
        }
    }
}
