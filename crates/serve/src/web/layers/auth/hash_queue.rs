//! The queue for hashing passwords: a few at a time, and fair to addresses.
//!
//! ```text
//! known    addresses that sent a right password before ┐ in each lane: networks round robin, and
//! others   all others                                  ┴ the addresses of each network round robin
//! ```
//!
//! The lanes alternate. An address has at most one hash in progress, and is in its lane once,
//! however many of its requests wait. So an address that guesses delays others by one of its
//! guesses at most. So does an owner of many addresses in one network. Many networks can delay
//! others, but not known addresses, which get half of the permits.
//!
//! The number of waiting requests is bounded per address, and so is the wait.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use overlapped::sync::Event;

use crate::locks::IgnorePoison;
use crate::web::layers::buckets::network_of;

/// The maximum number of addresses that are remembered as known.
const KNOWN_MAX: usize = 4_096;

/// The maximum number of waiting requests per address; further ones are refused at once.
const WAITING_MAX: usize = 64;

/// The hash queue of one site.
#[derive(Debug)]
pub(super) struct HashQueue {
    /// The maximum number of hashes at a time.
    max: usize,
    state: Mutex<QueueState>,
}

/// The permits in use, and the requests that wait.
#[derive(Debug, Default)]
struct QueueState {
    /// Addresses with a hash in progress.
    busy: Vec<IpAddr>,
    known: HashSet<IpAddr>,
    lanes: [Lane; 2],
    /// The lane that is served next, if requests wait in both.
    next: usize,
}

/// The networks that wait in a lane.
#[derive(Debug, Default)]
struct Lane {
    order: VecDeque<u64>,
    networks: HashMap<u64, NetworkQueue>,
}

/// The addresses of a network that wait, and the requests of each.
#[derive(Debug, Default)]
struct NetworkQueue {
    order: VecDeque<IpAddr>,
    /// Each event is set when its request gets a permit.
    waiting: HashMap<IpAddr, VecDeque<Arc<Event>>>,
}

impl HashQueue {
    pub(super) fn new(max: usize) -> Arc<HashQueue> {
        Arc::new(HashQueue { max, state: Mutex::default() })
    }

    /// Acquires a permit for `client`, waiting for at most `time`. Returns `None` if that is too
    /// short, or if too many requests of this client wait.
    pub(super) fn acquire(
        self: &Arc<HashQueue>,
        client: IpAddr,
        time: Duration,
    ) -> Option<HashPermit> {
        let granted = {
            let mut state = self.state();
            // While a permit is free, only requests of busy addresses wait.
            if state.busy.len() < self.max && !state.busy.contains(&client) {
                state.busy.push(client);
                return Some(HashPermit { queue: Arc::clone(self), client });
            }
            if state.waiting(client) >= WAITING_MAX {
                return None;
            }
            let granted = Arc::new(Event::new());
            let lane = usize::from(!state.known.contains(&client));
            state.lanes[lane].push(client, Arc::clone(&granted));
            granted
        };
        let waiter = Waiter { queue: Arc::clone(self), client, granted };
        let is_granted = waiter.granted.wait_timeout(time);
        is_granted.then(|| {
            // The permit is passed on; the waiter has nothing to give back.
            waiter.granted.clear();
            HashPermit { queue: Arc::clone(self), client }
        })
    }

    /// Remembers that the client has sent a right password.
    pub(super) fn add_known(&self, client: IpAddr) {
        let known = &mut self.state().known;
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(client);
    }

    /// Releases the permit of `client`, and grants those that are free.
    fn release(&self, client: IpAddr) {
        let mut state = self.state();
        state.busy.retain(|busy| *busy != client);
        while state.busy.len() < self.max {
            let Some((client, granted)) = state.pop() else { return };
            state.busy.push(client);
            granted.set();
        }
    }

    /// Locks the state. The lock is held for a few instructions only, never across a wait.
    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().ignore_poison()
    }
}

