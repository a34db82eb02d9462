//! The end of a process, and several descriptors as one, by a kqueue: it is readable as long as an
//! event is pending in it. A child of fork(2) inherits no kqueue.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::kqueue::{Event, EventFilter, EventFlags, ProcessEvents, kevent, kqueue};
use rustix::io::Errno;
use rustix::process::Pid;

use super::abi::pipe;

/// Makes a descriptor that becomes readable when the process has ended.
pub(crate) fn end_of(pid: Pid) -> io::Result<OwnedFd> {
    let queue = kqueue()?;
    let filter = EventFilter::Proc { pid, flags: ProcessEvents::EXIT };
    match change(&queue, filter, EventFlags::ADD) {
        Ok(()) => Ok(queue),
        // macOS does not watch a process that has ended already. A pipe without a writer is
        // readable for good and replaces it.
        Err(Errno::SRCH) => Ok(pipe(true)?.0),
        Err(errno) => Err(errno.into()),
    }
}

/// Several descriptors as one, which is readable as long as any of them is.
pub(crate) struct AnyReadable(OwnedFd);

impl AnyReadable {
    pub(crate) fn new() -> io::Result<AnyReadable> {
        Ok(AnyReadable(kqueue()?))
    }

    /// Adds a descriptor, which must be removed before it is closed.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        Ok(change(&self.0, EventFilter::Read(fd.as_raw_fd()), EventFlags::ADD)?)
    }

    /// Removes a descriptor.
    pub(crate) fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        Ok(change(&self.0, EventFilter::Read(fd.as_raw_fd()), EventFlags::DELETE)?)
    }
}

impl AsFd for AnyReadable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Changes what a kqueue watches; takes no events out.
fn change(queue: &OwnedFd, filter: EventFilter, flags: EventFlags) -> rustix::io::Result<()> {
    let event = Event::new(filter, flags, std::ptr::null_mut());
    // SAFETY: a descriptor is removed before it is closed, by the callers' contract, and the kernel
    // drops what it watches with the descriptor in any case. There is no room for events.
    unsafe { kevent(queue, &[event], &mut [] as &mut [Event], None) }.map(drop)
}
