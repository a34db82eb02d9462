//! The cache of one thread's resources, bounded by their cost.
//!
//! The caller checks every hit against the file system: the cache saves opening and reading a file
//! and building its headers, never the check. Evictions follow the clock algorithm: the oldest
//! resource that was not used since the hand last passed it is evicted.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::encoding::Coding;
use super::resource::{FileContent, Resource};

/// Maximum cost of all resources of a thread, in bytes.
const COST_MAX: usize = 16 << 20;

/// Maximum cost of one resource that is cached.
const COST_OF_ONE_MAX: usize = 256 << 10;

/// The cost of an open file: at most 128 are cached.
const COST_OF_DESCRIPTOR: usize = 128 << 10;

/// The cost of a resource besides its content.
const COST_OF_HEADERS: usize = 1 << 10;

/// The cache of one thread for one [`Files`](super::Files).
#[derive(Default)]
pub(crate) struct Cache {
    inner: RefCell<Inner>,
}

#[derive(Default)]
struct Inner {
    by_coding: [HashMap<Rc<str>, Rc<Resource>>; Coding::COUNT],
    /// The order in which the hand passes resources. It may hold ones that were removed.
    order: VecDeque<Rc<Resource>>,
    cost: usize,
}

fn cost(resource: &Resource) -> usize {
    let content = match &resource.body {
        FileContent::Memory(bytes) => bytes.len(),
        FileContent::File(_) => COST_OF_DESCRIPTOR,
    };
    COST_OF_HEADERS + resource.key.len() + resource.name.len() + content
}

impl Cache {
    /// Returns the cached resource for `key`.
    pub(crate) fn get(&self, coding: Coding, key: &str) -> Option<Rc<Resource>> {
        let found = Rc::clone(self.inner.borrow().by_coding[coding as usize].get(key)?);
        found.used.set(true);
        Some(found)
    }

    /// Caches `resource`, if that is allowed.
    pub(crate) fn put(&self, resource: Resource) -> Rc<Resource> {
        let resource = Rc::new(resource);
        let cost = cost(&resource);
        if !resource.may_cache || cost > COST_OF_ONE_MAX {
            return resource;
        }
        let mut inner = self.inner.borrow_mut();
        inner.evict_for(cost);
        let key = Rc::clone(&resource.key);
        let map = &mut inner.by_coding[resource.coding as usize];
        let replaced = map.insert(key, Rc::clone(&resource));
        inner.cost += cost;
        if let Some(replaced) = replaced {
            inner.cost -= self::cost(&replaced);
        }
        inner.order.push_back(Rc::clone(&resource));
        inner.compact();
        resource
    }

    /// Removes `resource`.
    pub(crate) fn remove(&self, resource: &Resource) {
        self.inner.borrow_mut().remove(resource);
    }

    /// Removes everything, which closes all files that are not being sent.
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

    fn evict_for(&mut self, cost: usize) {
        while self.cost + cost > COST_MAX {
            let Some(oldest) = self.order.pop_front() else { return };
            if self.holds(&oldest) && oldest.used.replace(false) {
                self.order.push_back(oldest);
            } else {
                self.remove(&oldest);
            }
        }
    }

    /// Drops removed resources from the order, when they are the majority.
    fn compact(&mut self) {
        let live: usize = self.by_coding.iter().map(HashMap::len).sum();
        if self.order.len() > 2 * live + 16 {
            let mut order = std::mem::take(&mut self.order);
            order.retain(|resource| self.holds(resource));
            self.order = order;
        }
    }
}
