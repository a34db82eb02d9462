//! A tasklet that replaces a thread.

use std::ffi::c_void;
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use overlapped::sync::Event;

/// The `pthread_t` of a tasklet that has not begun.
pub(crate) const NOBODY: usize = 0;

/// The state that a tasklet shares with its joiners.
pub(crate) struct Record {
    /// Its `pthread_t`, set before `begun`.
    pub(crate) id: AtomicUsize,
    pub(crate) begun: Event,
    /// Set once its destructors have run, and `life` has its value.
    pub(crate) ended: Event,
    /// Set once no call will join it any more.
    pub(crate) released: Event,
    life: Mutex<Life>,
    name: Mutex<Name>,
}

/// Bytes of a thread's name, the zero at the end included.
pub(crate) const NAME_LEN: usize = 16;

/// A name, padded with zeros.
pub(crate) type Name = [u8; NAME_LEN];

/// The progress of a tasklet.
#[derive(Default)]
pub(crate) struct Life {
    pub(crate) is_detached: bool,
    /// True while a call joins it.
    pub(crate) is_joined: bool,
    /// The address that its function returned.
    pub(crate) value: usize,
    pub(crate) is_over: bool,
}

impl Record {
    pub(crate) fn new(is_detached: bool, name: Name) -> Record {
        Record {
            id: AtomicUsize::new(NOBODY),
            begun: Event::new(),
            ended: Event::new(),
            released: Event::new(),
            life: Mutex::new(Life { is_detached, ..Life::default() }),
            name: Mutex::new(name),
        }
    }

    pub(crate) fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn name(&self) -> MutexGuard<'_, Name> {
        self.name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores what its function returned.
    pub(crate) fn set_value(&self, value: *mut c_void) {
        self.life().value = value.expose_provenance();
    }
}
