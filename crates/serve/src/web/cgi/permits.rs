//! Permits to run scripts, and the queue of requests that wait for one.
//!
//! The order is first come, first served, across threads. A free permit is handed to the first
//! request in the queue, so that no later request overtakes it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use overlapped::sync::Event;
use overlapped::time::{self, Instant};

use crate::locks::IgnorePoison;
use crate::state::instant_in;
use crate::stream::client::{ClientMonitor, POLL_PERIOD};
use crate::telemetry::{RateLimited, Suppressed};

/// The permits, and the queue for them.
#[derive(Debug)]
pub(crate) struct ScriptPermits {
    pub(crate) max: usize,
    pub(crate) queue_max: usize,
    state: Mutex<PermitState>,
}

#[derive(Debug, Default)]
struct PermitState {
    in_use: usize,
    /// Each event is set when its request gets a permit.
    queue: VecDeque<Arc<Event>>,
    warnings: RateLimited,
}

/// The reason why a request gets no permit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PermitError {
    /// The queue is full, or the wait was too long.
    Busy,
    /// The client has left.
    ClientLeft,
}

impl ScriptPermits {
    pub(crate) fn new(max: usize, queue_max: usize) -> Arc<ScriptPermits> {
        Arc::new(ScriptPermits { max, queue_max, state: Mutex::default() })
    }

    /// Acquires a permit, waiting for at most `time`.
    pub(crate) fn acquire(
        self: &Arc<ScriptPermits>,
        time: Duration,
    ) -> Result<ScriptPermit, PermitError> {
        let acquired = self.acquire_quietly(time);
        if matches!(acquired, Err(PermitError::Busy)) {
            let waiting = self.state().queue.len();
            if let Some(suppressed) = self.allow_warning() {
                let running = self.max;
                tracing::warn!(
                    "too many scripts ({running} run, {waiting} requests wait): a request is \
                     answered 503; --cgi-scripts lets more run, --cgi-queue and \
                     --cgi-queue-timeout let more wait, and for longer{suppressed}"
                );
            }
        }
        acquired
    }

    /// Returns the number of suppressed warnings about refused requests, if it is time for another.
    pub(crate) fn allow_warning(&self) -> Option<Suppressed> {
        self.state().warnings.allow()
    }

    fn acquire_quietly(
        self: &Arc<ScriptPermits>,
        time: Duration,
    ) -> Result<ScriptPermit, PermitError> {
        let entry = {
            let mut state = self.state();
            if state.in_use < self.max {
                state.in_use += 1;
                return Ok(ScriptPermit(Arc::clone(self)));
            }
            if state.queue.len() >= self.queue_max {
                return Err(PermitError::Busy);
            }
            let granted = Arc::new(Event::new());
            state.queue.push_back(Arc::clone(&granted));
            QueueEntry { permits: Arc::clone(self), granted }
        };
        entry.wait(instant_in(time))
    }

    /// Tells whether a request waits.
    pub(crate) fn is_contended(&self) -> bool {
        !self.state().queue.is_empty()
    }

    pub(crate) fn in_use(&self) -> usize {
        self.state().in_use
    }

    fn release(&self) {
        let mut state = self.state();
        match state.queue.pop_front() {
            Some(granted) => granted.set(),
            None => state.in_use -= 1,
        }
    }

    fn state(&self) -> MutexGuard<'_, PermitState> {
        self.state.lock().ignore_poison()
    }
}

/// The permit to run one script; dropping it releases it.
#[derive(Debug)]
pub(crate) struct ScriptPermit(Arc<ScriptPermits>);

impl ScriptPermit {
    /// Tells whether a request waits for a permit.
    pub(crate) fn is_contended(&self) -> bool {
        self.0.is_contended()
    }
}

impl Drop for ScriptPermit {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// An entry in the queue. However the wait ends, dropping the entry removes it from the queue, and
/// passes on a permit that was granted meanwhile.
struct QueueEntry {
    permits: Arc<ScriptPermits>,
    granted: Arc<Event>,
}

impl QueueEntry {
    fn wait(self, until: Instant) -> Result<ScriptPermit, PermitError> {
        let mut client = ClientMonitor::default();
        loop {
            let left = until.duration_since(Instant::now());
            if self.granted.wait_timeout(left.min(POLL_PERIOD)) {
                let permit = ScriptPermit(Arc::clone(&self.permits));
                // The permit is passed on; this entry has nothing to give back.
                self.granted.clear();
                return Ok(permit);
            }
            if client.has_left(true) {
                return Err(PermitError::ClientLeft);
            }
            if left.is_zero() || time::expired() {
                return Err(PermitError::Busy);
            }
        }
    }
}

impl Drop for QueueEntry {
    fn drop(&mut self) {
        let mut state = self.permits.state();
        let at = state.queue.iter().position(|granted| Arc::ptr_eq(granted, &self.granted));
        if let Some(at) = at {
            state.queue.remove(at);
        }
        drop(state);
        if self.granted.is_set() {
            self.permits.release();
        }
    }
}

#[cfg(test)]
mod tests {
    use overlapped::{Tasklet, run, spawn, yield_now};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Spawns a request that waits for a permit and releases it at once.
    fn wait(permits: &Arc<ScriptPermits>) -> Tasklet<Result<(), PermitError>> {
        let permits = Arc::clone(permits);
        let waiter = spawn(move || permits.acquire(LONG).map(drop));
        yield_now();
        waiter
    }

    #[test]
    fn a_killed_queue_entry_passes_its_permit_on() {
        run(|| {
            for is_granted in [false, true] {
                let permits = ScriptPermits::new(1, 2);
                let permit = permits.acquire(LONG).unwrap();
                let (first, second) = (wait(&permits), wait(&permits));
                assert_eq!(permits.acquire(LONG).map(drop), Err(PermitError::Busy));
                if is_granted {
                    drop(permit);
                    first.kill();
                } else {
                    first.kill();
                    assert!(first.join().is_err());
                    assert_eq!(permits.state().queue.len(), 1);
                    drop(permit);
                }
                assert_eq!(second.join().unwrap(), Ok(()));
                let PermitState { in_use, queue, .. } = &*permits.state();
                assert_eq!((*in_use, queue.len()), (0, 0), "granted: {is_granted}");
            }
        })
        .unwrap();
    }

    #[test]
    fn permits_are_granted_in_order_across_threads() {
        let permits = ScriptPermits::new(1, 100);
        let order = Arc::new(Mutex::new(Vec::new()));
        let permit = permits.acquire(LONG).unwrap();
        let waiters: Vec<_> = (0..20)
            .map(|number| {
                let (for_thread, order) = (Arc::clone(&permits), Arc::clone(&order));
                let waiter = std::thread::spawn(move || {
                    run(|| {
                        let _permit = for_thread.acquire(LONG).unwrap();
                        order.lock().unwrap().push(number);
                    })
                    .unwrap();
                });
                let is_queued = || permits.state().queue.len() > number;
                testkit::wait_until("it waits", is_queued);
                waiter
            })
            .collect();
        drop(permit);
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
        assert_eq!(permits.in_use(), 0);
    }
}
