//! One transfer on a socket: a try, if it is likely to find something, then a wait.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::descriptor::{wait_ready, wait_writable};
use crate::op::{Net, Op, Outcome};
use crate::sys::clock;
use crate::sys::errno;
use crate::sys::readiness::{Interest, is_shut_down};
use crate::sys::socket::raw;
use crate::task::blocking::{in_place, record_speculation, speculates, try_in_turn};
use crate::task::ended_by_all_handlers;
use crate::task::wait::perform;
use crate::time::{Duration, deadline_in, sleep};

/// The pause of a transfer that finds nothing several times although its descriptor is ready.
const IN_VAIN_PAUSE: Duration = Duration::from_millis(1);

/// A transfer on a socket.
pub(super) struct Transfer<'a, A> {
    pub(super) fd: BorrowedFd<'a>,
    /// The function that makes one try, by a plain call; returns the result in the kernel's form.
    pub(super) attempt: A,
    /// The try as an operation, if the port knows its flags.
    pub(super) once: Option<Op>,
    pub(super) wait: WaitBy,
}

/// The wait after a try in vain.
pub(super) enum WaitBy {
    /// The transfer itself waits, as an operation of the port.
    Operation(Op),
    Readable,
    Writable,
}

impl<A: Fn() -> i32> Transfer<'_, A> {
    /// Tries the transfer, and waits if the try would wait. A receive is tried if it is likely to
    /// find something. `limit` is called if the call has to wait.
    ///
    /// # Safety
    /// As in the comment of the module above.
    pub(super) unsafe fn run(
        &self,
        limit: impl FnOnce() -> io::Result<Option<Duration>>,
    ) -> io::Result<usize> {
        let waits_by_itself = matches!(self.wait, WaitBy::Operation(_));
        let is_tried = !waits_by_itself || speculates();
        if is_tried {
            // SAFETY: the caller's promise.
            let outcome = unsafe { self.try_once() }?;
            let found = !outcome.would_block();
            if waits_by_itself {
                record_speculation(found);
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
            let is_ready = match &self.wait {
                WaitBy::Operation(op) => {
                    // SAFETY: the caller's promise; `perform` returns after the terminal
                    // completion.
                    return unsafe { perform(op, limit) };
                }
                WaitBy::Readable => {
                    wait_ready(self.fd, Interest::Readable, limit)?;
                    true
                }
                WaitBy::Writable => wait_writable(self.fd, limit)?,
            };
            let outcome = self.attempt();
            if !outcome.would_block() {
                return outcome.result();
            }
            if matches!(self.wait, WaitBy::Readable) && is_shut_down(self.fd.as_raw_fd()) {
                // Bytes that have come before the end, and after the attempt, come first.
                let last = self.attempt();
                return if last.would_block() { Ok(0) } else { last.result() };
            }
            if limit.is_some_and(|limit| clock::until(limit) == Duration::ZERO) {
                return Err(errno::error(errno::WOULD_BLOCK));
            }
            in_vain += u32::from(is_ready);
            if in_vain > 1 {
                // Ready, and yet the attempt would wait: the queue of a datagram's receiver is
                // full.
                sleep(IN_VAIN_PAUSE);
            }
        }
    }
}

/// Returns the operations of a receive: one try, and the wait.
pub(super) fn receive(flags: i32, op: impl Fn(bool, bool) -> Net) -> (Option<Op>, WaitBy) {
    match raw::peeks(flags) {
        Some(peek) => (Some(Op::Net(op(peek, true))), WaitBy::Operation(Op::Net(op(peek, false)))),
        None => (None, WaitBy::Readable),
    }
}

/// Returns the operations of a send: one try, and the wait. The wait is not the ring's own send: if
/// the receiver of a datagram is full, the ring sends nothing when it tries again.
pub(super) fn send_by(flags: i32, op: impl Fn() -> Net) -> (Option<Op>, WaitBy) {
    let once = (flags & !libc::MSG_NOSIGNAL == 0).then(|| Op::Net(op()));
    (once, WaitBy::Writable)
}

/// Makes one try, for `MSG_DONTWAIT`.
pub(super) fn once(attempt: impl Fn() -> i32) -> io::Result<usize> {
    Outcome::from_raw(in_place(attempt)?).result()
}
