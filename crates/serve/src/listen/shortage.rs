//! Acceptors that have no descriptor for the next client, and who wakes them.
//!
//! The next descriptor is most likely that of a guest who leaves, on whichever thread. So each one
//! that leaves wakes the acceptors that starve, all of them: it is not known which one has clients.
//! A file that a request has open, or another process where the whole system has none left, says
//! nothing when it lets go; for their sake nobody waits for longer than a pause.
//!
//! Connections that wait between two requests, and those that have not sent anything for a moment,
//! are closed for those who ask, the ones that have waited for longest first: their clients expect
//! that, and connect anew. A request that needs a descriptor, for its file or for its script, asks
//! in the same way. Those who watch the server have a [`Reserve`].
//!
//! ```text
//! acceptor   enters itself, tries to accept once more, fails, waits ◀─ wake ─┐
//! guest      closes its socket, looks whether anybody is entered ── yes ─────┘
//! ```
//!
//! Whichever of "enters, tries" and "closes, looks" is second sees the other. While nobody starves,
//! a guest that leaves looks at one word.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use overlapped::sync::Event;
use overlapped::time::Duration;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// The time for which a descriptor is waited for that somebody needs for a request.
const WAIT: Duration = Duration::from_millis(100);

thread_local! {
    /// The server that this thread works for.
    static HERE: RefCell<Weak<Shortage>> = const { RefCell::new(Weak::new()) };
}

/// Tells whether no descriptors are left. The error may be inside of another one, which says what
/// for.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    let is_of_system = matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE));
    let inner = error.get_ref().and_then(|wrapped| wrapped.source()?.downcast_ref());
    is_of_system || inner.is_some_and(is_shortage)
}

/// Attempts of a request that finds no descriptor.
const TRIES: usize = 4;

/// Does what needs a descriptor. Where there is none, idle connections are closed, and it is done
/// again, a few times.
pub(crate) fn with_room<T, E>(
    mut attempt: impl FnMut() -> Result<T, E>,
    is_shortage: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let mut done = attempt();
    for _ in 1..TRIES {
        match &done {
            Err(error) if is_shortage(error) && make_room() => done = attempt(),
            _ => break,
        }
    }
    done
}

/// Asks for descriptors, and waits a little. False where this thread belongs to no server.
fn make_room() -> bool {
    let Some(shortage) = HERE.with_borrow(Weak::upgrade) else { return false };
    let starving = shortage.enter();
    shortage.ask();
    starving.wait(WAIT);
    true
}

/// The acceptors of a server that starve.
#[derive(Debug, Default)]
pub(crate) struct Shortage {
    count: AtomicUsize,
    acceptors: Mutex<Vec<Arc<Event>>>,
    /// One for each thread, to have idle connections closed.
    rooms: Mutex<Vec<Arc<Event>>>,
}

impl Shortage {
    /// Enters the calling acceptor, which then has to try once more before it waits.
    pub(crate) fn enter(&self) -> Starving<'_> {
        let freed = Arc::new(Event::new());
        self.lock().push(Arc::clone(&freed));
        self.count.fetch_add(1, SeqCst);
        fence(SeqCst);
        Starving { shortage: self, freed }
    }

    /// For the calling thread, which closes idle connections whenever the event is set.
    pub(crate) fn serve_here(self: &Arc<Shortage>) -> Arc<Event> {
        HERE.set(Arc::downgrade(self));
        let asked = Arc::new(Event::new());
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&asked));
        asked
    }

    /// Has all threads close idle connections.
    pub(crate) fn ask(&self) {
        let rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.iter().for_each(|asked| asked.set());
    }

    /// A descriptor has been closed.
    pub(crate) fn wake(&self) {
        fence(SeqCst);
        if self.count.load(SeqCst) > 0 {
            self.lock().iter().for_each(|freed| freed.set());
        }
    }

    /// Held for a few instructions only, never across a wait.
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Event>>> {
        self.acceptors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An acceptor that starves, until this is dropped.
#[derive(Debug)]
pub(crate) struct Starving<'a> {
    shortage: &'a Shortage,
    freed: Arc<Event>,
}

impl Starving<'_> {
    /// Waits until a descriptor was closed since the last time, for `pause` at most.
    pub(crate) fn wait(&self, pause: Duration) {
        self.freed.wait_timeout(pause);
        self.freed.clear();
    }
}

impl Drop for Starving<'_> {
    fn drop(&mut self) {
        self.shortage.count.fetch_sub(1, SeqCst);
        self.shortage.lock().retain(|freed| !Arc::ptr_eq(freed, &self.freed));
    }
}

/// Descriptors that are held for connections which must not wait for one.
#[derive(Debug)]
pub(crate) struct Reserve {
    held: RefCell<Vec<OwnedFd>>,
    most: usize,
}

impl Reserve {
    pub(crate) fn new(most: usize) -> Reserve {
        let reserve = Reserve { held: RefCell::default(), most };
        reserve.fill();
        reserve
    }

    /// Takes what is missing, as far as it is to be had.
    pub(crate) fn fill(&self) {
        let mut held = self.held.borrow_mut();
        while held.len() < self.most {
            match rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
                Ok(descriptor) => held.push(descriptor),
                Err(_) => return,
            }
        }
    }

    /// Gives one up. Whether there was one.
    pub(crate) fn release(&self) -> bool {
        self.held.borrow_mut().pop().is_some()
    }
}

#[cfg(test)]
mod tests {
    use overlapped::time::Instant;
    use overlapped::{run, scope, yield_now};

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn whoever_leaves_wakes_all_who_starve_on_this_thread_and_on_others() {
        let shortage = Arc::new(Shortage::default());
        let begin = Instant::now();
        let elsewhere = {
            let shortage = Arc::clone(&shortage);
            std::thread::spawn(move || run(|| shortage.enter().wait(LONG)).unwrap())
        };
        run(|| {
            scope(|s| {
                let here = s.spawn(|| shortage.enter().wait(LONG));
                while shortage.count.load(SeqCst) < 2 {
                    yield_now();
                }
                shortage.wake();
                here.join().unwrap();
            });
        })
        .unwrap();
        elsewhere.join().unwrap();
        assert!(begin.elapsed() < LONG);
        assert!(shortage.lock().is_empty());
        assert_eq!(shortage.count.load(SeqCst), 0);
    }

    #[test]
    fn what_is_closed_between_the_last_try_and_the_wait_is_not_missed() {
        let shortage = Shortage::default();
        let starving = shortage.enter();
        shortage.wake();
        run(|| {
            let begin = Instant::now();
            starving.wait(LONG);
            assert!(begin.elapsed() < LONG);
            // And it was that one time.
            starving.wait(Duration::from_millis(1));
            assert!(begin.elapsed() >= Duration::from_millis(1));
        })
        .unwrap();
    }

    #[test]
    fn where_nobody_tells_a_pause_ends_by_itself() {
        let shortage = Shortage::default();
        run(|| shortage.enter().wait(Duration::from_millis(1))).unwrap();
    }
}
