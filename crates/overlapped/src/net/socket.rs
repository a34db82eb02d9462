//! What all sockets share: the descriptor, what the object remembers for it, and the transfers.
//!
//! A transfer puts its operation on this stack; `perform` returns after the terminal completion, so
//! the borrows of descriptor and memory outlast it.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::offload;
use crate::op::{Net, Op, clamp};
use crate::pipe::{End, Side};
use crate::sys::address::SocketAddrBuf;
use crate::sys::descriptor;
use crate::sys::message::Message;
use crate::sys::readiness::Interest;
use crate::sys::socket;
use crate::task::wait::{perform, perform_now};
use crate::task::{count_busy_call, in_tasklet};
use crate::time::{Duration, deadline_in};

/// What clones of a socket share, because they share it in the kernel.
#[derive(Debug, Default)]
struct Modes {
    nonblocking: AtomicBool,
    /// Nanoseconds; 0: no limit.
    read_limit: AtomicU64,
    write_limit: AtomicU64,
    /// Closing may wait for unsent data (`SO_LINGER`), whatever the mode.
    lingers: AtomicBool,
}

/// Which of the two time limits an operation obeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    Read,
    Write,
}

/// A socket in non-blocking mode.
#[derive(Debug)]
pub(super) struct Socket {
    /// There until the drop.
    fd: Option<OwnedFd>,
    modes: Arc<Modes>,
}

impl Socket {
    /// A socket that this library made: in non-blocking mode, no limits.
    pub(super) fn fresh(fd: OwnedFd) -> Socket {
        Socket { fd: Some(fd), modes: Arc::default() }
    }

    /// A socket that this one accepted: Linux has it take over the time limits.
    pub(super) fn child(&self, fd: OwnedFd) -> Socket {
        let child = Socket::fresh(fd);
        child.modes.read_limit.store(self.modes.read_limit.load(Relaxed), Relaxed);
        child.modes.write_limit.store(self.modes.write_limit.load(Relaxed), Relaxed);
        child
    }

    /// A socket from elsewhere: its mode and limits are remembered. An error of fcntl(2) or
    /// getsockopt(2) means that it is no such thing, and shows at the first call on it.
    pub(super) fn adopt(fd: OwnedFd) -> Socket {
        let socket = Socket::fresh(fd);
        let nanos = |limit: io::Result<Option<Duration>>| match limit {
            Ok(Some(limit)) => as_nanos(limit),
            _ => 0,
        };
        let (fd, modes) = (socket.as_fd(), &socket.modes);
        modes.nonblocking.store(descriptor::nonblocking(fd).unwrap_or(false), Relaxed);
        modes.read_limit.store(nanos(socket::read_timeout(fd)), Relaxed);
        modes.write_limit.store(nanos(socket::write_timeout(fd)), Relaxed);
        modes.lingers.store(may_wait(socket::linger(fd).unwrap_or(None)), Relaxed);
        let _ = descriptor::set_nonblocking(fd, true);
        socket
    }

    /// The descriptor, in the mode that `set_nonblocking` asked for.
    pub(super) fn give_up(mut self) -> OwnedFd {
        let _ = descriptor::set_nonblocking(self.as_fd(), self.modes.nonblocking.load(Relaxed));
        self.fd.take().expect("a socket has its descriptor until it is dropped")
    }

    pub(super) fn try_clone(&self) -> io::Result<Socket> {
        let fd = descriptor::duplicate(self.as_fd())?;
        Ok(Socket { fd: Some(fd), modes: Arc::clone(&self.modes) })
    }

    pub(super) fn set_nonblocking(&self, nonblocking: bool) {
        self.modes.nonblocking.store(nonblocking, Relaxed);
    }

    pub(super) fn is_nonblocking(&self) -> bool {
        self.modes.nonblocking.load(Relaxed)
    }

