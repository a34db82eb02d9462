//! One regular file, from opening it to the copy's name.
//!
//! ```text
//! begin ─▶ OpenCopy ─▶ contents (here, or by a tasklet) ─▶ end: attributes, sync, close, name
//! ```
//!
//! A small file is copied in one job of the pool: its calls take a microsecond each, so every
//! change of the thread would cost more than the calls. The contents of a large file are moved by a
//! tasklet, so that a kill does not have to wait for them.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::fs::{Advice, FileType, Mode, OFlags, Stat, fadvise, fstat, fsync, ftruncate, openat};

use super::attributes::{self, Object};
use super::copied::Copied;
use super::data::{self, BUFFER, DataRange, Extent};
use super::temporary::{Named, TemporaryFile};
use super::{name, special};
use crate::copy::folder::{Entry, Folder};
use crate::copy::links::{Claim, Claimed, Links};
use crate::copy::problem::{Problem, Step};
use crate::copy::shared::Copying;

/// The largest file that is copied in one job; tasklets move larger ones.
const SMALL: u64 = 1 << 20;

/// A file and its copy, both open, the copy without a name.
#[derive(Debug)]
pub(in crate::copy) struct OpenCopy {
    pub(in crate::copy) from: OwnedFd,
    pub(in crate::copy) temporary: TemporaryFile,
    pub(in crate::copy) stat: Stat,
    /// The extent that was copied.
    pub(in crate::copy) copied: Extent,
    folder: Arc<Folder>,
    entry: Entry,
    claim: Option<Claim>,
}

/// Copies a file, if it is small.
pub(in crate::copy) fn copy(
    links: &Arc<Links>,
    folder: &Arc<Folder>,
    entry: &Entry,
    buffer: &mut [u8],
) -> Result<Copied, Problem> {
    let mut open_copy = match begin(links, folder, entry, SMALL)? {
        Ok(open_copy) => open_copy,
        Err(copied) => return Ok(copied),
    };
    let copying = folder.copying();
    let (from, temporary) = (open_copy.from.as_fd(), open_copy.temporary.as_fd());
    open_copy.copied = data::copy(from, temporary, &open_copy.stat, buffer, &copying.stopped)?;
    copying.counters.moved.add(open_copy.copied.length);
    if copying.options.verify {
        open_copy.write_through()?;
        open_copy.compare(open_copy.whole())?;
    }
    open_copy.end()
}

/// Opens a file and makes its temporary file; or returns what to do instead.
pub(in crate::copy) fn begin(
    links: &Arc<Links>,
    folder: &Arc<Folder>,
    entry: &Entry,
    size_max: u64,
) -> Result<Result<OpenCopy, Copied>, Problem> {
    // If it has become a FIFO or a device meanwhile, opening it must not wait.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let from = openat(folder.from(), &entry.name, flags | OFlags::NOCTTY, Mode::empty());
    let from = from.map_err(Problem::at(Step::Open))?;
    let stat = fstat(&from).map_err(Problem::at(Step::Open))?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind != FileType::RegularFile {
        return Err(Problem::Special(kind));
    }
    if name::may_have_name(folder, entry, &stat)?.is_none() {
        return Ok(Err(Copied::Kept));
    }
    if data::size(&stat) > size_max {
        return Ok(Err(Copied::Large));
    }
    let claim = match links.claim(folder, entry, &stat) {
        Claimed::Alone => None,
        Claimed::First(claim) => Some(claim),
        Claimed::Waits => return Ok(Err(Copied::Waits)),
        Claimed::Copied(copied_name) => match special::link(folder, entry, &stat, &copied_name)? {
            Some(copied) => return Ok(Err(copied)),
            None => None,
        },
    };
    let temporary = TemporaryFile::new(folder, &folder.copying().unnamed, entry.copy());
    let temporary = temporary.map_err(Problem::at(Step::Create))?;
    let (folder, entry) = (Arc::clone(folder), entry.clone());
    let copied = Extent::default();
    Ok(Ok(OpenCopy { from, temporary, stat, copied, folder, entry, claim }))
}

impl OpenCopy {
    pub(in crate::copy) fn whole(&self) -> DataRange {
        DataRange { begin: 0, end: self.copied.length }
    }

    pub(in crate::copy) fn copying(&self) -> &Arc<Copying> {
        self.folder.copying()
    }

    /// Writes the copy to its device, and drops it from the kernel's cache, so that the next read
    /// comes from the device.
    pub(in crate::copy) fn write_through(&self) -> Result<(), Problem> {
        write_through(&self.temporary)
    }

    /// Compares a range of both. A source that was written to meanwhile cannot be compared.
    pub(in crate::copy) fn compare(&self, range: DataRange) -> Result<(), Problem> {
        let stopped = &self.copying().stopped;
        match data::compare(&self.from, &self.temporary, range, self.copied.length, stopped) {
            Err(Problem::Differs { .. }) if self.changed()?.is_some() => {
                Err(Problem::ChangedUnverified)
            }
            result => result,
        }
    }

