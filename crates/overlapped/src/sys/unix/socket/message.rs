//! A `msghdr` over std's I/O slices, for vectored transfers and datagrams. Conversions only.

use std::io::{IoSlice, IoSliceMut};
use std::marker::PhantomData;

use crate::sys::address::SocketAddrBuf;

/// A slice of memory as the system takes it; std's `IoSlice` and `IoSliceMut` have its layout.
pub(crate) type Slice = libc::iovec;

/// The maximum number of slices in one transfer (`UIO_MAXIOV`, readv(2)); std hides it by clamping,
/// too.
pub(crate) const SLICES_MAX: usize = 1024;

/// A message header that borrows its slices and its receiver or sender. Its own address goes to the
/// kernel, so it must stay where it is until the operation's terminal completion.
#[repr(transparent)]
pub(crate) struct Message<'a> {
    header: libc::msghdr,
    slices: PhantomData<&'a mut [u8]>,
}

impl std::fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message").field("slices", &self.header.msg_iovlen).finish()
    }
}

impl<'a> Message<'a> {
    /// Makes a message for a send.
    pub(crate) fn from_slices(slices: &'a [IoSlice<'a>]) -> Message<'a> {
        Self::over(slices.as_ptr().cast_mut().cast(), slices.len())
    }

    /// Makes a message for a receive.
    pub(crate) fn from_slices_mut(slices: &'a mut [IoSliceMut<'_>]) -> Message<'a> {
        Self::over(slices.as_mut_ptr().cast(), slices.len())
    }

    /// Makes a message for a send or a receive. The caller must keep the slices alive as long as
    /// the message.
    pub(crate) fn over(slices: *mut libc::iovec, count: usize) -> Message<'a> {
        // SAFETY: `msghdr` is a C struct of integers and pointers; all zero is the valid empty one.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        // std guarantees that IoSlice and IoSliceMut are ABI compatible with iovec on Unix.
        header.msg_iov = slices;
        header.msg_iovlen = count.min(SLICES_MAX) as _;
        Message { header, slices: PhantomData }
    }

    /// Sets the address to which the message is sent.
    pub(crate) fn with_receiver(mut self, addr: &'a SocketAddrBuf) -> Message<'a> {
        self.header.msg_name = (&raw const addr.storage).cast_mut().cast();
        self.header.msg_namelen = addr.len;
        self
    }

    /// Sets the place for the sender's address. For its length, see [`Message::addr_len`].
    pub(crate) fn with_sender(mut self, addr: &'a mut SocketAddrBuf) -> Message<'a> {
        self.header.msg_name = (&raw mut addr.storage).cast();
        self.header.msg_namelen = addr.len;
        self
    }

    /// Returns the length of the sender's address, after a receive.
    pub(crate) fn addr_len(&self) -> libc::socklen_t {
        self.header.msg_namelen
    }

    /// Returns the header's address, for the kernel.
    pub(crate) fn as_ptr(this: *const Message<'a>) -> *const libc::msghdr {
        this.cast()
    }
}
