//! Sockets as numbers, state of the thread, limits of the process.

use std::io;
use std::os::windows::io::{BorrowedSocket, FromRawSocket, OwnedSocket, RawSocket};

use socket2::SockRef;

/// A socket as a plain number, for operations, which own nothing.
pub(crate) type Raw = RawSocket;

/// Takes ownership of the socket that a successful operation has returned.
///
/// # Safety
/// `value` is an open socket that no other code knows.
pub(crate) unsafe fn from_value(value: usize) -> OwnedSocket {
    // SAFETY: the caller's promise.
    unsafe { OwnedSocket::from_raw_socket(value as RawSocket) }
}

/// Tells whether a socket is in non-blocking mode. Windows does not say: a socket from elsewhere
/// counts as blocking.
pub(crate) fn nonblocking(_: BorrowedSocket<'_>) -> io::Result<bool> {
    Ok(false)
}

/// Sets or clears the non-blocking mode (`FIONBIO`).
pub(crate) fn set_nonblocking(socket: BorrowedSocket<'_>, on: bool) -> io::Result<()> {
    SockRef::from(&socket).set_nonblocking(on)
}

/// Makes another number for the same socket, which children do not inherit.
pub(crate) fn duplicate(socket: BorrowedSocket<'_>) -> io::Result<OwnedSocket> {
    socket.try_clone_to_owned()
}

/// Returns the address of the calling thread's last error (GetLastError), which is valid as long as
/// the thread lives. C's errno is a variable of the C library's, and is not kept.
#[cfg(target_arch = "x86_64")]
pub(crate) fn errno_place() -> std::ptr::NonNull<i32> {
    /// `TEB.Self`, and `TEB.LastErrorValue` behind it: fixed offsets, as debuggers know them.
    const LAST_ERROR: usize = 0x68;
    let teb: *mut u8;
    // SAFETY: reads a field of the thread's own block, which every thread has.
    unsafe {
        std::arch::asm!(
            "mov {}, gs:[0x30]",
            out(reg) teb,
            options(nostack, readonly, preserves_flags),
        );
    }
    // SAFETY: the field is inside of the block.
    std::ptr::NonNull::new(unsafe { teb.add(LAST_ERROR) }.cast()).expect("a thread has a block")
}

/// Returns the address of a place that no code reads: the thread's block is not known on this
/// processor, so GetLastError is not kept.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn errno_place() -> std::ptr::NonNull<i32> {
    thread_local! {
        static PLACE: std::cell::Cell<i32> = const { std::cell::Cell::new(0) };
    }
    PLACE.with(|place| std::ptr::NonNull::new(place.as_ptr()).expect("a thread-local has a place"))
}

/// Does nothing: there is no fork(2).
pub(crate) fn in_fork_children(_: extern "C" fn()) {}