impl QueueState {
    /// Returns the number of waiting requests of a client.
    fn waiting(&self, client: IpAddr) -> usize {
        let network = network_of(client);
        let queues = self.lanes.iter().filter_map(|lane| {
            lane.networks.get(&network)?.waiting.get(&client).map(VecDeque::len)
        });
        queues.sum()
    }

    fn pop(&mut self) -> Option<(IpAddr, Arc<Event>)> {
        let QueueState { busy, lanes, next, .. } = self;
        let first = *next;
        [first, 1 - first].into_iter().find_map(|lane| {
            let popped = lanes[lane].pop(busy)?;
            *next = 1 - lane;
            Some(popped)
        })
    }
}

impl Lane {
    fn push(&mut self, client: IpAddr, granted: Arc<Event>) {
        let number = network_of(client);
        let network = self.networks.entry(number).or_default();
        if network.order.is_empty() {
            self.order.push_back(number);
        }
        network.push(client, granted);
    }

    /// Removes the first request whose address has no hash in progress, of the first network with
    /// one.
    fn pop(&mut self, busy: &[IpAddr]) -> Option<(IpAddr, Arc<Event>)> {
        let Lane { order, networks } = self;
        let (at, popped) = order.iter().enumerate().find_map(|(at, number)| {
            networks.get_mut(number)?.pop(busy).map(|popped| (at, popped))
        })?;
        let number = order.remove(at)?;
        if networks.get(&number).is_some_and(|network| network.order.is_empty()) {
            networks.remove(&number);
        } else {
            order.push_back(number);
        }
        Some(popped)
    }

    fn remove(&mut self, client: IpAddr, granted: &Arc<Event>) {
        let number = network_of(client);
        let Some(network) = self.networks.get_mut(&number) else { return };
        network.remove(client, granted);
        if network.order.is_empty() {
            self.networks.remove(&number);
            self.order.retain(|other| *other != number);
        }
    }
}

impl NetworkQueue {
    fn push(&mut self, client: IpAddr, granted: Arc<Event>) {
        let waiting = self.waiting.entry(client).or_default();
        if waiting.is_empty() {
            self.order.push_back(client);
        }
        waiting.push_back(granted);
    }

    /// Removes the first request of the first address without a hash in progress.
    fn pop(&mut self, busy: &[IpAddr]) -> Option<(IpAddr, Arc<Event>)> {
        let at = self.order.iter().position(|client| !busy.contains(client))?;
        let client = self.order.remove(at)?;
        let waiting = self.waiting.get_mut(&client)?;
        let granted = waiting.pop_front()?;
        if waiting.is_empty() {
            self.waiting.remove(&client);
        } else {
            self.order.push_back(client);
        }
        Some((client, granted))
    }

    fn remove(&mut self, client: IpAddr, granted: &Arc<Event>) {
        let Some(waiting) = self.waiting.get_mut(&client) else { return };
        waiting.retain(|other| !Arc::ptr_eq(other, granted));
        if waiting.is_empty() {
            self.waiting.remove(&client);
            self.order.retain(|other| *other != client);
        }
    }
}

/// The permit to hash a password; dropping it releases it.
#[derive(Debug)]
pub(super) struct HashPermit {
    queue: Arc<HashQueue>,
    client: IpAddr,
}

impl Drop for HashPermit {
    fn drop(&mut self) {
        self.queue.release(self.client);
    }
}

