//! The state of the process: its host, and the tasklets by their `pthread_t`.
//!
//! All of it is replaced in a child of fork(2), where other threads may have been at it: the old
//! one, perhaps locked for ever, is left alone.

use std::collections::HashMap;
use std::ptr;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::sync::atomic::{AtomicPtr, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use crate::host::Host;
use crate::record::Record;

/// Everything.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) host: Mutex<Host>,
    records: Mutex<HashMap<usize, Arc<Record>>>,
    /// Threads of the program that have not ended, of both kinds, but for the first one.
    pub(crate) live: AtomicUsize,
    /// Threads of the program that have become tasklets.
    pub(crate) tasklets: AtomicUsize,
    /// Threads of the program that have stayed threads.
    pub(crate) threads: AtomicUsize,
}

static STATE: AtomicPtr<State> = AtomicPtr::new(ptr::null_mut());

/// This process's.
pub(crate) fn state() -> &'static State {
    let existing = STATE.load(Acquire);
    if !existing.is_null() {
        // SAFETY: what stands there is leaked.
        return unsafe { &*existing };
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: a function that stays, and that may be called in a child of fork.
        unsafe { libc::pthread_atfork(None, None, Some(forget)) };
    });
    let made = Box::into_raw(Box::<State>::default());
    match STATE.compare_exchange(ptr::null_mut(), made, AcqRel, Acquire) {
        // SAFETY: it is leaked from now on.
        Ok(_) => unsafe { &*made },
        Err(other) => {
            // SAFETY: nobody has seen this one; the other one is leaked.
            unsafe {
                drop(Box::from_raw(made));
                &*other
            }
        }
    }
}

/// As [`state`], where something has asked for it before.
pub(crate) fn existing_state() -> Option<&'static State> {
    // SAFETY: null, or what is leaked.
    unsafe { STATE.load(Acquire).as_ref() }
}

/// In a child of fork(2): async-signal-safe.
extern "C" fn forget() {
    STATE.store(ptr::null_mut(), Release);
}

impl State {
    /// Tells whether this is still the process's: it is not, in a child of fork(2).
    pub(crate) fn is_current(&self) -> bool {
        ptr::eq(STATE.load(Acquire), self)
    }

    /// Tells whether there is a host, which never ends.
    pub(crate) fn has_host(&self) -> bool {
        let host = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*host, Host::Runs(_))
    }

    pub(crate) fn records(&self) -> MutexGuard<'_, HashMap<usize, Arc<Record>>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tasklet that a `pthread_t` names, if it names one.
pub(crate) fn record(thread: libc::pthread_t) -> Option<Arc<Record>> {
    existing_state()?.records().get(&(thread as usize)).cloned()
}
