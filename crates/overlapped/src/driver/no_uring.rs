//! The ring where there is none: a backend that cannot be opened.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use super::speculative::Eager;
use super::{Notifier, PortConfig, Submitted};
use crate::op::{Completion, Op, Token};

/// A set of ring opcodes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Opcodes;

/// A ring, which does not exist on this system.
pub(crate) struct Uring(Infallible);

impl Uring {
    /// Refuses.
    pub(super) fn open(_: &PortConfig) -> io::Result<Uring> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "io_uring is Linux's"))
    }

    pub(super) fn does(&self, _: &Op) -> bool {
        match self.0 {}
    }

    pub(super) fn has(&self, _: &Op) -> bool {
        match self.0 {}
    }

    pub(super) unsafe fn submit(&mut self, _: Token, _: &Op) -> Submitted {
        match self.0 {}
    }

    pub(super) unsafe fn start(&mut self, _: Token, _: &Op) -> Submitted {
        match self.0 {}
    }

    pub(super) fn eager(&mut self) -> &mut Eager {
        match self.0 {}
    }

    pub(super) fn cancel(&mut self, _: Token) {
        match self.0 {}
    }

    pub(super) fn wait(&mut self, _: Option<Duration>, _: &mut Vec<Completion>) -> io::Result<()> {
        match self.0 {}
    }

    pub(super) fn watch(&mut self, _: Option<Duration>, _: impl Fn() -> bool) -> bool {
        match self.0 {}
    }

    pub(super) fn has_work(&self) -> bool {
        match self.0 {}
    }

    pub(super) fn notifier(&self) -> Notifier {
        match self.0 {}
    }

    pub(super) fn drain(&mut self, _: &mut Vec<Completion>) {
        match self.0 {}
    }
}
