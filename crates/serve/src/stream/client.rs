//! The client of the session that runs in this tasklet, for code deep below a handler that waits
//! for something else on the client's behalf.
//!
//! A client that has gone cannot be told from one that has only finished sending (`nc -N`): both
//! have sent the end of their stream. Only a reset, or at a Unix socket the end of both directions,
//! says more. So a client that has finished sending is believed to listen for a while, and for as
//! long as nobody else waits for what it holds.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use overlapped::task::Local;
use overlapped::time::{Duration, Instant};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Link;

/// The time for which a client that has finished sending is believed to listen.
const BELIEF: Duration = Duration::from_secs(10);

/// Between two looks at a client while something else is waited for.
pub(crate) const LOOK: Duration = Duration::from_millis(200);

#[cfg(target_os = "linux")]
const FINISHED: PollFlags = PollFlags::RDHUP;
#[cfg(not(target_os = "linux"))]
const FINISHED: PollFlags = PollFlags::empty();

static CLIENT: Local<RefCell<Weak<Link>>> = Local::new(RefCell::default);

/// Names the client of the calling tasklet.
pub(crate) fn enter(link: &Rc<Link>) {
    CLIENT.with(|client| *client.borrow_mut() = Rc::downgrade(link));
}

/// The state of a client while something else was waited for.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    finished: Option<Instant>,
}

impl Watch {
    /// Looks whether the calling tasklet's client has left. Takes nothing of what it has sent.
    /// `is_wanted`: somebody else waits for what it holds.
    pub(crate) fn has_left(&mut self, is_wanted: bool) -> bool {
        let Some(link) = CLIENT.with(|client| client.borrow().upgrade()) else { return false };
        let mut socket = [PollFd::new(&link.socket, FINISHED)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        if !poll(&mut socket, Some(&at_once)).is_ok_and(|ready| ready > 0) {
            return false;
        }
        if socket[0].revents().intersects(PollFlags::HUP | PollFlags::ERR) {
            return true;
        }
        let finished = *self.finished.get_or_insert_with(Instant::now);
        is_wanted || finished.elapsed() >= BELIEF
    }
}
