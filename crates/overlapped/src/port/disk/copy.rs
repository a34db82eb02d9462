//! Copying a file inside the kernel.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;

/// So much at once, so that a copy can be given up in between.
const CHUNK: usize = 16 << 20;

/// Room for what the kernel will not copy by itself.
const BUFFER: usize = 256 << 10;

/// Shorter files are read and written: the kernel needs two calls for them, and is slower.
const SMALL: u64 = 64 << 10;

/// Copies the contents and the permissions of the regular file `from` to `to`, as std does: made
/// where it is not there, emptied where it is. Returns the bytes copied. `None`: to open one of
/// them might wait for ever, and nothing has been done. `stopped` says whether to give up in
/// between, with `ECANCELED`.
pub(crate) fn copy(
    from: &Path,
    to: &Path,
    stopped: impl Fn() -> bool,
) -> io::Result<Option<u64>> {
    if may_wait_for_ever(from) {
        return Ok(None);
    }
    let mut source = File::open(from)?;
    let metadata = source.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, NO_FILE));
    }
    let permissions = metadata.permissions();
    let mut options = OpenOptions::new();
    options.write(true).mode(permissions.mode());
    let mut target = match options.clone().create_new(true).open(to) {
        Ok(target) => {
            // What is new is ours, so that nothing but the process's mask can be in the way.
            if target.metadata()?.permissions() != permissions {
                target.set_permissions(permissions)?;
            }
            target
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if may_wait_for_ever(to) {
                return Ok(None);
            }
            let target = options.create(true).truncate(true).open(to)?;
            // Devices keep theirs.
            if target.metadata()?.is_file() {
                target.set_permissions(permissions)?;
            }
            target
        }
        Err(error) => return Err(error),
    };
    let copied = if metadata.len() < SMALL {
        at_once(&source, &mut target, metadata.len())?
    } else {
        in_kernel(&source, &target, &stopped)?
    };
    match copied {
        Copied::All(count) => Ok(Some(count)),
        Copied::Part(count) => copy_rest(&mut source, &mut target, count, stopped).map(Some),
    }
}

/// Whether there is something whose opening may wait for ever.
fn may_wait_for_ever(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| mode_may_wait(found.permissions().mode()))
}

/// Whether opening a file of this kind may wait for somebody.
pub(crate) fn mode_may_wait(mode: u32) -> bool {
    matches!(mode & libc::S_IFMT, libc::S_IFIFO | libc::S_IFCHR)
}

/// std's words.
pub(crate) const NO_FILE: &str =
    "the source path is neither a regular file nor a symlink to a regular file";

enum Copied {
    All(u64),
    /// So much, and perhaps there is more.
    Part(u64),
}

/// A file that has, or says that it has, so many bytes.
fn at_once(source: &File, target: &mut File, len: u64) -> io::Result<Copied> {
    // Files of /proc and the like say that they are empty, and want to be read in one piece.
    let room = if len == 0 { SMALL } else { len + 1 };
    let mut bytes = Vec::with_capacity(room as usize);
    let count = super::retry(|| rustix::io::read(source, spare_capacity(&mut bytes)))? as u64;
    target.write_all(&bytes)?;
    Ok(if count == len { Copied::All(count) } else { Copied::Part(count) })
}

fn in_kernel(source: &File, target: &File, stopped: &impl Fn() -> bool) -> io::Result<Copied> {
    let mut count = 0;
    loop {
        give_up(stopped)?;
        let (source, target) = (source.as_fd(), target.as_fd());
        match rustix::fs::copy_file_range(source, None, target, None, CHUNK) {
            // Files of /proc and the like say so although they have contents.
            Ok(0) if count == 0 => return Ok(Copied::Part(0)),
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
            ) => return Ok(Copied::Part(count)),
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
