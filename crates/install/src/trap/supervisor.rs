//! The thread that the kernel tells of stopped calls, and that lets each of them go on.

use std::collections::HashMap;
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicI32, AtomicU64};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use libc::{epoll_event, seccomp_notif, seccomp_notif_resp};

use super::filter::{Refused, attach};
use super::judge::is_raw_and_waits;
use super::teller::{self, Question};
use crate::raw::{INTERRUPTED, call};

/// Bytes for a message of the kernel's, whose sizes may grow.
pub(super) const ROOM: usize = 256;

/// The epoll that the supervisor waits for: filters' descriptors are put into it by the threads
/// that they are for, since adding one is a call that no filter stops.
static EPOLL: AtomicI32 = AtomicI32::new(-1);

/// Calls that were told.
static TOLD: AtomicU64 = AtomicU64::new(0);

pub(super) fn told() -> u64 {
    TOLD.load(SeqCst)
}

/// Threads whose calls have been taken back for a question, and the places of these calls: the same
/// call comes again.
static ASKED: Mutex<Option<HashMap<u32, u64>>> = Mutex::new(None);

fn asked() -> MutexGuard<'static, Option<HashMap<u32, u64>>> {
    ASKED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The call of a thread was not taken back.
pub(super) fn forget(thread: u32) {
    asked().get_or_insert_default().remove(&thread);
}

/// Begins.
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
        return Err(format!("no epoll for it: {error}"));
    }
    // SAFETY: it was made just now.
    let epoll = unsafe { OwnedFd::from_raw_fd(made as c_int) };
    let number = epoll.as_raw_fd();
    let no_thread = |error| format!("no thread for it: {error}");
    let questions = teller::start().map_err(no_thread)?;
    let name = "overlapped-trap".to_owned();
    let supervise = move || supervise(&epoll, &questions);
    thread::Builder::new().name(name).spawn(supervise).map_err(no_thread)?;
    EPOLL.store(number, SeqCst);
    Ok(())
}

/// Puts the calling thread under a filter, if it is under none.
///
/// # Errors
/// The text says why.
pub(super) fn try_cover() -> Result<(), String> {
    let why = match attach() {
        Ok(fd) => {
            tell_of(fd);
            return Ok(());
        }
        Err(Refused::Why(why)) => why,
        Err(Refused::Covered) => {
            "another program supervises this one by seccomp, and there can be one only".into()
        }
    };
    Err(why)
}

/// As [`try_cover`]; a thread that it cannot be done for runs as ever, unwatched.
pub(super) fn cover() {
    if let Ok(fd) = attach() {
        tell_of(fd);
    }
}

/// Has the supervisor look after a filter.
fn tell_of(fd: OwnedFd) {
    let mut event = epoll_event { events: libc::EPOLLIN as u32, u64: fd.as_raw_fd() as u64 };
    let epoll = EPOLL.load(SeqCst);
    // SAFETY: an event, lent for the call.
    let outcome =
        unsafe { call!(epoll_ctl, epoll, libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &raw mut event) };
    if outcome < 0 {
        // Whatever the thread called next would wait for ever, an output of this text too.
        std::process::abort();
    }
    // The supervisor's from here on.
    std::mem::forget(fd);
}

fn supervise(epoll: &OwnedFd, questions: &Sender<Question>) {
    const ROOM: usize = 64;
    const FOREVER: c_int = -1;
    let mut events = [epoll_event { events: 0, u64: 0 }; ROOM];
    loop {
        let epoll = epoll.as_raw_fd();
        // SAFETY: room for so many events.
        let count = unsafe { call!(epoll_pwait, epoll, events.as_mut_ptr(), ROOM, FOREVER, 0, 0) };
        if count < 0 && count != INTERRUPTED {
            // Threads under a filter would wait for ever.
            std::process::abort();
        }
        for event in &events[..count.max(0) as usize] {
            let (ready, fd) = (event.events, event.u64 as c_int);
            if ready & libc::EPOLLIN as u32 != 0 {
                serve(fd, questions);
            } else {
                // Nobody is left under this filter. Taken out first: a child of fork may have the
                // descriptor, too, for as long as which closing alone would leave it in.
                // SAFETY: it has been given to this thread by `tell_of`, and is closed once.
                unsafe {
                    call!(epoll_ctl, epoll, libc::EPOLL_CTL_DEL, fd, 0);
                    drop(OwnedFd::from_raw_fd(fd));
                }
            }
        }
    }
}

/// Looks at one stopped call, and lets it go on, or has the teller do that.
fn serve(fd: c_int, questions: &Sender<Question>) {
    let mut room = MaybeUninit::<[u64; ROOM / 8]>::zeroed();
    // SAFETY: the kernel fills the message, for which there is room.
    let received = unsafe { call!(ioctl, fd, libc::SECCOMP_IOCTL_NOTIF_RECV, room.as_mut_ptr()) };
    if received != 0 {
        return; // A signal has taken the call back.
    }
    TOLD.fetch_add(1, SeqCst);
    // SAFETY: the room is aligned for it, and zeros are a message, too.
    let message = unsafe { room.as_ptr().cast::<seccomp_notif>().read() };
    let (thread, place) = (message.pid, message.data.instruction_pointer);
    let comes_again = {
        let mut asked = asked();
        let asked = asked.get_or_insert_default();
        asked.remove(&thread) == Some(place)
    };
    let is_raw = !comes_again && is_raw_and_waits(thread, &message.data);
    if is_raw && teller::count(place) {
        asked().get_or_insert_default().insert(thread, place);
        let question = Question { fd, id: message.id, thread, place, number: message.data.nr };
        if questions.send(question).is_ok() {
            return;
        }
        forget(thread);
    }
    go_on(fd, message.id);
}

/// Lets a stopped call go on.
pub(super) fn go_on(fd: c_int, id: u64) {
    let mut room = MaybeUninit::<[u64; ROOM / 8]>::zeroed();
    let flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
    let answer = seccomp_notif_resp { id, val: 0, error: 0, flags };
    // SAFETY: the room is aligned for it, and as large as the kernel wants it.
    unsafe {
        room.as_mut_ptr().cast::<seccomp_notif_resp>().write(answer);
        // An error: a signal has taken the call back, or its thread has ended.
        call!(ioctl, fd, libc::SECCOMP_IOCTL_NOTIF_SEND, room.as_mut_ptr());
    }
}
