//! The socket under every type of this module: the descriptor, its state, and the transfers.
//!
//! A transfer puts its operation on the caller's stack. `perform` returns after the terminal
//! completion, so the borrows of descriptor and memory outlast the operation.

use std::io::{self, IoSlice, IoSliceMut};
use std::sync::Arc;

pub(super) use crate::descriptor::Limit;
use crate::descriptor::{self, State};
use crate::offload;
use crate::op::{Net, Op, clamp};
#[cfg(unix)]
use crate::pipe::{End, Side};
use crate::sys;
use crate::sys::address::SocketAddrBuf;
use crate::sys::descriptor::Raw;
use crate::sys::errno::says_would_block;
use crate::sys::message::Message;
use crate::sys::socket::{self, AsSocket, BorrowedSocket, OwnedSocket};
use crate::task::wait::{perform, perform_now};
use crate::task::{count_busy_call, in_tasklet};
use crate::time::{Duration, deadline_in};

/// The name of a socket's number in `Debug`, as std has it.
pub(super) const NUMBER: &str = if cfg!(windows) { "socket" } else { "fd" };

/// A socket in non-blocking mode.
#[derive(Debug)]
pub(super) struct Socket {
    /// Present until the drop.
    fd: Option<OwnedSocket>,
    state: Arc<State>,
}

impl Socket {
    /// Wraps a socket that this library made: in non-blocking mode, without limits.
    pub(super) fn new(fd: OwnedSocket) -> Socket {
        Socket { fd: Some(fd), state: Arc::default() }
    }

    /// Makes the same as [`new`](Socket::new), for a socket of the Unix family.
    pub(super) fn new_unix(fd: OwnedSocket) -> Socket {
        Socket { fd: Some(fd), state: Arc::new(State::of_unix_socket()) }
    }

    /// Wraps a socket that this one accepted. It takes over the time limits, as in Linux.
    pub(super) fn accepted(&self, fd: OwnedSocket) -> Socket {
        let accepted = Socket::new(fd);
        for which in [Limit::Read, Limit::Write] {
            accepted.state.set_limit(which, self.state.limit(which));
        }
        // As in std: on Windows an accepted socket has its listener's mode.
        accepted.state.set_nonblocking(cfg!(windows) && self.is_nonblocking());
        accepted
    }

    /// Wraps a socket from elsewhere, and stores its mode and limits. An error of fcntl(2) or
    /// getsockopt(2) means that `fd` is no socket, and shows at the first call on it.
    pub(super) fn from_std(fd: OwnedSocket) -> Socket {
        let socket = match socket::is_unix(fd.as_socket()) {
            true => Socket::new_unix(fd),
            false => Socket::new(fd),
        };
        let (fd, state) = (socket.as_socket(), &socket.state);
        state.set_nonblocking(sys::descriptor::nonblocking(fd).unwrap_or(false));
        state.set_limit(Limit::Read, socket::read_timeout(fd).unwrap_or(None));
        state.set_limit(Limit::Write, socket::write_timeout(fd).unwrap_or(None));
        state.set_linger(socket::linger(fd).unwrap_or(None));
        let _ = sys::descriptor::set_nonblocking(fd, true);
        socket
    }

    /// Returns the descriptor, in the mode set by `set_nonblocking`.
    pub(super) fn into_std(mut self) -> OwnedSocket {
        let _ = sys::descriptor::set_nonblocking(self.as_socket(), self.state.is_nonblocking());
        self.fd.take().expect("a socket has its descriptor until it is dropped")
    }

    pub(super) fn try_clone(&self) -> io::Result<Socket> {
        let fd = sys::descriptor::duplicate(self.as_socket())?;
        Ok(Socket { fd: Some(fd), state: Arc::clone(&self.state) })
    }

    pub(super) fn set_nonblocking(&self, nonblocking: bool) {
        self.state.set_nonblocking(nonblocking);
    }

    pub(super) fn is_nonblocking(&self) -> bool {
        self.state.is_nonblocking()
    }

    /// Sets a limit, in the kernel too: it holds when the descriptor leaves this library.
    pub(super) fn set_limit(&self, which: Limit, limit: Option<Duration>) -> io::Result<()> {
        match which {
            Limit::Read => socket::set_read_timeout(self.as_socket(), limit)?,
            Limit::Write => socket::set_write_timeout(self.as_socket(), limit)?,
        }
        self.state.set_limit(which, limit);
        Ok(())
    }

    pub(super) fn limit(&self, which: Limit) -> Option<Duration> {
        self.state.limit(which)
    }

    /// Returns when a call that begins now reaches its limit.
    fn deadline(&self, which: Limit) -> Option<u64> {
        self.state.limit(which).map(deadline_in)
    }

