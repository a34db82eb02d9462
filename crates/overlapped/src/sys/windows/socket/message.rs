//! Buffers and an address over std's I/O slices, for vectored transfers and datagrams. Conversions
//! only.

use std::io::{IoSlice, IoSliceMut};
use std::marker::PhantomData;

use windows_sys::Win32::Networking::WinSock::WSABUF;

use super::address::SocketAddrBuf;

/// One buffer, as the system has it.
pub(crate) type Slice = WSABUF;

/// The maximum number of buffers in one call, as on Unix. Windows names no limit.
pub(crate) const SLICES_MAX: usize = 1024;

/// The arguments of WSARecv, WSARecvFrom, WSASend and WSASendTo.
pub(crate) struct Message<'a> {
    pub(super) slices: *mut Slice,
    pub(super) count: u32,
    /// Null without an address.
    pub(super) name: *mut SocketAddrBuf,
    borrowed: PhantomData<&'a mut [u8]>,
}

impl std::fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message").field("slices", &self.count).finish()
    }
}

impl<'a> Message<'a> {
    /// Makes a message that sends `slices`, as many as one call can.
    pub(crate) fn from_slices(slices: &'a [IoSlice<'a>]) -> Message<'a> {
        Self::over(slices.as_ptr().cast_mut().cast(), slices.len())
    }

    /// Makes a message that receives into `slices`, as many as one call can.
    pub(crate) fn from_slices_mut(slices: &'a mut [IoSliceMut<'_>]) -> Message<'a> {
        Self::over(slices.as_mut_ptr().cast(), slices.len())
    }

    /// Makes a message over `count` buffers at `slices`, as many as one call can.
    pub(crate) fn over(slices: *mut Slice, count: usize) -> Message<'a> {
        // std guarantees that IoSlice and IoSliceMut are ABI compatible with WSABUF on Windows.
        let count = count.min(SLICES_MAX) as u32;
        Message { slices, count, name: std::ptr::null_mut(), borrowed: PhantomData }
    }

    /// Sends to `addr`.
    pub(crate) fn with_receiver(mut self, addr: &'a SocketAddrBuf) -> Message<'a> {
        self.name = std::ptr::from_ref(addr).cast_mut();
        self
    }

    /// Receives the sender's address into `addr`, which says how much room there is.
    pub(crate) fn with_sender(mut self, addr: &'a mut SocketAddrBuf) -> Message<'a> {
        self.name = addr;
        self
    }

    /// Returns the length of the sender's address, after a receive with one.
    pub(crate) fn addr_len(&self) -> i32 {
        // SAFETY: the message borrows its address, and only the system has written to it.
        unsafe { self.name.as_ref() }.map_or(0, |name| name.len)
    }

    /// Returns the message as the calls take it.
    pub(crate) fn as_ptr(this: *const Message<'a>) -> *const Message<'a> {
        this
    }
}
