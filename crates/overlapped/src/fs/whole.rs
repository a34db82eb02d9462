//! Functions that read, write or copy a whole file in one call.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::open::open_held;
use super::{File, OpenOptions};
use crate::sys::file;
use crate::sys::file::Copy;
use crate::task::blocking::{Stop, on_pool};

/// Reads a whole file.
///
/// # Errors
/// Those of opening and reading.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("numbers");
/// overlapped::run(|| {
///     overlapped::fs::write(&path, [1, 2, 3])?;
///     assert_eq!(overlapped::fs::read(&path)?, [1, 2, 3]);
///     std::io::Result::Ok(())
/// }).unwrap().unwrap();
/// ```
pub fn read<P: AsRef<Path>>(path: P) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    file.append_to(&mut bytes)?;
    Ok(bytes)
}

/// Reads a whole file of UTF-8.
///
/// # Errors
/// Those of opening and reading; `InvalidData` if it is not UTF-8.
pub fn read_to_string<P: AsRef<Path>>(path: P) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Writes `contents` as the whole contents of a file. A missing file is created.
///
/// # Errors
/// Those of opening and writing.
pub fn write<P: AsRef<Path>, C: AsRef<[u8]>>(path: P, contents: C) -> io::Result<()> {
    File::create(path)?.write_all(contents.as_ref())
}

/// Copies the contents and the permissions of a file to another. A missing target is created, an
/// existing one is emptied. Returns the bytes copied. From 64 KiB on the kernel copies, if it can,
/// and the bytes do not pass through this process; file systems that share blocks share them.
///
/// The whole copy is one job of the pool. A kill stops it within some milliseconds, and leaves a
/// part of the copy behind. The job writes nothing after the killed tasklet has ended.
///
/// # Errors
/// `InvalidInput` if `from` is not a regular file; those of opening, reading and writing.
pub fn copy<P: AsRef<Path>, Q: AsRef<Path>>(from: P, to: Q) -> io::Result<u64> {
    let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
    let job = {
        let (from, to) = (from.clone(), to.clone());
        move |stop: &Stop| file::copy(&from, &to, || stop.is_set())
    };
    match on_pool("a copy", job)? {
        Copy::Done(count) => Ok(count),
        Copy::Waits(held) => copy_by_transfers(held, &from, &to),
    }
}

/// Copies from or to a FIFO or a device, whose opens and transfers may wait for ever.
fn copy_by_transfers(held: Option<OwnedFd>, from: &Path, to: &Path) -> io::Result<u64> {
    let mut source = match held {
        Some(held) => open_held(held, from)?,
        None => File::open(from)?,
    };
    let metadata = source.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, file::NO_FILE));
    }
    let permissions = metadata.permissions();
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(permissions.mode());
    let mut target = options.open(to)?;
    if target.metadata()?.is_file() {
        target.set_permissions(permissions)?;
    }
    io::copy(&mut source, &mut target)
}
