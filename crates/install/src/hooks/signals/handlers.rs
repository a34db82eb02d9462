//! The program's signal handlers end waits with EINTR: signal(7).
//!
//! ```text
//! signal ─▶ entry (here) ─▶ interrupt_waits     the scheduler ends waits when the handler is over
//!                       └─▶ the program's handler, whose calls go to libc
//! ```
//!
//! A handler runs on a thread, and interrupts that thread's tasklets. The kernel knows `entry`
//! only; a query for the handler returns the program's. glibc has many names for installing a
//! handler. All are here but sigvec(3), which only programs from before 2015 use.

use std::ffi::{c_int, c_void};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use libc::{sighandler_t, siginfo_t};
use overlapped::signal::{Restart, interrupt_waits, is_internal_handler};

use crate::caller::{ON, begin_handler, end_handler};
use crate::next::next;

type Sigaction = unsafe extern "C" fn(c_int, *const libc::sigaction, *mut libc::sigaction) -> c_int;
type Signal = unsafe extern "C" fn(c_int, sighandler_t) -> sighandler_t;
type SigInterrupt = unsafe extern "C" fn(c_int, c_int) -> c_int;
/// A handler. A jump may leave it, and so may a C++ exception if the program is built for that.
type Handler = unsafe extern "C-unwind" fn(c_int, *mut siginfo_t, *mut c_void);

const SIGNALS: usize = 65;

/// sigset(3): the signal is blocked.
const SIG_HOLD: sighandler_t = 2;

/// The program's handlers: their addresses, and [`RESTARTS`]. Each is one word, so that a signal
/// that comes during a change meets the old handler or the new one.
static HANDLERS: [AtomicUsize; SIGNALS] = [const { AtomicUsize::new(0) }; SIGNALS];

/// The bit of a handler that was installed with `SA_RESTART`. No address has this bit.
const RESTARTS: usize = 1 << (usize::BITS - 1);

/// Returns the slot of a signal's handler; `None` if there is no such signal, or if it reports a
/// fault of the code that it interrupts, which waits for nothing.
fn slot(signal: c_int) -> Option<&'static AtomicUsize> {
    use libc::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};
    let is_fault =
        matches!(signal, SIGABRT | SIGBUS | SIGFPE | SIGILL | SIGSEGV | SIGSYS | SIGTRAP);
    let index = usize::try_from(signal).ok().filter(|_| !is_fault)?;
    HANDLERS.get(index)
}

/// Tells whether this is a handler of the program.
fn is_handler(handler: sighandler_t) -> bool {
    !matches!(handler, libc::SIG_DFL | libc::SIG_IGN | libc::SIG_ERR | SIG_HOLD)
        && !is_internal_handler(handler)
}

fn word(handler: sighandler_t, flags: c_int) -> usize {
    if flags & libc::SA_RESTART != 0 { handler | RESTARTS } else { handler }
}

fn entry_address() -> sighandler_t {
    entry as *const () as usize
}

/// Returns the program's handler if the kernel has `entry`.
fn program_handler(handler: sighandler_t, word: usize) -> sighandler_t {
    if handler == entry_address() { word & !RESTARTS } else { handler }
}

/// The handler that the kernel knows. Handlers of one argument get three as well, and ignore two.
///
/// Nothing in this frame needs to be dropped: a jump out of the handler skips it, which would
/// otherwise be undefined behaviour, and an exception finds nothing to clean up.
unsafe extern "C-unwind" fn entry(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let Some(slot) = slot(signal) else { return };
    let word = slot.load(Relaxed);
    let is_host = interrupt_waits(if word & RESTARTS != 0 { Restart::Yes } else { Restart::No });
    // The signal may have interrupted the library: the handler's calls must not wait there.
    let before = begin_handler((&raw const word).addr(), is_host);
    // SAFETY: the program has installed it as a handler; addresses are as wide as words.
    let handler = unsafe { std::mem::transmute::<usize, Handler>(word & !RESTARTS) };
    // SAFETY: the arguments are the kernel's.
    unsafe { handler(signal, info, context) };
    end_handler(&before);
}

/// sigaction(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn sigaction(
    signal: c_int,
    new: *const libc::sigaction,
    old: *mut libc::sigaction,
) -> c_int {
    let real: Sigaction = next!(sigaction);
    // SAFETY: the caller's promise, handed on.
    unsafe { act(real, signal, new, old) }
}

/// sigaction(2), by glibc's other name.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn __sigaction(
    signal: c_int,
    new: *const libc::sigaction,
    old: *mut libc::sigaction,
) -> c_int {
    let real: Sigaction = next!(__sigaction);
    // SAFETY: the caller's promise, handed on.
    unsafe { act(real, signal, new, old) }
}

