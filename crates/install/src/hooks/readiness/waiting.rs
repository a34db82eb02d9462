//! The wait for one of several descriptors.

use std::ffi::c_int;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use libc::epoll_event;
use overlapped::time::{sleep, try_sleep};

use super::mask::signal_descriptor;
use crate::caller::Call;
use crate::errors::error_number;
use crate::query::Direction;
use crate::raw::{AGAIN, INVALID, Outcome, call};
use crate::wait::{Limit, ready};

/// The way to wait for descriptors.
pub(super) enum WaitStrategy {
    /// For a single descriptor, in one direction.
    One(c_int, Direction),
    /// For an epoll instance that contains them.
    Epoll(OwnedFd, #[expect(dead_code, reason = "it is in the epoll")] Option<OwnedFd>),
    /// By polling at intervals, if no epoll instance can be made or used. The value is one of the
    /// descriptors, if there is any, and a direction in which to wait for it.
    Repeat(Option<(c_int, Direction)>),
}

impl WaitStrategy {
    pub(super) fn new(interests: &[(c_int, u32)], signals: Option<u64>) -> WaitStrategy {
        let direction = |events: u32| match events as i16 {
            libc::POLLIN | libc::POLLRDNORM => Some(Direction::In),
            libc::POLLOUT | libc::POLLWRNORM => Some(Direction::Out),
            _ => None,
        };
        let all: Vec<_> = interests.iter().filter(|(fd, _)| *fd >= 0).collect();
        if let ([(fd, events)], None) = (&all[..], signals)
            && let Some(direction) = direction(*events)
        {
            return WaitStrategy::One(*fd, direction);
        }
        match make_epoll(interests, signals) {
            Ok((epoll, signals)) => WaitStrategy::Epoll(epoll, signals),
            Err(_) => WaitStrategy::repeat(interests),
        }
    }

    fn repeat(interests: &[(c_int, u32)]) -> WaitStrategy {
        let first = interests.iter().find(|(fd, _)| *fd >= 0);
        WaitStrategy::Repeat(first.map(|&(fd, events)| match events as i16 & libc::POLLOUT {
            0 => (fd, Direction::In),
            _ => (fd, Direction::Out),
        }))
    }

    pub(super) fn wait(&mut self, call: &Call, end: &Limit) -> Outcome {
        const RECHECK_INTERVAL: Duration = Duration::from_millis(10);
        const PAUSE: Duration = Duration::from_millis(1);
        match *self {
            WaitStrategy::One(fd, direction) => ready(call, fd, direction, end.left()),
            WaitStrategy::Epoll(ref epoll, _) => {
                match ready(call, epoll.as_raw_fd(), Direction::In, end.left()) {
                    // The kernel limits how many epoll instances inside the port's may watch one
                    // descriptor.
                    INVALID => {
                        *self = WaitStrategy::Repeat(None);
                        AGAIN
                    }
                    other => other,
                }
            }
            WaitStrategy::Repeat(one) => {
                call.count();
                let left = end.left().map_or(RECHECK_INTERVAL, |left| left.min(RECHECK_INTERVAL));
                match one {
                    Some((fd, direction)) => match ready(call, fd, direction, Some(left)) {
                        0 => sleep(left.min(PAUSE)),
                        other => return other,
                    },
                    None => {
                        if let Err(error) = try_sleep(left) {
                            return error_number(&error);
                        }
                    }
                }
                0
            }
        }
    }
}

/// Makes an epoll instance that is readable when one of the descriptors is ready, or one of the
/// signals is pending. The second result is the signals' descriptor.
fn make_epoll(
    interests: &[(c_int, u32)],
    signals: Option<u64>,
) -> Result<(OwnedFd, Option<OwnedFd>), Outcome> {
    // SAFETY: a new descriptor, or an error.
    let made = unsafe { call!(epoll_create1, libc::EPOLL_CLOEXEC) };
    if made < 0 {
        return Err(made);
    }
    // SAFETY: it was made just now.
    let epoll = unsafe { OwnedFd::from_raw_fd(made as c_int) };
    let add = |fd: c_int, events: u32| {
        let mut event = epoll_event { events, u64: 0 };
        // SAFETY: the event is borrowed for the call.
        unsafe { call!(epoll_ctl, epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) }
    };
    for &(fd, _) in interests.iter().filter(|(fd, _)| *fd >= 0) {
        // Each descriptor is added once, with all its events.
        let events = interests.iter().filter(|(other, _)| *other == fd);
        // EPERM (a file, which is always ready) and EEXIST (a descriptor named twice) do not
        // matter: the poll has found the first, and the second has been added.
        let added = add(fd, events.fold(0, |all, (_, events)| all | events));
        if added < 0 && ![libc::EPERM, libc::EEXIST].contains(&(-added as c_int)) {
            return Err(added);
        }
    }
    let signals = signals.map(signal_descriptor).transpose()?;
    if let Some(signals) = &signals
        && let error @ ..0 = add(signals.as_raw_fd(), libc::EPOLLIN as u32)
    {
        return Err(error);
    }
    Ok((epoll, signals))
}
