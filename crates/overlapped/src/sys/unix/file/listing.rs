//! The entries of a directory, a bufferful at a time.

use std::ffi::{CStr, OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{FileType, Mode, OFlags, RawDir};

/// Room for some hundred entries: what glibc's readdir takes at once, too.
const BUFFER: usize = 32 << 10;

/// One entry, other than `.` and `..`.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: OsString,
    pub(crate) inode: u64,
    /// The bits of its kind in a mode (`S_IFMT`); `None` where the file system does not say.
    pub(crate) kind: Option<u32>,
}

/// What one look brought.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) entries: Vec<Entry>,
    /// There is nothing more.
    pub(crate) is_last: bool,
}

/// Fewer entries are not yet a batch: most directories have no more, and are done in one look.
const ENOUGH: usize = 256;

/// Opens a directory to be listed.
pub(crate) fn open_listing(path: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(super::retry(|| rustix::fs::open(path, flags, Mode::empty()))?)
}

/// Reads on where the last look ended.
pub(crate) fn read_batch(dir: &OwnedFd) -> io::Result<Batch> {
    let mut buffer = vec![MaybeUninit::uninit(); BUFFER];
    let mut raw = RawDir::new(dir, &mut buffer);
    let mut batch = Batch::default();
    while batch.entries.len() < ENOUGH || !raw.is_buffer_empty() {
        let entry = match raw.next() {
            Some(Ok(entry)) => entry,
            // The next look will meet it, too.
            Some(Err(_)) if !batch.entries.is_empty() => break,
            Some(Err(error)) => return Err(error.into()),
            None => {
                batch.is_last = true;
                break;
            }
        };
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => None,
            kind => Some(kind.as_raw_mode()),
        };
        let name = OsStr::from_bytes(name).to_owned();
        batch.entries.push(Entry { name, inode: entry.ino(), kind });
    }
    Ok(batch)
}
