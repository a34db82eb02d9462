//! The readiness backend: epoll on Linux, kqueue or event ports elsewhere.
//!
//! ```text
//! submit ─▶ try at once ─▶ Done
//!   │          │ would wait
//!   │          ▼
//!   │       queue of its descriptor and direction ─▶ ready ─▶ try again ─▶ out
//!   │          ▲ would wait
//!   └─▶ fresh ─┴─ tried by the next wait ─────────────────────────────────▶ out
//!
//!       cancel, in whichever queue ─▶ done (ECANCELED) ───────────────────▶ out
//! ```
//!
//! Receives are left *fresh* while immediate tries find nothing (`speculative.rs`). That saves a
//! useless try, and also the registration if the data has come by the next wait. Messages with
//! their length in front, 50 connections, 16 messages at a time: 1.98 → 2.57 million a second.
//!
//! Each descriptor has two queues, for readers and for writers, with any number of waiters, served
//! in order until one would wait again. A registration is armed exactly while a queue of its
//! descriptor is not empty. It is armed for one event, which disarms it; if the last waiter leaves
//! without an event, it is deleted. All that happens before the last waiter's completion is
//! returned, because the caller may then close the descriptor, and a closed one never fires.
//!
//! ```text
//!            first waiter            event               next waiter
//!   absent ───────────────▶ armed ──────────▶ disarmed ───────────────▶ armed
//!     ▲                       │                   │
//!     └── last waiter leaves ─┴─ file is closed ──┘
//! ```
//!
//! A disarmed registration stays, so that the next wait costs one call instead of two (a round trip
//! over loopback TCP: four calls instead of five, a fifth less processor time). Nothing here
//! remembers it. Epoll knows a registration by file *and* number and drops it with the file's last
//! descriptor. So arming asks the system: it modifies the registration, or adds one if the system
//! has none. A number that names another file by now has none, even if duplicates of the old
//! descriptor live on. Other pollers know numbers only, so the registration is deleted after each
//! wait there.
//!
//! A number can come to name another file while operations wait on it (`rustix::stdio::dup2_stdin`
//! is a safe call). Then they are tried again on the new file, when the old file or the new one
//! fires and when another operation begins to wait. They can be cancelled as ever.
//!
//! Only `submit` and `wait` touch an operation's memory, on this thread. So `drain` need not wait:
//! it empties the queues.
//!
//! After fork(2) the child's copy shares the parent's epoll instance, so the child leaves it alone.
//!
//! Operations on regular files are made in place, in `submit`. Such files are always ready, so
//! readiness does not help, and the pool for blocking work must not be given borrowed memory.
//!
//! Epoll refuses such descriptors (EPERM), but the first try never says "would wait" for them, so
//! none gets that far.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod epoll;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod portable;
mod queues;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::driver::direct;
use crate::driver::speculative::Speculation;
use crate::op::{Completion, Net, Op, Outcome, Submitted, Token};
use crate::sys::descriptor::Raw;
use crate::sys::errno;
use crate::sys::readiness::Interest;
use queues::{Queues, Waiter};

#[cfg(any(target_os = "linux", target_os = "android"))]
use epoll as system;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use portable as system;
pub(super) use system::Poller;
use system::{Events, REPORTS_CHANGES, STAYS};

pub(crate) struct Poll {
    poller: Arc<Poller>,
    /// Room for the events of one wait.
    events: Events,
    /// The descriptors that it has found; empty between two waits.
    fired: Vec<Raw>,
    /// Exactly the descriptors whose registrations are armed.
    waiting: FxHashMap<Raw, Queues>,
    /// Receives that the next wait tries for the first time.
    fresh: Vec<Waiter>,
    speculation: Speculation,
    /// The queue of each waiting token.
    places: FxHashMap<Token, (Raw, Interest)>,
    /// Completions that the next wait returns.
    done: Vec<Completion>,
    /// The process that opened it.
    process: u32,
}

impl Poll {
    pub(super) fn open() -> io::Result<Poll> {
        Ok(Poll {
            poller: Arc::new(Poller::new()?),
            events: Events::new(),
            fired: Vec::new(),
            waiting: FxHashMap::default(),
            fresh: Vec::new(),
            speculation: Speculation::default(),
            places: FxHashMap::default(),
            done: Vec::new(),
            process: std::process::id(),
        })
    }

