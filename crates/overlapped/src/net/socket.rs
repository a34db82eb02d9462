//! What listeners and streams share: the descriptor, and what the object remembers for it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::op::{Op, Outcome};
use crate::port::{control, offload};
use crate::task::in_tasklet;
use crate::task::wait::{perform, perform_now};
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
        modes.nonblocking.store(control::nonblocking(fd).unwrap_or(false), Relaxed);
        modes.read_limit.store(nanos(control::read_timeout(fd)), Relaxed);
        modes.write_limit.store(nanos(control::write_timeout(fd)), Relaxed);
        modes.lingers.store(may_wait(control::linger(fd).unwrap_or(None)), Relaxed);
        let _ = control::set_nonblocking(fd, true);
        socket
    }

    /// The descriptor, in the mode that `set_nonblocking` asked for.
    pub(super) fn give_up(mut self) -> OwnedFd {
        let _ = control::set_nonblocking(self.as_fd(), self.modes.nonblocking.load(Relaxed));
        self.fd.take().expect("a socket has its descriptor until it is dropped")
    }

    pub(super) fn try_clone(&self) -> io::Result<Socket> {
        let fd = control::duplicate(self.as_fd())?;
        Ok(Socket { fd: Some(fd), modes: Arc::clone(&self.modes) })
    }

    pub(super) fn set_nonblocking(&self, nonblocking: bool) {
        self.modes.nonblocking.store(nonblocking, Relaxed);
    }

    /// Sets a limit in the kernel too, for the day when the descriptor leaves this library.
    pub(super) fn set_limit(&self, which: Limit, limit: Option<Duration>) -> io::Result<()> {
        let place = match which {
            Limit::Read => {
                control::set_read_timeout(self.as_fd(), limit)?;
                &self.modes.read_limit
            }
            Limit::Write => {
                control::set_write_timeout(self.as_fd(), limit)?;
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
    pub(super) unsafe fn perform(&self, op: &Op, which: Limit) -> io::Result<Outcome> {
        debug_assert_eq!(op.fd(), self.raw());
        if self.modes.nonblocking.load(Relaxed) {
            // SAFETY: handed on; the borrow of `self` keeps the descriptor open.
            return unsafe { perform_now(op) };
        }
        let limit = self.limit(which).map(deadline_in);
        // SAFETY: as above.
        unsafe { perform(op, limit) }
    }

    pub(super) fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        control::set_linger(self.as_fd(), linger)?;
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

/// Whether closing may wait: a linger time of zero resets the connection at once.
fn may_wait(linger: Option<Duration>) -> bool {
    linger.is_some_and(|time| !time.is_zero())
}

fn as_nanos(limit: Duration) -> u64 {
    u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX).max(1)
}
