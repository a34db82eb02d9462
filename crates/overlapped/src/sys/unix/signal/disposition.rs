//! Dispositions of signals: a handler of this library's goes in front of what was there before, and
//! passes on to that what is not its own.
//!
//! Everything here is async-signal-safe (signal-safety(7)): a handler may call it.

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

pub(crate) use libc::{SIGBUS, SIGSEGV, SIGURG};

use crate::sys::native::thread::registers;

/// The kernel's description of one signal.
pub(crate) type Info = libc::siginfo_t;

/// A handler: called with the signal, its description, and the context that it has interrupted.
pub(crate) type Handler = extern "C" fn(c_int, *mut Info, *mut c_void);

/// The effect of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Default,
    Ignored,
    Handled,
}

/// The disposition that a signal has, or had before a handler of ours was installed.
pub(crate) struct Disposition(libc::sigaction);

impl Disposition {
    /// Reads the disposition of `signal`: the default one if the system refuses.
    pub(crate) fn of(signal: c_int) -> Disposition {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: null changes nothing; the structure is writable, and valid even if the call
        // fails, since all-zero is the default disposition.
        Disposition(unsafe {
            libc::sigaction(signal, ptr::null(), action.as_mut_ptr());
            action.assume_init()
        })
    }

    pub(crate) fn effect(&self) -> Effect {
        match self.0.sa_sigaction {
            libc::SIG_DFL => Effect::Default,
            libc::SIG_IGN => Effect::Ignored,
            _ => Effect::Handled,
        }
    }

    /// Tells whether system calls that the handler has interrupted go on.
    pub(crate) fn restarts_calls(&self) -> bool {
        self.0.sa_flags & libc::SA_RESTART != 0
    }

    /// Tells whether the handler is to be called once only.
    pub(crate) fn is_one_shot(&self) -> bool {
        self.0.sa_flags & libc::SA_RESETHAND != 0
    }

    /// Blocks and unblocks signals as the kernel does for this handler, for a caller in a handler
    /// of `signal`. The return from that one restores the mask.
    pub(crate) fn apply_mask(&self, signal: c_int) {
        // SAFETY: the sets are valid, `only` is initialised by sigemptyset.
        unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, &self.0.sa_mask, ptr::null_mut());
            let nodefer = self.0.sa_flags & libc::SA_NODEFER != 0;
            if nodefer && libc::sigismember(&self.0.sa_mask, signal) == 0 {
                let mut only = MaybeUninit::<libc::sigset_t>::zeroed().assume_init();
                libc::sigemptyset(&mut only);
                libc::sigaddset(&mut only, signal);
                libc::pthread_sigmask(libc::SIG_UNBLOCK, &only, ptr::null_mut());
            }
        }
    }

    /// Calls the handler, with the mask as it is; does nothing if there is none.
    ///
    /// # Safety
    /// The arguments are those of a handler of this signal that is running.
    pub(crate) unsafe fn call(&self, signal: c_int, info: *mut Info, context: *mut c_void) {
        if self.effect() != Effect::Handled {
            return;
        }
        let handler = ptr::with_exposed_provenance::<()>(self.0.sa_sigaction);
        if self.0.sa_flags & libc::SA_SIGINFO != 0 {
            // SAFETY: neither SIG_DFL nor SIG_IGN, so it is the function that was registered, with
            // the signature that SA_SIGINFO says.
            let handler = unsafe { std::mem::transmute::<*const (), Handler>(handler) };
            handler(signal, info, context);
        } else {
            type Plain = extern "C" fn(c_int);
            // SAFETY: as above; without SA_SIGINFO the signature is the plain one.
            let handler = unsafe { std::mem::transmute::<*const (), Plain>(handler) };
            handler(signal);
        }
    }
}

/// Installs a handler, which runs on the thread's alternate stack, if it has one, since the
/// interrupted stack may be a tasklet's. `restarts_calls`: system calls that it interrupts go on.
///
/// # Safety
/// The handler is async-signal-safe, on any thread at any instruction, and does not unwind.
pub(crate) unsafe fn handle(
    signal: c_int,
    handler: Handler,
    restarts_calls: bool,
) -> io::Result<()> {
    // SAFETY: all-zero is a valid sigaction: default disposition, empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    if restarts_calls {
        action.sa_flags |= libc::SA_RESTART;
    }
    // SAFETY: the handler has the signature that SA_SIGINFO demands, and the caller promises the
    // rest.
    match unsafe { libc::sigaction(signal, &action, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Gives `signal` its default disposition.
pub(crate) fn set_default(signal: c_int) {
    // SAFETY: all-zero is the default disposition.
    unsafe {
        let action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        libc::sigaction(signal, &action, ptr::null_mut());
    }
}

/// Sends `signal` to the calling thread. If it is blocked there, it comes when it is not any more.
pub(crate) fn raise(signal: c_int) {
    // SAFETY: the call has no conditions.
    unsafe { libc::raise(signal) };
}

/// Returns the address whose access has raised the signal; `None` if the signal was sent.
///
/// # Safety
/// `info` is the argument of a handler that is running, for a fault's signal.
pub(crate) unsafe fn fault_address(info: *const Info) -> Option<usize> {
    // SAFETY: the caller's promise: the kernel passes a valid description. For a code that is not
    // positive (the signal was sent) the address is not one, and it is not used then.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr().addr()) };
    (code > 0).then_some(address)
}

/// Returns the registers of the interrupted code: program counter, stack pointer, frame pointer,
/// return address. Zeros where they are not known.
///
/// # Safety
/// `context` is the argument of a handler that is running.
pub(crate) unsafe fn interrupted(context: *const c_void) -> (usize, usize, usize, usize) {
    // SAFETY: the caller's promise: the kernel passes the context that was interrupted.
    registers(unsafe { &*context.cast::<libc::ucontext_t>() })
}
