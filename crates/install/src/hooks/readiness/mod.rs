//! poll, select, epoll: waits for several descriptors.
//!
//! A poll without a wait finds what is ready. If nothing is, a single descriptor is waited for.
//! Several are put into an epoll instance of the call's own, whose descriptor is readable as soon
//! as one of them is ready; then the call polls again. If no descriptor is left for an epoll
//! instance, it polls every ten milliseconds.
//!
//! A signal handler ends the call with EINTR. A signal mask holds for the polls: a signal that the
//! thread blocks, and the mask does not, makes the call poll, and is so delivered. (A signal that
//! the thread does not block is not blocked by the mask while the call waits.)

mod mask;
mod waiting;

use std::ffi::{c_int, c_void};
use std::time::Duration;

use libc::{epoll_event, fd_set, nfds_t, pollfd, sigset_t, timespec, timeval};
use overlapped::signal::{Restart, interruptible};

use crate::caller::Call;
use crate::query::Direction;
use crate::raw::{AGAIN, INVALID, Outcome, call, give_int};
use crate::symbols::Symbol;
use crate::timespec::{duration, from_duration};
use crate::wait::{Limit, ready};
use mask::unblocked_by;
pub(crate) use mask::{MASK_SIZE, NO_MASK, signal_descriptor};
use waiting::WaitStrategy;

unsafe fn poll_kernel(
    asked: *mut pollfd,
    count: nfds_t,
    limit: Option<Duration>,
    mask: *const sigset_t,
) -> Outcome {
    let mut time = limit.map(from_duration);
    let time = time.as_mut().map_or(std::ptr::null_mut(), |time| time as *mut timespec);
    // SAFETY: the caller's promise, handed on.
    unsafe { call!(ppoll, asked, count, time, mask, MASK_SIZE) }
}

/// poll(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn poll(asked: *mut pollfd, count: nfds_t, limit: c_int) -> c_int {
    let limit = u64::try_from(limit).ok().map(Duration::from_millis);
    // SAFETY: the caller's promise, handed on.
    give_int(unsafe { poll_by(Symbol::poll, asked, count, limit, NO_MASK) })
}

/// poll(2) as fortified C calls it: `room` is the size of the buffer.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn __poll_chk(
    asked: *mut pollfd,
    count: nfds_t,
    limit: c_int,
    room: usize,
) -> c_int {
    super::must_fit(count as usize, room / size_of::<pollfd>());
    // SAFETY: the caller's promise, handed on.
    unsafe { poll(asked, count, limit) }
}

/// ppoll(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn ppoll(
    asked: *mut pollfd,
    count: nfds_t,
    limit: *const timespec,
    mask: *const sigset_t,
) -> c_int {
    // SAFETY: the caller's promise.
    let limit = match unsafe { limit.as_ref() }.map(duration) {
        None => None,
        Some(Some(limit)) => Some(limit),
        Some(None) => return give_int(INVALID),
    };
    // SAFETY: the caller's promise, handed on.
    give_int(unsafe { poll_by(Symbol::ppoll, asked, count, limit, mask) })
}

/// ppoll(2) as fortified C calls it: `room` is the size of the buffer.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn __ppoll_chk(
    asked: *mut pollfd,
    count: nfds_t,
    limit: *const timespec,
    mask: *const sigset_t,
    room: usize,
) -> c_int {
    super::must_fit(count as usize, room / size_of::<pollfd>());
    // SAFETY: the caller's promise, handed on.
    unsafe { ppoll(asked, count, limit, mask) }
}