    /// # Safety
    /// The same as for [`Driver::submit`](super::Driver::submit).
    pub(super) unsafe fn submit(&mut self, token: Token, op: &Op) -> Submitted {
        let may_be_left = is_receive(op) && !direct::is_nonblocking(op);
        if may_be_left && !self.speculation.is_worthwhile() {
            self.fresh.push(Waiter { token, op: *op });
            return Submitted::Pending;
        }
        // SAFETY: the caller's promise.
        let outcome = unsafe { direct::first_try(op) };
        let ended = !direct::is_unfinished(op, outcome);
        if may_be_left {
            self.speculation.record(ended);
        }
        if ended || direct::is_nonblocking(op) {
            return Submitted::Done(outcome);
        }
        // SAFETY: the caller's promise.
        match unsafe { self.enqueue(token, op) } {
            Ok(()) => Submitted::Pending,
            Err(error) => Submitted::Done(error),
        }
    }

    /// Queues `op` until its descriptor is ready.
    ///
    /// # Safety
    /// The same as for [`Driver::submit`](super::Driver::submit).
    unsafe fn enqueue(&mut self, token: Token, op: &Op) -> Result<(), Outcome> {
        let (fd, interest) = (op.fd(), direct::interest(op));
        let queues = self.waiting.entry(fd).or_default();
        queues.of(interest).push_back(Waiter { token, op: *op });
        // Earlier waiters may wait for another file, which the number named before; so it is armed
        // again.
        let armed = queues.armed.take();
        // SAFETY: the descriptor is open until the completion of the waiter just queued.
        if let Err(error) = unsafe { arm(&self.poller, fd, queues) } {
            // Other waiters lose nothing: a registration that was there is still there.
            queues.armed = armed;
            queues.of(interest).pop_back();
            if queues.is_empty() {
                self.waiting.remove(&fd);
            }
            return Err(Outcome::from_code(code_of(&error)));
        }
        let previous = self.places.insert(token, (fd, interest));
        assert!(previous.is_none(), "{token:?} is in flight already");
        Ok(())
    }

    pub(super) fn speculation(&mut self) -> &mut Speculation {
        &mut self.speculation
    }

    pub(super) fn cancel(&mut self, token: Token) {
        let Some((fd, interest)) = self.places.remove(&token) else {
            // If it is in neither place, it has completed, and its result is final.
            if let Some(place) = self.fresh.iter().position(|waiter| waiter.token == token) {
                self.fresh.remove(place);
                self.done.push(Completion { token, outcome: Outcome::CANCELLED });
            }
            return;
        };
        let queues = self.waiting.get_mut(&fd).expect("a waiting token has a queue");
        assert!(queues.of(interest).remove(token), "a waiting token is in its queue");
        self.done.push(Completion { token, outcome: Outcome::CANCELLED });
        self.settle(fd);
    }

    pub(super) fn wait(
        &mut self,
        timeout: Option<Duration>,
        out: &mut Vec<Completion>,
    ) -> io::Result<()> {
        self.try_fresh();
        let timeout = if self.done.is_empty() { timeout } else { Some(Duration::ZERO) };
        self.events.clear();
        let result = if timeout == Some(Duration::ZERO) && self.waiting.is_empty() {
            Ok(())
        } else {
            self.poller.wait(&mut self.events, timeout)
        };
        if result.is_ok() {
            self.serve();
        }
        out.append(&mut self.done);
        result
    }

    /// Tries the receives that were left untried at their submission.
    fn try_fresh(&mut self) {
        let mut fresh = std::mem::take(&mut self.fresh);
        for Waiter { token, op } in fresh.drain(..) {
            // SAFETY: promised at `submit` until the completion, which is yet to come.
            let outcome = unsafe { direct::first_try(&op) };
            let ended = if direct::is_unfinished(&op, outcome) {
                // SAFETY: the same promise.
                unsafe { self.enqueue(token, &op) }.err()
            } else {
                Some(outcome)
            };
            self.done.extend(ended.map(|outcome| Completion { token, outcome }));
        }
        self.fresh = fresh;
    }

