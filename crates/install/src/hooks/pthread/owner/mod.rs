//! Owners of locks: a tasklet has a number of its own.
//!
//! glibc knows an owner by the number of its thread: the owner of a recursive or an error-checking
//! mutex, and the writer of a lock for readers and writers. It takes the number from the thread's
//! descriptor, and tasklets of one thread have the same number there, so each could enter the
//! others' locks. Therefore a tasklet has a number of its own, which stands in its descriptor
//! during the calls that read it ([`as_owner`]).
//!
//! **Rejected**: to leave it there for good. pthread_getattr_np(3), pthread_setschedparam(3) and
//! pthread_kill(3) pass the same field to the kernel, which knows no such thread. Also rejected: a
//! table of owners beside glibc's, which would miss what other code of the same thread has locked.
//!
//! **Numbers** lie above those of all threads (2²² at most) and below 2³⁰, so that none is ever a
//! thread's, of any process.
//!
//! **If the kernel, or another process, reads the number**, it must be a thread's. That is so for
//! robust mutexes, whose list the kernel walks when their *thread* ends, and for recursive and
//! error-checking ones that inherit priorities, or that several processes share. For these a
//! tasklet has a thread of its own, its [`proxy`].
//!
//! Mutexes with a priority ceiling return `ENOTSUP` in tasklets. They raise a thread's priority,
//! which would be that of all its tasklets, or the proxy's, in vain.

pub(super) mod proxy;

use std::cell::Cell;
use std::collections::VecDeque;
use std::ffi::c_int;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};

use libc::pthread_mutex_t;

use crate::caller::{Unmarked, is_ours};

/// The first number; no thread's number is as large (`PID_MAX_LIMIT`).
const FIRST: c_int = 1 << 22;
/// The bit of a mutex's kind for sharing between processes.
const SHARED: c_int = 128;
/// The end of the numbers: a futex word has no room for larger ones.
const END: c_int = 1 << 30;
/// A returned number is not used again until this many others were returned, as the kernel does: a
/// tasklet that has ended without unlocking is not soon mistaken for another one.
const RESTING: usize = 4096;

struct Numbers {
    next: c_int,
    resting: VecDeque<c_int>,
}

static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers { next: FIRST, resting: VecDeque::new() });

thread_local! {
    /// The calling tasklet's number; 0 until it needs one.
    static NUMBER: Cell<c_int> = const { Cell::new(0) };
    /// A value whose destructor gives the number back when the tasklet ends.
    static RETURN_AT_EXIT: ReturnAtExit = const { ReturnAtExit };
}

struct ReturnAtExit;

impl Drop for ReturnAtExit {
    fn drop(&mut self) {
        give_back(NUMBER.replace(0));
    }
}

fn numbers<T>(f: impl FnOnce(&mut Numbers) -> T) -> T {
    // The lock is held briefly, so a wait for it may go to libc instead of the table.
    let _unmarked = Unmarked::begin();
    f(&mut NUMBERS.lock().unwrap_or_else(PoisonError::into_inner))
}

fn give_back(number: c_int) {
    numbers(|numbers| numbers.resting.push_back(number));
}

/// Returns the calling tasklet's number.
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
        // Fewer than 2^30 tasklets live, so a number is free.
        numbers.resting.pop_front().unwrap_or_else(|| std::process::abort())
    });
    NUMBER.set(number);
    // A number that is assigned after this thread-local's destructor is never given back.
    let _ = RETURN_AT_EXIT.try_with(|_| ());
    number
}

/// Returns the place of the number in the caller's descriptor.
fn tid_field() -> *mut c_int {
    static OFFSET: AtomicUsize = AtomicUsize::new(0);
    let mut offset = OFFSET.load(Relaxed);
    if offset == 0 {
        // glibc publishes this for debuggers: bits, count, offset. The library has compared it with
        // a thread's real value before any tasklet got a descriptor of its own.
        // SAFETY: the name ends in a zero.
        let symbol = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_thread_db_pthread_tid".as_ptr()) };
        if symbol.is_null() {
            std::process::abort(); // No tasklet has started without it.
        }
        // SAFETY: the symbol is an array of three 32-bit constants.
        offset = unsafe { *symbol.cast::<[u32; 3]>() }[2] as usize;
        OFFSET.store(offset, Relaxed);
    }
    // SAFETY: the call has no conditions.
    let descriptor = unsafe { libc::pthread_self() } as usize;
    std::ptr::with_exposed_provenance_mut(descriptor + offset)
}

/// Calls `f`, in which the calling tasklet is an owner of its own. Threads, and other tasklets,
/// keep their thread's number. `f` is a call of glibc's, and does not unwind.
#[inline]
pub(super) fn as_owner<T>(f: impl FnOnce() -> T) -> T {
    if is_ours() { call_as(number(), f) } else { f() }
}

fn call_as<T>(number: c_int, f: impl FnOnce() -> T) -> T {
    let tid_field = tid_field();
    // SAFETY: the field is in the tasklet's own descriptor. Another thread that reads it meanwhile,
    // for pthread_kill, finds no such thread.
    unsafe {
        let thread = tid_field.replace(number);
        let result = f();
        tid_field.write(thread);
        result
    }
}

/// Tells whether the number is the calling tasklet's.
pub(super) fn is_mine(owner: c_int) -> bool {
    owner != 0 && is_ours() && NUMBER.get() == owner
}

/// The treatment of a mutex's owner.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ownership {
    /// The owner is not checked.
    Unchecked,
    /// The owner may lock it again.
    Recursive,
    /// The owner gets an error if it locks it again.
    ErrorChecking,
    /// The owner must be a thread: a tasklet's proxy locks it.
    ByProxy,
    /// Tasklets cannot use it.
    Unsupported,
}

impl Ownership {
    /// # Safety
    /// `mutex` is a mutex.
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

    /// Reads the word in which glibc keeps the kind. Normal is 0, adaptive 3.
    ///
    /// # Safety
    /// `mutex` is a mutex.
    unsafe fn flags(mutex: *mut pthread_mutex_t) -> c_int {
        // The offset is a part of glibc's ABI: static initialisers write the word.
        const PLACE: usize = 16;
        // SAFETY: the caller's promise.
        unsafe { mutex.cast::<u8>().add(PLACE).cast::<c_int>().read_volatile() }
    }

    /// Tells whether several processes share it.
    ///
    /// # Safety
    /// `mutex` is a mutex.
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
