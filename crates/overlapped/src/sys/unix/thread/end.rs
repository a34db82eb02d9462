//! Threads that must not end, since their locals may still be in use on other threads.
//!
//! Destructors of thread-locals run last registered, first run: std's own, and those of C++. So a
//! destructor that is registered now runs before those of all values that exist now. If it does not
//! return, the values stay. So does the memory of the thread-locals that have no destructor.
//!
//! The end of the process is not prevented: it also runs such destructors, of the thread that
//! calls exit(3), and they stay out of its way.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::io::{self, Write};

use crate::sys::native;

/// Keeps the calling thread from ever ending. `is_announced`: a message says so when it would have
/// ended, since a join may wait for that.
pub(crate) fn prevent(is_announced: bool) {
    // Under Miri a fiber is a thread with locals of its own. The thread of a fiber that is parked
    // for good never ends anyway.
    if !cfg!(miri) && !register(is_announced) {
        register_once(is_announced);
    }
}

/// Does nothing at the end of a thread of the library's: the destructor keeps it.
pub(crate) fn before() {}

/// `__cxa_thread_atexit_impl`'s type, as std uses it.
type AtThreadExit =
    unsafe extern "C" fn(unsafe extern "C" fn(*mut c_void), *mut c_void, *mut c_void) -> c_int;

/// Registers the destructor, any number of times on a thread, if the C library has the function
/// that std uses, too.
fn register(is_announced: bool) -> bool {
    static IN_THIS_MODULE: u8 = 0;
    // SAFETY: the name ends in a zero byte.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__cxa_thread_atexit_impl".as_ptr()) };
    if found.is_null() {
        return false;
    }
    let argument = std::ptr::without_provenance_mut(usize::from(is_announced));
    let module = (&raw const IN_THIS_MODULE).cast_mut().cast();
    // SAFETY: what has this name has that type (Itanium C++ ABI, glibc). `stay` takes any argument;
    // the last one tells the module that it is in, which is then not unloaded.
    unsafe {
        let at_thread_exit = std::mem::transmute::<*mut c_void, AtThreadExit>(found);
        at_thread_exit(stay, argument, module) == 0
    }
}

/// Registers the destructor as a thread-local of std's. That can be done only once, and
/// thread-locals that are made later would be dropped first.
fn register_once(is_announced: bool) {
    struct Guard(Cell<Option<bool>>);
    impl Drop for Guard {
        fn drop(&mut self) {
            if let Some(is_announced) = self.0.get() {
                stay_if_it_lives_on(is_announced);
            }
        }
    }
    thread_local! {
        static GUARD: Guard = const { Guard(Cell::new(None)) };
    }
    if GUARD.with(|guard| guard.0.replace(Some(is_announced))).is_some() {
        say("tasklets were parked for good on this thread in two runs; aborting");
        std::process::abort();
    }
}

/// # Safety
/// The call has no conditions; the type is the C library's.
unsafe extern "C" fn stay(is_announced: *mut c_void) {
    stay_if_it_lives_on(!is_announced.is_null());
}

/// Keeps the thread from ending; returns if it is the process that ends.
fn stay_if_it_lives_on(is_announced: bool) {
    if is_process_exiting() {
        return;
    }
    if is_announced {
        let name = std::thread::current().name().map(|name| format!(" '{name}'"));
        say(&format!(
            "thread{} does not end: a tasklet that outlived the grace time of its run was parked \
             for good on it, and may have lent the thread's locals to other threads. A join of \
             this thread waits for ever",
            name.unwrap_or_default()
        ));
    }
    loop {
        // SAFETY: no pointers.
        unsafe { libc::pause() };
    }
}

/// Tells whether the calling thread is in exit(3), rather than at its own end. The main thread's
/// end is the process's.
fn is_process_exiting() -> bool {
    if native::thread::is_main() {
        return true;
    }
    // SAFETY: the name ends in a zero byte.
    let exit = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"exit".as_ptr()) };
    let mut is_inside = false;
    // SAFETY: only Windows' unwinder needs a lock.
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            is_inside = !exit.is_null() && frame.symbol_address() == exit;
            !is_inside
        });
    }
    is_inside
}

/// Writes one line at once, not by `eprintln`, which panics if standard error is closed.
fn say(text: &str) {
    let _ = io::stderr().write_all(format!("overlapped: {text}\n").as_bytes());
}
