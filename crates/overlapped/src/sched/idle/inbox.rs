//! The inbox: the only way in from another thread.
//!
//! ```text
//!   any thread                         the scheduler's thread
//!   post: lock, push, unlock           every poll: drain
//!         was it asleep? → notify      before it sleeps: asleep = true, then check once more
//! ```
//!
//! A scheduler that spins for a moment before it sleeps ([`Inbox::is_full`]) is awake: it is not
//! notified.
//!
//! No wake is lost: the scheduler checks (under the lock) *after* it has set `asleep`, and a poster
//! reads `asleep` *after* it has pushed (under the same lock). So either the check finds the
//! message, or the poster finds the flag. `loom_no_wake_is_lost` tries every order.

use std::collections::VecDeque;
use std::sync::Arc;

#[cfg(overlapped_loom)]
use loom::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
#[cfg(not(overlapped_loom))]
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::intake::Intake;
use crate::offload::Sleeper;
use crate::op::Token;
use crate::sched::tasklet::TcbPtr;
use crate::sched::tasklet::counts::{HANDLES_MAX, overflow};
#[cfg(not(overlapped_loom))]
use crate::sys::lock::Mutex;

/// A request of another thread to a scheduler.
pub(crate) enum Message {
    /// Wake the tasklet that waits under this token, if it still does.
    Wake(Token),
    /// Kill the tasklet registered under this token, if it still lives.
    Kill(Token),
    /// Kill all tasklets.
    End,
}

/// A closure on its way to another thread. It makes a tasklet out of itself and runs nothing.
pub(crate) type Job = Box<dyn FnOnce(&Intake) -> TcbPtr + Send>;

/// The error of a post to a scheduler that has ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

/// The reason why a closure was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Closed,
    /// There are [`JOBS_MAX`] closures already.
    Full,
}

/// The maximum number of closures that wait in an inbox.
pub(crate) const JOBS_MAX: usize = 1 << 20;

/// Lists that have grown beyond this are given back.
const KEPT_MAX: usize = 1 << 10;

/// The messages that have arrived and have not been read.
///
/// Their memory is bounded: there are at most [`JOBS_MAX`] closures, one kill for each tasklet that
/// has a handle, one wake for each wait since the last poll, and one end.
#[derive(Default)]
pub(super) struct Unread {
    messages: Vec<Message>,
    jobs: VecDeque<Job>,
}

impl Unread {
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.jobs.is_empty()
    }
}

/// The messages to one scheduler, and whether it sleeps. The module's comment has the protocol.
pub(crate) struct Inbox {
    /// `None` once the scheduler has ended.
    unread: Mutex<Option<Unread>>,
    /// A hint that `unread` is not empty, so that a busy scheduler need not lock.
    full: AtomicBool,
    asleep: AtomicBool,
    /// Handles in other threads that could wake a tasklet. While there are any, no wait is a
    /// deadlock.
    handles: AtomicUsize,
    notify: Box<dyn Fn() + Send + Sync>,
}

impl Inbox {
    /// Makes an inbox that calls `notify` to wake its sleeping scheduler.
    pub(crate) fn new(notify: impl Fn() + Send + Sync + 'static) -> Inbox {
        Inbox {
            unread: Mutex::new(Some(Unread::default())),
            full: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            handles: AtomicUsize::new(0),
            notify: Box::new(notify),
        }
    }

    /// Posts a message, from any thread.
    pub(crate) fn post(&self, message: Message) -> Result<(), Closed> {
        self.lock().as_mut().ok_or(Closed)?.messages.push(message);
        self.full.store(true, Ordering::Release);
        self.wake();
        Ok(())
    }

    /// Posts a closure, from any thread. A refused closure is dropped on that thread.
    pub(crate) fn post_job(&self, job: Job) -> Result<(), Refused> {
        let mut unread = self.lock();
        let jobs = &mut unread.as_mut().ok_or(Refused::Closed)?.jobs;
        if jobs.len() >= JOBS_MAX {
            return Err(Refused::Full);
        }
        jobs.push_back(job);
        drop(unread);
        self.full.store(true, Ordering::Release);
        self.wake();
        Ok(())
    }

    /// Posts a message for a caller that wakes the scheduler later, by [`Sleeper::wake`]. Returns
    /// false if it need not, because the scheduler polls anyway.
    pub(crate) fn leave(&self, message: Message) -> Result<bool, Closed> {
        self.lock().as_mut().ok_or(Closed)?.messages.push(message);
        self.full.store(true, Ordering::Release);
        Ok(self.asleep.load(Ordering::Acquire))
    }

    /// Wakes the scheduler if it sleeps.
    pub(super) fn wake(&self) {
        if self.asleep.swap(false, Ordering::AcqRel) {
            (self.notify)();
        }
    }

