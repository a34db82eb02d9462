//! Shortage of descriptors: the back-off of acceptors that got EMFILE, and what ends it.
//!
//! The next free descriptor is most likely that of a connection that ends, on any thread. So each
//! ending connection wakes all acceptors that are backing off, because it is unknown which of them
//! has clients waiting. Other descriptors are freed without a wake: a file that a request had open,
//! or, if the whole system has none left, another process's. For these no back-off is longer
//! than a pause.
//!
//! A shortage evicts idle connections: those between two requests, and those that have sent nothing
//! for a moment, the longest idle first. Their clients expect that and connect anew. A request that
//! needs a descriptor, for its file or its script, does the same. Monitoring listeners have a
//! [`Reserve`].
//!
//! ```text
//! acceptor     registers, tries accept once more, fails, waits ◀── wake ──┐
//! connection   closes its socket, reads the number of registered ── > 0 ──┘
//! ```
//!
//! Of "register, try" and "close, read", whichever comes second sees the first. Without a shortage,
//! an ending connection reads one word.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst, fence};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use overlapped::sync::Event;
use overlapped::time::Duration;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::locks::IgnorePoison;

/// The time for which one attempt of a request waits for a descriptor.
const WAIT: Duration = Duration::from_millis(100);

/// The number of attempts of a request that finds no descriptor.
const ATTEMPTS: usize = 4;

/// A descriptor that can be opened anywhere, to hold a place in the table.
#[cfg(any(target_os = "linux", target_os = "android"))]
const PLACEHOLDER: OFlags = OFlags::PATH;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const PLACEHOLDER: OFlags = OFlags::RDONLY;

thread_local! {
    /// The shortage of the server that this thread works for.
    static CURRENT: RefCell<Weak<Shortage>> = const { RefCell::new(Weak::new()) };
}

/// Tells whether an error means that no descriptors are left. Also finds such an error as the
/// source of another one.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    let is_of_system = matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE));
    let inner = error.get_ref().and_then(|wrapped| wrapped.source()?.downcast_ref());
    is_of_system || inner.is_some_and(is_shortage)
}

/// Calls `attempt`, which needs a descriptor. At a shortage, evicts idle connections and calls it
/// again, a few times.
pub(crate) fn retry_at_shortage<T, E>(
    mut attempt: impl FnMut() -> Result<T, E>,
    is_shortage: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let mut result = attempt();
    for _ in 1..ATTEMPTS {
        match &result {
            Err(error) if is_shortage(error) && wait_for_descriptor() => result = attempt(),
            _ => break,
        }
    }
    result
}

/// Requests evictions and waits a little; returns false if this thread belongs to no server.
fn wait_for_descriptor() -> bool {
    let Some(shortage) = CURRENT.with_borrow(Weak::upgrade) else { return false };
    let back_off = shortage.back_off();
    shortage.request_evictions();
    back_off.wait(WAIT);
    true
}

/// The acceptors of a server that back off, and the threads that evict.
#[derive(Debug, Default)]
pub(crate) struct Shortage {
    count: AtomicUsize,
    waiting: Mutex<Vec<Arc<Event>>>,
    /// One event per thread; setting it makes the thread evict idle connections.
    evictors: Mutex<Vec<Arc<Event>>>,
}

impl Shortage {
    /// Registers the caller, which must then try once more before it waits.
    pub(crate) fn back_off(&self) -> BackOff<'_> {
        let freed = Arc::new(Event::new());
        self.waiting().push(Arc::clone(&freed));
        self.count.fetch_add(1, SeqCst);
        fence(SeqCst);
        BackOff { shortage: self, freed }
    }

    /// Registers the calling thread, which must evict idle connections whenever the returned event
    /// is set.
    pub(crate) fn register_thread(self: &Arc<Shortage>) -> Arc<Event> {
        CURRENT.set(Arc::downgrade(self));
        let requested = Arc::new(Event::new());
        self.evictors().push(Arc::clone(&requested));
        requested
    }

    /// Makes all threads evict idle connections.
    pub(crate) fn request_evictions(&self) {
        self.evictors().iter().for_each(|requested| requested.set());
    }

    /// Wakes all that back off; to be called after a descriptor was closed.
    pub(crate) fn notify_closed(&self) {
        fence(SeqCst);
        if self.count.load(SeqCst) > 0 {
            self.waiting().iter().for_each(|freed| freed.set());
        }
    }

    // Both locks are held for a few instructions only, never across a wait.

    fn waiting(&self) -> MutexGuard<'_, Vec<Arc<Event>>> {
        self.waiting.lock().ignore_poison()
    }

    fn evictors(&self) -> MutexGuard<'_, Vec<Arc<Event>>> {
        self.evictors.lock().ignore_poison()
    }
}

