//! The entries of a folder, in the order in which they are shown.
//!
//! All names are read, and the first ones in the order are kept in a heap: memory is bounded by
//! what is shown, not by the folder. A name is looked at where its order asks for that, or when it
//! is shown.
//!
//! Links are looked at as they would be opened: one that leads out of the root, or nowhere, is not
//! listed, and nothing is told of what it points at.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ffi::CStr;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, FileType, Statx, StatxFlags};
use rustix::io::Errno;

use super::Config;
use crate::web::beneath::{Open, stat};

/// Entries that are shown, so that a huge folder cannot fill a browser.
pub(super) const SHOWN_MAX: usize = 5_000;

/// Names that are read, so that a huge folder cannot keep a thread.
pub(super) const READ_MAX: usize = 200_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Name,
    Size,
    Time,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sorting {
    pub(super) by: Column,
    pub(super) descending: bool,
}

impl Sorting {
    /// The order that `query` asks for; by name where it asks for none.
    pub(super) fn of(query: &str) -> Sorting {
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

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) is_folder: bool,
    pub(super) size: u64,
    /// Seconds since 1970.
    pub(super) modified: i64,
}

impl Entry {
    /// `None` for what is neither a folder nor a regular file.
    fn new(name: &CStr, stat: &Statx) -> Option<Entry> {
        let is_folder = match FileType::from_raw_mode(stat.stx_mode.into()) {
            FileType::Directory => true,
            FileType::RegularFile => false,
            _ => return None,
        };
        let (size, modified) = (stat.stx_size, stat.stx_mtime.tv_sec);
        Some(Entry { name: name.to_bytes().to_vec(), is_folder, size, modified })
    }
}

/// An entry and its place in the order: folders first, whatever the order.
#[derive(PartialEq, Eq)]
struct Ranked {
    entry: Entry,
    lower: String,
    sorting: Sorting,
    is_looked_at: bool,
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

/// The entries of a folder that are shown, and the number of all.
pub(super) struct Entries {
    /// At most [`SHOWN_MAX`], in order.
    pub(super) shown: Vec<Entry>,
    pub(super) found: usize,
    /// Only [`READ_MAX`] names were read.
    pub(super) is_cut: bool,
}

impl Entries {
    /// Reads the folder `path`, which is open as `fd`. Blocks the thread.
    pub(super) fn read(
        config: &Config,
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

struct Reader<'a> {
    config: &'a Config,
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

    /// The entry, as far as its place in the order asks for it.
    fn rank(&self, name: &CStr, kind: FileType) -> Option<Ranked> {
        let is_plain = matches!(kind, FileType::Directory | FileType::RegularFile);
        let (entry, is_looked_at) = if is_plain && self.sorting.by == Column::Name {
            let (name, is_folder) = (name.to_bytes().to_vec(), kind == FileType::Directory);
            (Entry { name, is_folder, size: 0, modified: 0 }, false)
        } else {
            (self.look(name, is_plain)?, true)
        };
        let lower = String::from_utf8_lossy(&entry.name).to_lowercase();
        Some(Ranked { entry, lower, sorting: self.sorting, is_looked_at })
    }

    /// The whole entry; `None` where it has gone meanwhile.
    fn complete(&self, ranked: Ranked) -> Option<Entry> {
        if ranked.is_looked_at {
            return Some(ranked.entry);
        }
        let name = std::ffi::CString::new(ranked.entry.name).ok()?;
        self.look(&name, true)
    }

    /// Looks at what has this name. What is no link is not followed, so it needs no care.
    fn look(&self, name: &CStr, is_plain: bool) -> Option<Entry> {
        if is_plain {
            let (flags, facts) = (AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS);
            let stat = rustix::fs::statx(&self.parent, name, flags, facts).ok()?;
            if let Some(entry) = Entry::new(name, &stat) {
                return Some(entry);
            }
        }
        let slash: &[u8] = if self.path.is_empty() { b"" } else { b"/" };
        let whole = [self.path, slash, name.to_bytes()].concat();
        let fd = self.config.folder.open_blocking(&whole, Open::Look).ok()?;
        Entry::new(name, &stat(&fd).ok()?)
    }
}
