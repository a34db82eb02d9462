//! Detects that the client of the calling tasklet's session has left, for code deep below a handler
//! that waits for something else on the client's behalf.
//!
//! A client that has gone cannot be distinguished from one that has only finished sending (`nc
//! -N`): both have sent the end of their stream. Only a reset, or at a Unix socket the end of both
//! directions, tells more. So a client that has finished sending is assumed to listen for a while,
//! unless another client waits for what this one holds.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use overlapped::task::Local;
use overlapped::time::{Duration, Instant};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Socket;

/// The time for which a client that has finished sending is assumed to listen.
const GRACE: Duration = Duration::from_secs(10);

/// The time between two polls of the client while something else is waited for.
pub(crate) const POLL_PERIOD: Duration = Duration::from_millis(200);

// Systems without POLLRDHUP notice only a reset or the end of both directions.
#[cfg(target_os = "linux")]
const FINISHED: PollFlags = PollFlags::RDHUP;
#[cfg(not(target_os = "linux"))]
const FINISHED: PollFlags = PollFlags::empty();

static CLIENT: Local<RefCell<Weak<Socket>>> = Local::new(RefCell::default);

/// Sets the client of the calling tasklet.
pub(crate) fn enter(socket: &Rc<Socket>) {
    CLIENT.with(|client| *client.borrow_mut() = Rc::downgrade(socket));
}

/// The monitor of one client during one wait for something else.
#[derive(Debug, Default)]
pub(crate) struct ClientMonitor {
    finished_at: Option<Instant>,
}

impl ClientMonitor {
    /// Tells whether the calling tasklet's client has left. Reads none of its bytes. With
    /// `is_contended`, another client waits for what this one holds.
    pub(crate) fn has_left(&mut self, is_contended: bool) -> bool {
        let Some(socket) = CLIENT.with(|client| client.borrow().upgrade()) else { return false };
        let mut polled = [PollFd::new(&socket, FINISHED)];
        let nonblocking = Timespec { tv_sec: 0, tv_nsec: 0 };
        if !poll(&mut polled, Some(&nonblocking)).is_ok_and(|ready| ready > 0) {
            return false;
        }
        if polled[0].revents().intersects(PollFlags::HUP | PollFlags::ERR) {
            return true;
        }
        let finished_at = *self.finished_at.get_or_insert_with(Instant::now);
        is_contended || finished_at.elapsed() >= GRACE
    }
}
