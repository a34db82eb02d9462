//! Login attempts in progress. Equal attempts share one verdict.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use overlapped::sync::Event;
use overlapped::time::Instant;

use crate::locks::IgnorePoison;

/// The verdict on a name and a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    Wrong,
    /// Not checked in time.
    Busy,
    /// Not checked after too many wrong passwords; the time until the next attempt.
    TooMany(Duration),
}

/// The identity of an attempt: the client, the address of the `Users` (which the caller keeps
/// alive), and the digest of name and password.
pub(super) type Key = (IpAddr, usize, [u8; 32]);

/// The attempts in progress.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<HashMap<Key, Arc<Attempt>>>);

/// One attempt, and its verdict for those that wait for it.
#[derive(Debug, Default)]
struct Attempt {
    ended: Event,
    verdict: OnceLock<Verdict>,
}

/// The role of a request in an attempt.
#[derive(Debug)]
pub(super) enum Role<'a> {
    /// It must find the verdict for all.
    First(AttemptGuard<'a>),
    /// Another request has found the verdict.
    Known(Verdict),
    /// No verdict: the time has ended, or the first request was killed.
    Abandoned,
}

impl Attempts {
    /// Begins an attempt, or waits for an equal one in progress.
    pub(super) fn join(&self, key: Key, until: Instant) -> Role<'_> {
        let attempt = {
            let mut attempts = self.lock();
            match attempts.get(&key) {
                Some(attempt) => Arc::clone(attempt),
                None => {
                    attempts.insert(key, Arc::default());
                    return Role::First(AttemptGuard { attempts: self, key });
                }
            }
        };
        attempt.ended.wait_timeout(until.saturating_duration_since(Instant::now()));
        attempt.verdict.get().map_or(Role::Abandoned, |verdict| Role::Known(*verdict))
    }

    /// Locks the table. The lock is held for a few instructions only, never across a wait.
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Attempt>>> {
        self.0.lock().ignore_poison()
    }
}

/// A guard that ends an attempt when it is dropped, however its owner ends.
#[derive(Debug)]
pub(super) struct AttemptGuard<'a> {
    attempts: &'a Attempts,
    key: Key,
}

impl AttemptGuard<'_> {
    pub(super) fn finish(self, verdict: Verdict) {
        if let Some(attempt) = self.attempts.lock().get(&self.key) {
            let _ = attempt.verdict.set(verdict);
        }
    }
}

impl Drop for AttemptGuard<'_> {
    fn drop(&mut self) {
        let attempt = self.attempts.lock().remove(&self.key);
        if let Some(attempt) = attempt {
            attempt.ended.set();
        }
    }
}
