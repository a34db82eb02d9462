//! Functions that read, write or copy a whole file in one call.

use std::io::{self, Read, Write};
use std::path::Path;

use super::File;
use crate::sys::file;
use crate::sys::file::Whole;
use crate::sys::file::nonblocking::FileKind;
use crate::task::blocking::on_pool;

/// Reads a whole file, in one job of the pool. A kill stops it within some megabytes.
///
/// # Errors
/// Those of opening and reading.
pub fn read<P: AsRef<Path>>(path: P) -> io::Result<Vec<u8>> {
    let path = path.as_ref().to_owned();
    match on_pool("read", move |stop| file::read_whole(&path, || stop.is_set()))? {
        Whole::Bytes(bytes) => Ok(bytes),
        Whole::Stream(handle) => {
            let mut bytes = Vec::new();
            File::new(handle, Some(FileKind::Stream)).read_to_end(&mut bytes)?;
            Ok(bytes)
        }
    }
}

/// Reads a whole file of UTF-8.
///
/// # Errors
/// Those of opening and reading; `InvalidData` if it is not UTF-8.
pub fn read_to_string<P: AsRef<Path>>(path: P) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|_| {
        let text = "stream did not contain valid UTF-8";
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

/// Writes `contents` as the whole contents of a file. A missing file is created.
///
/// # Errors
/// Those of opening and writing.
pub fn write<P: AsRef<Path>, C: AsRef<[u8]>>(path: P, contents: C) -> io::Result<()> {
    File::create(path)?.write_all(contents.as_ref())
}

/// Copies the contents and the permissions of a file to another. A missing target is created, an
/// existing one is replaced. Returns the bytes copied.
///
/// The whole copy is one job of the pool, by CopyFileEx. A kill takes effect when it has ended.
///
/// # Errors
/// Those of CopyFileEx.
pub fn copy<P: AsRef<Path>, Q: AsRef<Path>>(from: P, to: Q) -> io::Result<u64> {
    let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
    on_pool("a copy", move |_| file::copy(from, to))
}
