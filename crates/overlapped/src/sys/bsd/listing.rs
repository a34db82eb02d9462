//! Reading directories, by readdir(3).

use std::io;
use std::os::fd::OwnedFd;

use crate::sys::file::{Batch, Entry};

/// Reads the whole directory from its beginning. readdir(3) keeps its position in memory of the C
/// library, so a listing cannot be continued from the descriptor alone.
pub(crate) fn read_batch(dir: &OwnedFd) -> io::Result<Batch> {
    let mut batch = Batch { entries: Vec::new(), is_last: true };
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        batch.entries.extend(Entry::new(entry.file_name(), entry.ino(), entry.file_type()));
    }
    Ok(batch)
}
