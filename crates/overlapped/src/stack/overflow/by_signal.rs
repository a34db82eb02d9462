//! The fault handler that finds stack overflows, on Unix.
//!
//! **Flow.** A fault arrives on the thread's alternate stack (`alt.rs`). `lookup` returns the
//! running tasklet of this thread, if the address lies in its guard.
//! - It does: one line on standard error, the default disposition is put back, and the handler
//!   returns. The instruction faults again and the process dies by the signal, so that a core dump
//!   shows the place.
//! - It does not: the handler that was there before gets the signal as if ours were not there.
//!
//! Between the fault and the end there are `write` and `sigaction` only.
//!
//! **Effects on a predecessor.** It runs on the alternate stack even if it did not ask for one,
//! because the interrupted stack may be a tasklet's.

use std::ffi::{c_int, c_void};
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Lookup, report};
use crate::sys::lock::Mutex;
use crate::sys::signal::disposition::{
    self, Disposition, Effect, Info, SIGBUS, SIGSEGV, fault_address, raise, set_default,
};

/// Guards fault as SIGSEGV on Linux and as SIGBUS on some other systems.
const SIGNALS: [c_int; 2] = [SIGSEGV, SIGBUS];

static LOOKUP: OnceLock<Lookup> = OnceLock::new();
/// The previous disposition of each of `SIGNALS`. Set before our handler can run, and only read by
/// it.
static PREVIOUS: [OnceLock<Disposition>; 2] = [OnceLock::new(), OnceLock::new()];

/// Installs the handler, once per process; later calls keep the first `lookup` and succeed.
///
/// # Errors
/// The system's, from `sigaction`. A later call tries again.
///
/// # Safety
/// `lookup` must be async-signal-safe (no allocation, no lock, no lazy thread-local), callable on
/// any thread at any instruction, and return names that are readable. It must not unwind.
pub(crate) unsafe fn install(lookup: Lookup) -> io::Result<()> {
    if cfg!(miri) {
        return Ok(()); // Miri has no signals.
    }
    static ARE_INSTALLED: AtomicBool = AtomicBool::new(false);
    static INSTALLED: Mutex<[bool; 2]> = Mutex::new([false; 2]);
    // A child of fork(2) may inherit the lock held, if the fork came during the first call. It
    // inherits no lock that is held once the handlers are there.
    if ARE_INSTALLED.load(Ordering::Acquire) {
        return Ok(());
    }
    let mut installed = INSTALLED.lock();
    LOOKUP.get_or_init(|| lookup);
    for (index, signal) in SIGNALS.into_iter().enumerate() {
        if installed[index] {
            continue;
        }
        let before = PREVIOUS[index].get_or_init(|| Disposition::of(signal));
        // As before: it decides what a signal that is merely sent does to system calls.
        let restarts_calls = before.restarts_calls();
        // SAFETY: the handler is async-signal-safe, given the caller's promise about `lookup`; what
        // it reads was initialised above.
        unsafe { disposition::handle(signal, on_fault, restarts_calls) }?;
        installed[index] = true;
    }
    ARE_INSTALLED.store(true, Ordering::Release);
    Ok(())
}

/// Handles the fault. Async-signal-safe; errno is left alone because no call in it can fail, except
/// `write`, after which the process dies.
extern "C" fn on_fault(signal: c_int, info: *mut Info, context: *mut c_void) {
    // SAFETY: this is a handler of a fault's signal.
    let fault = unsafe { fault_address(info) };
    if let Some(address) = fault
        && let Some(lookup) = LOOKUP.get()
        && let Some(overflowing_tasklet) = lookup(address)
    {
        report(&overflowing_tasklet);
        set_default(signal);
        return;
    }
    chain(signal, info, context, fault.is_some());
}

/// Does what would have happened without our handler.
fn chain(signal: c_int, info: *mut Info, context: *mut c_void, by_kernel: bool) {
    let index = SIGNALS.iter().position(|known| *known == signal);
    let Some(previous) = index.and_then(|index| PREVIOUS[index].get()) else {
        return set_default(signal);
    };
    match previous.effect() {
        // The kernel does not let a fault be ignored: it kills.
        Effect::Ignored if !by_kernel => {}
        Effect::Default | Effect::Ignored => {
            set_default(signal);
            if !by_kernel {
                // No instruction will fault again: send it again. It is blocked until we return.
                raise(signal);
            }
        }
        Effect::Handled => {
            // As the kernel would call it, with its mask and one-shot flag.
            if previous.is_one_shot() {
                set_default(signal);
            }
            previous.apply_mask(signal);
            // SAFETY: this is a handler of the signal, with these arguments.
            unsafe { previous.call(signal, info, context) };
        }
    }
}
