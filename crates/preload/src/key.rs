//! Keys of pthread_key_create(3): thread-locals whose destructor may store the value again, to run
//! in the next round.

use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::OnceLock;

/// A key of pthread_key_create(3), made when it is first needed, with its values' destructor: a
/// thread-local that libc destroys in rounds.
pub(crate) struct Key(OnceLock<Option<libc::pthread_key_t>>);

impl Key {
    pub(crate) const fn new() -> Key {
        Key(OnceLock::new())
    }

    /// Makes the key, unless an earlier call has made it; returns whether it exists. Every call
    /// passes the same function, which destroys the values.
    pub(crate) fn make(&self, destructor: unsafe extern "C" fn(*mut c_void)) -> bool {
        let made = self.0.get_or_init(|| {
            let mut key = 0;
            // SAFETY: the function has the right type and stays loaded.
            let outcome = unsafe { libc::pthread_key_create(&mut key, Some(destructor)) };
            (outcome == 0).then_some(key)
        });
        made.is_some()
    }

    fn number(&self) -> Option<libc::pthread_key_t> {
        self.0.get().copied().flatten()
    }

    /// Returns the caller's value.
    pub(crate) fn get(&self) -> *mut c_void {
        // SAFETY: the key is never deleted.
        self.number().map_or(null_mut(), |key| unsafe { libc::pthread_getspecific(key) })
    }

    /// Stores a value for the destructor; returns whether there was room.
    pub(crate) fn keep(&self, value: *mut c_void) -> bool {
        // SAFETY: the key is never deleted.
        self.number().is_some_and(|key| unsafe { libc::pthread_setspecific(key, value) } == 0)
    }
}
