//! Epoll, called directly: one system call per wait; the portable poller makes five.
//!
//! Timeouts have milliseconds in epoll_wait(2), and nanoseconds only in epoll_pwait2(2), which
//! older kernels and many sandboxes do not have. So a wait has two parts: whole milliseconds by
//! epoll_wait(2), and the rest by ppoll(2) on the epoll itself.
//!
//! A notification is a write to an eventfd that is registered for changes, so it need never be
//! read.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::{Errno, retry_on_intr};

use super::queues::Wanted;
use crate::sys::clock;

/// Registrations belong to the file and may stay when no operation waits: see the module's comment.
pub(super) const STAYS: bool = true;

/// A registration can report changes alone (`EPOLLET`).
pub(super) const REPORTS_CHANGES: bool = true;

/// The maximum number of events that one wait takes; the rest comes with the next one.
const EVENTS_MAX: usize = 1024;

/// The key of the eventfd; no descriptor has this number.
const NOTIFIED: u64 = u64::MAX;

/// An epoll instance, and the eventfd that ends its waits.
pub(in crate::driver) struct Poller {
    epoll: OwnedFd,
    event: OwnedFd,
    /// The eventfd has been written, and the poller has not noticed yet.
    pending: AtomicBool,
}

/// The events that one wait has found.
pub(super) struct Events(Vec<epoll::Event>);

/// A descriptor that has become ready.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub(super) fd: RawFd,
    pub(super) readable: bool,
    pub(super) writable: bool,
}

impl Events {
    pub(super) fn new() -> Events {
        Events(Vec::with_capacity(EVENTS_MAX))
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Event> {
        let ends = EventFlags::HUP | EventFlags::ERR;
        let reads = EventFlags::IN | EventFlags::RDHUP | EventFlags::PRI | ends;
        let writes = EventFlags::OUT | ends;
        self.0.iter().filter(|event| event.data.u64() != NOTIFIED).map(move |event| {
            // The structure is packed, so its fields are copied before they are used.
            let (data, flags) = (event.data, event.flags);
            Event {
                fd: data.u64() as RawFd,
                readable: flags.intersects(reads),
                writable: flags.intersects(writes),
            }
        })
    }
}

impl Poller {
    pub(super) fn new() -> io::Result<Poller> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let changes = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, &event, EventData::new_u64(NOTIFIED), changes)?;
        Ok(Poller { epoll, event, pending: AtomicBool::new(false) })
    }

    /// Makes the registration of `fd` report what is `wanted`, or adds it.
    ///
    /// # Safety
    /// `fd` is open.
    pub(super) unsafe fn arm(&self, fd: RawFd, wanted: Wanted) -> io::Result<()> {
        let mode = if wanted.only_changes { EventFlags::ET } else { EventFlags::ONESHOT };
        let mut flags = mode;
        if wanted.readable {
            flags |= EventFlags::IN | EventFlags::RDHUP | EventFlags::PRI;
        }
        if wanted.writable {
            flags |= EventFlags::OUT;
        }
        let data = EventData::new_u64(fd as u64);
        // SAFETY: the caller's promise.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        match epoll::modify(&self.epoll, fd, data, flags) {
            Err(Errno::NOENT) => Ok(epoll::add(&self.epoll, fd, data, flags)?),
            other => Ok(other?),
        }
    }

    /// Removes the registration of `fd`, if it has one.
    ///
    /// # Safety
    /// `fd` is open.
    pub(super) unsafe fn disarm(&self, fd: RawFd) {
        // SAFETY: the caller's promise. The call fails if the number names another file by now.
        // Then that file has no registration, and events of the old file find no waiter.
        let _ = epoll::delete(&self.epoll, unsafe { BorrowedFd::borrow_raw(fd) });
    }

    /// Waits until a registration fires, [`notify`](Poller::notify) is called, or `timeout` has
    /// passed.
    pub(super) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let until = timeout.map(|timeout| clock::nanos().saturating_add(nanos(timeout)));
        let mut left = timeout;
        let found = loop {
            match self.wait_for_events(events, left) {
                Err(Errno::INTR) => left = until.map(clock::until),
                found => break found,
            }
        };
        // Cleared before the senders' messages are read.
        self.pending.swap(false, Ordering::AcqRel);
        Ok(found?)
    }

    fn wait_for_events(
        &self,
        Events(events): &mut Events,
        timeout: Option<Duration>,
    ) -> rustix::io::Result<()> {
        let rest = timeout.map_or(Duration::ZERO, |timeout| {
            Duration::from_nanos(u64::from(timeout.subsec_nanos()) % 1_000_000)
        });
        let millis = timeout.map(|timeout| timespec(timeout.saturating_sub(rest)));
        if millis != Some(NO_TIME) || rest.is_zero() {
            let room = rustix::buffer::spare_capacity(events);
            if epoll::wait(&self.epoll, room, millis.as_ref())? > 0 || rest.is_zero() {
                return Ok(());
            }
        }
        let mut entry = [PollFd::new(&self.epoll, PollFlags::IN)];
        let last = match poll(&mut entry, Some(&timespec(rest))) {
            Ok(0) => return Ok(()),
            Ok(_) => NO_TIME,
            // The process may not open descriptors at all (RLIMIT_NOFILE of 0): then the wait ends
            // up to 1 ms too late.
            Err(Errno::INVAL) => timespec(Duration::from_millis(1)),
            Err(errno) => return Err(errno),
        };
        epoll::wait(&self.epoll, rustix::buffer::spare_capacity(events), Some(&last)).map(drop)
    }

    /// Makes the present or next wait return. Async-signal-safe.
    pub(in crate::driver) fn notify(&self) -> io::Result<()> {
        if self.pending.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        // If its counter is full, it has been written before, and is an event again when read.
        retry_on_intr(|| rustix::io::write(&self.event, &1_u64.to_ne_bytes()))?;
        Ok(())
    }
}

const NO_TIME: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() }
}
