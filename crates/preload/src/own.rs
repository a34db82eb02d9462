//! The state of a tasklet that only it uses, under a key of pthread_key_create(3).

use std::cell::Cell;
use std::sync::Arc;

use crate::key::Key;
use crate::record::Record;
use crate::state::State;

/// The part of a tasklet's state that only it uses: the value of [`OWN`].
pub(crate) struct Own {
    pub(crate) record: Arc<Record>,
    /// The process in which it was started.
    pub(crate) state: &'static State,
    /// The stack pointer for [`leave`](crate::enter::leave); 0 outside of `enter`.
    pub(crate) bottom: Cell<usize>,
    /// The rounds of destructors that have run.
    pub(crate) rounds: Cell<u32>,
}

pub(crate) static OWN: Key = Key::new();

/// Returns the calling tasklet's own state; null in a thread that is no tasklet.
pub(crate) fn own() -> *mut Own {
    OWN.get().cast()
}

/// Returns the calling tasklet's record.
pub(crate) fn current_record() -> Option<Arc<Record>> {
    // SAFETY: null, or the tasklet's value, which only this tasklet frees, at its end.
    unsafe { own().as_ref() }.map(|own| Arc::clone(&own.record))
}