/// Performs poll(2), by any name.
pub(crate) unsafe fn poll_by(
    symbol: Symbol,
    asked: *mut pollfd,
    count: nfds_t,
    limit: Option<Duration>,
    mask: *const sigset_t,
) -> Outcome {
    let begun = Call::begin_if_waits(limit != Some(Duration::ZERO), symbol);
    let Some(call) = begun else {
        // SAFETY: the caller's promise, handed on.
        return unsafe { poll_kernel(asked, count, limit, mask) };
    };
    poll_and_wait(
        &call,
        limit,
        // SAFETY: the caller's promise.
        unsafe { unblocked_by(mask) },
        // SAFETY: as above.
        || unsafe { poll_kernel(asked, count, Some(Duration::ZERO), mask) },
        || {
            let asked: &[pollfd] = match count {
                0 => &[],
                // SAFETY: the caller's promise; the kernel has looked at them.
                _ => unsafe { std::slice::from_raw_parts(asked, count as usize) },
            };
            asked.iter().map(|one| (one.fd, one.events as u32)).collect()
        },
    )
}

/// Polls until something is ready, or an error, or the limit is reached.
fn poll_and_wait(
    call: &Call,
    limit: Option<Duration>,
    signals: Option<u64>,
    try_once: impl Fn() -> Outcome,
    interests: impl Fn() -> Vec<(c_int, u32)>,
) -> Outcome {
    let end = Limit::new(limit);
    let mut waiting = None;
    // A signal's descriptor becomes ready at every signal, and is then polled in vain.
    interruptible(Restart::No, || {
        loop {
            let found = try_once();
            if found != 0 || end.is_over() {
                return found;
            }
            // Made once: no interest is added or removed while the call lasts.
            let waiting = waiting.get_or_insert_with(|| WaitStrategy::new(&interests(), signals));
            match waiting.wait(call, &end) {
                0 | AGAIN => {}
                error => return error,
            }
        }
    })
}

/// select(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn select(
    count: c_int,
    read: *mut fd_set,
    write: *mut fd_set,
    except: *mut fd_set,
    limit: *mut timeval,
) -> c_int {
    // SAFETY: the caller's promise.
    let span = match unsafe { limit.as_ref() } {
        None => None,
        Some(time) if time.tv_sec < 0 || !(0..1_000_000).contains(&time.tv_usec) => {
            return give_int(INVALID);
        }
        Some(time) => Some(Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000)),
    };
    let end = Limit::new(span);
    let sets = Sets { count, read, write, except };
    // SAFETY: the caller's promise, handed on.
    let outcome = unsafe { select_by(Symbol::select, sets, span, NO_MASK) };
    // Linux reports the remaining time.
    // SAFETY: the caller's promise.
    if let (Some(time), Some(left)) = (unsafe { limit.as_mut() }, end.left()) {
        time.tv_sec = left.as_secs() as i64;
        time.tv_usec = i64::from(left.subsec_micros());
    }
    give_int(outcome)
}

/// pselect(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn pselect(
    count: c_int,
    read: *mut fd_set,
    write: *mut fd_set,
    except: *mut fd_set,
    limit: *const timespec,
    mask: *const sigset_t,
) -> c_int {
    // SAFETY: the caller's promise.
    let span = match unsafe { limit.as_ref() }.map(duration) {
        None => None,
        Some(Some(span)) => Some(span),
        Some(None) => return give_int(INVALID),
    };
    let sets = Sets { count, read, write, except };
    // SAFETY: the caller's promise, handed on.
    give_int(unsafe { select_by(Symbol::pselect, sets, span, mask) })
}

/// The sets with the interests of select, which also receive its result.
#[derive(Clone, Copy)]
struct Sets {
    count: c_int,
    read: *mut fd_set,
    write: *mut fd_set,
    except: *mut fd_set,
}

/// The number of descriptors for which a set has room.
const SET_SIZE: usize = libc::FD_SETSIZE;

impl Sets {
    unsafe fn kernel(self, limit: Option<Duration>, mask: *const sigset_t) -> Outcome {
        let mut time = limit.map(from_duration);
        let time = time.as_mut().map_or(std::ptr::null_mut(), |time| time as *mut timespec);
        let mask = [mask.cast::<c_void>().addr(), MASK_SIZE];
        // SAFETY: the caller's promise, handed on.
        unsafe {
            call!(pselect6, self.count, self.read, self.write, self.except, time, mask.as_ptr())
        }
    }