    /// Tries operations again whose descriptors have become ready.
    fn serve(&mut self) {
        let Poll { events, waiting, places, done, .. } = self;
        for event in events.iter() {
            // Without waiters, this is a registration that could not be deleted.
            let Some(queues) = waiting.get_mut(&event.fd) else { continue };
            queues.fired();
            let readable = event.readable.then_some(Interest::Readable);
            let writable = event.writable.then_some(Interest::Writable);
            let reported = [readable, writable].into_iter().flatten();
            for interest in reported.clone() {
                let queue = queues.of(interest);
                while let Some(Waiter { token, op }) = queue.front() {
                    // SAFETY: promised at `submit` until the completion, which is yet to come.
                    let outcome = unsafe { direct::retry(op) };
                    if direct::is_unfinished(op, outcome) {
                        break;
                    }
                    places.remove(token);
                    done.push(Completion { token: *token, outcome });
                    queue.pop_front();
                }
            }
            // The descriptor was ready, and yet an operation still waits: urgent data, or a queue
            // of errors, makes a descriptor ready for good, and receives take neither. Unless only
            // changes count from now on, every wait would return at once.
            let mut reported = reported.into_iter();
            if REPORTS_CHANGES && reported.any(|interest| !queues.of(interest).is_empty()) {
                queues.only_changes();
            }
        }
        let mut fired = std::mem::take(&mut self.fired);
        fired.extend(self.events.iter().map(|event| event.fd));
        for fd in fired.drain(..) {
            self.settle(fd);
        }
        self.fired = fired;
    }

    /// Brings the registration of `fd` in line with its queues.
    fn settle(&mut self, fd: Raw) {
        // Some pollers report the two directions as two events.
        let Some(queues) = self.waiting.get_mut(&fd) else {
            return;
        };
        if queues.is_empty() {
            let has_fired = queues.armed.is_none();
            self.waiting.remove(&fd);
            if STAYS && has_fired {
                return;
            }
            // SAFETY: the last waiter's completion has not been handed out, so the descriptor is
            // still open.
            unsafe { self.poller.disarm(fd) };
            return;
        }
        // SAFETY: the waiters in the queues keep the descriptor open.
        if let Err(error) = unsafe { arm(&self.poller, fd, queues) } {
            let outcome = Outcome::from_code(code_of(&error));
            for Waiter { token, .. } in queues.take() {
                self.places.remove(&token);
                self.done.push(Completion { token, outcome });
            }
            self.waiting.remove(&fd);
            // SAFETY: as above.
            unsafe { self.poller.disarm(fd) };
        }
    }

    pub(super) fn has_work(&self) -> bool {
        // Only a system call could tell. True if in doubt, since busy tasklets must not keep others
        // waiting.
        !self.done.is_empty() || !self.fresh.is_empty() || !self.waiting.is_empty()
    }

    /// Returns the poller, for notifiers.
    pub(super) fn poller(&self) -> &Arc<Poller> {
        &self.poller
    }

    pub(super) fn drain(&mut self, out: &mut Vec<Completion>) {
        if self.process != std::process::id() {
            // The child must never be the last owner, so that the poller's own destructor does not
            // run either.
            std::mem::forget(Arc::clone(&self.poller));
            return;
        }
        let fresh = self.fresh.iter().map(|waiter| waiter.token);
        let tokens: Vec<Token> = self.places.keys().copied().chain(fresh).collect();
        for token in tokens {
            self.cancel(token);
        }
        out.append(&mut self.done);
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        self.drain(&mut Vec::new());
    }
}

/// Arms the registration of `fd` for what `queues` want.
///
/// # Safety
/// `fd` is open, and stays open until the registration is disarmed or deleted.
unsafe fn arm(poller: &Poller, fd: Raw, queues: &mut Queues) -> io::Result<()> {
    let wanted = queues.wanted();
    if queues.armed == Some(wanted) {
        return Ok(());
    }
    // SAFETY: the caller's promise.
    unsafe { poller.arm(fd, wanted) }?;
    queues.armed = Some(wanted);
    Ok(())
}

/// Tells whether `op` may be tried later as well: a receive finds more then, and its effect is not
/// urgent.
fn is_receive(op: &Op) -> bool {
    matches!(op, Op::Net(Net::Recv { .. } | Net::RecvMsg { .. }))
}

fn code_of(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(errno::UNKNOWN)
}
