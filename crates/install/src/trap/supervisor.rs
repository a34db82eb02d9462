//! The thread to which the kernel reports stopped calls, and which lets each of them go on.

use std::ffi::c_int;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicI32, AtomicU64};
use std::sync::mpsc::Sender;
use std::thread;

use libc::epoll_event;

use super::classify::is_raw_and_waits;
use super::filter::{AttachError, attach};
use super::message::{continue_call, receive};
use super::reporter::{self, StoppedCall, ask, comes_again};
use crate::raw::{INTERRUPTED, call};

/// The epoll instance on which the supervisor waits. Each thread adds the descriptor of its own
/// filter, since no filter stops the call that adds it.
static EPOLL: AtomicI32 = AtomicI32::new(-1);

/// The number of calls that were stopped.
static STOPPED: AtomicU64 = AtomicU64::new(0);

pub(super) fn stopped_count() -> u64 {
    STOPPED.load(SeqCst)
}

/// Starts the supervisor and the reporter.
///
/// # Errors
/// The text says why.
pub(super) fn start() -> Result<(), String> {
    if EPOLL.load(SeqCst) >= 0 {
        return Ok(());
    }
    // SAFETY: a new descriptor, or an error.
    let made = unsafe { call!(epoll_create1, libc::EPOLL_CLOEXEC) };
    if made < 0 {
        let error = std::io::Error::from_raw_os_error(-made as i32);
        return Err(format!("cannot create its epoll instance: {error}"));
    }
    // SAFETY: it was made just now.
    let epoll = unsafe { OwnedFd::from_raw_fd(made as c_int) };
    let number = epoll.as_raw_fd();
    let no_thread = |error| format!("cannot start its thread: {error}");
    let stopped_calls = reporter::start().map_err(no_thread)?;
    let name = "overlapped-trap".to_owned();
    let supervise = move || supervise(&epoll, &stopped_calls);
    thread::Builder::new().name(name).spawn(supervise).map_err(no_thread)?;
    EPOLL.store(number, SeqCst);
    Ok(())
}

/// Puts the calling thread under a filter, if it has none.
///
/// # Errors
/// The text says why.
pub(super) fn try_attach_filter() -> Result<(), String> {
    let why = match attach() {
        Ok(fd) => {
            supervise_filter(fd);
            return Ok(());
        }
        Err(AttachError::Why(why)) => why,
        Err(AttachError::AlreadyFiltered) => {
            "another program supervises this one by seccomp, and only one can".into()
        }
    };
    Err(why)
}

/// Does what [`try_attach_filter`] does; if that is impossible, the thread runs without a filter.
pub(super) fn attach_filter() {
    if let Ok(fd) = attach() {
        supervise_filter(fd);
    }
}

/// Gives a filter's descriptor to the supervisor.
fn supervise_filter(fd: OwnedFd) {
    let mut event = epoll_event { events: libc::EPOLLIN as u32, u64: fd.as_raw_fd() as u64 };
    let epoll = EPOLL.load(SeqCst);
    // SAFETY: the event is borrowed for the call.
    let outcome =
        unsafe { call!(epoll_ctl, epoll, libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &raw mut event) };
    if outcome < 0 {
        // The thread's next call would wait for ever, even one that printed an error.
        std::process::abort();
    }
    // The supervisor owns it from here on.
    std::mem::forget(fd);
}

fn supervise(epoll: &OwnedFd, stopped_calls: &Sender<StoppedCall>) {
    const ROOM: usize = 64;
    const FOREVER: c_int = -1;
    let mut events = [epoll_event { events: 0, u64: 0 }; ROOM];
    loop {
        let epoll = epoll.as_raw_fd();
        // SAFETY: there is room for `ROOM` events.
        let count = unsafe { call!(epoll_pwait, epoll, events.as_mut_ptr(), ROOM, FOREVER, 0, 0) };
        if count < 0 && count != INTERRUPTED {
            // Threads under a filter would wait for ever.
            std::process::abort();
        }
        for event in &events[..count.max(0) as usize] {
            let (ready, fd) = (event.events, event.u64 as c_int);
            if ready & libc::EPOLLIN as u32 != 0 {
                serve(fd, stopped_calls);
            } else {
                // No thread is left under this filter. It is removed from the epoll instance first:
                // a child of fork may have a copy of the descriptor, which would keep it there
                // after a close.
                // SAFETY: `supervise_filter` has given it to this thread, which closes it once.
                unsafe {
                    call!(epoll_ctl, epoll, libc::EPOLL_CTL_DEL, fd, 0);
                    drop(OwnedFd::from_raw_fd(fd));
                }
            }
        }
    }
}

/// Examines one stopped call, and lets it go on, or has the reporter do that.
fn serve(fd: c_int, stopped_calls: &Sender<StoppedCall>) {
    let Some(message) = receive(fd) else { return };
    STOPPED.fetch_add(1, SeqCst);
    let (thread, place) = (message.pid, message.data.instruction_pointer);
    let is_raw = !comes_again(thread, place) && is_raw_and_waits(thread, &message.data);
    if is_raw && reporter::count(place) {
        let stopped = StoppedCall { fd, id: message.id, thread, place, number: message.data.nr };
        if ask(stopped_calls, stopped) {
            return;
        }
    }
    continue_call(fd, message.id);
}
