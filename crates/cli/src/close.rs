//! A close(2) whose error is reported.

use std::io;
use std::os::fd::AsFd;

use rustix::io::fcntl_dupfd_cloexec;

/// Attempts after an interruption by a signal.
const TRIES: usize = 16;

/// Reports the error of close(2) for the data written so far. Network file systems and FUSE report
/// write errors only then. A duplicate of the descriptor is closed, so that the file stays
/// open: the caller gives the file its name only if this succeeds.
pub(crate) fn close(file: impl AsFd) -> io::Result<()> {
    let mut tries = 0;
    loop {
        let other = fcntl_dupfd_cloexec(&file, 0)?;
        match nix::unistd::close(other) {
            Err(nix::errno::Errno::EINTR) if tries < TRIES => tries += 1,
            result => return result.map_err(io::Error::from),
        }
    }
}
