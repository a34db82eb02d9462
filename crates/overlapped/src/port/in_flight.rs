//! Requests in flight. Their memory is kept as raw parts, so that only the kernel refers to it.
//!
//! An [`InFlight`] has no destructor on purpose: dropped without [`InFlight::finish`], it leaks its
//! memory, because the kernel may still use it.

use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;

use super::cursors::FileId;
use super::event::{Done, Event, OperationId};
use super::request::{Descriptor, Operation, Request};
use crate::op::{Fs, Net, Op, Outcome, clamp};
use crate::sys::address::SocketAddrBuf;
use crate::sys::descriptor;
use crate::sys::readiness::Interest;

pub(super) struct InFlight {
    key: u64,
    descriptor: ManuallyDrop<Descriptor>,
    operation: RawOperation,
    /// The file whose cursor it uses.
    pub(super) file: Option<FileId>,
}

/// The raw form of [`Operation`]. Addresses come from `Box::into_raw`.
enum RawOperation {
    Accept(*mut SocketAddrBuf),
    Connect(*mut SocketAddrBuf),
    Recv(RawVec),
    Send(RawVec, usize),
    Read(RawVec, Option<u64>),
    Write(RawVec, usize, Option<u64>),
    Ready(Interest),
}

/// A `Vec<u8>` taken apart. Until it is put together again, only the kernel uses its memory.
#[derive(Clone, Copy)]
struct RawVec {
    start: *mut u8,
    len: usize,
    capacity: usize,
}

impl RawVec {
    fn new(vec: Vec<u8>) -> RawVec {
        let mut vec = ManuallyDrop::new(vec);
        RawVec { start: vec.as_mut_ptr(), len: vec.len(), capacity: vec.capacity() }
    }

    /// Returns the vector again, longer by `grown`.
    ///
    /// # Safety
    /// Called once for each `new`; the kernel is done with the memory, and has written the
    /// `grown` bytes behind the length.
    unsafe fn into_vec(self, grown: usize) -> Vec<u8> {
        assert!(grown <= self.capacity - self.len, "more was received than there was room for");
        // SAFETY: the parts are those of a vector that was taken apart and not put together since;
        // the bytes up to the new length are initialised, by the caller's promise.
        unsafe { Vec::from_raw_parts(self.start, self.len + grown, self.capacity) }
    }

    /// Returns the spare capacity.
    fn spare(self) -> (*mut u8, u32) {
        // SAFETY: the length is within the allocation.
        (unsafe { self.start.add(self.len) }, clamp(self.capacity - self.len))
    }

    /// Returns the bytes from `start` on.
    fn rest(self, start: usize) -> (*const u8, u32) {
        assert!(start <= self.len, "checked when it was submitted");
        // SAFETY: `start` is within the length, which is within the allocation.
        (unsafe { self.start.add(start) }, clamp(self.len - start))
    }
}

impl InFlight {
    pub(super) fn new(key: u64, request: Request, file: Option<FileId>) -> InFlight {
        let Request { descriptor, operation } = request;
        let operation = match operation {
            Operation::Accept => {
                RawOperation::Accept(Box::into_raw(Box::new(SocketAddrBuf::empty())))
            }
            Operation::Connect(addr) => RawOperation::Connect(Box::into_raw(Box::new(addr.into()))),
            Operation::Recv(buffer) => RawOperation::Recv(RawVec::new(buffer)),
            Operation::Send(buffer, start) => RawOperation::Send(RawVec::new(buffer), start),
            Operation::Read(buffer, offset) => RawOperation::Read(RawVec::new(buffer), offset),
            Operation::Write(buffer, start, offset) => {
                RawOperation::Write(RawVec::new(buffer), start, offset)
            }
            Operation::Ready(interest) => RawOperation::Ready(interest),
        };
        InFlight { key, descriptor: ManuallyDrop::new(descriptor), operation, file }
    }

    /// Returns the operation. Its pointers are valid until `finish`.
    pub(super) fn op(&self) -> Op {
        let fd = self.descriptor.as_raw_fd();
        let nonblocking = false;
        match self.operation {
            RawOperation::Accept(addr) => Op::Net(Net::Accept { fd, addr, nonblocking }),
            RawOperation::Connect(addr) => Op::Net(Net::Connect { fd, addr, nonblocking: false }),
            RawOperation::Recv(buffer) => {
                let (buf, len) = buffer.spare();
                let peek = false;
                Op::Net(Net::Recv { fd, buf, len, peek, nonblocking })
            }
            RawOperation::Send(buffer, start) => {
                let (buf, len) = buffer.rest(start);
                Op::Net(Net::Send { fd, buf, len, nonblocking })
            }
            RawOperation::Read(buffer, offset) => {
                let (buf, len) = buffer.spare();
                Op::Fs(Fs::Read { fd, buf, len, offset })
            }
            RawOperation::Write(buffer, start, offset) => {
                let (buf, len) = buffer.rest(start);
                Op::Fs(Fs::Write { fd, buf, len, offset })
            }
            RawOperation::Ready(interest) => Op::ready(fd, interest),
        }
    }

    /// Returns the event, when the operation has ended with `outcome`.
    pub(super) fn finish(self, id: OperationId, outcome: Outcome) -> Event {
        let InFlight { key, descriptor, operation, file: _ } = self;
        let done = outcome.result();
        let count = *done.as_ref().unwrap_or(&0);
        // SAFETY: the operation is taken apart once, because this consumes it.
        // The operation has ended, so the kernel is done with the memory and has written `count`
        // bytes behind the length. An accept's result is a new descriptor that no other code knows.
        let (result, buffer) = unsafe {
            match operation {
                RawOperation::Accept(addr) => {
                    let addr = Box::from_raw(addr);
                    (done.map(|fd| accepted(fd, &addr)), None)
                }
                RawOperation::Connect(addr) => {
                    drop(Box::from_raw(addr));
                    (done.map(|_| Done::Connected), None)
                }
                RawOperation::Recv(buffer) | RawOperation::Read(buffer, _) => {
                    (done.map(Done::Transferred), Some(buffer.into_vec(count)))
                }
                RawOperation::Send(buffer, _) | RawOperation::Write(buffer, _, _) => {
                    (done.map(Done::Transferred), Some(buffer.into_vec(0)))
                }
                RawOperation::Ready(_) => (done.map(|_| Done::Ready), None),
            }
        };
        Event { key, id, result, descriptor: ManuallyDrop::into_inner(descriptor), buffer }
    }
}

/// # Safety
/// `fd` is the result of an accept that has succeeded, and no other code knows it.
unsafe fn accepted(fd: usize, addr: &SocketAddrBuf) -> Done {
    // SAFETY: the caller's promise.
    let socket = unsafe { descriptor::from_value(fd) };
    Done::Accepted { socket, peer: addr.to_std().ok() }
}
