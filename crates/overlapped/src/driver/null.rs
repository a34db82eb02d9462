//! A port on which nothing ever happens, for Miri, which has neither rings nor pollers: operations
//! wait until they are cancelled, and waits end by their limits and by notifiers.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::Submitted;
use crate::op::{Completion, Outcome, Token};

/// Ends a wait from another thread.
#[derive(Default)]
pub(super) struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    pub(super) fn ring(&self) {
        *self.rung.lock().expect("nobody panics with it") = true;
        self.heard.notify_one();
    }
}

#[derive(Default)]
pub(crate) struct Still {
    bell: Arc<Bell>,
    waiting: Vec<Token>,
    done: Vec<Completion>,
}

impl Still {
    pub(super) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    pub(super) fn submit(&mut self, token: Token) -> Submitted {
        self.waiting.push(token);
        Submitted::Pending
    }

    pub(super) fn cancel(&mut self, token: Token) {
        if let Some(at) = self.waiting.iter().position(|waiting| *waiting == token) {
            self.waiting.swap_remove(at);
            self.done.push(Completion { token, outcome: Outcome::CANCELLED });
        }
    }

    pub(super) fn wait(&mut self, timeout: Option<Duration>, out: &mut Vec<Completion>) {
        let mut rung = self.bell.rung.lock().expect("nobody panics with it");
        if self.done.is_empty() && !*rung && timeout != Some(Duration::ZERO) {
            rung = match timeout {
                None => self.bell.heard.wait(rung).expect("nobody panics with it"),
                Some(limit) => {
                    self.bell.heard.wait_timeout(rung, limit).expect("nobody panics with it").0
                }
            };
        }
        *rung = false;
        out.append(&mut self.done);
    }

    pub(super) fn has_work(&self) -> bool {
        !self.done.is_empty() || *self.bell.rung.lock().expect("nobody panics with it")
    }

    pub(super) fn drain(&mut self, out: &mut Vec<Completion>) {
        for token in std::mem::take(&mut self.waiting) {
            self.done.push(Completion { token, outcome: Outcome::CANCELLED });
        }
        out.append(&mut self.done);
    }
}
