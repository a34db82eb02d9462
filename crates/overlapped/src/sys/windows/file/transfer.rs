//! Calls on open files.

use std::fs::{FileTimes, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::windows::fs::FileExt;
use std::path::Path;

use super::nonblocking::{FileKind, kind};
use super::{Handle, Metadata, Options, TryLockError};
use crate::sys::errno;

/// A kind of lock on a whole file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    Exclusive,
    Shared,
}

/// Opens a file. Returns its kind, too.
pub(crate) fn open(options: &Options, path: &Path) -> io::Result<(Handle, FileKind)> {
    let file = options.open(path)?;
    let kind = kind(&file);
    Ok((file, kind))
}

/// Reads at the cursor, or at an offset (which moves the cursor behind the bytes read).
pub(crate) fn read(mut file: &Handle, buf: &mut [u8], offset: Option<u64>) -> io::Result<usize> {
    match offset {
        Some(offset) => file.seek_read(buf, offset),
        None => file.read(buf),
    }
}

/// Writes at the cursor, or at an offset (which moves the cursor behind the bytes written).
pub(crate) fn write(mut file: &Handle, buf: &[u8], offset: Option<u64>) -> io::Result<usize> {
    match offset {
        Some(offset) => file.seek_write(buf, offset),
        None => file.write(buf),
    }
}

/// Moves the cursor.
pub(crate) fn seek(mut file: &Handle, to: SeekFrom) -> io::Result<u64> {
    file.seek(to)
}

/// Reads from the cursor to the end.
pub(crate) fn read_to_end(mut file: &Handle, buf: &mut Vec<u8>) -> io::Result<usize> {
    file.read_to_end(buf)
}

/// Returns the bytes from the cursor to the end, 0 if that is unknown.
pub(crate) fn bytes_left(mut file: &Handle) -> io::Result<usize> {
    let size = file.metadata().map_or(0, |metadata| metadata.len());
    let at = file.stream_position().unwrap_or(0);
    Ok(usize::try_from(size.saturating_sub(at)).unwrap_or(0))
}

/// The outcome of an attempt to read a whole file.
pub(crate) enum Whole {
    /// All bytes of a file on a disk.
    Bytes(Vec<u8>),
    /// A pipe or a device, whose reads may wait for ever, and of which nothing has been read.
    Stream(Handle),
}

/// The bytes that are read between two looks whether to stop.
const STEP: u64 = 4 << 20;

/// Opens a file, and reads all of it if it is on a disk, unless `stop` returns true.
pub(crate) fn read_whole(path: &Path, stop: impl Fn() -> bool) -> io::Result<Whole> {
    let (file, kind) = open(Options::new().read(true), path)?;
    if kind == FileKind::Stream {
        return Ok(Whole::Stream(file));
    }
    let expected = file.metadata().map_or(0, |metadata| metadata.len());
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(expected).unwrap_or(usize::MAX))?;
    // The last step, at the end of the file, reads nothing.
    while (&file).take(STEP).read_to_end(&mut bytes)? > 0 {
        if stop() {
            return Err(errno::cancelled());
        }
    }
    Ok(Whole::Bytes(bytes))
}

/// Waits until the contents are on the disk.
pub(crate) fn sync(file: &Handle, data_only: bool) -> io::Result<()> {
    if data_only { file.sync_data() } else { file.sync_all() }
}

/// Cuts the file off, or extends it.
pub(crate) fn set_len(file: &Handle, len: u64) -> io::Result<()> {
    file.set_len(len)
}

/// Returns the metadata of an open file.
pub(crate) fn metadata_of(file: &Handle) -> io::Result<Metadata> {
    file.metadata()
}

/// Returns another handle to the same open file.
pub(crate) fn duplicate(file: &Handle) -> io::Result<Handle> {
    file.try_clone()
}

/// Changes the permissions of an open file.
pub(crate) fn set_permissions_of(file: &Handle, permissions: Permissions) -> io::Result<()> {
    file.set_permissions(permissions)
}

/// Changes the times of an open file.
pub(crate) fn set_times(file: &Handle, times: FileTimes) -> io::Result<()> {
    file.set_times(times)
}

/// Waits for a lock.
pub(crate) fn lock(file: &Handle, how: Lock) -> io::Result<()> {
    match how {
        Lock::Exclusive => file.lock(),
        Lock::Shared => file.lock_shared(),
    }
}

/// Takes a lock, unless another holder has one that excludes it.
pub(crate) fn try_lock(file: &Handle, how: Lock) -> Result<(), TryLockError> {
    match how {
        Lock::Exclusive => file.try_lock(),
        Lock::Shared => file.try_lock_shared(),
    }
}

/// Releases the lock.
pub(crate) fn unlock(file: &Handle) -> io::Result<()> {
    file.unlock()
}
