//! Owners of locks: a tasklet has a number of its own.
//!
//! glibc knows an owner by the number of its thread: who has a recursive or an error-checking
//! mutex, and who writes under a lock for readers and writers. It takes the number from the
//! thread's descriptor, and tasklets of one thread have the same there: each would be let in to
//! the others' locks. So a tasklet has a number of its own, which stands in its descriptor for the
//! time of the calls that ask for it ([`as_owner`]).
//!
//! **Rejected**: to leave it there for good. glibc hands the same field to the kernel, which knows
//! no such thread: pthread_getattr_np(3) with the processors it may run on, pthread_setschedparam,
//! pthread_kill(3). And a table of owners beside glibc's: it knows nothing of what other code of
//! the same thread has locked.
//!
//! **Numbers** lie above those of all threads (2²² at most) and below 2³⁰, so that none is ever a
//! thread's, of any process.
//!
//! **Where the kernel, or another process, reads the number** it must be a thread's: of robust
//! mutexes, whose list the kernel goes through when their *thread* ends; of recursive and
//! error-checking ones that inherit priorities, or that several processes share. For these a
//! tasklet has a thread of its own, its [`proxy`].
//!
//! Mutexes with a priority ceiling are not for tasklets: `ENOTSUP`. They raise a thread's priority,
//! which would be that of all its tasklets, or the proxy's for nothing.

pub(super) mod proxy;

use std::cell::Cell;
use std::collections::VecDeque;
use std::ffi::c_int;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};

use libc::pthread_mutex_t;

use crate::caller::{Unmarked, is_ours};

/// The first number: no thread's is larger (`PID_MAX_LIMIT`).
const FIRST: c_int = 1 << 22;
/// A bit of a mutex's kind: several processes use it.
const SHARED: c_int = 128;
/// The end of the numbers: a futex's word has no room for larger ones.
const END: c_int = 1 << 30;
/// A number that was given back rests until so many others were, as the kernel's do: whoever ended
/// without unlocking is not mistaken for another one at once.
const RESTING: usize = 4096;

struct Numbers {
    next: c_int,
    resting: VecDeque<c_int>,
}

static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers { next: FIRST, resting: VecDeque::new() });

thread_local! {
    /// The calling tasklet's; 0: it has not needed one.
    static NUMBER: Cell<c_int> = const { Cell::new(0) };
    /// Gives it back where the tasklet ends.
    static RETURN_AT_EXIT: ReturnAtExit = const { ReturnAtExit };
}

struct ReturnAtExit;

impl Drop for ReturnAtExit {
    fn drop(&mut self) {
        give_back(NUMBER.replace(0));
    }
}

fn numbers<T>(f: impl FnOnce(&mut Numbers) -> T) -> T {
    // Held for a moment: not to be waited for in the table.
    let _unmarked = Unmarked::begin();
    f(&mut NUMBERS.lock().unwrap_or_else(PoisonError::into_inner))
}

fn give_back(number: c_int) {
    numbers(|numbers| numbers.resting.push_back(number));
}

/// The calling tasklet's number.
fn number() -> c_int {
    let number = NUMBER.get();
    if number != 0 { number } else { assign() }
}

#[cold]
fn assign() -> c_int {
    let number = numbers(|numbers| {
        if numbers.next < END && numbers.resting.len() < RESTING {
            numbers.next += 1;
            return numbers.next - 1;
        }
        // Fewer than 2^30 tasklets live, so there is one.
        numbers.resting.pop_front().unwrap_or_else(|| std::process::abort())
    });
    NUMBER.set(number);
    // In destructors that run after this one it is not given back: it is not used again.
    let _ = RETURN_AT_EXIT.try_with(|_| ());
    number
}