    /// Returns how the source was written to since it was opened, if so.
    fn changed(&self) -> Result<Option<Problem>, Problem> {
        let now = fstat(&self.from).map_err(Problem::at(Step::Read))?;
        let moved_on = |stat: &Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
        let (before, after) = (data::size(&self.stat), data::size(&now));
        let changed = moved_on(&now) != moved_on(&self.stat);
        Ok(changed.then_some(Problem::Changed { before, after }))
    }

    /// Completes the copy: attributes first, its name last.
    pub(in crate::copy) fn end(self) -> Result<Copied, Problem> {
        let changed = self.changed()?;
        let OpenCopy { from, mut temporary, stat, copied, folder, entry, claim } = self;
        let copying = folder.copying();
        loop {
            finish(copying, &from, &temporary, &stat)?;
            let name = entry.copy();
            let named = name::give(&folder, &entry, &stat, |replace| {
                temporary.publish(&copying.unnamed, name, replace).map_err(Problem::at(Step::Name))
            })?;
            match named {
                Named::Done => break,
                Named::Taken => return name::taken(&folder, &entry),
                Named::Never(unnamed) => temporary = named_copy(&unnamed, &folder, &entry)?,
                Named::MountPoint(temporary) => {
                    write_in_place(&from, &temporary, &stat, &folder, &entry)?;
                    break;
                }
            }
        }
        if let Some(claim) = claim {
            claim.done(&folder, &entry);
        }
        let counters = &copying.counters;
        counters.files.add(1);
        counters.bytes.add(copied.data);
        counters.holes.add(copied.length - copied.data);
        if !copying.options.archive {
            counters.hard_links.add(u64::from(stat.st_nlink > 1));
        }
        if let Some(changed) = changed {
            counters.fail(folder.path_of(&entry.name), changed);
        }
        Ok(Copied::Yes)
    }
}

/// Performs all steps between the contents and the name. Nothing is written after `close`.
fn finish(copying: &Copying, from: &OwnedFd, to: impl AsFd, stat: &Stat) -> Result<(), Problem> {
    attributes::keep(copying, &Object::Open(from.as_fd()), &Object::Open(to.as_fd()), stat)?;
    if copying.options.sync {
        fsync(&to).map_err(Problem::at(Step::Sync))?;
    }
    crate::close::close(&to).map_err(|error| Problem::Call(Step::Close, error))
}

fn write_through(file: impl AsFd) -> Result<(), Problem> {
    fsync(&file).map_err(Problem::at(Step::Sync))?;
    fadvise(&file, 0, None, Advice::DontNeed).map_err(Problem::at(Step::Sync))
}

/// Copies a temporary file into one with a name, if the one without cannot get any.
fn named_copy(
    temporary: &TemporaryFile,
    folder: &Arc<Folder>,
    entry: &Entry,
) -> Result<TemporaryFile, Problem> {
    let named = TemporaryFile::new(folder, &folder.copying().unnamed, entry.copy());
    let named = named.map_err(Problem::at(Step::Create))?;
    let copying = folder.copying();
    copy_temporary(temporary, named.as_fd(), copying, &copying.stopped)?;
    Ok(named)
}

fn copy_temporary(
    temporary: &TemporaryFile,
    to: std::os::fd::BorrowedFd<'_>,
    copying: &Copying,
    stopped: &AtomicBool,
) -> Result<(), Problem> {
    let stat = fstat(temporary).map_err(Problem::at(Step::Read))?;
    let copied = data::copy(temporary.as_fd(), to, &stat, &mut vec![0; BUFFER], stopped)?;
    if copying.options.verify {
        write_through(to)?;
        let whole = DataRange { begin: 0, end: copied.length };
        data::compare(temporary, to, whole, copied.length, stopped)?;
    }
    Ok(())
}

/// Writes into a file that is a mount point, which cannot be replaced, from the complete temporary
/// file.
fn write_in_place(
    from: &OwnedFd,
    temporary: &TemporaryFile,
    stat: &Stat,
    folder: &Folder,
    entry: &Entry,
) -> Result<(), Problem> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let to = openat(folder.to(), entry.copy(), flags | OFlags::NOCTTY, Mode::empty());
    let to = to.map_err(Problem::at(Step::Name))?;
    let kind = FileType::from_raw_mode(fstat(&to).map_err(Problem::at(Step::Name))?.st_mode);
    if kind != FileType::RegularFile {
        return Err(Problem::SpecialExists(folder.to_path_of(entry.copy())));
    }
    let copying = folder.copying();
    if copying.is_stopped() {
        return Err(Problem::Stopped);
    }
    // From here on the name stands for an incomplete file, so this is not stopped.
    let running = AtomicBool::new(false);
    ftruncate(&to, 0).map_err(Problem::at(Step::InPlace))?;
    copy_temporary(temporary, to.as_fd(), copying, &running)
        .and_then(|()| finish(copying, from, &to, stat))
        .map_err(|problem| match problem {
            Problem::Call(_, error) => Problem::Call(Step::InPlace, error),
            problem => problem,
        })
}
