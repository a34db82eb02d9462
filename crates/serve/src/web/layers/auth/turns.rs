//! Turns in having a password hashed: a few at a time, and fair to addresses.
//!
//! ```text
//! known    addresses of which a password was right before ┐ in each lane: networks in turn, of
//! others   all others                                     ┴ each of them its addresses in turn
//! ```
//!
//! The lanes take turns, too. An address has at most one hash under way, and stands in its lane
//! once, however many of its requests wait: so one that guesses keeps nobody waiting for more than
//! one of its guesses. Neither does an owner of many addresses, which are of one network. Many
//! networks can keep others waiting, but not those who have come in before: half of the turns are
//! theirs.
//!
//! Waiting requests are bounded for each address, and in time.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use overlapped::sync::Event;

use crate::locks::IgnorePoison;
use crate::web::layers::buckets::network_of;

/// Addresses that are remembered as known.
const KNOWN_MAX: usize = 4_096;

/// Requests of an address that wait. More are busy at once.
const WAITING_MAX: usize = 64;

/// Turns of one site.
#[derive(Debug)]
pub(super) struct Turns {
    /// Hashes at a time.
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Addresses that have a hash under way.
    busy: Vec<IpAddr>,
    known: HashSet<IpAddr>,
    lanes: [Lane; 2],
    /// The lane that is next, where requests wait in both.
    next: usize,
}

/// Networks that wait.
#[derive(Debug, Default)]
struct Lane {
    order: VecDeque<u64>,
    networks: HashMap<u64, Network>,
}

/// Addresses of a network that wait, and the requests of each.
#[derive(Debug, Default)]
struct Network {
    order: VecDeque<IpAddr>,
    /// Each event is set when its owner has the turn.
    waiting: HashMap<IpAddr, VecDeque<Arc<Event>>>,
}

impl Turns {
    pub(super) fn new(most: usize) -> Arc<Turns> {
        Arc::new(Turns { most, state: Mutex::default() })
    }

    /// A turn of `client`, waiting for it for at most `time`. `None`: it took longer, or too many
    /// requests of this client wait.
    pub(super) fn take(self: &Arc<Turns>, client: IpAddr, time: Duration) -> Option<Turn> {
        let given = {
            let mut state = self.state();
            // Only requests of busy addresses wait while there is a turn to be had.
            if state.busy.len() < self.most && !state.busy.contains(&client) {
                state.busy.push(client);
                return Some(Turn { turns: Arc::clone(self), client });
            }
            if state.waiting(client) >= WAITING_MAX {
                return None;
            }
            let given = Arc::new(Event::new());
            let lane = usize::from(!state.known.contains(&client));
            state.lanes[lane].push(client, Arc::clone(&given));
            given
        };
        let place = Place { turns: Arc::clone(self), client, given };
        let is_given = place.given.wait_timeout(time);
        is_given.then(|| {
            // The turn has it now; the place has nothing to give back.
            place.given.clear();
            Turn { turns: Arc::clone(self), client }
        })
    }

    /// Remembers that a password of this client was right.
    pub(super) fn know(&self, client: IpAddr) {
        let known = &mut self.state().known;
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(client);
    }

    /// Ends a turn of `client`, and gives those that may begin.
    fn release(&self, client: IpAddr) {
        let mut state = self.state();
        state.busy.retain(|busy| *busy != client);
        while state.busy.len() < self.most {
            let Some((client, given)) = state.pop() else { return };
            state.busy.push(client);
            given.set();
        }
    }

    /// Held for a few instructions only, never across a wait.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().ignore_poison()
    }
}

impl State {
    /// The requests of a client that wait.
    fn waiting(&self, client: IpAddr) -> usize {
        let network = network_of(client);
        let queues = self.lanes.iter().filter_map(|lane| {
            lane.networks.get(&network)?.waiting.get(&client).map(VecDeque::len)
        });
        queues.sum()
    }

    fn pop(&mut self) -> Option<(IpAddr, Arc<Event>)> {
        let State { busy, lanes, next, .. } = self;
        let first = *next;
        [first, 1 - first].into_iter().find_map(|lane| {
            let popped = lanes[lane].pop(busy)?;
            *next = 1 - lane;
            Some(popped)
        })
    }
}

impl Lane {
    fn push(&mut self, client: IpAddr, given: Arc<Event>) {
        let number = network_of(client);
        let network = self.networks.entry(number).or_default();
        if network.order.is_empty() {
            self.order.push_back(number);
        }
        network.push(client, given);
    }

    /// The first request of the first network that has one whose address has no hash under way.
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

    fn remove(&mut self, client: IpAddr, given: &Arc<Event>) {
        let number = network_of(client);
        let Some(network) = self.networks.get_mut(&number) else { return };
        network.remove(client, given);
        if network.order.is_empty() {
            self.networks.remove(&number);
            self.order.retain(|other| *other != number);
        }
    }
}

impl Network {
    fn push(&mut self, client: IpAddr, given: Arc<Event>) {
        let waiting = self.waiting.entry(client).or_default();
        if waiting.is_empty() {
            self.order.push_back(client);
        }
        waiting.push_back(given);
    }

