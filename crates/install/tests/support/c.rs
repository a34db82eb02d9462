//! Locks of C's, for tests.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;

use libc::c_int;

/// A value that C code shares by design.
pub(crate) struct Shared<T>(pub(crate) UnsafeCell<T>);

// SAFETY: it gives its address alone, and locks of C's are used by many threads.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub(crate) const fn new(value: T) -> Shared<T> {
        Shared(UnsafeCell::new(value))
    }

    pub(crate) fn get(&self) -> *mut T {
        self.0.get()
    }
}

pub(crate) type CMutex = Shared<libc::pthread_mutex_t>;

/// The attributes of a mutex besides its kind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Attributes {
    pub(crate) robust: bool,
    pub(crate) inherits: bool,
    pub(crate) ceiling: bool,
    pub(crate) shared: bool,
}

impl CMutex {
    pub(crate) fn with_attributes(kind: c_int, requested: Attributes) -> CMutex {
        let mut mutex = MaybeUninit::uninit();
        // SAFETY: initialised before it is used.
        unsafe {
            let mut attributes = MaybeUninit::uninit();
            let all = attributes.as_mut_ptr();
            libc::pthread_mutexattr_init(all);
            libc::pthread_mutexattr_settype(all, kind);
            if requested.robust {
                libc::pthread_mutexattr_setrobust(all, libc::PTHREAD_MUTEX_ROBUST);
            }
            if requested.inherits {
                libc::pthread_mutexattr_setprotocol(all, libc::PTHREAD_PRIO_INHERIT);
            }
            if requested.ceiling {
                libc::pthread_mutexattr_setprotocol(all, libc::PTHREAD_PRIO_PROTECT);
            }
            if requested.shared {
                libc::pthread_mutexattr_setpshared(all, libc::PTHREAD_PROCESS_SHARED);
            }
            libc::pthread_mutex_init(mutex.as_mut_ptr(), all);
            Shared::new(mutex.assume_init())
        }
    }

    pub(crate) fn lock(&self) -> c_int {
        // SAFETY: a mutex.
        unsafe { libc::pthread_mutex_lock(self.get()) }
    }

    pub(crate) fn try_lock(&self) -> c_int {
        // SAFETY: a mutex.
        unsafe { libc::pthread_mutex_trylock(self.get()) }
    }

    pub(crate) fn unlock(&self) -> c_int {
        // SAFETY: a mutex.
        unsafe { libc::pthread_mutex_unlock(self.get()) }
    }
}

pub(crate) type CSemaphore = Shared<libc::sem_t>;

impl CSemaphore {
    pub(crate) fn from_value(value: u32) -> CSemaphore {
        let mut made = MaybeUninit::uninit();
        // SAFETY: initialised.
        unsafe {
            libc::sem_init(made.as_mut_ptr(), 0, value);
            Shared::new(made.assume_init())
        }
    }

    pub(crate) fn wait(&self) -> c_int {
        // SAFETY: a semaphore.
        unsafe { libc::sem_wait(self.get()) }
    }

    pub(crate) fn post(&self) -> c_int {
        // SAFETY: a semaphore.
        unsafe { libc::sem_post(self.get()) }
    }
}
