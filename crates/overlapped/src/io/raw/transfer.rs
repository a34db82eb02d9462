//! One transfer on a socket: a try, if that is likely to find something, then a wait.

use std::io;
use std::os::fd::RawFd;

use crate::op::{Net, Op, Outcome};
use crate::sys::clock;
use crate::sys::errno::WOULD_BLOCK;
use crate::sys::readiness;
use crate::sys::readiness::Interest;
use crate::sys::socket::raw;
use crate::task::aside::{in_place, tried, try_in_turn, wants_try};
use crate::task::ended_by_all_handlers;
use crate::task::wait::perform;
use crate::time::{Duration, deadline_in, sleep};

/// The rest of a transfer that finds nothing time and again, though its descriptor is ready.
const IN_VAIN_PAUSE: Duration = Duration::from_millis(1);

/// A transfer on a socket.
pub(super) struct Transfer<A> {
    /// One try, by a plain call; the result in the kernel's form.
    pub(super) attempt: A,
    /// The same as an operation, if the port knows the flags.
    pub(super) once: Option<Op>,
    /// The wait: the transfer itself, or a readiness.
    pub(super) wait: Op,
}

impl<A: Fn() -> i32> Transfer<A> {
    /// Tries, and waits where that would wait. Receives are tried if that is likely to find
    /// something. `limit` is asked for when the call would have to wait.
    ///
    /// # Safety
    /// As in the comment of the module above.
    pub(super) unsafe fn run(
        &self,
        limit: impl FnOnce() -> io::Result<Option<Duration>>,
    ) -> io::Result<usize> {
        let waits_by_itself = !matches!(self.wait, Op::Wait(_));
        let is_tried = !waits_by_itself || wants_try();
        if is_tried {
            // SAFETY: the caller's promise.
            let outcome = unsafe { self.try_once() }?;
            let found = !outcome.would_block();
            if waits_by_itself {
                tried(found);
            }
            if found {
                return outcome.result();
            }
        }
        match limit() {
            // SAFETY: the caller's promise.
            Ok(None) => unsafe { self.wait(None) },
            Ok(Some(limit)) => {
                let limit = Some(deadline_in(limit));
                // SAFETY: the caller's promise.
                ended_by_all_handlers(|| unsafe { self.wait(limit) })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !is_tried => {
                once(&self.attempt)
            }
            Err(error) => Err(error),
        }
    }

    fn attempt(&self) -> Outcome {
        Outcome::from_raw((self.attempt)())
    }

    /// # Safety
    /// As in the comment of the module above.
    unsafe fn try_once(&self) -> io::Result<Outcome> {
        match &self.once {
            // SAFETY: the caller's promise; it returns after the terminal completion.
            Some(op) => unsafe { try_in_turn(op, || self.attempt()) },
            None => in_place(|| self.attempt()),
        }
    }

    /// # Safety
    /// As in the comment of the module above.
    unsafe fn wait(&self, limit: Option<u64>) -> io::Result<usize> {
        let mut in_vain = 0;
        loop {
            // SAFETY: the caller's promise; `perform` returns after the terminal completion.
            let count = unsafe { perform(&self.wait, limit) }?;
            let Op::Wait(wait) = self.wait else { return Ok(count) };
            let outcome = self.attempt();
            if !outcome.would_block() {
                return outcome.result();
            }
            if wait.interest() == Interest::Readable && readiness::is_shut_down(wait.fd()) {
                // What has come before the end, and after the attempt, comes first.
                let last = self.attempt();
                return if last.would_block() { Ok(0) } else { last.result() };
            }
            if limit.is_some_and(|limit| clock::until(limit) == Duration::ZERO) {
                return Err(io::Error::from_raw_os_error(WOULD_BLOCK));
            }
            in_vain += 1;
            if in_vain > 1 {
                // Ready, and yet there is nothing: the receiver of a datagram is full.
                sleep(IN_VAIN_PAUSE);
            }
        }
    }
}

/// The operations of a receive: one try, and the wait.
pub(super) fn receive(fd: RawFd, flags: i32, op: impl Fn(bool, bool) -> Net) -> (Option<Op>, Op) {
    match raw::peeks(flags) {
        Some(peek) => (Some(Op::Net(op(peek, true))), Op::Net(op(peek, false))),
        None => (None, Op::ready(fd, Interest::Readable)),
    }
}

/// The operations of a send: one try, and the wait. That is not the ring's own send: where a
/// datagram socket's receiver is full, it sends nothing when it tries again.
pub(super) fn send_by(fd: RawFd, flags: i32, op: impl Fn() -> Net) -> (Option<Op>, Op) {
    let once = (flags & !libc::MSG_NOSIGNAL == 0).then(|| Op::Net(op()));
    (once, Op::ready(fd, Interest::Writable))
}

/// One try, for `MSG_DONTWAIT`.
pub(super) fn once(attempt: impl Fn() -> i32) -> io::Result<usize> {
    Outcome::from_raw(in_place(attempt)?).result()
}
