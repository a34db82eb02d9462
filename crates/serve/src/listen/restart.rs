//! Hot restart: the program is started again, and the new process inherits the listening sockets.
//!
//! ```text
//! old   starts the new process with its sockets as descriptors 3, 4, … and LISTEN_FDS, as systemd
//! new   takes the sockets (inherit.rs), serves, and says so through the last of those descriptors
//! old   then stops accepting and drains; without that message it goes on as before
//! ```
//!
//! Clients in the queues of the sockets belong to whichever process accepts them, and there is
//! always a process that listens. Each thread's socket has a queue of its own, so all sockets are
//! handed over.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};

use command_fds::{CommandFdExt, FdMapping};
use overlapped::io::PipeReader;
use overlapped::task::unblock;
use overlapped::time::{Duration, timeout};

use super::inherit;

/// The first descriptor that is handed over (sd_listen_fds(3)).
const FIRST: i32 = 3;
/// The time after which a new process that does not serve is abandoned.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Starts the new process and waits until it serves; returns its number.
pub(crate) fn start(command: &[OsString], sockets: Vec<(String, OwnedFd)>) -> io::Result<u32> {
    let (reader, writer) = std::io::pipe()?;
    let mut child = spawn(command, sockets, writer.into())?;
    let id = child.id();
    let mut ready = PipeReader::from(OwnedFd::from(reader));
    let mut message = [0; 16];
    let answer = timeout(START_TIMEOUT, || ready.read(&mut message));
    if matches!(answer, Ok(1..)) {
        return Ok(id);
    }
    // The new process has ended, or does not start to serve.
    let _ = child.kill();
    let ended = unblock(move || child.wait()).map_err(io::Error::other)??;
    Err(io::Error::other(format!(
        "the new process {id} has not begun to serve: {ended}. Its output says why; this server \
         goes on."
    )))
}

fn spawn(
    command: &[OsString],
    sockets: Vec<(String, OwnedFd)>,
    ready: OwnedFd,
) -> io::Result<Child> {
    let (names, mut handed): (Vec<_>, Vec<_>) = sockets.into_iter().unzip();
    let names = inherit::names(names);
    handed.push(ready);
    let count = handed.len();
    let mappings = handed.into_iter().zip(FIRST..);
    let mappings = mappings.map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd });
    // LISTEN_PID is the number of the process that inherits them, which only that process knows.
    let mut child = Command::new("/bin/sh");
    child
        .arg("-c")
        .arg(r#"LISTEN_PID=$$ exec "$@""#)
        .arg("sh")
        .args(command)
        .env("LISTEN_FDS", count.to_string())
        .env("LISTEN_FDNAMES", names)
        .fd_mappings(mappings.collect())
        .map_err(|error| io::Error::other(format!("descriptors collide: {error:?}")))?;
    child.spawn().map_err(|error| {
        let program = command.first().map_or(OsStr::new(""), OsString::as_os_str).display();
        io::Error::new(error.kind(), format!("cannot start the new process {program}: {error}"))
    })
}

/// Tells the old process of a hot restart, if there is one, that this process serves.
pub(crate) fn notify_old_process() {
    // An error means that nothing was handed over.
    for pipe in inherit::take_ready().unwrap_or_default() {
        // The old process may have stopped waiting: then both serve, and nothing is lost.
        let _ = std::io::PipeWriter::from(pipe).write_all(b"ready\n");
    }
    inherit::close_the_rest();
}