    /// The first request of the first address that has no hash under way.
    fn pop(&mut self, busy: &[IpAddr]) -> Option<(IpAddr, Arc<Event>)> {
        let at = self.order.iter().position(|client| !busy.contains(client))?;
        let client = self.order.remove(at)?;
        let waiting = self.waiting.get_mut(&client)?;
        let given = waiting.pop_front()?;
        if waiting.is_empty() {
            self.waiting.remove(&client);
        } else {
            self.order.push_back(client);
        }
        Some((client, given))
    }

    fn remove(&mut self, client: IpAddr, given: &Arc<Event>) {
        let Some(waiting) = self.waiting.get_mut(&client) else { return };
        waiting.retain(|other| !Arc::ptr_eq(other, given));
        if waiting.is_empty() {
            self.waiting.remove(&client);
            self.order.retain(|other| *other != client);
        }
    }
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    client: IpAddr,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.release(self.client);
    }
}

/// A request that waits. Whatever ends the wait, it is in no lane then, and a turn that was given
/// meanwhile goes to the next.
struct Place {
    turns: Arc<Turns>,
    client: IpAddr,
    given: Arc<Event>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.turns.state();
        state.lanes.iter_mut().for_each(|lane| lane.remove(self.client, &self.given));
        drop(state);
        if self.given.is_set() {
            self.turns.release(self.client);
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

    /// The order in which requests of these addresses get their turns, having come in this one,
    /// while `holder` has the only turn.
    fn order(turns: &Arc<Turns>, holder: u32, requests: &[u32]) -> Vec<u32> {
        let order = RefCell::default();
        let turn = turns.take(address(holder), LONG).unwrap();
        run(|| {
            scope(|scope| {
                for (at, &request) in requests.iter().enumerate() {
                    let order: &RefCell<Vec<u32>> = &order;
                    scope.spawn(move || {
                        let _turn = turns.take(address(request), LONG).unwrap();
                        order.borrow_mut().push(request);
                    });
                    let waiting = |state: &State| {
                        let networks = state.lanes.iter().flat_map(|lane| lane.networks.values());
                        let queues = networks.flat_map(|network| network.waiting.values());
                        queues.map(VecDeque::len).sum::<usize>()
                    };
                    while waiting(&turns.state()) <= at {
                        yield_now();
                    }
                }
                drop(turn);
            });
        })
        .unwrap();
        let state = turns.state();
        assert!(state.busy.is_empty());
        assert!(state.lanes.iter().all(|lane| lane.order.is_empty() && lane.networks.is_empty()));
        order.into_inner()
    }

    #[test]
    fn addresses_have_their_turns_whoever_of_them_asks_most() {
        let turns = Turns::new(1);
        assert_eq!(order(&turns, 1, &[1, 1, 1, 1, 2, 3, 3]), [1, 2, 3, 1, 3, 1, 1]);
    }

    #[test]
    fn an_owner_of_many_addresses_keeps_others_waiting_for_one_of_them() {
        let turns = Turns::new(1);
        let (owned, other) = (0x0a01_0000, 0x0a02_0000);
        let many: Vec<u32> = (owned..owned + 50).collect();
        let order = order(&turns, 1, &[&many[..], &[other, other + 1]].concat());
        let place = |client| order.iter().position(|other| *other == client).unwrap();
        assert!(place(other) <= 1 && place(other + 1) <= 3, "{order:x?}");
    }

    #[test]
    fn who_has_come_in_before_does_not_wait_for_many_who_have_not() {
        let turns = Turns::new(1);
        turns.know(address(99));
        // Each of a network of its own.
        let strangers: Vec<u32> = (1..=50).map(|number| number << 16).collect();
        let order = order(&turns, 100, &[&strangers[..], &[99]].concat());
        assert!(order.iter().position(|&client| client == 99).unwrap() <= 1, "{order:?}");
    }

    #[test]
    fn an_address_has_one_at_a_time_although_more_are_to_be_had() {
        run(|| {
            let turns = Turns::new(2);
            let first = turns.take(address(1), LONG).unwrap();
            assert!(turns.take(address(1), Duration::from_millis(1)).is_none());
            let other = turns.take(address(2), LONG).unwrap();
            assert!(turns.take(address(3), Duration::from_millis(1)).is_none());
            drop(first);
            let third = turns.take(address(3), LONG).unwrap();
            drop((other, third));
            assert!(turns.state().busy.is_empty());
        })
        .unwrap();
    }

    #[test]
    fn who_is_killed_in_its_lane_passes_on_what_was_given() {
        for is_given in [false, true] {
            run(|| {
                let turns = Turns::new(1);
                let turn = turns.take(address(1), LONG).unwrap();
                let wait = |client: u32| {
                    let turns = Arc::clone(&turns);
                    let waiter =
                        overlapped::spawn(move || turns.take(address(client), LONG).is_some());
                    yield_now();
                    waiter
                };
                let (first, second) = (wait(2), wait(3));
                if is_given {
                    drop(turn);
                    first.kill();
                } else {
                    first.kill();
                    assert!(first.join().is_err());
                    drop(turn);
                }
                assert!(second.join().unwrap());
                assert!(turns.state().busy.is_empty(), "given: {is_given}");
            })
            .unwrap();
        }
    }
}
