//! `OpenOptions`, and the opening, which a job does: a server may have to be asked.

use std::fmt;
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::path::Path;

use super::File;
use crate::sys::file;
use crate::sys::file::Options;
use crate::task::blocking::on_pool;

/// Options for opening a file; the counterpart of `std::fs::OpenOptions`. std's `OpenOptionsExt`
/// for Windows works on it, too.
///
/// A file that was opened with `FILE_FLAG_OVERLAPPED` has no cursor: only calls at an offset work,
/// as with std's.
#[derive(Clone)]
pub struct OpenOptions(Options);

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions::new()
    }
}

/// Opening of files, beside the options that it uses.
impl File {
    /// Opens a file to read from it.
    ///
    /// # Errors
    /// Those of CreateFile.
    pub fn open<P: AsRef<Path>>(path: P) -> io::Result<File> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file to write to it. A missing file is created, an existing one is emptied.
    ///
    /// # Errors
    /// Those of CreateFile.
    pub fn create<P: AsRef<Path>>(path: P) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path)
    }

    /// Creates a file and opens it to read and write.
    ///
    /// # Errors
    /// `AlreadyExists` if the path exists; those of CreateFile.
    pub fn create_new<P: AsRef<Path>>(path: P) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path)
    }

    /// Returns options for other ways to open a file.
    #[must_use]
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }
}

impl OpenOptions {
    /// Returns options that ask for nothing.
    #[must_use]
    pub fn new() -> OpenOptions {
        OpenOptions(Options::new())
    }

    /// Asks for read access.
    pub fn read(&mut self, read: bool) -> &mut Self {
        self.0.read(read);
        self
    }

    /// Asks for write access.
    pub fn write(&mut self, write: bool) -> &mut Self {
        self.0.write(write);
        self
    }

    /// Asks for write access at the file's end, wherever that is by then.
    pub fn append(&mut self, append: bool) -> &mut Self {
        self.0.append(append);
        self
    }

    /// Empties the file first.
    pub fn truncate(&mut self, truncate: bool) -> &mut Self {
        self.0.truncate(truncate);
        self
    }

    /// Creates the file if it is missing.
    pub fn create(&mut self, create: bool) -> &mut Self {
        self.0.create(create);
        self
    }

    /// Creates the file, and fails if the path exists.
    pub fn create_new(&mut self, create_new: bool) -> &mut Self {
        self.0.create_new(create_new);
        self
    }

    /// Opens the file.
    ///
    /// # Errors
    /// Those of CreateFile; `InvalidInput` for options that make no sense together, as std.
    pub fn open<P: AsRef<Path>>(&self, path: P) -> io::Result<File> {
        let (options, path) = (self.0.clone(), path.as_ref().to_owned());
        let (handle, kind) = on_pool("open", move |_| file::open(&options, &path))?;
        Ok(File::new(handle, Some(kind)))
    }
}

impl fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl OpenOptionsExt for OpenOptions {
    fn access_mode(&mut self, access: u32) -> &mut Self {
        self.0.access_mode(access);
        self
    }

    fn share_mode(&mut self, share: u32) -> &mut Self {
        self.0.share_mode(share);
        self
    }

    fn custom_flags(&mut self, flags: u32) -> &mut Self {
        self.0.custom_flags(flags);
        self
    }

    fn attributes(&mut self, attributes: u32) -> &mut Self {
        self.0.attributes(attributes);
        self
    }

    fn security_qos_flags(&mut self, flags: u32) -> &mut Self {
        self.0.security_qos_flags(flags);
        self
    }
}
