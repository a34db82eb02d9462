//! setuid(2) and its like, which concern all threads of a process: glibc has each thread make the
//! call, by a signal whose handler notes in *its* descriptor that it has, and asks again until all
//! have noted it.
//!
//! On a tasklet's block the handler would note it in the wrong place, and be asked for ever. So it
//! is wrapped: it runs on the thread's own block.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicPtr, Ordering};

use super::pointer;

/// `SIGSETXID`: the second of the two that glibc keeps to itself.
const SIGNAL: c_int = 33;

/// The kernel's `struct sigaction`: libc's own functions refuse this signal.
#[repr(C)]
struct Action {
    handler: *mut c_void,
    flags: usize,
    restorer: *mut c_void,
    mask: u64,
}

/// glibc's handler; set before ours can run.
static HANDLER: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

thread_local! {
    /// On a tasklet's block: the thread pointer of its thread's own; else 0. No destructor and no
    /// initialiser, so that the handler may read it.
    static HOME: Cell<usize> = const { Cell::new(0) };
}

/// Notes whose block the caller's is lent to; 0: nobody's.
#[inline(never)]
pub(super) fn set_home(pointer: usize) {
    HOME.set(pointer);
}

/// Wraps glibc's handler. A thread has been started before, so it is there.
pub(super) fn wrap() -> Result<(), &'static str> {
    let mut action = Action { handler: null_mut(), flags: 0, restorer: null_mut(), mask: 0 };
    // SAFETY: the kernel fills the structure, which has its layout, with what glibc has set; it is
    // set again with another function of the same type.
    let done = unsafe {
        let asked =
            libc::syscall(libc::SYS_rt_sigaction, SIGNAL, null::<Action>(), &raw mut action, 8);
        if asked != 0 || action.handler.addr() <= 1 {
            return Err("this glibc does not announce setuid(2) to threads as expected");
        }
        HANDLER.store(action.handler, Ordering::Release);
        action.handler = on_signal as *mut c_void;
        libc::syscall(libc::SYS_rt_sigaction, SIGNAL, &raw const action, null_mut::<Action>(), 8)
    };
    if done == 0 { Ok(()) } else { Err("the handler for setuid(2) cannot be set") }
}

/// Async-signal-safe, as far as glibc's handler is.
extern "C" fn on_signal(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
    let handler = HANDLER.load(Ordering::Acquire);
    // SAFETY: what was registered with SA_SIGINFO.
    let handler = unsafe { std::mem::transmute::<*mut c_void, Handler>(handler) };
    match HOME.get() {
        0 => handler(signal, info, context),
        // SAFETY: the block of the thread that this runs on; the handler does not unwind.
        home => unsafe { pointer::with(home, || handler(signal, info, context)) },
    }
}