    fn all(self) -> [*mut fd_set; 3] {
        [self.read, self.write, self.except]
    }
}

unsafe fn select_by(
    symbol: Symbol,
    sets: Sets,
    limit: Option<Duration>,
    mask: *const sigset_t,
) -> Outcome {
    let fits = usize::try_from(sets.count).is_ok_and(|count| count <= SET_SIZE);
    let begun = Call::begin_if_waits(fits && limit != Some(Duration::ZERO), symbol);
    let Some(call) = begun else {
        // SAFETY: the caller's promise, handed on.
        return unsafe { sets.kernel(limit, mask) };
    };
    // The result overwrites the interests.
    // SAFETY: the caller's promise: each is null or a set.
    let asked = sets.all().map(|set| unsafe { set.as_ref() }.copied());
    let ask_again = || {
        for (set, asked) in sets.all().into_iter().zip(&asked) {
            // SAFETY: as above.
            if let (Some(set), Some(asked)) = (unsafe { set.as_mut() }, asked) {
                *set = *asked;
            }
        }
    };
    let events = [libc::EPOLLIN, libc::EPOLLOUT, libc::EPOLLPRI].map(|events| events as u32);
    poll_and_wait(
        &call,
        limit,
        // SAFETY: the caller's promise.
        unsafe { unblocked_by(mask) },
        || {
            ask_again();
            // SAFETY: as above.
            unsafe { sets.kernel(Some(Duration::ZERO), mask) }
        },
        || {
            let is_in = |set: &Option<fd_set>, fd: c_int| {
                // SAFETY: below FD_SETSIZE.
                set.as_ref().is_some_and(|set| unsafe { libc::FD_ISSET(fd, set) })
            };
            let of = |fd| {
                let each = asked.iter().zip(events).filter(|(set, _)| is_in(set, fd));
                (fd, each.fold(0, |all, (_, events)| all | events))
            };
            (0..sets.count).map(of).filter(|(_, events)| *events != 0).collect()
        },
    )
}

/// epoll_wait(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn epoll_wait(
    epoll: c_int,
    events: *mut epoll_event,
    room: c_int,
    limit: c_int,
) -> c_int {
    // SAFETY: the caller's promise, handed on.
    give_int(unsafe { epoll_by(Symbol::epoll_wait, epoll, (events, room), limit, NO_MASK) })
}

/// epoll_pwait(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn epoll_pwait(
    epoll: c_int,
    events: *mut epoll_event,
    room: c_int,
    limit: c_int,
    mask: *const sigset_t,
) -> c_int {
    // SAFETY: the caller's promise, handed on.
    give_int(unsafe { epoll_by(Symbol::epoll_pwait, epoll, (events, room), limit, mask) })
}

unsafe fn epoll_by(
    symbol: Symbol,
    epoll: c_int,
    (events, room): (*mut epoll_event, c_int),
    limit: c_int,
    mask: *const sigset_t,
) -> Outcome {
    // SAFETY: the caller's promise, handed on.
    let kernel =
        |limit: c_int| unsafe { call!(epoll_pwait, epoll, events, room, limit, mask, MASK_SIZE) };
    let Some(call) = Call::begin_if_waits(limit != 0, symbol) else {
        return kernel(limit);
    };
    let limit = u64::try_from(limit).ok().map(Duration::from_millis);
    // SAFETY: the caller's promise.
    let signals = unsafe { unblocked_by(mask) };
    if signals.is_some() {
        let interests = || vec![(epoll, libc::EPOLLIN as u32)];
        return poll_and_wait(&call, limit, signals, || kernel(0), interests);
    }
    let end = Limit::new(limit);
    loop {
        let found = kernel(0);
        if found != 0 || end.is_over() {
            return found;
        }
        match ready(&call, epoll, Direction::In, end.left()) {
            0 | AGAIN => {}
            error => return error,
        }
    }
}
