//! The inbox: the only way in from another thread.
//!
//! ```text
//!   any thread                         the scheduler's thread
//!   post: lock, push, unlock           every poll: drain
//!         was it asleep? → notify      before it sleeps: asleep = true, then look once more
//! ```
//!
//! A scheduler that only watches whether something comes ([`Inbox::is_full`]) is awake: nobody pays
//! for waking it.
//!
//! No wake is lost: the scheduler looks (under the lock) *after* it has said that it sleeps, and a
//! poster reads that flag *after* it has pushed (under the same lock). So either the look finds
//! the message, or the poster finds the flag. `loom_no_wake_is_lost` goes through every order.

use std::collections::VecDeque;
use std::sync::Arc;

#[cfg(overlapped_loom)]
use loom::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
#[cfg(not(overlapped_loom))]
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::tasklet::counts::{HANDLES_MAX, overflow};
use super::{Sched, TcbPtr};
use crate::offload::Bell;
use crate::op::Token;
#[cfg(not(overlapped_loom))]
use crate::sys::lock::Mutex;

/// What another thread may ask of a scheduler.
pub(crate) enum Message {
    /// Wake the tasklet that waits under this token, if it still does.
    Wake(Token),
    /// Kill the tasklet registered under this token, if it still lives.
    Kill(Token),
    /// Kill everybody.
    End,
}

/// A closure on its way to another thread: it makes a tasklet out of itself and runs nothing.
pub(crate) type Job = Box<dyn FnOnce(&Sched) -> TcbPtr + Send>;

/// The scheduler has ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

/// Why a closure was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Closed,
    /// There are [`JOBS_MAX`] already.
    Full,
}

/// The most closures that wait here to be taken in.
pub(crate) const JOBS_MAX: usize = 1 << 20;

/// The lists are given back that have grown beyond this.
const KEPT_MAX: usize = 1 << 10;

/// The messages that have come and have not been read.
///
/// Memory is bounded: there are at most [`JOBS_MAX`] closures, one kill for each tasklet that has a
/// handle, one wake for each wait since the last look, and one end.
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

/// See the module's comment.
pub(crate) struct Inbox {
    /// `None` once the scheduler has ended.
    unread: Mutex<Option<Unread>>,
    /// A hint that `unread` is not empty, so that a busy scheduler need not lock.
    full: AtomicBool,
    asleep: AtomicBool,
    /// Handles in other threads that could wake somebody: while there are any, nothing is a
    /// deadlock.
    handles: AtomicUsize,
    notify: Box<dyn Fn() + Send + Sync>,
}

impl Inbox {
    /// An inbox whose sleeping scheduler is woken by `notify`.
    pub(crate) fn new(notify: impl Fn() + Send + Sync + 'static) -> Inbox {
        Inbox {
            unread: Mutex::new(Some(Unread::default())),
            full: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            handles: AtomicUsize::new(0),
            notify: Box::new(notify),
        }
    }

    /// Leaves a message. From any thread.
    pub(crate) fn post(&self, message: Message) -> Result<(), Closed> {
        self.lock().as_mut().ok_or(Closed)?.messages.push(message);
        self.full.store(true, Ordering::Release);
        self.wake();
        Ok(())
    }

    /// Leaves a closure. From any thread, on which it is dropped where it is refused.
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

    /// As [`post`](Inbox::post), for a poster that wakes the scheduler later, by [`Bell::ring`].
    /// False: it need not, because the scheduler will look anyway.
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

    /// Whether something seems to have come.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    /// Moves what has come to `out`, and so many closures, the oldest ones, to `jobs`.
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

    /// Says that the scheduler is about to sleep; false if it must not, because something has come.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.asleep.swap(true, Ordering::AcqRel);
        if self.lock().as_ref().is_some_and(|unread| !unread.is_empty()) {
            self.full.store(true, Ordering::Relaxed);
            self.wake_up();
            return false;
        }
        true
    }

    /// Says that the scheduler is awake.
    pub(crate) fn wake_up(&self) {
        self.asleep.swap(false, Ordering::AcqRel);
    }

    /// How many handles in other threads could still wake somebody. Reliable after `fall_asleep`,
    /// because they are counted under the lock.
    pub(crate) fn handles(&self) -> usize {
        self.handles.load(Ordering::Relaxed)
    }

    /// Counts a handle in another thread that could wake somebody here.
    pub(crate) fn add_handle(&self) {
        let unread = self.lock();
        self.count_handle();
        drop(unread);
    }

    /// Under the lock.
    fn count_handle(&self) {
        if self.handles.fetch_add(1, Ordering::Relaxed) > HANDLES_MAX {
            overflow("handles of a scheduler");
        }
    }

    /// As if so many had been forgotten.
    #[cfg(test)]
    pub(super) fn count_handles_from(&self, handles: usize) {
        self.handles.store(handles, Ordering::Relaxed);
    }

    /// One handle less. The scheduler is woken: it may have been the last hope of its waiters.
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

impl Bell for Inbox {
    fn ring(&self) {
        self.wake();
    }
}

/// What one tasklet's handles in other threads share with its scheduler.
pub(crate) struct Line {
    inbox: Arc<Inbox>,
    token: Token,
    over: AtomicBool,
    /// A kill has been posted and not been read yet, so that a storm of them is one message.
    asked: AtomicBool,
    /// Changes under the inbox's lock; counted there too while the tasklet lives.
    handles: AtomicUsize,
}

impl Line {
    pub(crate) fn new(inbox: Arc<Inbox>, token: Token) -> Line {
        let (over, asked) = (AtomicBool::new(false), AtomicBool::new(false));
        Line { inbox, token, over, asked, handles: AtomicUsize::new(0) }
    }

    /// One more handle.
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

    /// One handle less. The scheduler is woken: it may have been the last hope of its waiters.
    pub(crate) fn remove_handle(&self) {
        let unread = self.inbox.lock();
        if !self.is_over() {
            self.handles.fetch_sub(1, Ordering::Relaxed);
            self.inbox.handles.fetch_sub(1, Ordering::Relaxed);
        }
        drop(unread);
        self.inbox.wake();
    }

    /// As if so many had been forgotten.
    #[cfg(test)]
    pub(super) fn count_handles_from(&self, handles: usize) {
        self.handles.store(handles, Ordering::Relaxed);
    }

    /// The tasklet is over: its handles are hope no more. Returns its token.
    pub(crate) fn hang_up(&self) -> Token {
        let unread = self.inbox.lock();
        self.over.store(true, Ordering::Release);
        self.inbox.handles.fetch_sub(self.handles.load(Ordering::Relaxed), Ordering::Relaxed);
        drop(unread);
        self.token
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Asks for the tasklet's end.
    pub(crate) fn kill(&self) {
        if !self.is_over() && !self.asked.swap(true, Ordering::AcqRel) {
            // Closed: the scheduler has ended, and the tasklet with it.
            let _ = self.inbox.post(Message::Kill(self.token));
        }
    }

    /// The kill has been read; the next one is another.
    pub(crate) fn answer(&self) {
        self.asked.swap(false, Ordering::AcqRel);
    }
}

#[cfg(all(test, overlapped_loom))]
#[path = "inbox_tests.rs"]
mod tests;
