//! ureq's way to the network, over tasklets: what blocks inside blocks the calling tasklet alone.
//!
//! ureq 3 asks three things of whoever replaces its sockets, and each is one type here:
//!
//! | ureq's trait | here | does |
//! |---|---|---|
//! | `Resolver` | [`Names`] | a name to addresses, on a pool thread |
//! | `Connector` | [`Tcp`] | addresses to a connection |
//! | `Transport` | [`Connection`] | fills ureq's input buffer, empties its output buffer |
//!
//! TLS is ureq's own connector, chained behind [`Tcp`]. One agent serves all tasklets of a thread,
//! and they share its idle connections. ureq keeps those behind a mutex, which must not be held by
//! a tasklet that waits: the only call that it makes meanwhile is `is_open`, which never waits.
//!
//! Time limits are deadlines of the tasklet ([`timeout`]), not options of the socket, so that they
//! cost no system call.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use overlapped::net::{SocketAddr, TcpStream, ToSocketAddrs};
use overlapped::time::{Duration, Instant, timeout};
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
};

/// Runs `call` with what `limit` leaves of time, and says which of ureq's limits it was that ended
/// it.
fn within<T>(limit: NextTimeout, call: impl FnOnce() -> io::Result<T>) -> Result<T, Error> {
    let result = match limit.after.is_not_happening() {
        true => call(),
        false if limit.after.is_zero() => return Err(Error::Timeout(limit.reason)),
        false => timeout(*limit.after, call),
    };
    result.map_err(|error| match error.kind() {
        ErrorKind::TimedOut if error.raw_os_error().is_none() => Error::Timeout(limit.reason),
        _ => Error::Io(error),
    })
}

/// Looks names up on a pool thread. ureq's own resolver blocks the thread meanwhile, and all
/// tasklets with it.
///
/// ureq asks for every request, also for one on a connection that it has; so what was found is
/// remembered for a while.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Never locked by a tasklet that waits.
    known: Mutex<HashMap<String, (Instant, Vec<SocketAddr>)>>,
}

impl Names {
    /// As long as curl does.
    const REMEMBERED: Duration = Duration::from_secs(60);

    fn known(&self) -> MutexGuard<'_, HashMap<String, (Instant, Vec<SocketAddr>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look_up(&self, name: String, limit: NextTimeout) -> Result<Vec<SocketAddr>, Error> {
        if let Some((since, found)) = self.known().get(&name)
            && since.elapsed() < Names::REMEMBERED
        {
            return Ok(found.clone());
        }
        let found: Vec<_> = within(limit, || name.to_socket_addrs())?.collect();
        self.known().insert(name, (Instant::now(), found.clone()));
        Ok(found)
    }
}

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        limit: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let whole = || Error::BadUri(uri.to_string());
        let scheme = uri.scheme().ok_or_else(whole)?;
        let authority = uri.authority().ok_or_else(whole)?;
        let name = DefaultResolver::host_and_port(scheme, authority).ok_or_else(whole)?;
        let found = self.look_up(name, limit)?;
        let mut addrs = self.empty();
        // ureq's array has room for so many; its push panics beyond.
        for addr in config.ip_family().keep_wanted(found.into_iter()).take(16) {
            addrs.push(addr);
        }
        if addrs.is_empty() { Err(Error::HostNotFound) } else { Ok(addrs) }
    }
}

/// Opens connections, unless a proxy has opened one.
#[derive(Debug)]
pub(crate) struct Tcp;

impl<In: Transport> Connector<In> for Tcp {
    type Out = Either<In, Connection>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(transport) = chained {
            return Ok(Some(Either::A(transport)));
        }
        let stream = within(details.timeout, || TcpStream::connect(&details.addrs[..]))?;
        stream.set_nodelay(details.config.no_delay())?;
        let buffers = LazyBuffers::new(
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        Ok(Some(Either::B(Connection { stream, buffers })))
    }
}

/// A connection with the buffers through which ureq reads and writes.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffers: LazyBuffers,
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, limit: NextTimeout) -> Result<(), Error> {
        let output = &self.buffers.output()[..amount];
        within(limit.for_write(), || self.stream.write_all(output))
    }

    fn await_input(&mut self, limit: NextTimeout) -> Result<bool, Error> {
        let input = self.buffers.input_append_buf();
        let count = within(limit.for_read(), || self.stream.read(input))?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    /// Whether an idle connection can be used again: nothing has come, not even its end.
    fn is_open(&mut self) -> bool {
        let stream = &self.stream;
        let Ok(()) = stream.set_nonblocking(true) else { return false };
        let seen = stream.peek(&mut [0]);
        let quiet = seen.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        quiet && stream.set_nonblocking(false).is_ok()
    }
}