/// The registration of one that backs off; dropping it ends it.
#[derive(Debug)]
pub(crate) struct BackOff<'a> {
    shortage: &'a Shortage,
    freed: Arc<Event>,
}

impl BackOff<'_> {
    /// Waits until a descriptor was closed since the last call, for `pause` at most.
    pub(crate) fn wait(&self, pause: Duration) {
        self.freed.wait_timeout(pause);
        self.freed.clear();
    }
}

impl Drop for BackOff<'_> {
    fn drop(&mut self) {
        self.shortage.count.fetch_sub(1, SeqCst);
        self.shortage.waiting().retain(|freed| !Arc::ptr_eq(freed, &self.freed));
    }
}

/// Descriptors that are held back for connections which must not wait for one.
#[derive(Debug)]
pub(crate) struct Reserve {
    placeholders: RefCell<Vec<OwnedFd>>,
    size: usize,
}

impl Reserve {
    pub(crate) fn new(size: usize) -> Reserve {
        let reserve = Reserve { placeholders: RefCell::default(), size };
        reserve.fill();
        reserve
    }

    /// Opens the missing placeholders, as far as there are descriptors.
    pub(crate) fn fill(&self) {
        let mut placeholders = self.placeholders.borrow_mut();
        while placeholders.len() < self.size {
            match rustix::fs::open("/", PLACEHOLDER | OFlags::CLOEXEC, Mode::empty()) {
                Ok(descriptor) => placeholders.push(descriptor),
                Err(_) => return,
            }
        }
    }

    /// Closes one placeholder; returns whether there was one.
    pub(crate) fn release(&self) -> bool {
        self.placeholders.borrow_mut().pop().is_some()
    }
}

#[cfg(test)]
mod tests {
    use overlapped::time::Instant;
    use overlapped::{run, scope, yield_now};

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn a_closed_descriptor_wakes_all_that_back_off_on_this_thread_and_on_others() {
        let shortage = Arc::new(Shortage::default());
        let begin = Instant::now();
        let elsewhere = {
            let shortage = Arc::clone(&shortage);
            std::thread::spawn(move || run(|| shortage.back_off().wait(LONG)).unwrap())
        };
        run(|| {
            scope(|s| {
                let here = s.spawn(|| shortage.back_off().wait(LONG));
                while shortage.count.load(SeqCst) < 2 {
                    yield_now();
                }
                shortage.notify_closed();
                here.join().unwrap();
            });
        })
        .unwrap();
        elsewhere.join().unwrap();
        assert!(begin.elapsed() < LONG);
        assert!(shortage.waiting().is_empty());
        assert_eq!(shortage.count.load(SeqCst), 0);
    }

    #[test]
    fn a_descriptor_closed_between_the_last_try_and_the_wait_is_not_missed() {
        let shortage = Shortage::default();
        let back_off = shortage.back_off();
        shortage.notify_closed();
        run(|| {
            let begin = Instant::now();
            back_off.wait(LONG);
            assert!(begin.elapsed() < LONG);
            // The wake counts for one wait only.
            back_off.wait(Duration::from_millis(1));
            assert!(begin.elapsed() >= Duration::from_millis(1));
        })
        .unwrap();
    }

    #[test]
    fn a_pause_ends_by_itself_without_a_wake() {
        let shortage = Shortage::default();
        run(|| shortage.back_off().wait(Duration::from_millis(1))).unwrap();
    }
}
