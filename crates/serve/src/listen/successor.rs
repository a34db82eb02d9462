//! A hot restart: the same program is started again, and handed over the sockets that listen.
//!
//! ```text
//! we      start it with our sockets as descriptors 3, 4, … and LISTEN_FDS,  as systemd would
//! it      adopts them (adopt.rs), serves, and says so through the last of those descriptors
//! we      hear it: stop accepting and drain;   or do not: go on as if nothing had happened
//! ```
//!
//! Clients that wait in the queues of those sockets are whoever's who accepts them, and no moment
//! comes in which nobody listens. Each thread's socket has a queue of its own, so all of them are
//! handed over.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};

use command_fds::{CommandFdExt, FdMapping};
use overlapped::io::PipeReader;
use overlapped::task::unblock;
use overlapped::time::{Duration, timeout};

use super::adopt::{self, READY};

/// The first descriptor that is handed over (sd_listen_fds(3)).
const FIRST: i32 = 3;
/// A successor that has not begun to serve by then is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts a successor and waits until it serves; its process.
pub(crate) fn start(command: &[OsString], sockets: Vec<(String, OwnedFd)>) -> io::Result<u32> {
    let (reader, writer) = std::io::pipe()?;
    let mut child = spawn(command, sockets, writer.into())?;
    let id = child.id();
    let mut ready = PipeReader::from(OwnedFd::from(reader));
    let mut word = [0; 16];
    let heard = timeout(PATIENCE, || ready.read(&mut word));
    if matches!(heard, Ok(1..)) {
        return Ok(id);
    }
    // It has ended, or will not begin.
    let _ = child.kill();
    let ended = unblock(move || child.wait()).map_err(io::Error::other)??;
    Err(io::Error::other(format!(
        "the successor, process {id}, has not begun to serve: {ended}. What it printed says why; \
         this server goes on."
    )))
}

fn spawn(
    command: &[OsString],
    sockets: Vec<(String, OwnedFd)>,
    ready: OwnedFd,
) -> io::Result<Child> {
    let (names, mut handed): (Vec<_>, Vec<_>) = sockets.into_iter().unzip();
    let names = names.join(":") + ":" + READY;
    handed.push(ready);
    let count = handed.len();
    let mappings = handed.into_iter().zip(FIRST..);
    let mappings = mappings.map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd });
    // LISTEN_PID is the number of the process that is to adopt them, which only that process knows.
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
        io::Error::new(error.kind(), format!("cannot start the successor {program}: {error}"))
    })
}

/// Tells our predecessor, if there is one, that we serve.
pub(crate) fn tell_predecessor() {
    // Who has been asked for nothing of the kind has none.
    for pipe in adopt::take_ready().unwrap_or_default() {
        // It has given us up: then it serves, too, and nothing is lost.
        let _ = std::io::PipeWriter::from(pipe).write_all(b"ready\n");
    }
    adopt::close_the_rest();
}
