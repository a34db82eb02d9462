//! How many scripts run at once, and who waits for a place.
//!
//! First come, first served, across threads. A place that comes free is handed to the first in the
//! queue, so that nobody who comes later is quicker.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use overlapped::sync::Event;
use overlapped::time::{self, Instant};

use crate::locks::IgnorePoison;
use crate::stream::client::{ClientMonitor, POLL_PERIOD};
use crate::telemetry::{RateLimited, Suppressed};

/// Places, and the queue for them.
#[derive(Debug)]
pub(crate) struct Slots {
    pub(crate) max: usize,
    pub(crate) queue_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    /// Each event is set when its owner has been given a place.
    queue: VecDeque<Arc<Event>>,
    complaints: RateLimited,
}

/// The reason why there is no place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoSlot {
    /// The queue is full, or the wait was too long.
    Busy,
    /// The client has left.
    Left,
}

impl Slots {
    pub(crate) fn new(max: usize, queue_max: usize) -> Arc<Slots> {
        Arc::new(Slots { max, queue_max, state: Mutex::default() })
    }

    /// A place, waiting for one for at most `time`.
    pub(crate) fn take(self: &Arc<Slots>, time: Duration) -> Result<Slot, NoSlot> {
        let taken = self.try_take(time);
        if matches!(taken, Err(NoSlot::Busy)) {
            let waiting = self.state().queue.len();
            if let Some(more) = self.complain() {
                let running = self.max;
                tracing::warn!(
                    "too many scripts ({running} run, {waiting} requests wait): a request is \
                     answered 503; --cgi-scripts lets more run, --cgi-queue and \
                     --cgi-queue-timeout let more wait, and for longer{more}"
                );
            }
        }
        taken
    }

    /// Tells whether to say why a request gets no script; if so, what was kept back.
    pub(crate) fn complain(&self) -> Option<Suppressed> {
        self.state().complaints.allow()
    }

    fn try_take(self: &Arc<Slots>, time: Duration) -> Result<Slot, NoSlot> {
        let place = {
            let mut state = self.state();
            if state.taken < self.max {
                state.taken += 1;
                return Ok(Slot(Arc::clone(self)));
            }
            if state.queue.len() >= self.queue_max {
                return Err(NoSlot::Busy);
            }
            let given = Arc::new(Event::new());
            state.queue.push_back(Arc::clone(&given));
            Place { slots: Arc::clone(self), given }
        };
        place.wait(Instant::now() + time)
    }

    /// Tells whether somebody waits.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.state().queue.is_empty()
    }

    pub(crate) fn taken(&self) -> usize {
        self.state().taken
    }

    fn release(&self) {
        let mut state = self.state();
        match state.queue.pop_front() {
            Some(given) => given.set(),
            None => state.taken -= 1,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().ignore_poison()
    }
}

/// One of the scripts that may run at once.
#[derive(Debug)]
pub(crate) struct Slot(Arc<Slots>);

impl Slot {
    /// Tells whether somebody waits for it.
    pub(crate) fn is_wanted(&self) -> bool {
        self.0.is_wanted()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// A place in the queue. Whatever ends the wait, it is out of the queue then, and what was given
/// meanwhile goes to the next.
struct Place {
    slots: Arc<Slots>,
    given: Arc<Event>,
}

impl Place {
    fn wait(self, until: Instant) -> Result<Slot, NoSlot> {
        let mut client = ClientMonitor::default();
        loop {
            let left = until.duration_since(Instant::now());
            if self.given.wait_timeout(left.min(POLL_PERIOD)) {
                let slot = Slot(Arc::clone(&self.slots));
                // What was given is the slot's now; this place has nothing to give back.
                self.given.clear();
                return Ok(slot);
            }
            if client.has_left(true) {
                return Err(NoSlot::Left);
            }
            if left.is_zero() || time::expired() {
                return Err(NoSlot::Busy);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        let at = state.queue.iter().position(|given| Arc::ptr_eq(given, &self.given));
        if let Some(at) = at {
            state.queue.remove(at);
        }
        drop(state);
        if self.given.is_set() {
            self.slots.release();
        }
    }
}

#[cfg(test)]
mod tests {
    use overlapped::time::sleep;
    use overlapped::{Tasklet, run, spawn};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Somebody who waits for a place, and has it for a moment.
    fn wait(slots: &Arc<Slots>) -> Tasklet<Result<(), NoSlot>> {
        let slots = Arc::clone(slots);
        let waiter = spawn(move || slots.take(LONG).map(drop));
        sleep(Duration::from_millis(1));
        waiter
    }

    #[test]
    fn who_is_killed_in_the_queue_passes_on_what_was_given() {
        run(|| {
            for is_given in [false, true] {
                let slots = Slots::new(1, 2);
                let slot = slots.take(LONG).unwrap();
                let (first, second) = (wait(&slots), wait(&slots));
                assert_eq!(slots.take(LONG).map(drop), Err(NoSlot::Busy));
                if is_given {
                    drop(slot);
                    first.kill();
                } else {
                    first.kill();
                    assert!(first.join().is_err());
                    assert_eq!(slots.state().queue.len(), 1);
                    drop(slot);
                }
                assert_eq!(second.join().unwrap(), Ok(()));
                let State { taken, queue, .. } = &*slots.state();
                assert_eq!((*taken, queue.len()), (0, 0), "given: {is_given}");
            }
        })
        .unwrap();
    }

    #[test]
    fn a_place_goes_to_who_came_first_also_across_threads() {
        let slots = Slots::new(1, 100);
        let order = Arc::new(Mutex::new(Vec::new()));
        let slot = slots.take(LONG).unwrap();
        let waiters: Vec<_> = (0..20)
            .map(|number| {
                let (theirs, order) = (Arc::clone(&slots), Arc::clone(&order));
                let waiter = std::thread::spawn(move || {
                    run(|| {
                        let _slot = theirs.take(LONG).unwrap();
                        order.lock().unwrap().push(number);
                    })
                    .unwrap();
                });
                while slots.state().queue.len() <= number {
                    std::thread::sleep(Duration::from_millis(1));
                }
                waiter
            })
            .collect();
        drop(slot);
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
        assert_eq!(slots.taken(), 0);
    }
}
