//! Single tries of transfers on non-blocking sockets, with memory that the caller has lent. Results
//! are in the system's form: a value, or a negated code.

use windows_sys::Win32::Networking::WinSock::{
    INVALID_SOCKET, MSG_PEEK, SO_ERROR, SOCKADDR, SOCKET, SOCKET_ERROR, SOL_SOCKET, WSABUF,
    WSAEMFILE, WSAESHUTDOWN, WSARecv, WSARecvFrom, WSASend, WSASendTo, accept as accept_socket,
    closesocket, connect as connect_socket, getsockopt,
};

use super::super::descriptor::Raw;
use super::super::readiness::{Interest, poll_now};
use super::address::SocketAddrBuf;
use super::message::Message;
use crate::sys::errno::errno;

/// The flag of a receive that leaves the bytes in place.
pub(crate) const PEEK: i32 = MSG_PEEK;

/// Calls accept. The socket is in the mode of its listener: non-blocking.
///
/// # Safety
/// `address` is valid for writes; its `len` says how much room there is.
pub(crate) unsafe fn accept(socket: Raw, address: *mut SocketAddrBuf) -> i32 {
    // SAFETY: the caller's promise.
    let accepted = unsafe {
        let (storage, len) = ((&raw mut (*address).storage).cast(), &raw mut (*address).len);
        accept_socket(socket as SOCKET, storage, len)
    };
    if accepted == INVALID_SOCKET {
        return -errno();
    }
    // Handles have 32 significant bits, of which the highest has never been seen.
    i32::try_from(accepted).unwrap_or_else(|_| {
        // SAFETY: it was made just now, and no other code knows it.
        unsafe { closesocket(accepted) };
        -WSAEMFILE
    })
}

/// Calls connect.
///
/// # Safety
/// `address` is valid for reads and holds `len` bytes of address.
pub(crate) unsafe fn connect(socket: Raw, address: *const SocketAddrBuf) -> i32 {
    // SAFETY: the caller's promise.
    let result = unsafe {
        let storage: *const SOCKADDR = (&raw const (*address).storage).cast();
        connect_socket(socket as SOCKET, storage, (*address).len)
    };
    if result == SOCKET_ERROR { -errno() } else { 0 }
}

/// Receives into `buf`.
///
/// # Safety
/// `buf` is valid for writes of `len` bytes.
pub(crate) unsafe fn recv(socket: Raw, buf: *mut u8, len: u32, flags: i32) -> i32 {
    let mut slice = WSABUF { len, buf };
    // SAFETY: the caller's promise.
    unsafe { receive(socket, &mut Message::over(&raw mut slice, 1), flags) }
}

/// Sends `buf`.
///
/// # Safety
/// `buf` is valid for reads of `len` bytes.
pub(crate) unsafe fn send(socket: Raw, buf: *const u8, len: u32, flags: i32) -> i32 {
    let mut slice = WSABUF { len, buf: buf.cast_mut() };
    // SAFETY: the caller's promise.
    unsafe { sendmsg(socket, &Message::over(&raw mut slice, 1), flags) }
}

/// Receives a message, with the sender's address if the message has a place for it.
///
/// # Safety
/// All parts of the message are valid for writes.
pub(crate) unsafe fn recvmsg(socket: Raw, message: *mut Message<'_>, flags: i32) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { receive(socket, &mut *message, flags) }
}

/// # Safety
/// The same as for [`recvmsg`].
unsafe fn receive(socket: Raw, message: &mut Message<'_>, flags: i32) -> i32 {
    let (mut count, mut flags) = (0, flags as u32);
    let (slices, slice_count) = (message.slices, message.count);
    let socket = socket as SOCKET;
    // SAFETY: the caller's promise; without an OVERLAPPED the system writes during the call only.
    let result = unsafe {
        match message.name.as_mut() {
            None => WSARecv(
                socket,
                slices,
                slice_count,
                &raw mut count,
                &raw mut flags,
                std::ptr::null_mut(),
                None,
            ),
            Some(name) => WSARecvFrom(
                socket,
                slices,
                slice_count,
                &raw mut count,
                &raw mut flags,
                (&raw mut name.storage).cast(),
                &raw mut name.len,
                std::ptr::null_mut(),
                None,
            ),
        }
    };
    match result {
        SOCKET_ERROR => match errno() {
            // As in std: the end of what can be received.
            WSAESHUTDOWN => 0,
            code => -code,
        },
        _ => count as i32,
    }
}

/// Sends a message, to its address if it has one.
///
/// # Safety
/// All parts of the message are valid for reads.
pub(crate) unsafe fn sendmsg(socket: Raw, message: *const Message<'_>, flags: i32) -> i32 {
    let mut count = 0;
    let socket = socket as SOCKET;
    // SAFETY: the caller's promise; without an OVERLAPPED the system reads during the call only.
    let result = unsafe {
        let message = &*message;
        match message.name.as_ref() {
            None => WSASend(
                socket,
                message.slices,
                message.count,
                &raw mut count,
                flags as u32,
                std::ptr::null_mut(),
                None,
            ),
            Some(name) => WSASendTo(
                socket,
                message.slices,
                message.count,
                &raw mut count,
                flags as u32,
                (&raw const name.storage).cast(),
                name.len,
                std::ptr::null_mut(),
                None,
            ),
        }
    };
    if result == SOCKET_ERROR { -errno() } else { count as i32 }
}

/// Returns the result of a connect that was under way, or the code of one that still is.
pub(crate) fn connect_result(socket: Raw) -> i32 {
    match poll_now(socket, Interest::Writable) {
        0 => {}
        code => return code,
    }
    let (mut error, mut len) = (0_i32, size_of::<i32>() as i32);
    // SAFETY: both places are valid for writes and `len` is the room behind `error`.
    let failed = unsafe {
        let place = (&raw mut error).cast();
        getsockopt(socket as SOCKET, SOL_SOCKET, SO_ERROR, place, &raw mut len) == SOCKET_ERROR
    };
    if failed { -errno() } else { -error }
}
