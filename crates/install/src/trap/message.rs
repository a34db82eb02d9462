//! The kernel's messages about stopped calls, and the answer to them.

use std::ffi::c_int;
use std::mem::MaybeUninit;

use libc::{seccomp_notif, seccomp_notif_resp};

use crate::raw::call;

/// Bytes for a message of the kernel, whose size may grow.
pub(super) const ROOM: usize = 256;

/// Receives the message about a stopped call from a filter's descriptor; `None` if a signal has
/// interrupted the call.
pub(super) fn receive(fd: c_int) -> Option<seccomp_notif> {
    let mut room = MaybeUninit::<[u64; ROOM / 8]>::zeroed();
    // SAFETY: the kernel fills the message, for which there is room.
    let received = unsafe { call!(ioctl, fd, libc::SECCOMP_IOCTL_NOTIF_RECV, room.as_mut_ptr()) };
    if received != 0 {
        return None;
    }
    // SAFETY: the room is aligned for it, and zeros are a valid message.
    Some(unsafe { room.as_ptr().cast::<seccomp_notif>().read() })
}

/// Lets a stopped call go on.
pub(super) fn continue_call(fd: c_int, id: u64) {
    let mut room = MaybeUninit::<[u64; ROOM / 8]>::zeroed();
    let flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
    let answer = seccomp_notif_resp { id, val: 0, error: 0, flags };
    // SAFETY: the room is aligned for it, and as large as the kernel demands.
    unsafe {
        room.as_mut_ptr().cast::<seccomp_notif_resp>().write(answer);
        // An error means that a signal has interrupted the call, or that its thread has ended.
        call!(ioctl, fd, libc::SECCOMP_IOCTL_NOTIF_SEND, room.as_mut_ptr());
    }
}
