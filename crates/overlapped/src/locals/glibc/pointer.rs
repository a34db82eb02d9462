//! The thread pointer: the register by which code finds its thread-locals.

use std::arch::asm;

/// Tells why this program may not set the register, if it may not.
pub(super) fn refusal() -> Option<&'static str> {
    /// `HWCAP2_FSGSBASE`: the kernel lets programs use the instructions.
    #[cfg(target_arch = "x86_64")]
    const FSGSBASE: libc::c_ulong = 1 << 1;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: getauxval only reads; it answers 0 for what it does not know.
    if unsafe { libc::getauxval(libc::AT_HWCAP2) } & FSGSBASE == 0 {
        return Some(
            "this processor or kernel does not let programs set the FS base (FSGSBASE; Linux 5.9)",
        );
    }
    None
}

/// Returns the register's value.
#[inline(always)]
pub(super) fn read() -> usize {
    let pointer;
    // SAFETY: a register is read, by instructions that `refusal` has found to be allowed.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("rdfsbase {}", out(reg) pointer, options(nostack, preserves_flags));
        #[cfg(target_arch = "aarch64")]
        asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nostack, preserves_flags));
    }
    pointer
}

/// Sets the register. The assembly is not `nomem`, so that memory accesses before it stay before
/// it.
///
/// # Safety
/// `pointer` is that of a block that no other code uses. Code that runs until it is set back must
/// hold no address of a thread-local from before: see [`with`].
#[inline(always)]
pub(super) unsafe fn write(pointer: usize) {
    // SAFETY: the caller's promise; the instructions are allowed, as for `read`.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("wrfsbase {}", in(reg) pointer, options(nostack, preserves_flags));
        #[cfg(target_arch = "aarch64")]
        asm!("msr tpidr_el0, {}", in(reg) pointer, options(nostack, preserves_flags));
    }
}

/// Calls `f` with this thread pointer, and puts the caller's back.
///
/// This function and [`keep`] are the only ones whose thread pointer changes while they run. The
/// compiler takes the address of a thread-local for a constant of the function that it compiles,
/// and may compute it anywhere in there. So each of the two is a function of its own (never
/// inlined), uses no thread-local, and calls `f` as another function of its own.
///
/// # Safety
/// `pointer` is that of a block of this thread, which no other thread uses. `f` does not unwind. It
/// may leave the stack and come back, if the pointer is the same again when it does.
#[inline(never)]
pub(super) unsafe fn with(pointer: usize, f: impl FnOnce()) {
    let before = read();
    // SAFETY: the caller's promise; [`call`] is a function of its own.
    unsafe { write(pointer) };
    call(f);
    // SAFETY: this pointer was in the register before, on this thread.
    unsafe { write(before) };
}

/// Calls `f`, which changes the pointer by leaving the stack for that of another tasklet with a
/// block of its own, and puts the caller's back. Otherwise as [`with`].
///
/// # Safety
/// `f` does not unwind. After it has come back it touches no thread-local.
#[inline(never)]
pub(super) unsafe fn keep(f: impl FnOnce()) {
    let before = read();
    call(f);
    // SAFETY: this pointer was in the register before, on this thread.
    unsafe { write(before) };
}

#[inline(never)]
fn call(f: impl FnOnce()) {
    f();
}
