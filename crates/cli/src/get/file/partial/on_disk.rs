//! A partial file on the disk, open and locked, with its note.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use overlapped::fs::{self, File, OpenOptions, TryLockError};
use overlapped::task::shield;

use super::super::key::Key;
use super::super::name::{NOTE, UNFINISHED};
use super::super::own_files;
use super::super::version::Version;

/// The longest name, in bytes, that file systems accept.
const NAME_MAX: usize = 255;
/// The maximum number of attempts to open a file that another process is moving away.
const TRIES: usize = 16;

/// The paths of a partial file and of its note.
#[derive(Debug)]
pub(super) struct Paths {
    pub(super) bytes: PathBuf,
    pub(super) note: PathBuf,
}

impl Paths {
    pub(super) fn new(bytes: PathBuf) -> Paths {
        let mut note = bytes.clone().into_os_string();
        note.push(NOTE);
        Paths { bytes, note: note.into() }
    }
}

/// Returns the path of the partial file that is to become `path`.
pub(crate) fn path_of(path: &Path, key: Key) -> PathBuf {
    let ending = format!(".{}{UNFINISHED}", key.short());
    let name = path.file_name().unwrap_or_default();
    // A long name is cut: partial files are found by their keys.
    let bytes = name.as_encoded_bytes();
    let most = NAME_MAX - ending.len() - NOTE.len();
    let mut part = match bytes.len() > most {
        true => OsString::from_vec(bytes[..most].to_vec()),
        false => name.to_owned(),
    };
    part.push(ending);
    path.with_file_name(part)
}

/// A partial file on the disk.
#[derive(Debug)]
pub(super) struct OnDisk {
    pub(super) file: File,
    pub(super) length: u64,
    /// `None`: the server cannot continue these bytes.
    pub(super) version: Option<Version>,
    /// True if there may be a note.
    pub(super) noted: bool,
    /// True if the file was empty when it was opened, and nothing has been written to it.
    is_empty: bool,
}

impl OnDisk {
    /// Opens the file and locks it; `None` if every opened file turned out to be a complete one.
    /// `version` is that of its bytes.
    pub(super) fn acquire(paths: &Paths, version: Option<Version>) -> io::Result<Option<OnDisk>> {
        for is_last in (0..TRIES).map(|tries| tries + 1 == TRIES) {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false);
            let file = own_files::open(&paths.bytes, options)?;
            // Shielded, so that a kill leaves no empty file behind.
            let taken = shield(|| take(&paths.bytes, file, version.clone(), is_last))?;
            if taken.is_some() {
                return Ok(taken);
            }
        }
        Ok(None)
    }

    /// Starts over at the first byte of this version.
    pub(super) fn restart(&mut self, paths: &Paths, version: Option<Version>) -> io::Result<()> {
        self.version = None;
        if self.noted {
            // A note never exists beside bytes of another version.
            own_files::remove(&paths.note)?;
            self.noted = false;
        }
        if !self.is_empty {
            // Not if it is empty: ext4 would then write all of it through at the close.
            self.file.set_len(0)?;
        }
        self.length = 0;
        self.version = version;
        Ok(())
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.is_empty = false;
        self.file.write_all_at(bytes, self.length)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Writes the note, if the server can continue the bytes, and it does not exist yet.
    pub(super) fn write_note(&mut self, paths: &Paths, key: Key) -> io::Result<()> {
        if let Some(version) = &self.version
            && !self.noted
        {
            own_files::write(&paths.note, version.to_note(key).as_bytes())?;
            self.noted = true;
        }
        Ok(())
    }
}

/// Takes the opened file; `None` if it is no longer the partial file. The last try takes it anyway:
/// on some file systems a file's inode number changes with every query.
fn take(
    path: &Path,
    file: File,
    version: Option<Version>,
    is_last: bool,
) -> io::Result<Option<OnDisk>> {
    // Any other error means that the file system has no locks.
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        let text = format!("{} is being written by another process", path.display());
        return Err(io::Error::new(ErrorKind::ResourceBusy, text));
    }
    // Its previous owner may have moved it to its final name meanwhile.
    let (ours, named) = (file.metadata()?, fs::symlink_metadata(path));
    match named {
        Ok(named) if named.ino() == ours.ino() && named.dev() == ours.dev() => {}
        _ if is_last => {}
        _ => return Ok(None),
    }
    // Some file systems report 0 for every file.
    if ours.nlink() > 1 {
        // The file already has its final name, and a crash kept this one: remove only this name.
        fs::remove_file(path)?;
        return Ok(None);
    }
    let length = ours.len();
    Ok(Some(OnDisk { file, length, version, noted: true, is_empty: length == 0 }))
}