    /// Sets a limit in the kernel too, for the day when the descriptor leaves this library.
    pub(super) fn set_limit(&self, which: Limit, limit: Option<Duration>) -> io::Result<()> {
        let place = match which {
            Limit::Read => {
                socket::set_read_timeout(self.as_fd(), limit)?;
                &self.modes.read_limit
            }
            Limit::Write => {
                socket::set_write_timeout(self.as_fd(), limit)?;
                &self.modes.write_limit
            }
        };
        place.store(limit.map_or(0, as_nanos), Relaxed);
        Ok(())
    }

    pub(super) fn limit(&self, which: Limit) -> Option<Duration> {
        let nanos = match which {
            Limit::Read => self.modes.read_limit.load(Relaxed),
            Limit::Write => self.modes.write_limit.load(Relaxed),
        };
        (nanos != 0).then(|| Duration::from_nanos(nanos))
    }

    /// Performs an operation on this socket, with its mode and limit.
    ///
    /// # Safety
    /// Every pointer in `op` is valid for what the operation does with it until this returns, and
    /// used by nobody else; its descriptor is this socket's.
    unsafe fn perform(&self, op: Net, which: Limit) -> io::Result<usize> {
        let op = &Op::Net(op);
        debug_assert_eq!(op.fd(), self.raw());
        if self.is_nonblocking() {
            // SAFETY: handed on; the borrow of `self` keeps the descriptor open.
            let result = unsafe { perform_now(op) };
            if result.as_ref().is_err_and(is_would_wait) {
                count_busy_call();
            }
            return result;
        }
        let limit = self.limit(which).map(deadline_in);
        // SAFETY: as above.
        unsafe { perform(op, limit) }
    }

    /// accept(2): the new socket, and who it is.
    pub(super) fn accept(&self) -> io::Result<(OwnedFd, SocketAddrBuf)> {
        let mut from = SocketAddrBuf::empty();
        let op = Net::Accept { fd: self.raw(), addr: &raw mut from, nonblocking: false };
        // SAFETY: `from` stands on this frame.
        let socket = unsafe { self.perform(op, Limit::Read) }?;
        // SAFETY: the kernel has just made this descriptor for us; nobody else knows it.
        Ok((unsafe { descriptor::from_value(socket) }, from))
    }

    pub(super) fn receive(&self, buf: &mut [u8], peek: bool) -> io::Result<usize> {
        let (fd, len, buf) = (self.raw(), clamp(buf.len()), buf.as_mut_ptr());
        let op = Net::Recv { fd, buf, len, peek, nonblocking: false };
        // SAFETY: `buf` is borrowed for this call.
        unsafe { self.perform(op, Limit::Read) }
    }

