//! Snapshots of other threads: registers, a part of the stack, the running tasklet.
//!
//! `by_signal` takes them on Unix. Windows has none yet, so stalls are not reported there.

#[cfg_attr(not(unix), path = "absent.rs")]
mod by_signal;

use std::panic::Location;

use super::page::Page;
#[cfg(unix)]
pub(crate) use by_signal::is_handler;
pub(super) use by_signal::{answer, ask, forget_question, install};

/// The tasklet that a thread is running.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) id: u64,
    /// `name_len` bytes; null if it has no name.
    pub(crate) name: *const u8,
    pub(crate) name_len: usize,
    /// The call that spawned it.
    pub(crate) spawned_at: &'static Location<'static>,
    /// The first and the last address of its stack.
    pub(crate) stack: (usize, usize),
}

/// The questions of the handler to the scheduler of its thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lookup {
    /// The tasklet that runs.
    pub(crate) held: fn() -> Option<Held>,
    /// Every tasklet, a line for each, the youngest first.
    pub(crate) all: fn(&mut Page),
}

/// The maximum number of words that are copied from a stack.
const WORDS_MAX: usize = 8 << 10;
const NAME_MAX: usize = 128;

/// The answer: registers, a part of the stack, the tasklet.
pub(super) struct Snapshot {
    pub(super) pc: usize,
    pub(super) sp: usize,
    pub(super) fp: usize,
    /// The return address, on processors that keep it in a register.
    #[cfg_attr(target_arch = "x86_64", allow(dead_code, reason = "it is on the stack there"))]
    pub(super) lr: usize,
    /// The running tasklet's id, and the call that spawned it.
    pub(super) held: Option<(u64, &'static Location<'static>)>,
    name: [u8; NAME_MAX],
    name_len: usize,
    words: [usize; WORDS_MAX],
    words_len: usize,
    /// Every tasklet, if the question wanted all.
    pub(super) page: Page,
}

impl Snapshot {
    const EMPTY: Snapshot = Snapshot {
        pc: 0,
        sp: 0,
        fp: 0,
        lr: 0,
        held: None,
        name: [0; NAME_MAX],
        name_len: 0,
        words: [0; WORDS_MAX],
        words_len: 0,
        page: Page::EMPTY,
    };

    #[cfg(test)]
    pub(super) fn boxed() -> Box<Snapshot> {
        Box::new(Snapshot::EMPTY)
    }

    /// Returns the tasklet's name.
    pub(super) fn name(&self) -> Option<String> {
        let name = &self.name[..self.name_len];
        (!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned())
    }

    /// Returns the word at `address`, if it was copied.
    pub(super) fn word(&self, address: usize) -> Option<usize> {
        let offset = address.checked_sub(self.sp)?;
        let is_aligned = offset.is_multiple_of(size_of::<usize>());
        let words = &self.words[..self.words_len];
        is_aligned.then(|| words.get(offset / size_of::<usize>()).copied())?
    }
}
