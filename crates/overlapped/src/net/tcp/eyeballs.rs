//! One connection to a name that has several addresses: Happy Eyeballs, RFC 8305.
//!
//! ```text
//! order: families alternate, the resolver's first one first (section 4)
//!    └──▶ start the next ──▶ wait: one has succeeded ──▶ it wins, the others are closed
//!              ▲                   one has failed  ──┐
//!              └────────────── 250 ms (section 5) ◀──┘
//! ```
//!
//! An attempt is a connect that is under way in the kernel, on a socket of this frame. The caller
//! waits for all of them in one operation, on the descriptor of a poller that watches them, so no
//! memory is in flight and no further tasklet is needed. An attempt that has lost ends when its
//! socket is closed, with no operation to reap. A kill or a deadline ends the wait, and the
//! attempts end with the frame.
//!
//! The resolver returns both families at once (getaddrinfo), so no second answer needs to be waited
//! for (section 3).

use std::io;

use crate::net::addr::{first_of, first_that};
use crate::net::{SocketAddr, ToSocketAddrs};
use crate::op::{Op, Wait};
use crate::sys::errno::says_at_limit;
use crate::sys::socket::connecting::Watch;
use crate::sys::socket::tcp;
use crate::sys::socket::tcp::Connecting;
use crate::sys::socket::{AsSocket, OwnedSocket};
use crate::task::wait::perform;
use crate::time::{Duration, deadline_in};

/// RFC 8305's recommended Connection Attempt Delay.
const DELAY: Duration = Duration::from_millis(250);

/// Connects to one of `addr`'s addresses. The addresses of a name are tried in parallel, and `wrap`
/// gets the socket that wins. The addresses of a list are tried by `connect`, one after another.
pub(super) fn connect<T>(
    addr: impl ToSocketAddrs,
    connect: impl Fn(SocketAddr) -> io::Result<T>,
    wrap: impl FnOnce(OwnedSocket) -> T,
) -> io::Result<T> {
    if !addr.is_name() {
        return first_that(addr, connect);
    }
    let addrs: Vec<SocketAddr> = addr.to_socket_addrs()?.collect();
    if addrs.len() < 2 {
        return first_of(addrs, connect);
    }
    match Watch::new() {
        Ok(watch) => race(&addrs, watch).map(wrap),
        // No descriptor is left for a poller, but one may be left for a socket.
        Err(_) => first_of(addrs, connect),
    }
}

/// The attempts under way, and the error of those that have failed.
struct Race<'a> {
    addrs: &'a [SocketAddr],
    under_way: Watch,
    /// The error of the last address in the resolver's order, as std returns it.
    error: Option<(usize, io::Error)>,
}

fn race(addrs: &[SocketAddr], under_way: Watch) -> io::Result<OwnedSocket> {
    let mut race = Race { addrs, under_way, error: None };
    let mut order = interleaved(addrs).into_iter().peekable();
    loop {
        match order.next() {
            Some(index) => {
                if let Some(winner) = race.start(index)? {
                    return Ok(winner);
                }
            }
            None if race.under_way.is_empty() => {
                let (_, error) = race.error.expect("every attempt has failed, and there were some");
                return Err(error);
            }
            None => {}
        }
        if race.under_way.is_empty() {
            continue;
        }
        let limit = order.peek().map(|_| deadline_in(DELAY));
        if let Some(winner) = race.wait(limit)? {
            return Ok(winner);
        }
    }
}

impl Race<'_> {
    /// Starts an attempt. Returns the socket if it is connected at once.
    fn start(&mut self, index: usize) -> io::Result<Option<OwnedSocket>> {
        match tcp::start_connect(&self.addrs[index]) {
            Ok(Connecting::Done(socket)) => return Ok(Some(socket)),
            Ok(Connecting::UnderWay(socket)) => self.under_way.add(index, socket)?,
            Err(error) => self.keep_error(index, error),
        }
        Ok(None)
    }

    /// Waits until an attempt succeeds, one fails, or the next one is due.
    fn wait(&mut self, limit: Option<u64>) -> io::Result<Option<OwnedSocket>> {
        loop {
            let op = Op::Wait(Wait::Connected { sockets: self.under_way.raw() });
            // SAFETY: `self` keeps the set open until this returns; no memory is involved.
            match unsafe { perform(&op, limit) } {
                Err(error) if says_at_limit(&error) => return Ok(None),
                result => result?,
            };
            let mut failed = false;
            for (index, socket) in self.under_way.ended()? {
                match tcp::connected(socket.as_socket()) {
                    Ok(()) => return Ok(Some(socket)),
                    Err(error) => self.keep_error(index, error),
                }
                failed = true;
            }
            if failed {
                return Ok(None);
            }
        }
    }

    fn keep_error(&mut self, index: usize, error: io::Error) {
        if self.error.as_ref().is_none_or(|&(last, _)| index > last) {
            self.error = Some((index, error));
        }
    }
}

/// Returns the indices of `addrs` in the order in which to try them.
fn interleaved(addrs: &[SocketAddr]) -> Vec<usize> {
    let is_first_family = |&index: &usize| addrs[index].is_ipv6() == addrs[0].is_ipv6();
    let (first, second): (Vec<_>, Vec<_>) = (0..addrs.len()).partition(is_first_family);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut order = Vec::with_capacity(addrs.len());
    while order.len() < addrs.len() {
        order.extend(first.next());
        order.extend(second.next());
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_alternate_and_each_keeps_its_order() {
        let order = |families: &str| {
            let addrs: Vec<SocketAddr> = families
                .chars()
                .map(|family| if family == '6' { "[::1]:1" } else { "1.1.1.1:1" }.parse().unwrap())
                .collect();
            interleaved(&addrs)
        };
        assert_eq!(order(""), [0; 0]);
        assert_eq!(order("4"), [0]);
        assert_eq!(order("66644"), [0, 3, 1, 4, 2]);
        assert_eq!(order("46664"), [0, 1, 4, 2, 3]);
        assert_eq!(order("444"), [0, 1, 2]);
    }
}
