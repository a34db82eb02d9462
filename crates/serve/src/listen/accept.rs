//! The acceptor: accepts connections, and survives every error.
//!
//! | condition | action |
//! |---|---|
//! | all slots are taken | does not accept: clients wait in the kernel's queue |
//! | no descriptor or memory is left | requests evictions, waits for a close, 250 ms at most |
//! | the client has left before it was accepted | continues at once |
//! | the client's address has too many connections | closes the connection |
//!
//! The acceptor waits for a slot instead of closing excess connections, because the queue holds
//! thousands, the client needs no code for it, and nothing is lost. It takes the slot when a client
//! is there, not before: an acceptor that held the last slot while it waits would keep it from
//! another thread's client.

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

use super::connection::ConnectionTask;
use crate::session::{ConnectionHandler, ListenerContext};
use crate::state::{Address, BackOff, is_shortage};
use crate::stream::Stream;
use crate::telemetry::RateLimited;

/// The first pause of a back-off. Each further one is twice as long, up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(5);
/// The longest pause. It bounds the time until the acceptor notices free descriptors without a
/// wake.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// The number of connections that are accepted before other tasklets get a turn.
const BATCH: usize = 16;

/// A listening socket of either family. It is non-blocking.
#[derive(Debug)]
pub(crate) enum ListeningSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl ListeningSocket {
    pub(crate) fn new(address: &Address, socket: OwnedFd) -> ListeningSocket {
        // Both conversions detect that the socket is non-blocking.
        match address {
            Address::Tcp(_) => ListeningSocket::Tcp(socket.into()),
            Address::Unix(_) => ListeningSocket::Unix(socket.into()),
        }
    }

    fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            ListeningSocket::Tcp(listener) => {
                let (stream, from) = listener.accept()?;
                Ok((Stream::Tcp(stream), Some(from)))
            }
            ListeningSocket::Unix(listener) => Ok((Stream::Unix(listener.accept()?.0), None)),
        }
    }

    fn wait(&self) -> io::Result<()> {
        match self {
            ListeningSocket::Tcp(listener) => wait_readable(listener),
            ListeningSocket::Unix(listener) => wait_readable(listener),
        }
    }
}

/// Accepts connections until the tasklet is killed.
pub(crate) fn accept_forever(
    context: &Rc<ListenerContext>,
    socket: &ListeningSocket,
    handler: &Rc<dyn ConnectionHandler>,
) -> Infallible {
    let mut pause = PAUSE_MIN;
    let mut back_off: Option<BackOff<'_>> = None;
    let mut warnings = RateLimited::default();
    let mut batch = 0;
    loop {
        let slot = Semaphore::acquire_owned(Arc::clone(&context.listener.slots), 1);
        match socket.accept() {
            Ok((stream, from)) => {
                (back_off, pause) = (None, PAUSE_MIN);
                ConnectionTask::start(context, stream, from, Some(slot), handler);
                batch += 1;
                if batch == BATCH {
                    batch = 0;
                    yield_now();
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                drop(slot);
                back_off = None;
                batch = 0;
                if socket.wait().is_err() {
                    sleep(PAUSE_MAX);
                }
            }
            Err(error) if is_about_client(&error) => {
                tracing::debug!("a client left before it was accepted: {error}");
                context.counters.errors.add(1);
            }
            Err(error) if is_shortage(&error) && context.reserve.release() => {}
            Err(error) => {
                drop(slot);
                if is_shortage(&error) {
                    context.server.shortage.request_evictions();
                }
                let Some(back_off) = &back_off else {
                    back_off = Some(context.server.shortage.back_off());
                    continue;
                };
                context.counters.accept_pauses.add(1);
                if let Some(suppressed) = warnings.allow() {
                    let remedy = remedy(&error);
                    tracing::warn!(
                        "cannot accept, trying again shortly: {error}. {remedy}{suppressed}"
                    );
                }
                back_off.wait(pause);
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// Accepts the connections that were in the queue when the server stopped.
pub(crate) fn accept_queued(
    context: &Rc<ListenerContext>,
    socket: &ListeningSocket,
    handler: &Rc<dyn ConnectionHandler>,
) {
    loop {
        match socket.accept() {
            Ok((stream, from)) => ConnectionTask::start(context, stream, from, None, handler),
            Err(error) if is_about_client(&error) => {}
            Err(_) => return,
        }
    }
}

/// Tells whether an error of accept(2) is about one connection, which is gone. Every other error
/// makes the acceptor pause: a short unneeded pause does no harm, and a missing one burns a
/// processor.
fn is_about_client(error: &io::Error) -> bool {
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
            "The kernel has no memory left for sockets: check `sysctl net.ipv4.tcp_mem` and the \
             memory limit of the cgroup."
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_makes_the_acceptor_pause_and_a_lost_client_does_not() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::INVAL] {
            assert!(!is_about_client(&errno.into()), "{errno}");
        }
        for errno in [Errno::CONNABORTED, Errno::INTR] {
            assert!(is_about_client(&errno.into()), "{errno}");
        }
    }
}
