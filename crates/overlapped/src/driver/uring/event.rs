//! The notification of a ring from other threads: a message into the ring, or an eventfd that the
//! ring reads.
//!
//! A message (`MSG_RING` without a ring of one's own, Linux 6.13) costs the ring's thread less. The
//! eventfd is for older kernels, and in case a message is refused one day.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use io_uring::opcode;
use io_uring::types::Fd;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, retry_on_intr};

use super::ring::register;
use super::user_data::NOTIFIED;

/// The part of a ring that other threads share.
pub(in crate::driver) struct EventFd {
    fd: OwnedFd,
    /// A duplicate, so that the number is the ring's for as long as any thread may notify it.
    ring: OwnedFd,
    /// Set if the kernel supports messages between rings.
    takes_messages: AtomicBool,
    /// A notification is on its way, and the ring has not noticed it yet.
    pending: AtomicBool,
}

impl EventFd {
    pub(super) fn open(ring: BorrowedFd<'_>, takes_messages: bool) -> io::Result<EventFd> {
        // Without EFD_NONBLOCK, so that a read in the ring waits on every kernel. A write cannot
        // block: `pending` keeps the counter at 1.
        let fd = eventfd(0, EventfdFlags::CLOEXEC)?;
        let ring = rustix::io::fcntl_dupfd_cloexec(ring, 0)?;
        let (takes_messages, pending) = (AtomicBool::new(takes_messages), AtomicBool::new(false));
        Ok(EventFd { fd, ring, takes_messages, pending })
    }

    /// Ends the ring's present or next wait. Async-signal-safe.
    pub(in crate::driver) fn notify(&self) -> Result<(), Errno> {
        if self.pending.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        if self.takes_messages.load(Ordering::Relaxed) {
            match send_message(self.ring.as_fd(), NOTIFIED) {
                Ok(()) => return Ok(()),
                // Any other error may be gone the next time.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                    self.takes_messages.store(false, Ordering::Relaxed);
                }
                Err(_) => {}
            }
        }
        retry_on_intr(|| rustix::io::write(&self.fd, &1u64.to_ne_bytes())).map(drop)
    }

    /// Records that the notification has come. The ring's thread calls this before it reads what
    /// the senders have left.
    pub(super) fn clear(&self) {
        self.pending.swap(false, Ordering::AcqRel);
    }

    /// Returns the eventfd's number, for the ring's read.
    pub(super) fn raw(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// The opcode of the messages with which notifiers wake a ring.
pub(in crate::driver) const MESSAGE: u8 = opcode::MsgRingData::CODE;

/// Posts a completion with `user_data` to the ring `fd` of another thread: `MSG_RING` without a
/// ring of one's own (Linux 6.13, `io_uring_register_sync_msg(3)`).
fn send_message(fd: BorrowedFd<'_>, user_data: u64) -> io::Result<()> {
    const IORING_REGISTER_SEND_MSG_RING: u32 = 31;
    let ring = Fd(fd.as_raw_fd());
    let mut entry = opcode::MsgRingData::new(ring, 0, user_data, None).build();
    register(-1, IORING_REGISTER_SEND_MSG_RING, &mut entry)
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn a_notification_that_does_not_work_is_an_error_and_no_panic() {
        let closed = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        for takes_messages in [false, true] {
            let (fd, ring) = (closed(), closed());
            let takes_messages = AtomicBool::new(takes_messages);
            let event = EventFd { fd, ring, takes_messages, pending: AtomicBool::new(false) };
            assert_eq!(event.notify(), Err(Errno::BADF));
        }
    }
}