    pub(super) fn receive_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        // readv(2), which std calls, answers this at once; recvmsg(2) would wait.
        if bufs.iter().all(|slice| slice.is_empty()) {
            return Ok(0);
        }
        let mut message = Message::from_slices_mut(bufs);
        self.receive_message(&mut message, false)
    }

    /// One datagram, and who sent it.
    pub(super) fn receive_from(
        &self,
        buf: &mut [u8],
        peek: bool,
    ) -> io::Result<(usize, SocketAddrBuf)> {
        let mut from = SocketAddrBuf::empty();
        let mut slice = [IoSliceMut::new(buf)];
        let mut message = Message::from_slices_mut(&mut slice).with_sender(&mut from);
        let count = self.receive_message(&mut message, peek)?;
        from.len = message.addr_len();
        Ok((count, from))
    }

    fn receive_message(&self, message: &mut Message<'_>, peek: bool) -> io::Result<usize> {
        let message = std::ptr::from_mut(message).cast();
        let op = Net::RecvMsg { fd: self.raw(), message, peek, nonblocking: false };
        // SAFETY: the header borrows its slices and its address, and is borrowed for this call.
        unsafe { self.perform(op, Limit::Read) }
    }

    pub(super) fn send(&self, buf: &[u8]) -> io::Result<usize> {
        let (fd, len, buf) = (self.raw(), clamp(buf.len()), buf.as_ptr());
        let op = Net::Send { fd, buf, len, nonblocking: false };
        // SAFETY: `buf` is borrowed for this call.
        unsafe { self.perform(op, Limit::Write) }
    }

    pub(super) fn send_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if bufs.iter().all(|slice| slice.is_empty()) {
            return Ok(0);
        }
        self.send_message(&Message::from_slices(bufs), false)
    }

    /// One datagram to `to`. `nonblocking`: fails where it would wait, whatever the mode.
    pub(super) fn send_to(
        &self,
        buf: &[u8],
        to: &SocketAddrBuf,
        nonblocking: bool,
    ) -> io::Result<usize> {
        let slice = [IoSlice::new(buf)];
        self.send_message(&Message::from_slices(&slice).with_receiver(to), nonblocking)
    }

    fn send_message(&self, message: &Message<'_>, nonblocking: bool) -> io::Result<usize> {
        let message = std::ptr::from_ref(message).cast();
        let op = Net::SendMsg { fd: self.raw(), message, nonblocking };
        // SAFETY: as in `receive_message`; the kernel only reads.
        unsafe { self.perform(op, Limit::Write) }
    }

    /// One datagram to where it is connected, for sockets of the Unix family.
    ///
    /// Never by the ring's own send: the system copies the bytes before it looks whether the
    /// receiver's queue is full, and when the ring tries again it sends what is left: nothing.
    pub(super) fn send_when_ready(&self, buf: &[u8]) -> io::Result<usize> {
        let limit = self.limit(Limit::Write).map(deadline_in);
        let (fd, len, buf) = (self.raw(), clamp(buf.len()), buf.as_ptr());
        let send = Net::Send { fd, buf, len, nonblocking: true };
        loop {
            // SAFETY: `buf` is borrowed for this call.
            match unsafe { self.perform(send, Limit::Write) } {
                Err(error) if is_would_wait(&error) && !self.is_nonblocking() => {}
                result => return result,
            }
            let ready = Op::ready(fd, Interest::Writable);
            // SAFETY: the borrow of `self` keeps the descriptor open; no memory is involved.
            unsafe { perform(&ready, limit) }?;
        }
    }

    /// connect(2), for at most until `limit`.
    pub(super) fn connect(
        &self,
        to: &SocketAddrBuf,
        nonblocking: bool,
        limit: Option<u64>,
    ) -> io::Result<()> {
        let op = Op::Net(Net::Connect { fd: self.raw(), addr: to, nonblocking });
        // SAFETY: `to` is borrowed for this call, `self` keeps the descriptor open.
        unsafe { perform(&op, limit) }.map(drop)
    }

    /// For `io::copy`; not in non-blocking mode, where every read and write may fail by itself.
    pub(super) fn end(&self, side: Side) -> Option<End<'_>> {
        if self.modes.nonblocking.load(Relaxed) {
            return None;
        }
        let which = match side {
            Side::Source => Limit::Read,
            Side::Sink => Limit::Write,
        };
        End::new(self.as_fd(), self.limit(which)).ok()
    }

    pub(super) fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        socket::set_linger(self.as_fd(), linger)?;
        self.modes.lingers.store(may_wait(linger), Relaxed);
        Ok(())
    }

    pub(super) fn raw(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Drop for Socket {
    /// Closes the descriptor: on a pool thread where that may wait, so that no neighbour does.
    fn drop(&mut self) {
        let fd = self.fd.take();
        if fd.is_some() && self.modes.lingers.load(Relaxed) && in_tasklet() {
            offload::offload(move || drop(fd));
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_ref().expect("a socket has its descriptor until it is dropped").as_fd()
    }
}

/// Whether this is the system's "would wait", and not that the caller may not wait.
pub(super) fn is_would_wait(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EAGAIN)
}

/// Whether closing may wait: a linger time of zero resets the connection at once.
fn may_wait(linger: Option<Duration>) -> bool {
    linger.is_some_and(|time| !time.is_zero())
}

fn as_nanos(limit: Duration) -> u64 {
    u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX).max(1)
}
