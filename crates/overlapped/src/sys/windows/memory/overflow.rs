//! The exception of a stack overflow, and the limits of the stack that runs.

use std::io;
use std::sync::OnceLock;

use windows_sys::Win32::Foundation::EXCEPTION_STACK_OVERFLOW;
use windows_sys::Win32::System::Diagnostics::Debug::{
    AddVectoredExceptionHandler, EXCEPTION_CONTINUE_SEARCH, EXCEPTION_POINTERS,
};

/// A function that is called at an overflow, with the lowest address that the stack may use.
pub(crate) type OnOverflow = fn(lowest: usize);

static ON_OVERFLOW: OnceLock<OnOverflow> = OnceLock::new();

/// Calls `on_overflow` in the thread whose stack has overflowed, before all other handlers. It runs
/// on that stack, in the few KiB that are kept for it; afterwards std's handler ends the process.
///
/// # Errors
/// The system's own.
pub(crate) fn handle(on_overflow: OnOverflow) -> io::Result<()> {
    if ON_OVERFLOW.set(on_overflow).is_err() {
        return Ok(());
    }
    // SAFETY: the handler stays loaded, and takes what is given to it.
    let handler = unsafe { AddVectoredExceptionHandler(1, Some(on_exception)) };
    if handler.is_null() { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// # Safety
/// The system calls it, with pointers to an exception.
unsafe extern "system" fn on_exception(exception: *mut EXCEPTION_POINTERS) -> i32 {
    // SAFETY: the system's promise.
    let code = unsafe { (*(*exception).ExceptionRecord).ExceptionCode };
    if code == EXCEPTION_STACK_OVERFLOW
        && let Some(on_overflow) = ON_OVERFLOW.get()
    {
        on_overflow(lowest());
    }
    EXCEPTION_CONTINUE_SEARCH
}

/// Returns the lowest address that the running stack may use (`TEB.DeallocationStack`).
#[cfg(target_arch = "x86_64")]
fn lowest() -> usize {
    let lowest: usize;
    // SAFETY: reads a field of the thread's own block, which every thread has; its place is fixed.
    unsafe {
        std::arch::asm!(
            "mov {}, gs:[0x1478]",
            out(reg) lowest,
            options(nostack, readonly, preserves_flags),
        );
    }
    lowest
}

/// Returns zero: the thread's block is not known on this processor, so no tasklet is found.
#[cfg(not(target_arch = "x86_64"))]
fn lowest() -> usize {
    0
}
