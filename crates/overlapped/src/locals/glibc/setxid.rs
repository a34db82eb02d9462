//! The signal by which glibc makes setuid(2) and its like apply to all threads of a process. Its
//! handler makes the system call and records that in the descriptor of its thread, which it finds
//! by the thread pointer. glibc repeats the signal until all threads have recorded it.
//!
//! On a tasklet's block the handler would write to the wrong descriptor, and glibc would repeat the
//! signal for ever. So the handler is wrapped: it runs on the thread's own block.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicPtr, Ordering};

use super::pointer;

/// `SIGSETXID`: the second of the two signals that glibc reserves for itself.
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
    /// On a tasklet's block, the thread pointer of its thread's own block; elsewhere 0. It has
    /// neither a destructor nor an initialiser, so that the handler may read it.
    static HOME: Cell<usize> = const { Cell::new(0) };
}

/// Records, in the block that the caller is on, the thread pointer of its thread's own block; 0
/// while the block is lent to no thread.
#[inline(never)]
pub(super) fn set_home(pointer: usize) {
    HOME.set(pointer);
}

/// Wraps glibc's handler, which exists: glibc installs it when the first thread is started, and one
/// has been started before.
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

/// Calls glibc's handler on the thread's own block. Async-signal-safe, as far as glibc's handler
/// is.
extern "C" fn on_signal(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
    let handler = HANDLER.load(Ordering::Acquire);
    // SAFETY: glibc registered this function with SA_SIGINFO, so it has that type.
    let handler = unsafe { std::mem::transmute::<*mut c_void, Handler>(handler) };
    match HOME.get() {
        0 => handler(signal, info, context),
        // SAFETY: the block of the thread that this runs on; the handler does not unwind.
        home => unsafe { pointer::with(home, || handler(signal, info, context)) },
    }
}
