//! The entries of a folder, sorted for its page.
//!
//! All names are read, and the first ones in the order are kept in a heap. So memory is bounded by
//! the number of entries shown, not by the folder. An entry's metadata is read only if the order
//! needs it, or when the entry is shown.
//!
//! Links are resolved as an open would: one that leads out of the root, or nowhere, is not listed,
//! and nothing of its target is revealed.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ffi::CStr;
use std::os::fd::OwnedFd;

use rustix::fs::{Dir, FileType};
use rustix::io::Errno;

use super::config::FilesConfig;
use crate::web::below::Open;
use crate::web::file_stat::{FileStat, stat, stat_in};

/// The maximum number of entries on a page: a huge folder must not overload a browser.
pub(super) const SHOWN_MAX: usize = 5_000;

/// The maximum number of names that are read: a huge folder must not occupy a thread.
pub(super) const READ_MAX: usize = 200_000;

/// A column of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Name,
    Size,
    Time,
}

/// The order of the entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sorting {
    pub(super) by: Column,
    pub(super) descending: bool,
}

impl Sorting {
    /// Parses the order in a query, such as `sort=size&order=desc`. Default: by name.
    pub(super) fn from_query(query: &str) -> Sorting {
        let mut sorting = Sorting { by: Column::Name, descending: false };
        for pair in query.split('&') {
            match pair {
                "sort=size" => sorting.by = Column::Size,
                "sort=time" => sorting.by = Column::Time,
                "order=desc" => sorting.descending = true,
                _ => {}
            }
        }
        sorting
    }

    fn directed(self, order: Ordering) -> Ordering {
        if self.descending { order.reverse() } else { order }
    }
}

/// An entry of a folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) is_folder: bool,
    pub(super) size: u64,
    /// Seconds since 1970.
    pub(super) modified: i64,
}

impl Entry {
    /// Returns `None` if the file is neither a folder nor a regular file.
    fn new(name: &CStr, stat: &FileStat) -> Option<Entry> {
        let is_folder = match stat.file_type() {
            FileType::Directory => true,
            FileType::RegularFile => false,
            _ => return None,
        };
        let (name, modified) = (name.to_bytes().to_vec(), stat.modified.0);
        Some(Entry { name, is_folder, size: stat.size, modified })
    }
}

/// An entry that can be compared: folders first, then by the order.
#[derive(PartialEq, Eq)]
struct Ranked {
    entry: Entry,
    lower: String,
    sorting: Sorting,
    has_stat: bool,
}

impl Ord for Ranked {
    fn cmp(&self, other: &Ranked) -> Ordering {
        let (a, b, sorting) = (&self.entry, &other.entry, self.sorting);
        let by_name = self.lower.cmp(&other.lower).then_with(|| a.name.cmp(&b.name));
        b.is_folder.cmp(&a.is_folder).then_with(|| match sorting.by {
            Column::Name => sorting.directed(by_name),
            Column::Size => sorting.directed(a.size.cmp(&b.size)).then(by_name),
            Column::Time => sorting.directed(a.modified.cmp(&b.modified)).then(by_name),
        })
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Ranked) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The entries that are shown, and the number of all.
pub(super) struct Entries {
    /// The first entries in the order, at most [`SHOWN_MAX`].
    pub(super) shown: Vec<Entry>,
    pub(super) found: usize,
    /// True if only [`READ_MAX`] names were read.
    pub(super) is_cut: bool,
}

impl Entries {
    /// Reads the folder `path`, which is open as `fd`. Blocks the thread.
    pub(super) fn read(
        config: &FilesConfig,
        path: &[u8],
        fd: OwnedFd,
        sorting: Sorting,
    ) -> Result<Entries, Errno> {
        let parent =
            fd.try_clone().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        let reader = Reader { config, path, parent, sorting };
        let mut first = BinaryHeap::new();
        let (mut found, mut read, mut is_cut) = (0, 0, false);
        for entry in Dir::new(fd)? {
            let entry = entry?;
            if reader.is_hidden(entry.file_name()) {
                continue;
            }
            is_cut = read == READ_MAX;
            if is_cut {
                break;
            }
            read += 1;
            if let Some(ranked) = reader.rank(entry.file_name(), entry.file_type()) {
                found += 1;
                first.push(ranked);
                if first.len() > SHOWN_MAX {
                    first.pop();
                }
            }
        }
        let shown =
            first.into_sorted_vec().into_iter().filter_map(|ranked| reader.complete(ranked));
        Ok(Entries { shown: shown.collect(), found, is_cut })
    }
}

/// A folder that is being read.
struct Reader<'a> {
    config: &'a FilesConfig,
    path: &'a [u8],
    parent: OwnedFd,
    sorting: Sorting,
}

impl Reader<'_> {
    fn is_hidden(&self, name: &CStr) -> bool {
        let name = name.to_bytes();
        let is_shown = self.config.hidden || (self.path.is_empty() && name == b".well-known");
        name == b"." || name == b".." || name.starts_with(b".") && !is_shown
    }

    /// Returns the entry with as much metadata as the order needs.
    fn rank(&self, name: &CStr, kind: FileType) -> Option<Ranked> {
        let is_plain = matches!(kind, FileType::Directory | FileType::RegularFile);
        let (entry, has_stat) = if is_plain && self.sorting.by == Column::Name {
            let (name, is_folder) = (name.to_bytes().to_vec(), kind == FileType::Directory);
            (Entry { name, is_folder, size: 0, modified: 0 }, false)
        } else {
            (self.stat(name, is_plain)?, true)
        };
        let lower = String::from_utf8_lossy(&entry.name).to_lowercase();
        Some(Ranked { entry, lower, sorting: self.sorting, has_stat })
    }

    /// Adds missing metadata; returns `None` if the file has been removed.
    fn complete(&self, ranked: Ranked) -> Option<Entry> {
        if ranked.has_stat {
            return Some(ranked.entry);
        }
        let name = std::ffi::CString::new(ranked.entry.name).ok()?;
        self.stat(&name, true)
    }

    /// Reads the metadata of a name. If it is not a link, a plain stat is safe.
    fn stat(&self, name: &CStr, is_plain: bool) -> Option<Entry> {
        if is_plain {
            let stat = stat_in(&self.parent, name).ok()?;
            if let Some(entry) = Entry::new(name, &stat) {
                return Some(entry);
            }
        }
        let slash: &[u8] = if self.path.is_empty() { b"" } else { b"/" };
        let path = [self.path, slash, name.to_bytes()].concat();
        let fd = self.config.root.open_blocking(&path, Open::Stat).ok()?;
        Entry::new(name, &stat(&fd).ok()?)
    }
}
