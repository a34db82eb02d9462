//! The destination of a download's bytes: a file that gets its name when it is complete, or a
//! target whose bytes cannot be replaced or taken back: a pipe, a device, standard output.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use overlapped::fs::{self, File, OpenOptions};

use super::partial::PartialFile;
use super::version::Version;
use crate::display::count_irregular;

/// A target that is written as the bytes arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Stdout,
    /// A device or a named pipe.
    Special(PathBuf),
}

impl Target {
    /// Finds the target that a path stands for; `None` for a file or a folder, existing or not.
    pub(crate) fn from_path(path: &Path) -> Option<Target> {
        const STDOUT: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
        if STDOUT.iter().any(|name| path == Path::new(name)) {
            return Some(Target::Stdout);
        }
        let kind = fs::metadata(path).ok()?.file_type();
        // Links in these folders stand for descriptors, whatever those refer to.
        let is_descriptor = path.starts_with("/dev/fd") || path.starts_with("/proc");
        let is_special = kind.is_char_device() || kind.is_fifo() || kind.is_block_device();
        (is_special || is_descriptor && !kind.is_dir()).then(|| Target::Special(path.to_owned()))
    }

    /// Tells whether several downloads may go there: terminals and the like do not separate them
    /// anyway.
    pub(crate) fn takes_several(&self) -> bool {
        let Target::Special(path) = self else { return false };
        fs::metadata(path).is_ok_and(|found| found.file_type().is_char_device())
    }

    /// Tells whether existing contents would be overwritten.
    pub(crate) fn is_disk(&self) -> bool {
        let Target::Special(path) = self else { return false };
        fs::metadata(path).is_ok_and(|found| found.file_type().is_block_device())
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Target::Stdout => Path::new("-"),
            Target::Special(path) => path,
        }
    }

    fn open(&self) -> io::Result<File> {
        match self {
            Target::Stdout => Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?)),
            Target::Special(path) => OpenOptions::new().write(true).open(path),
        }
    }
}

/// A partial file or a stream.
#[derive(Debug)]
pub(crate) enum Sink {
    Partial(PartialFile),
    Stream(Stream),
}

impl Sink {
    pub(crate) fn adopt(&mut self) -> io::Result<()> {
        match self {
            Sink::Partial(part) => part.adopt(),
            Sink::Stream(_) => Ok(()),
        }
    }

    /// Returns the number of known bytes and their version; `None` if the server has to start at
    /// the first byte.
    pub(crate) fn known(&self) -> Option<(u64, &Version)> {
        match self {
            Sink::Partial(part) => part.known(),
            Sink::Stream(stream) => {
                let version = stream.version.as_ref()?;
                (stream.length > 0).then_some((stream.length, version))
            }
        }
    }

    pub(crate) fn learn_length(&mut self, whole: u64) {
        match self {
            Sink::Partial(part) => part.learn_length(whole),
            Sink::Stream(stream) => {
                if let Some(version) = &mut stream.version {
                    version.length.get_or_insert(whole);
                }
            }
        }
    }

    pub(crate) fn length(&self) -> u64 {
        match self {
            Sink::Partial(part) => part.length(),
            Sink::Stream(stream) => stream.length,
        }
    }

    /// Tells whether its bytes go to a reader that may wait for them.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self, Sink::Stream(_))
    }

    pub(crate) fn restart(&mut self, version: Option<Version>) -> io::Result<()> {
        match self {
            Sink::Partial(part) => part.restart(version),
            Sink::Stream(stream) => stream.restart(version),
        }
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Sink::Partial(part) => part.append(bytes),
            Sink::Stream(stream) => stream.append(bytes),
        }
    }

    pub(crate) fn finish(
        &mut self,
        name: &Path,
        modified: Option<SystemTime>,
        replace: bool,
    ) -> io::Result<()> {
        match self {
            Sink::Partial(part) => part.finish(name, modified, replace),
            Sink::Stream(stream) => stream.file.as_ref().map_or(Ok(()), crate::close::close),
        }
    }

    pub(crate) fn sweep(&self, name: &Path) {
        if let Sink::Partial(part) = self {
            part.sweep(name);
        }
    }

    pub(crate) fn kept(&self) -> Option<&Path> {
        match self {
            Sink::Partial(part) => part.kept(),
            Sink::Stream(_) => None,
        }
    }
}

/// A target that is being written. Written bytes cannot be taken back: an attempt can only
/// continue.
#[derive(Debug)]
pub(crate) struct Stream {
    target: Target,
    file: Option<File>,
    length: u64,
    version: Option<Version>,
}

impl Stream {
    pub(crate) fn new(target: Target) -> Stream {
        Stream { target, file: None, length: 0, version: None }
    }

    fn restart(&mut self, version: Option<Version>) -> io::Result<()> {
        if self.length > 0 {
            return Err(io::Error::new(ErrorKind::InvalidInput, Written(self.length)));
        }
        if self.file.is_none() {
            self.file = Some(self.target.open()?);
        }
        self.version = version;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = self.file.as_mut().ok_or(ErrorKind::NotConnected)?;
        file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }
}

/// The error of a stream whose written bytes would have to be sent again.
#[derive(Debug)]
struct Written(u64);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = count_irregular(self.0, "byte was", "bytes were");
        write!(f, "{written} already written, and the server cannot continue from there")
    }
}

impl std::error::Error for Written {}
