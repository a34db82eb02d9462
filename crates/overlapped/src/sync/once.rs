//! Values that are made once.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{self, PoisonError};

use super::condvar::Condvar;
use super::mutex::{Mutex, MutexGuard};
use crate::sys::lock;
use crate::task::count_busy_call;

/// `std::sync::OnceLock` whose initialisation may wait: other tasklets that want the value block
/// themselves, not the thread.
///
/// A tasklet that is killed while it makes the value leaves the lock empty; the next one makes it.
///
/// ```
/// use overlapped::{run, spawn, sync::OnceLock, time::sleep};
///
/// static CONFIG: OnceLock<String> = OnceLock::new();
///
/// fn config() -> &'static str {
///     CONFIG.get_or_init(|| {
///         sleep(std::time::Duration::from_millis(1)); // From a server, say.
///         "config".to_owned()
///     })
/// }
///
/// run(|| {
///     let both = [(); 2].map(|()| spawn(config));
///     assert!(both.into_iter().all(|one| one.join().unwrap() == "config"));
/// }).unwrap();
/// ```
pub struct OnceLock<T> {
    value: sync::OnceLock<T>,
    /// Locked by the tasklet that makes the value, so that `value` is set without a wait.
    making: Mutex<()>,
    made: Condvar,
}

impl<T> OnceLock<T> {
    /// Makes an empty lock.
    pub const fn new() -> OnceLock<T> {
        OnceLock { value: sync::OnceLock::new(), making: Mutex::new(()), made: Condvar::new() }
    }

    /// Returns the value, if there is one. Every 256th call without a value lets others run, so
    /// that a loop does not hold up the tasklet that makes the value.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        let value = self.value.get();
        if value.is_none() {
            count_busy_call();
        }
        value
    }

    /// Returns the value, if there is one. Never waits.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// Waits until the value is set.
    pub fn wait(&self) -> &T {
        if let Some(value) = self.value.get() {
            return value;
        }
        let mut making = self.making();
        loop {
            match self.value.get() {
                Some(value) => return value,
                None => making = unpoisoned(self.made.wait(making)),
            }
        }
    }

    /// Sets the value. Waits while another tasklet is making it.
    ///
    /// # Errors
    /// `value`, if there is one already.
    pub fn set(&self, value: T) -> Result<(), T> {
        let making = self.making();
        self.value.set(value)?;
        self.announce(making);
        Ok(())
    }

    /// Returns the value, which `f` makes if it is missing. One of many callers makes it, and the
    /// others wait. If `f` unwinds, the lock stays empty, and the next caller tries.
    ///
    /// # Panics
    /// If `f` uses the lock itself, which would wait for ever.
    #[inline]
    pub fn get_or_init<F>(&self, f: F) -> &T
    where
        F: FnOnce() -> T,
    {
        match self.value.get() {
            Some(value) => value,
            None => self.init(f),
        }
    }

    #[cold]
    fn init(&self, f: impl FnOnce() -> T) -> &T {
        let making = self.making();
        match self.value.get() {
            Some(value) => value,
            None => {
                let value = f();
                let value = self.value.get_or_init(|| value);
                self.announce(making);
                value
            }
        }
    }

    /// Returns the value, out of the lock.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Takes the value, which leaves the lock empty.
    pub fn take(&mut self) -> Option<T> {
        self.value.take()
    }

    fn making(&self) -> MutexGuard<'_, ()> {
        unpoisoned(self.making.lock())
    }

    fn announce(&self, making: MutexGuard<'_, ()>) {
        drop(making);
        self.made.notify_all();
    }
}

/// Ignores poison, since a tasklet that fails to make the value leaves nothing half done.
fn unpoisoned<T>(result: sync::LockResult<T>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}

impl<T> Default for OnceLock<T> {
    fn default() -> OnceLock<T> {
        OnceLock::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_tuple("OnceLock");
        match self.value.get() {
            Some(value) => text.field(value),
            None => text.field(&format_args!("<uninit>")),
        };
        text.finish()
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> OnceLock<T> {
        self.value.get().cloned().map_or_else(OnceLock::new, OnceLock::from)
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> OnceLock<T> {
        OnceLock {
            value: sync::OnceLock::from(value),
            making: Mutex::new(()),
            made: Condvar::new(),
        }
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &OnceLock<T>) -> bool {
        self.value.get() == other.value.get()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}

/// `std::sync::LazyLock` whose initialisation may wait: other tasklets that want the value block
/// themselves, not the thread.
///
/// ```
/// use overlapped::sync::LazyLock;
///
/// static GREETING: LazyLock<String> = LazyLock::new(|| "hello".to_owned());
///
/// overlapped::run(|| assert_eq!(*GREETING, "hello")).unwrap();
/// ```
pub struct LazyLock<T, F = fn() -> T> {
    value: OnceLock<T>,
    /// `None`: it has been called.
    init: lock::Mutex<Option<F>>,
}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    /// Makes a lock whose value `f` makes at the first access.
    pub const fn new(f: F) -> LazyLock<T, F> {
        LazyLock { value: OnceLock::new(), init: lock::Mutex::new(Some(f)) }
    }

    /// Returns the value, made first if need be.
    ///
    /// # Panics
    /// If making it unwound once, by a panic or by a kill.
    #[inline]
    pub fn force(this: &LazyLock<T, F>) -> &T {
        this.value.get_or_init(|| {
            let init = this.init.lock().take();
            init.expect("LazyLock instance has previously been poisoned")()
        })
    }

    /// Returns the value to be changed, made first if need be.
    ///
    /// # Panics
    /// As [`LazyLock::force`].
    pub fn force_mut(this: &mut LazyLock<T, F>) -> &mut T {
        LazyLock::force(this);
        this.value.get_mut().expect("it has just been made")
    }
}

impl<T, F> LazyLock<T, F> {
    /// Returns the value, if it has been made.
    pub fn get(this: &LazyLock<T, F>) -> Option<&T> {
        this.value.get()
    }

    /// Returns the value to be changed, if it has been made.
    pub fn get_mut(this: &mut LazyLock<T, F>) -> Option<&mut T> {
        this.value.get_mut()
    }
}

impl<T, F: FnOnce() -> T> Deref for LazyLock<T, F> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        LazyLock::force(self)
    }
}

impl<T, F: FnOnce() -> T> DerefMut for LazyLock<T, F> {
    fn deref_mut(&mut self) -> &mut T {
        LazyLock::force_mut(self)
    }
}

impl<T: Default> Default for LazyLock<T> {
    fn default() -> LazyLock<T> {
        LazyLock::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_tuple("LazyLock");
        match LazyLock::get(self) {
            Some(value) => text.field(value),
            None => text.field(&format_args!("<uninit>")),
        };
        text.finish()
    }
}
