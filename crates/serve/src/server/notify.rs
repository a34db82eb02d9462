//! Notifications to the service manager about the state of the server (sd_notify(3)).
//!
//! | when | message |
//! |---|---|
//! | all threads serve | `READY=1` |
//! | files are read again | `RELOADING=1` with the time, then `READY=1` |
//! | the new process of a hot restart serves | `MAINPID=` and its number: the service continues |
//! | the server stops | `STOPPING=1` |
//!
//! Without `NOTIFY_SOCKET` in the environment nothing is sent. Service managers with this protocol
//! run on Linux only; elsewhere a socket with an abstract name is an error.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The time that a manager may take to make room for a message.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// Reports that clients are served.
pub(super) fn ready() {
    notify("READY=1");
}

/// Reports that files are being read again; [`ready`] ends it.
pub(super) fn reloading() {
    let now = clock_gettime(ClockId::Monotonic);
    let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
    notify(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
}

/// Reports that the service continues in another process.
pub(super) fn replaced_by(process: u32) {
    notify(&format!("MAINPID={process}"));
}

/// Reports that the service ends.
pub(super) fn stopping() {
    notify("STOPPING=1");
}

fn notify(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&socket, state) {
        let socket = socket.display();
        tracing::warn!("cannot send {state:?} to the service manager at {socket}: {error}");
    }
}

fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => abstract_address(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let sender = UnixDatagram::unbound()?;
    sender.set_write_timeout(Some(SEND_TIMEOUT))?;
    sender.send_to_addr(state.as_bytes(), &address).map(|_| ())
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;

    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}
