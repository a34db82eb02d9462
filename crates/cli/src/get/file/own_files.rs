//! This program's own files, beside those that it saves, in folders that others may write to. It
//! never follows another user's link, and never waits for a FIFO or a device.

use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

use overlapped::fs::{self, File, OpenOptions};

/// Opens a regular file.
pub(super) fn open(path: &Path, mut options: OpenOptions) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        let text = format!("{} is not a regular file: move it away", path.display());
        return Err(io::Error::new(ErrorKind::InvalidInput, text));
    }
    Ok(file)
}

/// Reads a file; `None` if it does not exist.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut options = OpenOptions::new();
    options.read(true);
    let mut file = match open(path, options) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Removes a file that may be missing.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Writes a new file, in place of whatever has the name.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    remove(path)?;
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(bytes)
}
