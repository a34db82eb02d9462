//! The bottom of a tasklet's stack, as the program sees it: [`enter`] calls its function, and
//! [`leave`] returns from there, whatever has been called since.
//!
//! So pthread_exit(3) can return from the bottom. `enter` saves the callee-saved registers there,
//! as `setjmp` does; the unwinder finds no frame below.

use std::ffi::c_void;

pub(crate) type Start = unsafe extern "C" fn(*mut c_void) -> *mut c_void;

/// Calls `start(argument)`, and stores at `bottom` what [`leave`] needs.
///
/// # Safety
/// The caller meets the conditions of `start`. `bottom` stays valid as long as it runs.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn enter(
    start: Start,
    argument: *mut c_void,
    bottom: *mut usize,
) -> *mut c_void {
    core::arch::naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8", // The stack is aligned at calls.
        "mov [rdx], rsp",
        "mov rax, rdi",
        "mov rdi, rsi",
        "call rax",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// Returns `value` from the [`enter`] that stored `bottom`.
///
/// # Safety
/// That call has not returned, and this is its stack. The frames above are abandoned: no value in
/// them will be dropped.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn leave(value: *mut c_void, bottom: usize) -> ! {
    core::arch::naked_asm!(
        "mov rax, rdi",
        "mov rsp, rsi",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// As on x86-64.
///
/// # Safety
/// As on x86-64.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn enter(
    start: Start,
    argument: *mut c_void,
    bottom: *mut usize,
) -> *mut c_void {
    core::arch::naked_asm!(
        "sub sp, sp, #160",
        "stp x29, x30, [sp]",
        "stp x19, x20, [sp, #16]",
        "stp x21, x22, [sp, #32]",
        "stp x23, x24, [sp, #48]",
        "stp x25, x26, [sp, #64]",
        "stp x27, x28, [sp, #80]",
        "stp d8, d9, [sp, #96]",
        "stp d10, d11, [sp, #112]",
        "stp d12, d13, [sp, #128]",
        "stp d14, d15, [sp, #144]",
        "mov x9, sp",
        "str x9, [x2]",
        "mov x9, x0",
        "mov x0, x1",
        "blr x9",
        "ldp x29, x30, [sp]",
        "ldp x19, x20, [sp, #16]",
        "ldp x21, x22, [sp, #32]",
        "ldp x23, x24, [sp, #48]",
        "ldp x25, x26, [sp, #64]",
        "ldp x27, x28, [sp, #80]",
        "ldp d8, d9, [sp, #96]",
        "ldp d10, d11, [sp, #112]",
        "ldp d12, d13, [sp, #128]",
        "ldp d14, d15, [sp, #144]",
        "add sp, sp, #160",
        "ret",
    )
}

/// As on x86-64.
///
/// # Safety
/// As on x86-64.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn leave(value: *mut c_void, bottom: usize) -> ! {
    core::arch::naked_asm!(
        "mov sp, x1",
        "ldp x29, x30, [sp]",
        "ldp x19, x20, [sp, #16]",
        "ldp x21, x22, [sp, #32]",
        "ldp x23, x24, [sp, #48]",
        "ldp x25, x26, [sp, #64]",
        "ldp x27, x28, [sp, #80]",
        "ldp d8, d9, [sp, #96]",
        "ldp d10, d11, [sp, #112]",
        "ldp d12, d13, [sp, #128]",
        "ldp d14, d15, [sp, #144]",
        "add sp, sp, #160",
        "ret",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" fn returns(argument: *mut c_void) -> *mut c_void {
        argument.wrapping_byte_add(1)
    }

    unsafe extern "C" fn leaves(bottom: *mut c_void) -> *mut c_void {
        fn deeply(bottom: *mut usize, depth: usize) -> usize {
            if depth > 0 {
                return deeply(bottom, depth - 1) + 1;
            }
            // SAFETY: `enter` below has not returned, on this stack; nothing here needs to be
            // dropped.
            unsafe { leave(std::ptr::without_provenance_mut(42), *bottom) }
        }
        std::ptr::without_provenance_mut(deeply(bottom.cast(), 100))
    }

    #[test]
    fn a_function_returns_or_is_left_from_deep_inside() {
        let mut bottom = 0_usize;
        let place = &raw mut bottom;
        // SAFETY: the functions have no conditions; the place stays valid.
        let (returned, left) = unsafe {
            let returned = enter(returns, std::ptr::without_provenance_mut(6), place);
            (returned, enter(leaves, place.cast(), place))
        };
        assert_eq!((returned.addr(), left.addr()), (7, 42));
    }
}
