//! Readiness of sockets, by select.
//!
//! WSAPoll does not report a connect that has failed (before Windows 10, version 2004, and in some
//! versions of Wine), select does.

use std::time::Duration;

use windows_sys::Win32::Networking::WinSock::{
    FD_SET, SOCKET_ERROR, TIMEVAL, WSAEWOULDBLOCK, select,
};

use super::descriptor::Raw;
use crate::sys::clock;
use crate::sys::errno::errno;
use crate::sys::thread::sleep;

/// The direction of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    Readable,
    Writable,
}

/// Returns 0 if the socket is ready, or a negated code: that of a call that would have to wait, if
/// it is not.
pub(crate) fn poll_now(socket: Raw, interest: Interest) -> i32 {
    match poll(socket, interest, Some(0)) {
        Ok(true) => 0,
        Ok(false) => -WSAEWOULDBLOCK,
        Err(code) => -code,
    }
}

/// Blocks the thread until the socket is ready (true), or the time `limit` has come (false).
pub(crate) fn poll(socket: Raw, interest: Interest, limit: Option<u64>) -> Result<bool, i32> {
    poll_any(&[(socket, interest)], limit)
}

/// Blocks the thread until one of `sockets` is ready (true), or the time `limit` has come (false).
pub(crate) fn poll_any(sockets: &[(Raw, Interest)], limit: Option<u64>) -> Result<bool, i32> {
    if sockets.is_empty() {
        // select refuses three empty sets. Nothing but the limit can end this wait.
        sleep(limit.map_or(Duration::MAX, clock::until));
        return Ok(false);
    }
    let of = |wanted| {
        let all = sockets.iter().filter(move |(_, interest)| *interest == wanted);
        Set::new(all.map(|(socket, _)| *socket))
    };
    loop {
        // A connect that has failed is an exception.
        let (mut readable, mut writable, mut failed) =
            (of(Interest::Readable), of(Interest::Writable), of(Interest::Writable));
        // A limit of zero is always in the past, so the clock need not be read.
        let left = limit.map(|limit| if limit == 0 { Duration::ZERO } else { clock::until(limit) });
        let left = left.map(|left| {
            let micros = left.as_nanos().div_ceil(1000);
            TIMEVAL {
                tv_sec: i32::try_from(micros / 1_000_000).unwrap_or(i32::MAX),
                tv_usec: (micros % 1_000_000) as i32,
            }
        });
        let left = left.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: each set has room for as many sockets as it counts, and `left` is null or a time.
        let ready = unsafe {
            select(0, readable.as_mut_ptr(), writable.as_mut_ptr(), failed.as_mut_ptr(), left)
        };
        match ready {
            SOCKET_ERROR => return Err(errno()),
            0 if limit.is_some_and(|limit| limit == 0 || clock::until(limit).is_zero()) => {
                return Ok(false);
            }
            0 => {}
            _ => return Ok(true),
        }
    }
}

/// A set of any number of sockets, in the form of `FD_SET`: a count of 32 bits, padded to the size
/// of a socket's number, and the sockets.
struct Set(Vec<usize>);

impl Set {
    fn new(sockets: impl Iterator<Item = Raw>) -> Set {
        let mut set = vec![0];
        set.extend(sockets.map(|socket| socket as usize));
        set[0] = set.len() - 1;
        Set(set)
    }

    /// Returns null for an empty set.
    fn as_mut_ptr(&mut self) -> *mut FD_SET {
        const { assert!(std::mem::offset_of!(FD_SET, fd_array) == size_of::<usize>()) };
        if self.0.len() == 1 { std::ptr::null_mut() } else { self.0.as_mut_ptr().cast() }
    }
}

/// Tells whether the socket's peer or its owner has ended the direction of receives, where the
/// system reports that with `EAGAIN` otherwise: never here, a receive says so.
pub(crate) fn is_shut_down(_: Raw) -> bool {
    false
}
