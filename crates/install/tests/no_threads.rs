//! Calls whose end the caller must see, if no thread can be started for them.
#![allow(missing_docs)]
mod support;

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread;

use overlapped::task::{UnblockError, unblock};
use overlapped::time::timeout;
use support::{ms, run_in_tasklet, wait_until};

static REFUSES: AtomicBool = AtomicBool::new(false);
static IS_STARTING: AtomicBool = AtomicBool::new(false);
static IS_OVER: AtomicBool = AtomicBool::new(false);

thread_local! {
    static IS_SLOW: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// pthread_create(3), which refuses as at the limit of threads; in one thread only after a while.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    start: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
) -> c_int {
    type Create = unsafe extern "C" fn(
        *mut libc::pthread_t,
        *const libc::pthread_attr_t,
        extern "C" fn(*mut c_void) -> *mut c_void,
        *mut c_void,
    ) -> c_int;
    if REFUSES.load(SeqCst) {
        if IS_SLOW.get() {
            IS_STARTING.store(true, SeqCst);
            thread::sleep(ms(300));
        }
        return libc::EAGAIN;
    }
    // SAFETY: libc's own function, of that type; the caller's promise, handed on.
    unsafe {
        let next = libc::dlsym(libc::RTLD_NEXT, c"pthread_create".as_ptr());
        std::mem::transmute::<*mut c_void, Create>(next)(thread, attributes, start, argument)
    }
}

/// The pool accepts the job, since another thread is about to be started. After that has failed,
/// past the caller's deadline, the job runs in place.
#[test]
fn a_call_ends_after_its_deadline_if_the_pool_finds_no_thread() {
    support::install();
    thread::spawn(|| {
        thread::sleep(ms(20_000));
        if !IS_OVER.load(SeqCst) {
            eprintln!("the call does not end");
            std::process::abort();
        }
    });
    let (go, may_go) = mpsc::channel::<()>();
    let other = thread::spawn(move || {
        may_go.recv().unwrap();
        IS_SLOW.set(true);
        let refused = overlapped::run(|| unblock(|| ())).unwrap();
        assert!(matches!(refused, Err(UnblockError::NoThread)), "{refused:?}");
    });
    run_in_tasklet(move || {
        // SAFETY: texts that end in zeros.
        let stream = unsafe { libc::popen(c"exit 3".as_ptr(), c"r".as_ptr()) };
        assert!(!stream.is_null());
        REFUSES.store(true, SeqCst);
        go.send(()).unwrap();
        // Once the other thread is inside pthread_create, its call is bound to fail.
        wait_until("a thread is being started", || IS_STARTING.load(SeqCst));
        // SAFETY: opened above, and closed once.
        let status = timeout(ms(10), || unsafe { libc::pclose(stream) });
        assert_eq!(libc::WEXITSTATUS(status), 3);
    });
    other.join().unwrap();
    REFUSES.store(false, SeqCst);
    IS_OVER.store(true, SeqCst);
}
