//! The acceptor: takes connections, seats them, and outlives every error.
//!
//! | when | what it does |
//! |---|---|
//! | all seats are taken | does not accept: clients wait in the kernel's listen queue |
//! | no descriptor or memory is left | pauses, until a session ends or a while has passed |
//! | the client has gone before it was accepted | goes on at once |
//!
//! Why it waits for a seat instead of closing what is too much: the queue holds thousands, the
//! client needs no code for it, and nothing is lost.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;

use overlapped::net::{TcpListener, TcpStream};
use overlapped::time::{Duration, Instant};
use overlapped::{Builder, Channel, RecvError};

use super::echo::echo;
use super::totals::Totals;

/// What a server allows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// At a time.
    pub(super) connections: usize,
    /// Time without a byte read or written.
    pub(super) idle: Option<Duration>,
}

/// The first pause at a shortage; each one after it is twice as long, up to the last.
const PAUSE_MIN: Duration = Duration::from_millis(5);
/// Accepting again within this time after descriptors are there again.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// A connection's place: counts it in, and out again however its session ends.
pub(super) struct Seat {
    totals: Rc<Totals>,
    freed: Channel<()>,
}

impl Seat {
    fn take(totals: &Rc<Totals>, freed: &Channel<()>) -> Seat {
        totals.note_open();
        Seat { totals: totals.clone(), freed: freed.clone() }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.totals.note_closed();
        // Nobody waits unless the acceptor is at a limit; and a drop never waits.
        let _ = self.freed.try_send(());
    }
}

/// Accepts until it is killed.
pub(super) fn accept_for_ever(
    listener: &TcpListener,
    limits: &Limits,
    totals: &Rc<Totals>,
) -> Infallible {
    let freed = Channel::new();
    let mut pause = PAUSE_MIN;
    let mut complaints = Complaints::default();
    loop {
        while totals.open() >= limits.connections {
            // Sessions have operations in flight, so this is never a deadlock.
            let _ = freed.recv();
        }
        match listener.accept() {
            Ok((stream, peer)) => {
                pause = PAUSE_MIN;
                totals.note_accepted();
                seat(stream, peer, limits.idle, Seat::take(totals, &freed));
            }
            Err(error) if is_the_clients(&error) => {
                tracing::debug!("a client left before it was accepted: {error}");
                totals.note_error();
            }
            Err(error) => {
                totals.note_shortage();
                complaints.about(&error);
                // A session that ends gives its descriptor back, so that is worth a try at once.
                let waited = freed.recv_timeout(pause);
                pause = match waited {
                    Err(RecvError::TimedOut) => (pause * 2).min(PAUSE_MAX),
                    _ => PAUSE_MIN,
                };
            }
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

/// Begins the session of a connection.
fn seat(stream: TcpStream, peer: SocketAddr, idle: Option<Duration>, seat: Seat) {
    let totals = seat.totals.clone();
    let session = Builder::new().name(format!("echo {peer}")).spawn(move || {
        // Last in, first out: the stream closes before its seat is free, so that the descriptor is
        // there when the acceptor tries again.
        let seat = seat;
        let mut stream = stream;
        let ended = prepare(&stream, idle).and_then(|()| echo(&mut stream, &seat.totals));
        drop(stream);
        match ended {
            Ok(()) => tracing::debug!(%peer, "the client has finished"),
            Err(error) if is_limit(&error) => {
                tracing::debug!(%peer, "closed: idle for too long");
                seat.totals.note_idle();
            }
            Err(error) => {
                tracing::debug!(%peer, "closed: {error}");
                seat.totals.note_error();
            }
        }
    });
    if let Err(error) = session {
        tracing::warn!(%peer, "refused: {error}");
        totals.note_refused();
    }
}

fn prepare(stream: &TcpStream, idle: Option<Duration>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(idle)?;
    stream.set_write_timeout(idle)
}

/// Whether a stream's own time limit has passed; std says so with either kind.
fn is_limit(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
        && error.raw_os_error() != Some(libc::ETIMEDOUT)
}

/// Complains at most once a second, and says how often it kept quiet.
#[derive(Debug, Default)]
struct Complaints {
    last: Option<Instant>,
    kept_back: u64,
}

impl Complaints {
    const PERIOD: Duration = Duration::from_secs(1);

    fn about(&mut self, error: &io::Error) {
        if self.last.is_some_and(|last| last.elapsed() < Complaints::PERIOD) {
            self.kept_back += 1;
            return;
        }
        let again = std::mem::take(&mut self.kept_back);
        tracing::warn!(again, "cannot accept, trying again shortly: {error}. {}", remedy(error));
        self.last = Some(Instant::now());
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EMFILE) => {
            "This process has all the descriptors it may have: raise `ulimit -Hn`, or set \
             --max-connections or --idle-timeout."
        }
        Some(libc::ENFILE) => "The whole system has none left: raise `sysctl fs.file-max`.",
        Some(libc::ENOBUFS | libc::ENOMEM) => {
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
        let error = io::Error::from_raw_os_error;
        for errno in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EINVAL] {
            assert!(!is_the_clients(&error(errno)), "{}", error(errno));
        }
        for errno in [libc::ECONNABORTED, libc::EINTR] {
            assert!(is_the_clients(&error(errno)), "{}", error(errno));
        }
    }

    #[test]
    fn the_networks_own_timeout_is_an_error_and_ours_is_idleness() {
        assert!(is_limit(&ErrorKind::WouldBlock.into()));
        assert!(!is_limit(&io::Error::from_raw_os_error(libc::ETIMEDOUT)));
    }

    #[test]
    fn complaints_are_rationed() {
        let mut complaints = Complaints::default();
        for _ in 0..10 {
            complaints.about(&io::Error::from_raw_os_error(libc::EMFILE));
        }
        assert_eq!(complaints.kept_back, 9);
    }
}
