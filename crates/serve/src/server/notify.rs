//! The states of the server, as a service manager is told of them (sd_notify(3)).
//!
//! | when | message |
//! |---|---|
//! | all threads serve | `READY=1` |
//! | files are read again | `RELOADING=1` with the time, then `READY=1` |
//! | a successor serves | `MAINPID=` and its number: the service goes on |
//! | the server stops | `STOPPING=1` |
//!
//! Without `NOTIFY_SOCKET` in the environment nothing is said.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The time that a manager may take to make room for a message.
const PATIENCE: Duration = Duration::from_secs(1);

/// Clients are served.
pub(super) fn ready() {
    tell("READY=1");
}

/// Files are being read again; [`ready`] ends it.
pub(super) fn reloading() {
    let now = clock_gettime(ClockId::Monotonic);
    let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
}

/// The service is that process from now on.
pub(super) fn succeeded_by(process: u32) {
    tell(&format!("MAINPID={process}"));
}

/// The service ends.
pub(super) fn stopping() {
    tell("STOPPING=1");
}

fn tell(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&socket, state) {
        let socket = socket.display();
        tracing::warn!("the service manager at {socket} was not told {state:?}: {error}");
    }
}

fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let sender = UnixDatagram::unbound()?;
    sender.set_write_timeout(Some(PATIENCE))?;
    sender.send_to_addr(state.as_bytes(), &address).map(|_| ())
}