    /// Tells whether a message seems to have arrived.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    /// Moves all messages to `out`, and the `most` oldest closures to `jobs`.
    pub(crate) fn drain(&self, out: &mut Vec<Message>, jobs: &mut Vec<Job>, most: usize) {
        if self.is_full() {
            self.full.store(false, Ordering::Relaxed);
            if let Some(unread) = self.lock().as_mut() {
                out.append(&mut unread.messages);
                unread.messages.shrink_to(KEPT_MAX);
                let taken = unread.jobs.len().min(most);
                jobs.extend(unread.jobs.drain(..taken));
                if unread.jobs.is_empty() {
                    unread.jobs.shrink_to(KEPT_MAX);
                } else {
                    self.full.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    /// Marks the scheduler as about to sleep. Returns false if it must not, because a message has
    /// arrived.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.asleep.swap(true, Ordering::AcqRel);
        if self.lock().as_ref().is_some_and(|unread| !unread.is_empty()) {
            self.full.store(true, Ordering::Relaxed);
            self.wake_up();
            return false;
        }
        true
    }

    /// Marks the scheduler as awake.
    pub(crate) fn wake_up(&self) {
        self.asleep.swap(false, Ordering::AcqRel);
    }

    /// Returns the number of handles in other threads that could still wake a tasklet. It is exact
    /// after `fall_asleep`, because handles are counted under the lock.
    pub(crate) fn handles(&self) -> usize {
        self.handles.load(Ordering::Relaxed)
    }

    /// Counts a handle in another thread that could wake a tasklet here.
    pub(crate) fn add_handle(&self) {
        let unread = self.lock();
        self.count_handle();
        drop(unread);
    }

    /// Counts a new handle; the caller has the lock.
    fn count_handle(&self) {
        if self.handles.fetch_add(1, Ordering::Relaxed) > HANDLES_MAX {
            overflow("handles of a scheduler");
        }
    }

    /// Sets the count, as if that many handles had been forgotten.
    #[cfg(test)]
    pub(in crate::sched) fn count_handles_from(&self, handles: usize) {
        self.handles.store(handles, Ordering::Relaxed);
    }

    /// Uncounts a handle, and wakes the scheduler: perhaps nothing can wake its waiters.
    pub(crate) fn remove_handle(&self) {
        let unread = self.lock();
        self.handles.fetch_sub(1, Ordering::Relaxed);
        drop(unread);
        self.wake();
    }

    #[cfg(not(overlapped_loom))]
    pub(super) fn lock(&self) -> crate::sys::lock::MutexGuard<'_, Option<Unread>> {
        self.unread.lock()
    }

    #[cfg(overlapped_loom)]
    pub(super) fn lock(&self) -> loom::sync::MutexGuard<'_, Option<Unread>> {
        self.unread.lock().unwrap()
    }
}

impl Sleeper for Inbox {
    fn wake(&self) {
        Inbox::wake(self);
    }
}

/// The state that one tasklet's handles in other threads share with its scheduler.
pub(crate) struct RemoteLink {
    inbox: Arc<Inbox>,
    token: Token,
    over: AtomicBool,
    /// Set while a posted kill has not been read, so that a storm of kills is one message.
    asked: AtomicBool,
    /// Changed under the inbox's lock, and counted there, too, while the tasklet lives.
    handles: AtomicUsize,
}

impl RemoteLink {
    pub(crate) fn new(inbox: Arc<Inbox>, token: Token) -> RemoteLink {
        let (over, asked) = (AtomicBool::new(false), AtomicBool::new(false));
        RemoteLink { inbox, token, over, asked, handles: AtomicUsize::new(0) }
    }

    /// Counts one more handle.
    pub(crate) fn add_handle(&self) {
        let unread = self.inbox.lock();
        if !self.is_over() {
            let handles = self.handles.fetch_add(1, Ordering::Relaxed);
            if handles > HANDLES_MAX {
                overflow("handles of a tasklet");
            }
            self.inbox.count_handle();
        }
        drop(unread);
    }

    /// Uncounts a handle, and wakes the scheduler: perhaps nothing can wake its waiters.
    pub(crate) fn remove_handle(&self) {
        let unread = self.inbox.lock();
        if !self.is_over() {
            self.handles.fetch_sub(1, Ordering::Relaxed);
            self.inbox.handles.fetch_sub(1, Ordering::Relaxed);
        }
        drop(unread);
        self.inbox.wake();
    }

    /// Sets the count, as if that many handles had been forgotten.
    #[cfg(test)]
    pub(in crate::sched) fn count_handles_from(&self, handles: usize) {
        self.handles.store(handles, Ordering::Relaxed);
    }

    /// Marks the tasklet as ended: its handles count no more.
    pub(crate) fn close(&self) {
        let unread = self.inbox.lock();
        self.over.store(true, Ordering::Release);
        self.inbox.handles.fetch_sub(self.handles.load(Ordering::Relaxed), Ordering::Relaxed);
        drop(unread);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Asks the tasklet to end.
    pub(crate) fn kill(&self) {
        if !self.is_over() && !self.asked.swap(true, Ordering::AcqRel) {
            // Closed: the scheduler has ended, and the tasklet with it.
            let _ = self.inbox.post(Message::Kill(self.token));
        }
    }

    /// Marks the kill as read: the next one is posted again.
    pub(crate) fn acknowledge_kill(&self) {
        self.asked.swap(false, Ordering::AcqRel);
    }
}

#[cfg(all(test, overlapped_loom))]
#[path = "inbox_tests.rs"]
mod tests;
