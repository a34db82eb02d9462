//! The state of the process: its host, and the tasklets by their `pthread_t`.
//!
//! A child of fork(2) replaces all of it, because the parent's other threads may have been using
//! it: the old state, perhaps locked for ever, is leaked.

use std::collections::HashMap;
use std::ptr;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::sync::atomic::{AtomicPtr, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use overlapped::task::Spawner;

use crate::record::Record;

/// The host of a process.
#[derive(Default)]
pub(crate) enum Host {
    /// No thread has been started.
    #[default]
    Absent,
    Runs(Spawner),
    /// No scheduler can run here, so threads stay threads.
    Refused,
}

/// The state of a process.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) host: Mutex<Host>,
    records: Mutex<HashMap<usize, Arc<Record>>>,
    /// The program's threads that have not ended, of both kinds, except the first one.
    pub(crate) live: AtomicUsize,
    /// The number of the program's threads that have become tasklets.
    pub(crate) tasklets: AtomicUsize,
    /// The number of the program's threads that have stayed threads.
    pub(crate) threads: AtomicUsize,
}

static STATE: AtomicPtr<State> = AtomicPtr::new(ptr::null_mut());

/// Returns the state of this process.
pub(crate) fn state() -> &'static State {
    let existing = STATE.load(Acquire);
    if !existing.is_null() {
        // SAFETY: the pointer is to a leaked value.
        return unsafe { &*existing };
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the function stays loaded, and may be called in a child of fork.
        unsafe { libc::pthread_atfork(None, None, Some(forget)) };
    });
    let made = Box::into_raw(Box::<State>::default());
    match STATE.compare_exchange(ptr::null_mut(), made, AcqRel, Acquire) {
        // SAFETY: the value is leaked from now on.
        Ok(_) => unsafe { &*made },
        Err(other) => {
            // SAFETY: no other thread has seen this value; the other one is leaked.
            unsafe {
                drop(Box::from_raw(made));
                &*other
            }
        }
    }
}

/// Returns the state if it has been created.
pub(crate) fn existing_state() -> Option<&'static State> {
    // SAFETY: the pointer is null, or to a leaked value.
    unsafe { STATE.load(Acquire).as_ref() }
}

/// Forgets the parent's state, in a child of fork(2). Async-signal-safe.
extern "C" fn forget() {
    STATE.store(ptr::null_mut(), Release);
}

impl State {
    /// Tells whether this is still the state of the process; in a child of fork(2) the parent's is
    /// not.
    pub(crate) fn is_current(&self) -> bool {
        ptr::eq(STATE.load(Acquire), self)
    }

    /// Tells whether there is a host, which never ends.
    pub(crate) fn has_host(&self) -> bool {
        let host = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*host, Host::Runs(_))
    }

    /// Returns the tasklet that a `pthread_t` names, if it names one.
    pub(crate) fn record(&self, thread: libc::pthread_t) -> Option<Arc<Record>> {
        self.records().get(&(thread as usize)).cloned()
    }

    pub(crate) fn records(&self) -> MutexGuard<'_, HashMap<usize, Arc<Record>>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the tasklet that a `pthread_t` names, if it names one.
pub(crate) fn record(thread: libc::pthread_t) -> Option<Arc<Record>> {
    existing_state()?.record(thread)
}
