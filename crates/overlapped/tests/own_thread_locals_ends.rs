//! Blocks of thread-locals that end, in a program where each thread records something for itself
//! when it begins, as with some allocators and sanitizers.
#![allow(missing_docs)]
#![cfg(all(target_os = "linux", target_env = "gnu"))]
mod own_locals;

use std::ffi::{c_int, c_void};
use std::mem::transmute;
use std::sync::OnceLock;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use own_locals::{each, with_own_locals};

type Start = extern "C" fn(*mut c_void) -> *mut c_void;
type Create = unsafe extern "C" fn(
    *mut libc::pthread_t,
    *const libc::pthread_attr_t,
    Start,
    *mut c_void,
) -> c_int;

static BEGUN: AtomicUsize = AtomicUsize::new(0);
static ENDED: AtomicUsize = AtomicUsize::new(0);
/// The number of threads that began with another thread's record.
static STALE: AtomicUsize = AtomicUsize::new(0);

fn key() -> libc::pthread_key_t {
    extern "C" fn ends(_: *mut c_void) {
        ENDED.fetch_add(1, SeqCst);
    }
    static KEY: OnceLock<libc::pthread_key_t> = OnceLock::new();
    *KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: a function of the right type that stays.
        assert_eq!(unsafe { libc::pthread_key_create(&mut key, Some(ends)) }, 0);
        key
    })
}

extern "C" fn begins(start: *mut c_void) -> *mut c_void {
    // SAFETY: the box of `pthread_create` below.
    let (start, argument) = *unsafe { Box::from_raw(start.cast::<(Start, *mut c_void)>()) };
    BEGUN.fetch_add(1, SeqCst);
    // SAFETY: the key stays; the value is only looked at.
    unsafe {
        STALE.fetch_add(usize::from(!libc::pthread_getspecific(key()).is_null()), SeqCst);
        libc::pthread_setspecific(key(), std::ptr::without_provenance(1));
    }
    start(argument)
}

/// Runs libc's function, and makes the record.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> c_int {
    let start = Box::into_raw(Box::new((start, argument)));
    // SAFETY: libc's function has this type; the caller's promise, handed on.
    unsafe {
        let real = libc::dlsym(libc::RTLD_NEXT, c"pthread_create".as_ptr());
        transmute::<*mut c_void, Create>(real)(thread, attributes, begins, start.cast())
    }
}

#[test]
fn a_block_that_ends_leaves_nothing_to_the_next_thread() {
    // The library tries one block out, and ends it, before any tasklet has one.
    with_own_locals(|| assert_eq!(each(3, |number| number), [0, 1, 2]));
    for _ in 0..10 {
        std::thread::spawn(|| ()).join().unwrap();
    }
    assert!(BEGUN.load(SeqCst) > 10);
    assert_eq!(STALE.load(SeqCst), 0);
    assert!(ENDED.load(SeqCst) >= 10);
}
