//! The classification of a stopped call: does it block the thread of a tasklet of this crate, past
//! this crate's functions?

use std::ffi::c_long;

use libc::{iovec, seccomp_data};

use super::running::is_of_marked;
use crate::query::{file_type, is_nonblocking, is_on_disk};
use crate::raw::call;

/// Tells whether a stopped call is made by a marked tasklet's own code, and may wait.
pub(super) fn is_raw_and_waits(thread: u32, data: &seccomp_data) -> bool {
    stack_pointer(thread).is_some_and(is_of_marked) && waits(data)
}

/// Reads the stack pointer of a thread of this process that is in a system call.
fn stack_pointer(thread: u32) -> Option<usize> {
    let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/syscall")).ok()?;
    stack_pointer_in(&text)
}

/// Parses the last word but one: the words are number, six arguments, stack pointer, program
/// counter.
fn stack_pointer_in(text: &str) -> Option<usize> {
    let mut words = text.split_whitespace().rev();
    let hexadecimal = words.nth(1)?.strip_prefix("0x")?;
    usize::from_str_radix(hexadecimal, 16).ok()
}

/// Tells whether the call has something to wait for. In doubt it has.
fn waits(data: &seccomp_data) -> bool {
    let argument = |number: usize| data.args[number] as usize;
    let descriptor = argument(0) as i32;
    match c_long::from(data.nr) {
        libc::SYS_read
        | libc::SYS_readv
        | libc::SYS_write
        | libc::SYS_writev
        | libc::SYS_preadv2
        | libc::SYS_pwritev2 => !is_nonblocking(descriptor) && !is_on_disk(file_type(descriptor)),
        libc::SYS_recvfrom
        | libc::SYS_recvmsg
        | libc::SYS_recvmmsg
        | libc::SYS_sendto
        | libc::SYS_sendmsg
        | libc::SYS_sendmmsg
        | libc::SYS_accept
        | libc::SYS_accept4
        | libc::SYS_connect => !is_nonblocking(descriptor),
        libc::SYS_nanosleep => !is_zero(argument(0)),
        libc::SYS_clock_nanosleep | libc::SYS_ppoll => !is_zero(argument(2)),
        libc::SYS_epoll_pwait2 => !is_zero(argument(3)),
        libc::SYS_pselect6 => !is_zero(argument(4)),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_select => !is_zero(argument(4)),
        libc::SYS_futex => !is_futex_changed(argument(0), argument(2) as u32),
        _ => true,
    }
}

/// Tells whether a readable time of two words is zero.
fn is_zero(address: usize) -> bool {
    read::<[u64; 2]>(address) == Some([0; 2])
}

/// Tells whether a wait for a word ends at once.
fn is_futex_changed(address: usize, expected: u32) -> bool {
    read::<u32>(address).is_some_and(|word| word != expected)
}

/// Reads a value in this process's memory, at an address that another thread has given the kernel.
fn read<T: Copy + Default>(address: usize) -> Option<T> {
    let mut value = T::default();
    let here = iovec { iov_base: (&raw mut value).cast(), iov_len: size_of::<T>() };
    let there =
        iovec { iov_base: std::ptr::without_provenance_mut(address), iov_len: size_of::<T>() };
    // SAFETY: the kernel writes plain numbers, or a part of them; an unreadable address is an
    // error.
    let count = unsafe {
        let me = call!(getpid);
        call!(process_vm_readv, me, &raw const here, 1, &raw const there, 1, 0)
    };
    (count == size_of::<T>() as isize).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_pointer_is_the_last_word_but_one() {
        let text = "0 0x3 0x55cc 0x2000 0x0 0x0 0x0 0x7ffc1a7a0158 0x7f9d825162ad\n";
        assert_eq!(stack_pointer_in(text), Some(0x7ffc_1a7a_0158));
        assert_eq!(stack_pointer_in("running\n"), None);
        assert_eq!(stack_pointer_in(""), None);
    }

    #[test]
    fn memory_is_read_where_there_is_some() {
        let word = 7_u32;
        assert!(is_futex_changed((&raw const word).addr(), 8));
        assert!(!is_futex_changed((&raw const word).addr(), 7));
        assert!(!is_futex_changed(16, 7) && !is_zero(0));
        let none = [0_u64; 2];
        assert!(is_zero((&raw const none).addr()));
    }
}
