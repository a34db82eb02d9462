//! The report of stack overflows: a fault handler that names the tasklet before the process dies.
//!
//! **Flow.** A fault arrives on the thread's alternate stack ([`ensure_alt_stack`]). `lookup`
//! returns the running tasklet of this thread, if the address lies in its guard.
//! - It does: one line on standard error, the default disposition is put back, and the handler
//!   returns. The instruction faults again and the process dies by the signal, so that a core dump
//!   shows the place.
//! - It does not: the handler that was there before gets the signal as if ours were not there.
//!
//! Nothing here allocates, locks, or formats: between the fault and the end there are `write` and
//! `sigaction` only. There is no way back: an opt-out is a process that never calls [`install`].
//!
//! **Effects on a predecessor.** It runs on the alternate stack even if it did not ask for one,
//! because the interrupted stack may be a tasklet's.

use std::ffi::{c_int, c_void};
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sys::lock::Mutex;
use crate::sys::signal::disposition::{
    self, Disposition, Effect, Info, SIGBUS, SIGSEGV, fault_address, raise, set_default,
};
use crate::sys::terminal::write_to_stderr;

pub(crate) use super::alt::{alt_stack_to_write_on, ensure_alt_stack};
pub(crate) use crate::sys::signal::alternate_stack::Installed;

/// The tasklet whose guard was hit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OverflowingTasklet {
    /// The address of `name_len` bytes, of which the first 256 are shown; null if it has no name.
    pub(crate) name: *const u8,
    pub(crate) name_len: usize,
    pub(crate) id: u64,
    /// The bytes that its frames could use.
    pub(crate) usable: usize,
    /// The same with the guard: the size that `Builder::stack_size` sets.
    pub(crate) stack_size: usize,
}

/// The function that finds the tasklet in whose guard an address lies.
pub(crate) type Lookup = fn(fault: usize) -> Option<OverflowingTasklet>;

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

/// Writes the line. One `write`, so that lines of several threads do not mix.
fn report(overflowing_tasklet: &OverflowingTasklet) {
    let mut line = ReportLine { bytes: [0; 512], len: 0 };
    line.text(b"overlapped: tasklet ");
    if !overflowing_tasklet.name.is_null() && overflowing_tasklet.name_len > 0 {
        // SAFETY: `install` demands that `lookup` returns readable names.
        let name = unsafe {
            std::slice::from_raw_parts(
                overflowing_tasklet.name,
                overflowing_tasklet.name_len.min(NAME_MAX),
            )
        };
        line.text(b"'");
        line.text(name);
        line.text(b"' ");
    }
    line.text(b"(id ");
    line.number(overflowing_tasklet.id);
    line.text(b") overflowed its stack: it has used all ");
    line.number(overflowing_tasklet.usable as u64 / 1024);
    line.text(b" KiB (");
    line.number(overflowing_tasklet.stack_size as u64 / 1024);
    line.text(b" with the guard); give it more with Builder::stack_size");
    line.write();
}

const NAME_MAX: usize = 256;

/// A line that grows in place; text that does not fit is cut.
struct ReportLine {
    bytes: [u8; 512],
    len: usize,
}

impl ReportLine {
    fn byte(&mut self, byte: u8) {
        // The last place is for the newline.
        if self.len < self.bytes.len() - 1 {
            self.bytes[self.len] = byte;
            self.len += 1;
        }
    }

    /// Appends a name. Control characters are shown as `?`: a name must not write a line of its
    /// own.
    fn text(&mut self, text: &[u8]) {
        for byte in text {
            self.byte(if byte.is_ascii_control() { b'?' } else { *byte });
        }
    }

    fn number(&mut self, mut number: u64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.text(&digits[at..]);
    }

    fn write(mut self) {
        self.bytes[self.len] = b'\n';
        // Whatever the error is (closed, full and non-blocking), the process is about to die.
        write_to_stderr(&self.bytes[..=self.len]);
    }
}