/// A waiting request. However the wait ends, dropping it removes it from its lane, and passes on a
/// permit that was granted meanwhile.
struct Waiter {
    queue: Arc<HashQueue>,
    client: IpAddr,
    granted: Arc<Event>,
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        state.lanes.iter_mut().for_each(|lane| lane.remove(self.client, &self.granted));
        drop(state);
        if self.granted.is_set() {
            self.queue.release(self.client);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use overlapped::{run, scope, yield_now};

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    fn address(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    /// Returns the order in which requests of these addresses, queued in this order while `holder`
    /// has the only permit, get theirs.
    fn order(queue: &Arc<HashQueue>, holder: u32, requests: &[u32]) -> Vec<u32> {
        let order = RefCell::default();
        let permit = queue.acquire(address(holder), LONG).unwrap();
        run(|| {
            scope(|scope| {
                for (at, &request) in requests.iter().enumerate() {
                    let order: &RefCell<Vec<u32>> = &order;
                    scope.spawn(move || {
                        let _permit = queue.acquire(address(request), LONG).unwrap();
                        order.borrow_mut().push(request);
                    });
                    let waiting = |state: &QueueState| {
                        let networks = state.lanes.iter().flat_map(|lane| lane.networks.values());
                        let queues = networks.flat_map(|network| network.waiting.values());
                        queues.map(VecDeque::len).sum::<usize>()
                    };
                    while waiting(&queue.state()) <= at {
                        yield_now();
                    }
                }
                drop(permit);
            });
        })
        .unwrap();
        let state = queue.state();
        assert!(state.busy.is_empty());
        assert!(state.lanes.iter().all(|lane| lane.order.is_empty() && lane.networks.is_empty()));
        order.into_inner()
    }

    #[test]
    fn addresses_are_served_round_robin_however_many_requests_they_have() {
        let queue = HashQueue::new(1);
        assert_eq!(order(&queue, 1, &[1, 1, 1, 1, 2, 3, 3]), [1, 2, 3, 1, 3, 1, 1]);
    }

    #[test]
    fn an_owner_of_many_addresses_delays_others_by_one_of_them() {
        let queue = HashQueue::new(1);
        let (owned, other) = (0x0a01_0000, 0x0a02_0000);
        let many: Vec<u32> = (owned..owned + 50).collect();
        let order = order(&queue, 1, &[&many[..], &[other, other + 1]].concat());
        let place = |client| order.iter().position(|other| *other == client).unwrap();
        assert!(place(other) <= 1 && place(other + 1) <= 3, "{order:x?}");
    }

    #[test]
    fn a_known_address_does_not_wait_for_many_others() {
        let queue = HashQueue::new(1);
        queue.add_known(address(99));
        // Each is in a network of its own.
        let strangers: Vec<u32> = (1..=50).map(|number| number << 16).collect();
        let order = order(&queue, 100, &[&strangers[..], &[99]].concat());
        assert!(order.iter().position(|&client| client == 99).unwrap() <= 1, "{order:?}");
    }

    #[test]
    fn an_address_has_one_permit_at_a_time_although_more_are_free() {
        run(|| {
            let queue = HashQueue::new(2);
            let first = queue.acquire(address(1), LONG).unwrap();
            assert!(queue.acquire(address(1), Duration::from_millis(1)).is_none());
            let other = queue.acquire(address(2), LONG).unwrap();
            assert!(queue.acquire(address(3), Duration::from_millis(1)).is_none());
            drop(first);
            let third = queue.acquire(address(3), LONG).unwrap();
            drop((other, third));
            assert!(queue.state().busy.is_empty());
        })
        .unwrap();
    }

    #[test]
    fn a_waiter_that_is_killed_passes_its_permit_on() {
        for is_granted in [false, true] {
            run(|| {
                let queue = HashQueue::new(1);
                let permit = queue.acquire(address(1), LONG).unwrap();
                let wait = |client: u32| {
                    let queue = Arc::clone(&queue);
                    let waiter =
                        overlapped::spawn(move || queue.acquire(address(client), LONG).is_some());
                    yield_now();
                    waiter
                };
                let (first, second) = (wait(2), wait(3));
                if is_granted {
                    drop(permit);
                    first.kill();
                } else {
                    first.kill();
                    assert!(first.join().is_err());
                    drop(permit);
                }
                assert!(second.join().unwrap());
                assert!(queue.state().busy.is_empty(), "granted: {is_granted}");
            })
            .unwrap();
        }
    }
}
