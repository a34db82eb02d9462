//! Copying a file inside the kernel.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::{Errno, retry_on_intr};

use super::mode::{CHAR_DEVICE, FIFO, FORMAT};
use crate::sys::native;

/// The bytes copied per call; between two calls a copy can be abandoned.
const CHUNK: usize = 16 << 20;

/// Room for bytes that the kernel will not copy by itself.
const BUFFER: usize = 256 << 10;

/// Shorter files are read and written: the kernel needs two calls for them, and is slower.
const SMALL: u64 = 64 << 10;

/// The outcome of a copy.
pub(crate) enum Copy {
    /// All is copied: the number of bytes.
    Done(u64),
    /// Nothing is copied: one of the two is a FIFO or a device, which may have to be waited for.
    /// Such a source is returned open: a writer that waited for a reader may have opened the FIFO
    /// because of it. The caller keeps this descriptor until it has opened the source itself.
    Waits(Option<OwnedFd>),
}

/// Copies the contents and the permissions of the regular file `from` to `to`, as std does. A
/// missing target is created, an existing one emptied. `stopped` says whether to stop in
/// between, with `ECANCELED`.
///
/// Each system call counts, because most files are small. So a new file, which is a regular one, is
/// not checked for waits.
pub(crate) fn copy(from: &Path, to: &Path, stopped: impl Fn() -> bool) -> io::Result<Copy> {
    let Some(mut source) = open_source(from)? else {
        return Ok(Copy::Waits(None));
    };
    let metadata = source.metadata()?;
    if mode_may_wait(metadata.permissions().mode()) {
        return Ok(Copy::Waits(Some(source.into())));
    }
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, NO_FILE));
    }
    fcntl_setfl(&source, OFlags::empty())?;
    let Some(mut target) = open_target(to, metadata.permissions())? else {
        return Ok(Copy::Waits(None));
    };
    let copied = if metadata.len() < SMALL {
        in_memory(&source, &mut target, metadata.len())?
    } else {
        in_kernel(&source, &target, &stopped)?
    };
    match copied {
        Copied::All(count) => Ok(Copy::Done(count)),
        Copied::Part(count) => copy_rest(&mut source, &mut target, count, stopped).map(Copy::Done),
    }
}

/// Opens the source without waiting for another process; `None` if that might be necessary.
fn open_source(path: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    match options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path) {
        // Another process has a lease, which has to be broken.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            if may_wait_for_ever(path) {
                Ok(None)
            } else {
                File::open(path).map(Some)
            }
        }
        opened => opened.map(Some),
    }
}

/// Creates the target, or opens and empties an existing one, with these permissions if it is a
/// file. `None` if another process might have to be waited for.
fn open_target(path: &Path, permissions: Permissions) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.write(true).mode(permissions.mode());
    match options.clone().create_new(true).open(path) {
        Ok(target) => {
            // The file is new, so its permissions differ only by the process's mask.
            if target.metadata()?.permissions() != permissions {
                target.set_permissions(permissions)?;
            }
            Ok(Some(target))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if may_wait_for_ever(path) {
                return Ok(None);
            }
            let target = options.create(true).truncate(true).open(path)?;
            // Devices keep their permissions.
            if target.metadata()?.is_file() {
                target.set_permissions(permissions)?;
            }
            Ok(Some(target))
        }
        Err(error) => Err(error),
    }
}

/// Tells whether the path leads to something whose opening may wait for ever.
fn may_wait_for_ever(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| mode_may_wait(found.permissions().mode()))
}

/// Tells whether opening a file with this mode may wait for another process.
pub(crate) fn mode_may_wait(mode: u32) -> bool {
    matches!(mode & FORMAT, FIFO | CHAR_DEVICE)
}

/// The message is std's.
pub(crate) const NO_FILE: &str =
    "the source path is neither a regular file nor a symlink to a regular file";

enum Copied {
    All(u64),
    /// This many bytes are copied, and there may be more.
    Part(u64),
}

/// Copies a file that has, or says that it has, `len` bytes.
fn in_memory(source: &File, target: &mut File, len: u64) -> io::Result<Copied> {
    // Files of /proc and the like claim to be empty, and must be read in one piece.
    let room = if len == 0 { SMALL } else { len + 1 };
    let mut bytes = Vec::with_capacity(room as usize);
    let count = retry_on_intr(|| rustix::io::read(source, spare_capacity(&mut bytes)))? as u64;
    target.write_all(&bytes)?;
    Ok(if count == len { Copied::All(count) } else { Copied::Part(count) })
}

fn in_kernel(source: &File, target: &File, stopped: &impl Fn() -> bool) -> io::Result<Copied> {
    let mut count = 0;
    loop {
        give_up(stopped)?;
        match native::splice::copy_range(source, target, CHUNK) {
            // Of some pseudo-files the kernel copies nothing, although they can be read.
            Ok(0) if count == 0 => return Ok(Copied::Part(0)),
            Ok(0) => return Ok(Copied::All(count)),
            Ok(more) => count += more as u64,
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
