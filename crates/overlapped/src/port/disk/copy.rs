//! Copying a file inside the kernel.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::io::Errno;

/// So much at once, so that a copy can be given up in between.
const CHUNK: usize = 16 << 20;

/// Room for what the kernel will not copy by itself.
const BUFFER: usize = 256 << 10;

/// Copies the contents and the permissions of the regular file `from` to `to`, as std does: made
/// where it is not there, emptied where it is. Returns the bytes copied. `stopped` says whether to
/// give up in between, with `ECANCELED`.
pub(crate) fn copy(from: &Path, to: &Path, stopped: impl Fn() -> bool) -> io::Result<u64> {
    let mut source = File::open(from)?;
    let metadata = source.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, NO_FILE));
    }
    let permissions = metadata.permissions();
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(permissions.mode());
    let mut target = options.open(to)?;
    // Devices and pipes keep theirs.
    if target.metadata()?.is_file() {
        target.set_permissions(permissions)?;
    }
    let done = in_kernel(&source, &target, &stopped)?;
    match done {
        Copied::All(count) => Ok(count),
        Copied::Refused(count) => copy_rest(&mut source, &mut target, count, stopped),
    }
}

/// std's words.
pub(crate) const NO_FILE: &str =
    "the source path is neither a regular file nor a symlink to a regular file";

enum Copied {
    All(u64),
    /// So much, and the kernel will not go on.
    Refused(u64),
}

fn in_kernel(source: &File, target: &File, stopped: &impl Fn() -> bool) -> io::Result<Copied> {
    let mut count = 0;
    loop {
        give_up(stopped)?;
        let (source, target) = (source.as_fd(), target.as_fd());
        match rustix::fs::copy_file_range(source, None, target, None, CHUNK) {
            // Files of /proc and the like say so although they have contents.
            Ok(0) if count == 0 => return Ok(Copied::Refused(0)),
            Ok(0) => return Ok(Copied::All(count)),
            Ok(more) => count += more as u64,
            Err(Errno::INTR) => {}
            Err(
                Errno::NOSYS
                | Errno::XDEV
                | Errno::INVAL
                | Errno::PERM
                | Errno::OPNOTSUPP
                | Errno::BADF
                | Errno::OVERFLOW,
            ) => return Ok(Copied::Refused(count)),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Copies from cursor to cursor through memory. `count` bytes have been copied already.
fn copy_rest(
    source: &mut impl Read,
    target: &mut impl Write,
    mut count: u64,
    stopped: impl Fn() -> bool,
) -> io::Result<u64> {
    let mut buffer = vec![0; BUFFER];
    loop {
        give_up(&stopped)?;
        match source.read(&mut buffer) {
            Ok(0) => return Ok(count),
            Ok(more) => {
                target.write_all(&buffer[..more])?;
                count += more as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn give_up(stopped: &impl Fn() -> bool) -> io::Result<()> {
    if stopped() { Err(io::Error::from_raw_os_error(libc::ECANCELED)) } else { Ok(()) }
}
