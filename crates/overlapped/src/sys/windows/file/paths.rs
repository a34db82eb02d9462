//! Calls on paths and directories.

use std::fs;
use std::io;
use std::path::Path;

use super::{DirEntry, DirOptions};

pub(crate) use std::fs::{
    ReadDir as Listing, canonicalize, copy, exists, hard_link, metadata, read_dir as open_listing,
    read_link, remove_dir, remove_dir_all, remove_file, rename, set_permissions, symlink_metadata,
};
pub(crate) use std::os::windows::fs::{symlink_dir, symlink_file};

/// The most entries that one call lists.
const BATCH: usize = 256;

/// Entries of a directory, in their order.
pub(crate) struct Batch {
    pub(crate) entries: Vec<io::Result<DirEntry>>,
    /// The listing has ended.
    pub(crate) is_last: bool,
}

impl Batch {
    /// Lists the next entries.
    pub(crate) fn read(listing: &mut fs::ReadDir) -> Batch {
        let entries: Vec<_> = listing.take(BATCH).collect();
        Batch { is_last: entries.len() < BATCH, entries }
    }
}

/// Creates a directory, with the missing ones above it if `all`.
pub(crate) fn create_dir(path: &Path, all: bool) -> io::Result<()> {
    DirOptions::new().recursive(all).create(path)
}