    /// Performs an operation on this socket, under its mode and limit.
    ///
    /// # Safety
    /// Every pointer in `op` is valid for what the operation does with it until this returns, and
    /// used by no other code; its descriptor is this socket's.
    unsafe fn perform(&self, op: Net, which: Limit) -> io::Result<usize> {
        let may_wait = !op.is_nonblocking();
        let op = &Op::Net(op);
        debug_assert_eq!(op.fd(), self.raw());
        if self.is_nonblocking() {
            // SAFETY: the caller's promise.
            return unsafe { self.perform_now(op) };
        }
        let deadline = self.deadline(which);
        // SAFETY: the caller's promise; the borrow of `self` keeps the descriptor open.
        unsafe {
            match which {
                Limit::Write if may_wait && self.state.is_unix() => {
                    descriptor::send_on_unix_socket(op, deadline)
                }
                Limit::Read | Limit::Write => perform(op, deadline),
            }
        }
    }

    /// # Safety
    /// The same as for [`perform`](Socket::perform).
    unsafe fn perform_now(&self, op: &Op) -> io::Result<usize> {
        // SAFETY: the caller's promise; the borrow of `self` keeps the descriptor open.
        let result = unsafe { perform_now(op) };
        if result.as_ref().is_err_and(says_would_block) {
            count_busy_call();
        }
        result
    }

    /// Accepts a connection: accept(2). Returns the socket and the peer's address.
    pub(super) fn accept(&self) -> io::Result<(OwnedSocket, SocketAddrBuf)> {
        let mut from = SocketAddrBuf::empty();
        let op = Net::Accept { fd: self.raw(), addr: &raw mut from, nonblocking: false };
        // SAFETY: `from` lies in this frame.
        let socket = unsafe { self.perform(op, Limit::Read) }?;
        // SAFETY: the kernel has just made this descriptor, and no other code knows it.
        Ok((unsafe { sys::descriptor::from_value(socket) }, from))
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

    /// Receives one datagram. Returns its length and the sender's address.
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

    /// Sends one datagram to `to`. `nonblocking`: fails if it would wait, in either mode.
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

    /// Sends one datagram to the connected address, on a socket of the Unix family.
    ///
    /// It does not use the ring's own send. The kernel consumes the bytes before it finds the
    /// receiver's queue full, so a second try of the ring would send an empty datagram.
    #[cfg(unix)]
    pub(super) fn send_when_ready(&self, buf: &[u8]) -> io::Result<usize> {
        let limit = self.deadline(Limit::Write);
        let (fd, len, buf) = (self.raw(), clamp(buf.len()), buf.as_ptr());
        let send = Net::Send { fd, buf, len, nonblocking: true };
        loop {
            // SAFETY: `buf` is borrowed for this call.
            match unsafe { self.perform(send, Limit::Write) } {
                Err(error) if says_would_block(&error) && !self.is_nonblocking() => {}
                result => return result,
            }
            descriptor::wait_writable(self.as_socket(), limit)?;
        }
    }

    /// Connects: connect(2), until the time `limit` at the latest.
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

    /// Returns the socket as an end for `io::copy`. `None` in non-blocking mode, in which every
    /// single read and write may fail.
    #[cfg(unix)]
    pub(super) fn end(&self, side: Side) -> Option<End<'_>> {
        if self.is_nonblocking() {
            return None;
        }
        let which = match side {
            Side::Source => Limit::Read,
            Side::Sink => Limit::Write,
        };
        End::new(self.as_socket(), self.limit(which)).ok()
    }

    pub(super) fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        socket::set_linger(self.as_socket(), linger)?;
        self.state.set_linger(linger);
        Ok(())
    }

    pub(super) fn raw(&self) -> Raw {
        socket::raw_of(self.as_socket())
    }

    pub(super) fn as_socket(&self) -> BorrowedSocket<'_> {
        self.fd.as_ref().expect("a socket has its descriptor until it is dropped").as_socket()
    }
}

impl Drop for Socket {
    /// Closes the descriptor: on a pool thread if closing may wait, so that only this tasklet's
    /// connection does.
    fn drop(&mut self) {
        let fd = self.fd.take();
        // Windows does not close a socket in non-blocking mode that would have to wait. Clones
        // share the mode.
        let may_wait = self.state.lingers() && Arc::strong_count(&self.state) == 1;
        if let (true, Some(fd)) = (cfg!(windows) && may_wait, &fd) {
            let _ = sys::descriptor::set_nonblocking(fd.as_socket(), false);
        }
        if fd.is_some() && self.state.lingers() && in_tasklet() {
            offload::offload(move || drop(fd));
        }
    }
}
