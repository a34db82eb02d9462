//! Readiness of descriptors, by poll(2).

use std::os::fd::RawFd;
use std::time::Duration;

use crate::sys::errno::errno;
use crate::sys::native::abi::POLLRDHUP;
use crate::sys::{clock, native};

/// The event to wait for on a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Something to read, or the end, or an error.
    Readable,
    /// Room to write, or an error.
    Writable,
}

/// Returns 0 if `fd` is ready, `-EAGAIN` if it is not.
pub(crate) fn poll_now(fd: RawFd, interest: Interest) -> i32 {
    match poll(fd, interest, Some(0)) {
        Ok(true) => 0,
        Ok(false) => -libc::EAGAIN,
        Err(errno) => -errno,
    }
}

/// Returns the poll(2) bits of `interest`. Errors and hang-ups are always reported.
pub(crate) fn poll_bits(interest: Interest) -> i16 {
    match interest {
        Interest::Readable => libc::POLLIN,
        Interest::Writable => libc::POLLOUT,
    }
}

/// Waits until `fd` is ready (true) or the time `limit` has come (false).
pub(crate) fn poll(fd: RawFd, interest: Interest, limit: Option<u64>) -> Result<bool, i32> {
    poll_for(fd, poll_bits(interest), limit).map(|ready| ready != 0)
}

/// Waits until one of `bits` is there, or an error or a hang-up, and says which; 0 if the time
/// `limit` has come.
pub(crate) fn poll_for(fd: RawFd, bits: i16, limit: Option<u64>) -> Result<i16, i32> {
    let mut entry = [libc::pollfd { fd, events: bits, revents: 0 }];
    poll_entries(&mut entry, limit).map(|_| entry[0].revents)
}

/// Blocks the thread until one of `descriptors` is ready (true), or the time `limit` has come
/// (false). Returns the errno of a descriptor that is not open.
pub(crate) fn poll_any(descriptors: &[(RawFd, Interest)], limit: Option<u64>) -> Result<bool, i32> {
    let entry = |&(fd, interest)| libc::pollfd { fd, events: poll_bits(interest), revents: 0 };
    let mut entries: Vec<_> = descriptors.iter().map(entry).collect();
    poll_entries(&mut entries, limit)
}

/// Waits until one of `entries` is ready (true) or the time `limit` has come (false).
pub(crate) fn poll_entries(entries: &mut [libc::pollfd], limit: Option<u64>) -> Result<bool, i32> {
    loop {
        // A limit of zero is always in the past, so the clock need not be read.
        let left = limit.map(|limit| if limit == 0 { Duration::ZERO } else { clock::until(limit) });
        let ready = native::abi::poll(entries, left);
        let is_closed = |entry: &libc::pollfd| entry.revents & libc::POLLNVAL != 0;
        match ready {
            // Some systems return before the limit.
            0 if limit.is_none_or(|limit| limit > 0 && !clock::until(limit).is_zero()) => {}
            0 => return Ok(false),
            1.. if entries.iter().any(is_closed) => return Err(libc::EBADF),
            1.. => return Ok(true),
            _ => match errno() {
                libc::EINTR => {}
                errno => return Err(errno),
            },
        }
    }
}

/// Tells whether a socket is shut down for receiving. Then a receive that finds nothing is at the
/// end.
pub(crate) fn is_shut_down(fd: RawFd) -> bool {
    poll_for(fd, POLLRDHUP, Some(0)).is_ok_and(|ready| ready & POLLRDHUP != 0)
}
