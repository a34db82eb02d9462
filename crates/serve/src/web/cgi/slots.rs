//! How many scripts run at once, and who waits for a place.
//!
//! First come, first served, across threads. A place that comes free is handed to the first in the
//! queue, so that nobody who comes later is quicker.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use overlapped::sync::Event;
use overlapped::time::{self, Instant};

use crate::stream::client::{LOOK, Watch};

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
}

/// Why there is no place.
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

    /// Whether somebody waits.
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
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the scripts that may run at once.
#[derive(Debug)]
pub(crate) struct Slot(Arc<Slots>);

impl Slot {
    /// Whether somebody waits for it.
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
        let mut client = Watch::default();
        loop {
            let left = until.duration_since(Instant::now());
            if self.given.wait_timeout(left.min(LOOK)) {
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
