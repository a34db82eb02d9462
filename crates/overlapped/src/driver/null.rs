//! The null backend, for Miri, which has neither rings nor pollers: no operation ever happens. It
//! stays pending until it is cancelled, and a wait ends at its limit or by a notifier.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::op::{Completion, Outcome, Submitted, Token};

/// A flag that ends a wait from another thread.
#[derive(Default)]
pub(super) struct Wake {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl Wake {
    pub(super) fn notify(&self) {
        *self.lock() = true;
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_set.lock().expect("no thread panics while it holds this lock")
    }
}

#[derive(Default)]
pub(crate) struct Null {
    wake: Arc<Wake>,
    pending: Vec<Token>,
    done: Vec<Completion>,
}

impl Null {
    pub(super) fn wake(&self) -> &Arc<Wake> {
        &self.wake
    }

    pub(super) fn submit(&mut self, token: Token) -> Submitted {
        self.pending.push(token);
        Submitted::Pending
    }

    pub(super) fn cancel(&mut self, token: Token) {
        if let Some(at) = self.pending.iter().position(|pending| *pending == token) {
            self.pending.swap_remove(at);
            self.done.push(Completion { token, outcome: Outcome::CANCELLED });
        }
    }

    pub(super) fn wait(&mut self, timeout: Option<Duration>, out: &mut Vec<Completion>) {
        let mut is_set = self.wake.lock();
        if self.done.is_empty() && !*is_set && timeout != Some(Duration::ZERO) {
            let poisoned = "no thread panics while it holds this lock";
            is_set = match timeout {
                None => self.wake.changed.wait(is_set).expect(poisoned),
                Some(limit) => self.wake.changed.wait_timeout(is_set, limit).expect(poisoned).0,
            };
        }
        *is_set = false;
        drop(is_set);
        out.append(&mut self.done);
    }

    pub(super) fn has_work(&self) -> bool {
        !self.done.is_empty() || *self.wake.lock()
    }

    pub(super) fn drain(&mut self, out: &mut Vec<Completion>) {
        for token in std::mem::take(&mut self.pending) {
            self.done.push(Completion { token, outcome: Outcome::CANCELLED });
        }
        out.append(&mut self.done);
    }
}
