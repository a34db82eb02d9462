//! The inbox: the only way in from another thread.
//!
//! ```text
//!   any thread                         the scheduler's thread
//!   post: lock, push, unlock           every poll: drain
//!         was it asleep? → notify      before it sleeps: asleep = true, then look once more
//! ```
//!
//! No wake is lost: the scheduler looks (under the lock) *after* it has said that it sleeps, and a
//! poster reads that flag *after* it has pushed (under the same lock). So either the look finds
//! the message, or the poster finds the flag. `loom_no_wake_is_lost` goes through every order.

#[cfg(overlapped_loom)]
use loom::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
#[cfg(not(overlapped_loom))]
use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use crate::op::Token;

/// What another thread may ask of a scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message {
    /// Wake the tasklet that waits under this token, if it still does.
    Wake(Token),
    /// Kill the tasklet registered under this token, if it still lives.
    Kill(Token),
}

/// The scheduler has ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

/// See the module's comment.
pub(crate) struct Inbox {
    /// `None` once the scheduler has ended.
    messages: Mutex<Option<Vec<Message>>>,
    /// A hint that `messages` is not empty, so that a busy scheduler need not lock.
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
            messages: Mutex::new(Some(Vec::new())),
            full: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            handles: AtomicUsize::new(0),
            notify: Box::new(notify),
        }
    }

    /// Leaves a message. From any thread.
    pub(crate) fn post(&self, message: Message) -> Result<(), Closed> {
        self.lock().as_mut().ok_or(Closed)?.push(message);
        self.full.store(true, Ordering::Release);
        if self.asleep.swap(false, Ordering::AcqRel) {
            (self.notify)();
        }
        Ok(())
    }

    /// Moves what has come to `out`.
    pub(crate) fn drain(&self, out: &mut Vec<Message>) {
        if self.full.load(Ordering::Acquire) {
            self.full.store(false, Ordering::Relaxed);
            if let Some(messages) = self.lock().as_mut() {
                out.append(messages);
            }
        }
    }

    /// Says that the scheduler is about to sleep; false if it must not, because something has come.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.asleep.store(true, Ordering::Release);
        if self.lock().as_ref().is_some_and(|messages| !messages.is_empty()) {
            self.full.store(true, Ordering::Relaxed);
            self.wake_up();
            return false;
        }
        true
    }

    /// Says that the scheduler is awake.
    pub(crate) fn wake_up(&self) {
        self.asleep.store(false, Ordering::Release);
    }

    /// From now on nobody listens.
    pub(crate) fn close(&self) {
        *self.lock() = None;
    }

    /// Counts a handle that another thread may hold.
    pub(crate) fn add_handle(&self) {
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    /// Uncounts it. The scheduler is woken: this may have been the last hope of its waiters. Under
    /// the lock, for the reason why `post` pushes under it.
    pub(crate) fn remove_handle(&self) {
        let messages = self.lock();
        self.handles.fetch_sub(1, Ordering::Relaxed);
        drop(messages);
        if self.asleep.swap(false, Ordering::AcqRel) {
            (self.notify)();
        }
    }

    /// How many handles are counted. Reliable after `fall_asleep`.
    pub(crate) fn handles(&self) -> usize {
        self.handles.load(Ordering::Relaxed)
    }

    #[cfg(not(overlapped_loom))]
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Vec<Message>>> {
        self.messages.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    #[cfg(overlapped_loom)]
    fn lock(&self) -> loom::sync::MutexGuard<'_, Option<Vec<Message>>> {
        self.messages.lock().unwrap()
    }
}
