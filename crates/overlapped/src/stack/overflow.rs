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
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::{Mutex, OnceLock, PoisonError};

pub(crate) use super::alt::{Installed, alt_stack_to_write_on, ensure_alt_stack};

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
const SIGNALS: [c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

static LOOKUP: OnceLock<Lookup> = OnceLock::new();
/// The previous disposition of each of `SIGNALS`. Set before our handler can run, and only read by
/// it.
static PREVIOUS: [OnceLock<libc::sigaction>; 2] = [OnceLock::new(), OnceLock::new()];

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
    static INSTALLED: Mutex<[bool; 2]> = Mutex::new([false; 2]);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    LOOKUP.get_or_init(|| lookup);
    for (index, signal) in SIGNALS.into_iter().enumerate() {
        if installed[index] {
            continue;
        }
        let before = PREVIOUS[index].get_or_init(|| current_action(signal));
        // SAFETY: all-zero is a valid sigaction: default disposition, empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = on_fault as *const () as usize;
        // SA_RESTART as before: it decides what a signal that is merely sent does to system calls.
        let kept = before.sa_flags & libc::SA_RESTART;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | kept;
        // SAFETY: the handler has the signature that SA_SIGINFO demands and is async-signal-safe,
        // given the caller's promise about `lookup`; what it reads was initialised above.
        if unsafe { libc::sigaction(signal, &action, ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        installed[index] = true;
    }
    Ok(())
}

fn current_action(signal: c_int) -> libc::sigaction {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: null changes nothing; the structure is writable, and valid even if the call fails,
    // since all-zero is the default disposition.
    unsafe {
        libc::sigaction(signal, ptr::null(), action.as_mut_ptr());
        action.assume_init()
    }
}

/// Handles the fault. Async-signal-safe; errno is left alone because no call in it can fail, except
/// `write`, after which the process dies.
extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: under SA_SIGINFO the kernel passes a valid siginfo. For a code that is not positive
    // (the signal was sent) the address is not one, and it is not used then.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr().addr()) };
    let by_kernel = code > 0;
    if by_kernel
        && let Some(lookup) = LOOKUP.get()
        && let Some(overflowing_tasklet) = lookup(address)
    {
        report(&overflowing_tasklet);
        set_default(signal);
        return;
    }
    chain(signal, info, context, by_kernel);
}

/// Does what would have happened without our handler.
fn chain(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void, by_kernel: bool) {
    let index = SIGNALS.iter().position(|known| *known == signal);
    let Some(previous) = index.and_then(|index| PREVIOUS[index].get()) else {
        return set_default(signal);
    };
    match previous.sa_sigaction {
        // The kernel does not let a fault be ignored: it kills.
        libc::SIG_IGN if !by_kernel => {}
        libc::SIG_DFL | libc::SIG_IGN => {
            set_default(signal);
            if !by_kernel {
                // No instruction will fault again: send it again. It is blocked until we return.
                // SAFETY: raise is async-signal-safe.
                unsafe { libc::raise(signal) };
            }
        }
        handler => call_previous(handler, previous, signal, info, context),
    }
}

/// Calls the predecessor as the kernel would, with its mask and one-shot flag. The return from our
/// handler restores the mask.
fn call_previous(
    handler: libc::sighandler_t,
    previous: &libc::sigaction,
    signal: c_int,
    info: *mut libc::siginfo_t,
    context: *mut c_void,
) {
    if previous.sa_flags & libc::SA_RESETHAND != 0 {
        set_default(signal);
    }
    // SAFETY: the sets are valid, `only` is initialised by sigemptyset; all these calls are
    // async-signal-safe.
    unsafe {
        libc::pthread_sigmask(libc::SIG_BLOCK, &previous.sa_mask, ptr::null_mut());
        let nodefer = previous.sa_flags & libc::SA_NODEFER != 0;
        if nodefer && libc::sigismember(&previous.sa_mask, signal) == 0 {
            let mut only = MaybeUninit::<libc::sigset_t>::zeroed().assume_init();
            libc::sigemptyset(&mut only);
            libc::sigaddset(&mut only, signal);
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &only, ptr::null_mut());
        }
    }
    let handler = ptr::with_exposed_provenance::<()>(handler);
    if previous.sa_flags & libc::SA_SIGINFO != 0 {
        type Full = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
        // SAFETY: neither SIG_DFL nor SIG_IGN, so it is the function that was registered, with the
        // signature that SA_SIGINFO says.
        let handler = unsafe { std::mem::transmute::<*const (), Full>(handler) };
        handler(signal, info, context);
    } else {
        // SAFETY: as above; without SA_SIGINFO the signature is the plain one.
        let handler = unsafe { std::mem::transmute::<*const (), extern "C" fn(c_int)>(handler) };
        handler(signal);
    }
}

fn set_default(signal: c_int) {
    // SAFETY: all-zero is the default disposition; sigaction is async-signal-safe.
    unsafe {
        let action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        libc::sigaction(signal, &action, ptr::null_mut());
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
        let mut rest = &self.bytes[..=self.len];
        while !rest.is_empty() {
            // SAFETY: `rest` is readable.
            let done =
                unsafe { libc::write(libc::STDERR_FILENO, rest.as_ptr().cast(), rest.len()) };
            // Whatever the error is (closed, full and non-blocking), the process is about to die.
            let Ok(done @ 1..) = usize::try_from(done) else {
                return;
            };
            rest = rest.get(done..).unwrap_or_default();
        }
    }
}
