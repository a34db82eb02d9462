//! The entries of a directory, a bufferful at a time.

use std::ffi::{CStr, OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{FileType, Mode, OFlags};

use crate::sys::native::abi::mode_bits;
pub(crate) use crate::sys::native::listing::read_batch;

/// One entry, other than `.` and `..`.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: OsString,
    pub(crate) inode: u64,
    /// The bits of its kind in a mode (`S_IFMT`); `None` if the file system does not say.
    pub(crate) kind: Option<u32>,
}

impl Entry {
    /// Returns an entry as the system lists it; `None` for `.` and `..`.
    pub(crate) fn new(name: &CStr, inode: u64, file_type: FileType) -> Option<Entry> {
        let name = name.to_bytes();
        if name == b"." || name == b".." {
            return None;
        }
        let kind = match file_type {
            FileType::Unknown => None,
            known => Some(mode_bits(known.as_raw_mode())),
        };
        Some(Entry { name: OsStr::from_bytes(name).to_owned(), inode, kind })
    }
}

/// The entries that one read has brought.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) entries: Vec<Entry>,
    /// The directory has no further entries.
    pub(crate) is_last: bool,
}

/// Opens a directory to be listed.
pub(crate) fn open_listing(path: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::io::retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?)
}
