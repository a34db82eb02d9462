//! Reading directories, by getdents64(2).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::fs::RawDir;

use crate::sys::file::{Batch, Entry};

/// Room for several hundred entries with usual names, as much as glibc's readdir takes at once.
const BUFFER: usize = 32 << 10;

/// Fewer entries are not yet a batch: most directories have no more, and are done in one batch.
const ENOUGH: usize = 256;

/// Reads on where the last batch ended.
pub(crate) fn read_batch(dir: &OwnedFd) -> io::Result<Batch> {
    let mut buffer = vec![MaybeUninit::uninit(); BUFFER];
    let mut raw = RawDir::new(dir, &mut buffer);
    let mut batch = Batch::default();
    while batch.entries.len() < ENOUGH || !raw.is_buffer_empty() {
        let entry = match raw.next() {
            Some(Ok(entry)) => entry,
            // The next batch will meet the same error.
            Some(Err(_)) if !batch.entries.is_empty() => break,
            Some(Err(error)) => return Err(error.into()),
            None => {
                batch.is_last = true;
                break;
            }
        };
        batch.entries.extend(Entry::new(entry.file_name(), entry.ino(), entry.file_type()));
    }
    Ok(batch)
}
