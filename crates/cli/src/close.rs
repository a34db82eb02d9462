//! A close(2) that tells its error.

use std::io;
use std::os::fd::AsFd;

use rustix::io::fcntl_dupfd_cloexec;

/// Attempts that a signal may interrupt.
const TRIES: usize = 16;

/// Finds out what close(2) would say of what was written, where the kernel or a server may have put
/// it off: network file systems, FUSE. Another descriptor of the same file is closed, so that there
/// is still one to give it a name, and no name if this fails.
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
