//! A request in flight: memory as raw parts, so that nothing refers to it but the kernel.
//!
//! A `Held` has no destructor on purpose: dropped without [`Held::finish`], it
//! leaks its memory, which is the right thing wherever the kernel may still use it.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;

use super::cursors::FileId;
use super::request::{Descriptor, Kind, Request};
use super::{Done, Event, OperationId};
use crate::op::{Fs, Net, Op, Outcome, clamp};
use crate::sys::address::SocketAddrBuf;
use crate::sys::descriptor;
use crate::sys::readiness::Interest;

pub(super) struct Held {
    key: u64,
    descriptor: ManuallyDrop<Descriptor>,
    work: Work,
    /// The file whose cursor it uses.
    pub(super) file: Option<FileId>,
}

/// Raw twins of [`Kind`]. Addresses come from `Box::into_raw`.
enum Work {
    Accept(*mut SocketAddrBuf),
    Connect(*mut SocketAddrBuf),
    Recv(RawVec),
    Send(RawVec, usize),
    Read(RawVec, Option<u64>),
    Write(RawVec, usize, Option<u64>),
    Ready(Interest),
}

/// A `Vec<u8>` taken apart. As long as it is, nobody but the kernel uses its memory.
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

    /// The vector again, longer by `grown`.
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

    /// The room behind the length.
    fn room(self) -> (*mut u8, u32) {
        // SAFETY: the length is within the allocation.
        (unsafe { self.start.add(self.len) }, clamp(self.capacity - self.len))
    }

    /// The bytes from `start` on.
    fn rest(self, start: usize) -> (*const u8, u32) {
        assert!(start <= self.len, "checked when it was submitted");
        // SAFETY: `start` is within the length, which is within the allocation.
        (unsafe { self.start.add(start) }, clamp(self.len - start))
    }
}

impl Held {
    pub(super) fn new(key: u64, request: Request, file: Option<FileId>) -> Held {
        let Request { descriptor, kind } = request;
        let work = match kind {
            Kind::Accept => Work::Accept(Box::into_raw(Box::new(SocketAddrBuf::empty()))),
            Kind::Connect(addr) => Work::Connect(Box::into_raw(Box::new(addr.into()))),
            Kind::Recv(buffer) => Work::Recv(RawVec::new(buffer)),
            Kind::Send(buffer, start) => Work::Send(RawVec::new(buffer), start),
            Kind::Read(buffer, offset) => Work::Read(RawVec::new(buffer), offset),
            Kind::Write(buffer, start, offset) => Work::Write(RawVec::new(buffer), start, offset),
            Kind::Ready(interest) => Work::Ready(interest),
        };
        Held { key, descriptor: ManuallyDrop::new(descriptor), work, file }
    }

    /// The operation. Its pointers are valid until `finish`.
    pub(super) fn op(&self) -> Op {
        let fd = self.descriptor.as_raw_fd();
        let nonblocking = false;
        match self.work {
            Work::Accept(addr) => Op::Net(Net::Accept { fd, addr, nonblocking }),
            Work::Connect(addr) => Op::Net(Net::Connect { fd, addr, nonblocking: false }),
            Work::Recv(buffer) => {
                let (buf, len) = buffer.room();
                let peek = false;
                Op::Net(Net::Recv { fd, buf, len, peek, nonblocking })
            }
            Work::Send(buffer, start) => {
                let (buf, len) = buffer.rest(start);
                Op::Net(Net::Send { fd, buf, len, nonblocking })
            }
            Work::Read(buffer, offset) => {
                let (buf, len) = buffer.room();
                Op::Fs(Fs::Read { fd, buf, len, offset })
            }
            Work::Write(buffer, start, offset) => {
                let (buf, len) = buffer.rest(start);
                Op::Fs(Fs::Write { fd, buf, len, offset })
            }
            Work::Ready(interest) => Op::ready(fd, interest),
        }
    }

    /// The event, when the operation has ended with `outcome`.
    pub(super) fn finish(self, id: OperationId, outcome: Outcome) -> Event {
        let Held { key, descriptor, work, file: _ } = self;
        let done = outcome.result();
        let count = *done.as_ref().unwrap_or(&0);
        let transferred = done.map(Done::Transferred);
        // SAFETY: the work is taken apart once, because this consumes it.
        // The operation has ended, so the kernel is done with the memory and has written `count`
        // bytes into the room.
        let (result, buffer) = unsafe {
            match work {
                Work::Accept(addr) => (accepted(transferred, &Box::from_raw(addr)), None),
                Work::Connect(addr) => {
                    drop(Box::from_raw(addr));
                    (transferred.map(|_| Done::Connected), None)
                }
                Work::Recv(buffer) | Work::Read(buffer, _) => {
                    (transferred, Some(buffer.into_vec(count)))
                }
                Work::Send(buffer, _) | Work::Write(buffer, _, _) => {
                    (transferred, Some(buffer.into_vec(0)))
                }
                Work::Ready(_) => (transferred.map(|_| Done::Ready), None),
            }
        };
        Event { key, id, result, descriptor: ManuallyDrop::into_inner(descriptor), buffer }
    }
}

fn accepted(done: io::Result<Done>, addr: &SocketAddrBuf) -> io::Result<Done> {
    done.map(|done| {
        let Done::Transferred(fd) = done else { unreachable!("made so by the caller") };
        // SAFETY: a successful accept's result is a new descriptor that nobody else knows.
        let socket = unsafe { descriptor::from_value(fd) };
        Done::Accepted { socket, peer: addr.to_std().ok() }
    })
}