/// Installs an action by `real`.
///
/// # Safety
/// As sigaction(2).
unsafe fn act(
    real: Sigaction,
    signal: c_int,
    new: *const libc::sigaction,
    old: *mut libc::sigaction,
) -> c_int {
    let slot = slot(signal).filter(|_| ON.load(Relaxed));
    let Some(slot) = slot else {
        // SAFETY: the caller's promise, handed on.
        return unsafe { real(signal, new, old) };
    };
    let before = slot.load(Relaxed);
    // SAFETY: the caller's promise: null, or an action.
    let ours = unsafe { new.as_ref() }.filter(|new| is_handler(new.sa_sigaction)).copied();
    let outcome = match ours {
        Some(mut ours) if ours.sa_sigaction != entry_address() => {
            slot.store(word(ours.sa_sigaction, ours.sa_flags), Relaxed);
            ours.sa_sigaction = entry_address();
            // SAFETY: the action is valid; the rest is the caller's promise.
            unsafe { real(signal, &ours, old) }
        }
        // SAFETY: the caller's promise, handed on.
        _ => unsafe { real(signal, new, old) },
    };
    if outcome != 0 {
        slot.store(before, Relaxed);
        return outcome;
    }
    // SAFETY: the caller's promise: null, or an action, which the call has written.
    if let Some(old) = unsafe { old.as_mut() } {
        old.sa_sigaction = program_handler(old.sa_sigaction, before);
    }
    outcome
}

/// Defines functions that install handlers of one argument, with these flags.
macro_rules! installers {
    ($($(#[$comment:meta])* $name:ident: $flags:expr;)*) => {$(
        $(#[$comment])*
        #[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
        pub(crate) unsafe extern "C" fn $name(
            signal: c_int,
            handler: sighandler_t,
        ) -> sighandler_t {
            let real: Signal = next!($name);
            // SAFETY: the caller's promise, handed on.
            unsafe { install(real, $flags, signal, handler) }
        }
    )*};
}

installers! {
    /// signal(2), in BSD's form, as glibc's is.
    signal: libc::SA_RESTART;
    /// signal(2), by another name.
    bsd_signal: libc::SA_RESTART;
    /// signal(2), by another name.
    ssignal: libc::SA_RESTART;
    /// sysv_signal(3), whose handler runs once.
    sysv_signal: 0;
    /// sysv_signal(3), which programs for System V or X/Open call as signal(2).
    __sysv_signal: 0;
    /// sigset(3).
    sigset: 0;
}

/// Installs a handler by `real`, which gives it these flags.
///
/// # Safety
/// As signal(2).
unsafe fn install(
    real: Signal,
    flags: c_int,
    signal: c_int,
    handler: sighandler_t,
) -> sighandler_t {
    let slot = slot(signal).filter(|_| ON.load(Relaxed));
    let Some(slot) = slot else {
        // SAFETY: the caller's promise, handed on.
        return unsafe { real(signal, handler) };
    };
    let before = slot.load(Relaxed);
    if !is_handler(handler) {
        // SAFETY: the caller's promise, handed on.
        return program_handler(unsafe { real(signal, handler) }, before);
    }
    slot.store(word(handler, flags), Relaxed);
    // SAFETY: `entry` is a handler.
    let old = unsafe { real(signal, entry_address()) };
    if old == libc::SIG_ERR {
        slot.store(before, Relaxed);
    } else {
        update_restart(signal, slot); // siginterrupt(3) may have said that it is not to restart.
    }
    program_handler(old, before)
}

/// siginterrupt(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn siginterrupt(signal: c_int, interrupts: c_int) -> c_int {
    let real: SigInterrupt = next!(siginterrupt);
    // SAFETY: the caller's promise, handed on.
    let outcome = unsafe { real(signal, interrupts) };
    if let Some(slot) = slot(signal).filter(|_| outcome == 0 && ON.load(Relaxed)) {
        update_restart(signal, slot);
    }
    outcome
}

/// Returns the action that the kernel has for a signal.
fn action(signal: c_int) -> Option<libc::sigaction> {
    let real: Sigaction = next!(sigaction);
    let mut action = std::mem::MaybeUninit::zeroed();
    // SAFETY: null changes nothing; the place is writable, and zeros are a valid action.
    unsafe {
        let outcome = real(signal, std::ptr::null(), action.as_mut_ptr());
        (outcome == 0).then(|| action.assume_init())
    }
}

/// Records whether the kernel restarts calls after this signal's handler.
fn update_restart(signal: c_int, slot: &AtomicUsize) {
    let Some(action) = action(signal).filter(|now| now.sa_sigaction == entry_address()) else {
        return;
    };
    slot.store(word(slot.load(Relaxed) & !RESTARTS, action.sa_flags), Relaxed);
}

/// Puts `entry` in the place of handlers that the program has installed before
/// [`install`](crate::install).
pub(crate) fn adopt_handlers() {
    for signal in 1..SIGNALS as c_int {
        if let Some(now) = action(signal).filter(|now| is_handler(now.sa_sigaction)) {
            // SAFETY: this is the signal's own action.
            unsafe { sigaction(signal, &now, std::ptr::null_mut()) };
        }
    }
}