/// The number in the caller's descriptor.
fn place() -> *mut c_int {
    static OFFSET: AtomicUsize = AtomicUsize::new(0);
    let mut offset = OFFSET.load(Relaxed);
    if offset == 0 {
        // What glibc tells debuggers: bits, count, offset. The library has compared it with what a
        // thread has, before any tasklet got a descriptor of its own.
        // SAFETY: a name that ends in a zero.
        let told = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_thread_db_pthread_tid".as_ptr()) };
        if told.is_null() {
            std::process::abort(); // No tasklet has been let in without it.
        }
        // SAFETY: three 32-bit constants.
        offset = unsafe { *told.cast::<[u32; 3]>() }[2] as usize;
        OFFSET.store(offset, Relaxed);
    }
    // SAFETY: no conditions.
    let descriptor = unsafe { libc::pthread_self() } as usize;
    std::ptr::with_exposed_provenance_mut(descriptor + offset)
}

/// Calls `f`, in which the calling tasklet is an owner of its own; a thread, and a tasklet of
/// another kind, are what they are. `f` does not unwind, and is a call of glibc's.
#[inline]
pub(super) fn as_owner<T>(f: impl FnOnce() -> T) -> T {
    if is_ours() { call_as(number(), f) } else { f() }
}

fn call_as<T>(number: c_int, f: impl FnOnce() -> T) -> T {
    let place = place();
    // SAFETY: a field of the tasklet's own descriptor. Others that read it meanwhile, for
    // pthread_kill, find no such thread.
    unsafe {
        let thread = place.replace(number);
        let result = f();
        place.write(thread);
        result
    }
}

/// Tells whether the number is the calling tasklet's.
pub(super) fn is_mine(owner: c_int) -> bool {
    owner != 0 && is_ours() && NUMBER.get() == owner
}

/// A mutex, as far as its owner is concerned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ownership {
    /// Nobody asks who has it.
    Unchecked,
    /// Its owner may lock it again.
    Recursive,
    /// Its owner is told that it has it.
    ErrorChecking,
    /// Its owner must be a thread: locked by a tasklet's proxy.
    ByProxy,
    /// Not for tasklets.
    Unsupported,
}

impl Ownership {
    /// # Safety
    /// It is a mutex.
    pub(super) unsafe fn from_mutex(mutex: *mut pthread_mutex_t) -> Ownership {
        const ROBUST: c_int = 16;
        const INHERITS: c_int = 32;
        const CEILING: c_int = 64;
        // SAFETY: the caller's promise.
        let kind = unsafe { Ownership::flags(mutex) };
        if kind & CEILING != 0 {
            return Ownership::Unsupported;
        }
        let is_elsewhere = kind & (INHERITS | SHARED) != 0;
        match kind & 3 {
            _ if kind & ROBUST != 0 => Ownership::ByProxy,
            1 | 2 if is_elsewhere => Ownership::ByProxy,
            1 => Ownership::Recursive,
            2 => Ownership::ErrorChecking,
            _ => Ownership::Unchecked,
        }
    }

    /// The word that glibc keeps it in. Normal is 0, adaptive 3.
    ///
    /// # Safety
    /// It is a mutex.
    unsafe fn flags(mutex: *mut pthread_mutex_t) -> c_int {
        // A part of glibc's ABI: static initialisers write it.
        const PLACE: usize = 16;
        // SAFETY: the caller's promise.
        unsafe { mutex.cast::<u8>().add(PLACE).cast::<c_int>().read_volatile() }
    }

    /// Tells whether several processes use it.
    ///
    /// # Safety
    /// It is a mutex.
    pub(super) unsafe fn is_shared(mutex: *mut pthread_mutex_t) -> bool {
        // SAFETY: the caller's promise.
        unsafe { Ownership::flags(mutex) & SHARED != 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_was_given_back_rests() {
        let first = assign_only();
        give_back(first);
        let next: Vec<_> = (0..100).map(|_| assign_only()).collect();
        assert!(!next.contains(&first));
        assert!(next.iter().all(|number| (FIRST..END).contains(number)));
        next.into_iter().for_each(give_back);
    }

    fn assign_only() -> c_int {
        let number = assign();
        NUMBER.set(0);
        number
    }
}
