//! The acceptor: takes connections, seats them, and outlives every error.
//!
//! | when | what it does |
//! |---|---|
//! | all seats are taken | does not accept: clients wait in the kernel's queue |
//! | no descriptor or memory is left | asks for one, waits until a guest leaves, 250 ms at most |
//! | the client has gone before it was accepted | goes on at once |
//! | its address has too many connections | closes it |
//!
//! Why it waits for a seat instead of closing what is too much: the queue holds thousands, the
//! client needs no code for it, and nothing is lost. The seat is taken when a client is there, not
//! before: an acceptor that holds the last one while it waits would keep it from another thread's
//! client.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use overlapped::net::{TcpListener, wait_readable};
use overlapped::os::unix::net::UnixListener;
use overlapped::sync::Semaphore;
use overlapped::task::yield_now;
use overlapped::time::{Duration, sleep};
use rustix::io::Errno;

use super::{Address, Starving, is_shortage};
use crate::server::{Guest, Serve, Venue};
use crate::stream::Socket;
use crate::watch::Complaints;

/// The first pause at a shortage that nobody ends; each one after it is twice as long, up to the
/// last.
const PAUSE_MIN: Duration = Duration::from_millis(5);
/// Accepting again within this time after descriptors are there again, whoever had them.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// Connections that are taken from the queue before others get their turn.
const AT_ONCE: usize = 16;

/// A listening socket of either family. It never waits by itself.
#[derive(Debug)]
pub(crate) enum Door {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Door {
    pub(crate) fn new(address: &Address, socket: OwnedFd) -> Door {
        // Both remember that the socket is non-blocking.
        match address {
            Address::Tcp(_) => Door::Tcp(socket.into()),
            Address::Unix(_) => Door::Unix(socket.into()),
        }
    }

    fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        match self {
            Door::Tcp(listener) => {
                let (stream, from) = listener.accept()?;
                Ok((Socket::Tcp(stream), Some(from)))
            }
            Door::Unix(listener) => Ok((Socket::Unix(listener.accept()?.0), None)),
        }
    }

    fn wait(&self) -> io::Result<()> {
        match self {
            Door::Tcp(listener) => wait_readable(listener),
            Door::Unix(listener) => wait_readable(listener),
        }
    }
}

/// Accepts until it is killed.
pub(crate) fn accept_for_ever(venue: &Rc<Venue>, door: &Door, serve: &Rc<dyn Serve>) -> Infallible {
    let mut pause = PAUSE_MIN;
    let mut starving: Option<Starving<'_>> = None;
    let mut complaints = Complaints::default();
    let mut at_once = 0;
    loop {
        let seat = Semaphore::acquire_owned(Arc::clone(&venue.front.seats), 1);
        match door.accept() {
            Ok((socket, from)) => {
                (starving, pause) = (None, PAUSE_MIN);
                Guest::admit(venue, socket, from, Some(seat), serve);
                at_once += 1;
                if at_once == AT_ONCE {
                    at_once = 0;
                    yield_now();
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                drop(seat);
                starving = None;
                at_once = 0;
                if door.wait().is_err() {
                    sleep(PAUSE_MAX);
                }
            }
            Err(error) if is_the_clients(&error) => {
                tracing::debug!("a client left before it was accepted: {error}");
                venue.counts.errors.add(1);
            }
            Err(error) if is_shortage(&error) && venue.reserve.release() => {}
            Err(error) => {
                drop(seat);
                if is_shortage(&error) {
                    venue.site.shortage.ask();
                }
                let Some(starving) = &starving else {
                    starving = Some(venue.site.shortage.enter());
                    continue;
                };
                venue.counts.shortages.add(1);
                if let Some(more) = complaints.now() {
                    let remedy = remedy(&error);
                    tracing::warn!("cannot accept, trying again shortly: {error}. {remedy}{more}");
                }
                starving.wait(pause);
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// Seats those who have come before the stop.
pub(crate) fn accept_the_rest(venue: &Rc<Venue>, door: &Door, serve: &Rc<dyn Serve>) {
    loop {
        match door.accept() {
            Ok((socket, from)) => Guest::admit(venue, socket, from, None, serve),
            Err(error) if is_the_clients(&error) => {}
            Err(_) => return,
        }
    }
}

/// Errors of accept(2) that are about one connection, which is gone. All others pause the acceptor:
/// a short pause does no harm where it was not needed, and a missing one burns a processor.
fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}

fn remedy(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE) => {
            "This process has all the descriptors it may have: raise `ulimit -Hn`, or lower the \
             limits on connections or on idle time."
        }
        Some(Errno::NFILE) => "The whole system has none left: raise `sysctl fs.file-max`.",
        Some(Errno::NOBUFS | Errno::NOMEM) => {
            "The kernel has no memory left for sockets: look at `sysctl net.ipv4.tcp_mem` and at \
             the memory limit of the cgroup."
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_pauses_and_a_lost_client_does_not() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::INVAL] {
            assert!(!is_the_clients(&errno.into()), "{errno}");
        }
        for errno in [Errno::CONNABORTED, Errno::INTR] {
            assert!(is_the_clients(&errno.into()), "{errno}");
        }
    }
}
