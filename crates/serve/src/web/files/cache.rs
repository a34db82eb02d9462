//! Resources of one thread that may be found again, bounded by what they cost.
//!
//! Every find is checked against the file system by the caller: the cache saves opening, reading
//! and describing a file, never looking at it. Which one has to leave is decided as by a clock's
//! hand: the oldest that was not asked for since the hand last passed.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::form::Coding;
use super::resource::{Body, Resource};

/// What all resources of a thread may cost, in bytes.
const COST_MAX: usize = 16 << 20;

/// A resource that costs more is not kept.
const COST_OF_ONE_MAX: usize = 256 << 10;

/// What is reckoned for an open file: no more than 128 are kept.
const COST_OF_DESCRIPTOR: usize = 128 << 10;

/// What is reckoned for a resource besides its content.
const COST_BESIDES: usize = 1 << 10;

/// See the module.
#[derive(Default)]
pub(crate) struct Cache {
    inner: RefCell<Inner>,
}

#[derive(Default)]
struct Inner {
    by_coding: [HashMap<Rc<str>, Rc<Resource>>; Coding::COUNT],
    /// The hand's way. It may hold resources that have left already.
    order: VecDeque<Rc<Resource>>,
    cost: usize,
}

fn cost(resource: &Resource) -> usize {
    let content = match &resource.body {
        Body::Kept(bytes) => bytes.len(),
        Body::Open(_) => COST_OF_DESCRIPTOR,
    };
    COST_BESIDES + resource.key.len() + resource.name.len() + content
}

impl Cache {
    /// What was kept for `key`.
    pub(crate) fn get(&self, coding: Coding, key: &str) -> Option<Rc<Resource>> {
        let found = Rc::clone(self.inner.borrow().by_coding[coding as usize].get(key)?);
        found.used.set(true);
        Some(found)
    }

    /// Keeps `resource`, if it may be found again.
    pub(crate) fn put(&self, resource: Resource) -> Rc<Resource> {
        let resource = Rc::new(resource);
        let cost = cost(&resource);
        if !resource.keeps || cost > COST_OF_ONE_MAX {
            return resource;
        }
        let mut inner = self.inner.borrow_mut();
        inner.make_room(cost);
        let key = Rc::clone(&resource.key);
        let map = &mut inner.by_coding[resource.coding as usize];
        let former = map.insert(key, Rc::clone(&resource));
        inner.cost += cost;
        if let Some(former) = former {
            inner.cost -= self::cost(&former);
        }
        inner.order.push_back(Rc::clone(&resource));
        inner.compact();
        resource
    }

    /// Forgets `resource`.
    pub(crate) fn remove(&self, resource: &Resource) {
        self.inner.borrow_mut().remove(resource);
    }

    /// Forgets everything, and so closes what nobody is sending.
    pub(crate) fn clear(&self) {
        let inner = std::mem::take(&mut *self.inner.borrow_mut());
        drop(inner);
    }
}

impl Inner {
    fn holds(&self, resource: &Resource) -> bool {
        let found = self.by_coding[resource.coding as usize].get(&resource.key);
        found.is_some_and(|found| std::ptr::eq(&raw const **found, resource))
    }

    fn remove(&mut self, resource: &Resource) {
        if self.holds(resource) {
            self.by_coding[resource.coding as usize].remove(&resource.key);
            self.cost -= cost(resource);
        }
    }

    fn make_room(&mut self, cost: usize) {
        while self.cost + cost > COST_MAX {
            let Some(oldest) = self.order.pop_front() else { return };
            if self.holds(&oldest) && oldest.used.replace(false) {
                self.order.push_back(oldest);
            } else {
                self.remove(&oldest);
            }
        }
    }

    /// Drops those that have left, when they are more than those that are there.
    fn compact(&mut self) {
        let there: usize = self.by_coding.iter().map(HashMap::len).sum();
        if self.order.len() > 2 * there + 16 {
            let mut order = std::mem::take(&mut self.order);
            order.retain(|resource| self.holds(resource));
            self.order = order;
        }
    }
}
