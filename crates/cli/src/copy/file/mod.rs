//! One file, from opening it to the copy's name.
//!
//! ```text
//! begin ─▶ Begun ─▶ contents (here, or by a tasklet) ─▶ end: verify, attributes, sync, close, name
//! ```
//!
//! Small files go all the way in one job of the pool: between so many calls that take a microsecond
//! each, every change of the thread would cost more than the calls. Of a large one the contents are
//! moved by a tasklet, so that a kill does not have to wait for them.
//!
//! | file | one job |
//! |---|---|
//! | `draft` | the copy while it has no name |
//! | `sweep` | drafts that killed processes have left |
//! | `data` | contents and holes, comparing |
//! | `attributes` | owners, permissions, times, extended attributes |
//! | `name` | whether the copy may have its name, and giving it |
//! | `special` | links, and what is made rather than copied |

pub(super) mod attributes;
pub(super) mod data;
mod draft;
mod name;
pub(super) mod special;
pub(super) mod sweep;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::fs::{Advice, FileType, Mode, OFlags, Stat, fadvise, fstat, fsync, ftruncate, openat};

use super::Copying;
use super::folder::{Entry, Folder};
use super::links::{Claim, Claimed, Links};
use super::problem::{Doing, Problem};
use attributes::Object;
use data::{BUFFER, Extent, Part};
pub(super) use draft::Nameless;
use draft::{Draft, Named};

/// Larger ones are moved by tasklets.
const SMALL: u64 = 1 << 20;

/// What came of an entry.
#[derive(Debug)]
pub(super) enum Copied {
    Yes,
    /// Something was there, and stays.
    Kept,
    /// It is large: see [`Begun`].
    Large,
    /// Another name of the same file is being copied; see [`Links`].
    Waits,
}

/// A file and its copy, both open, the copy without a name.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) from: OwnedFd,
    pub(super) draft: Draft,
    pub(super) stat: Stat,
    /// The contents that were copied.
    pub(super) copied: Extent,
    folder: Arc<Folder>,
    entry: Entry,
    claim: Option<Claim>,
}

/// Copies a file, if it is small.
pub(super) fn copy(
    folder: &Arc<Folder>,
    entry: &Entry,
    buffer: &mut [u8],
) -> Result<Copied, Problem> {
    let mut begun = match begin(folder, entry, SMALL)? {
        Ok(begun) => begun,
        Err(copied) => return Ok(copied),
    };
    let copying = folder.copying();
    let (from, draft) = (begun.from.as_fd(), begun.draft.as_fd());
    begun.copied = data::copy(from, draft, &begun.stat, buffer, &copying.stopped)?;
    copying.ledger.moved.add(begun.copied.length);
    if copying.options.verify {
        begun.settle()?;
        begun.compare(begun.whole())?;
    }
    begun.end()
}

/// Opens a file and makes its draft; or says what there is to do instead.
pub(super) fn begin(
    folder: &Arc<Folder>,
    entry: &Entry,
    size_max: u64,
) -> Result<Result<Begun, Copied>, Problem> {
    // Should it have become a FIFO or a device meanwhile, it must not be waited for.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let from = openat(folder.from(), &entry.name, flags | OFlags::NOCTTY, Mode::empty());
    let from = from.map_err(Problem::at(Doing::Open))?;
    let stat = fstat(&from).map_err(Problem::at(Doing::Open))?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind != FileType::RegularFile {
        return Err(Problem::Special(kind));
    }
    if name::may_take(folder, entry, &stat)?.is_none() {
        return Ok(Err(Copied::Kept));
    }
    if data::size(&stat) > size_max {
        return Ok(Err(Copied::Large));
    }
    let claim = match Links::claim(folder, entry, &stat) {
        Claimed::Alone => None,
        Claimed::First(claim) => Some(claim),
        Claimed::Waits => return Ok(Err(Copied::Waits)),
        Claimed::Copied(twin) => match special::link(folder, entry, &stat, &twin)? {
            Some(copied) => return Ok(Err(copied)),
            None => None,
        },
    };
    let draft = Draft::new(folder, &folder.copying().nameless, entry.copy());
    let draft = draft.map_err(Problem::at(Doing::Create))?;
    let (folder, entry) = (Arc::clone(folder), entry.clone());
    let copied = Extent::default();
    Ok(Ok(Begun { from, draft, stat, copied, folder, entry, claim }))
}

impl Begun {
    pub(super) fn whole(&self) -> Part {
        Part { begin: 0, end: self.copied.length }
    }

    pub(super) fn copying(&self) -> &Arc<Copying> {
        self.folder.copying()
    }

    /// Writes the copy to its device, and has the kernel forget it: what is read next has been
    /// there.
    pub(super) fn settle(&self) -> Result<(), Problem> {
        settle(&self.draft)
    }

    /// Compares a part of both. What was written to meanwhile cannot be compared.
    pub(super) fn compare(&self, part: Part) -> Result<(), Problem> {
        let stopped = &self.copying().stopped;
        match data::compare(&self.from, &self.draft, part, self.copied.length, stopped) {
            Err(Problem::Differs { .. }) if self.changed()?.is_some() => {
                Err(Problem::ChangedUnverified)
            }
            result => result,
        }
    }

    /// Says how the source was written to since it was opened.
    fn changed(&self) -> Result<Option<Problem>, Problem> {
        let now = fstat(&self.from).map_err(Problem::at(Doing::Read))?;
        let moved_on = |stat: &Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
        let (before, after) = (data::size(&self.stat), data::size(&now));
        let changed = moved_on(&now) != moved_on(&self.stat);
        Ok(changed.then_some(Problem::Changed { before, after }))
    }

    /// Gives the copy everything else, its name last.
    pub(super) fn end(self) -> Result<Copied, Problem> {
        let changed = self.changed()?;
        let Begun { from, mut draft, stat, copied, folder, entry, claim } = self;
        let copying = folder.copying();
        loop {
            finish(copying, &from, &draft, &stat)?;
            let name = entry.copy();
            let named = name::give(&folder, &entry, &stat, |replace| {
                draft.publish(&copying.nameless, name, replace).map_err(Problem::at(Doing::Name))
            })?;
            match named {
                Named::Done => break,
                Named::Taken => return name::taken(&folder, &entry),
                Named::Never(nameless) => draft = named_copy(&nameless, &folder, &entry)?,
                Named::MountPoint(draft) => {
                    write_in_place(&from, &draft, &stat, &folder, &entry)?;
                    break;
                }
            }
        }
        if let Some(claim) = claim {
            claim.done(&folder, &entry);
        }
        let ledger = &copying.ledger;
        ledger.files.add(1);
        ledger.bytes.add(copied.data);
        ledger.holes.add(copied.length - copied.data);
        if !copying.options.archive {
            ledger.hard_links.add(u64::from(stat.st_nlink > 1));
        }
        if let Some(changed) = changed {
            ledger.fail(folder.path_of(&entry.name), changed);
        }
        Ok(Copied::Yes)
    }
}

/// Everything between the contents and the name. Nothing is written after `close`.
fn finish(copying: &Copying, from: &OwnedFd, to: impl AsFd, stat: &Stat) -> Result<(), Problem> {
    attributes::keep(copying, &Object::Open(from.as_fd()), &Object::Open(to.as_fd()), stat)?;
    if copying.options.sync {
        fsync(&to).map_err(Problem::at(Doing::Sync))?;
    }
    crate::close::close(&to).map_err(|error| Problem::Call(Doing::Close, error))
}

fn settle(file: impl AsFd) -> Result<(), Problem> {
    fsync(&file).map_err(Problem::at(Doing::Sync))?;
    fadvise(&file, 0, None, Advice::DontNeed).map_err(Problem::at(Doing::Sync))
}

/// A draft with a name, where the one without can get none.
fn named_copy(draft: &Draft, folder: &Arc<Folder>, entry: &Entry) -> Result<Draft, Problem> {
    let named = Draft::new(folder, &folder.copying().nameless, entry.copy());
    let named = named.map_err(Problem::at(Doing::Create))?;
    let copying = folder.copying();
    copy_draft(draft, named.as_fd(), copying, &copying.stopped)?;
    Ok(named)
}

fn copy_draft(
    draft: &Draft,
    to: std::os::fd::BorrowedFd<'_>,
    copying: &Copying,
    stopped: &AtomicBool,
) -> Result<(), Problem> {
    let stat = fstat(draft).map_err(Problem::at(Doing::Read))?;
    let copied = data::copy(draft.as_fd(), to, &stat, &mut vec![0; BUFFER], stopped)?;
    if copying.options.verify {
        settle(to)?;
        let whole = Part { begin: 0, end: copied.length };
        data::compare(draft, to, whole, copied.length, stopped)?;
    }
    Ok(())
}

/// A file that is a mount point cannot be replaced: it is written to, from the whole draft.
fn write_in_place(
    from: &OwnedFd,
    draft: &Draft,
    stat: &Stat,
    folder: &Folder,
    entry: &Entry,
) -> Result<(), Problem> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let to = openat(folder.to(), entry.copy(), flags | OFlags::NOCTTY, Mode::empty());
    let to = to.map_err(Problem::at(Doing::Name))?;
    let kind = FileType::from_raw_mode(fstat(&to).map_err(Problem::at(Doing::Name))?.st_mode);
    if kind != FileType::RegularFile {
        return Err(Problem::SpecialThere(folder.to_path_of(entry.copy())));
    }
    let copying = folder.copying();
    if copying.is_stopped() {
        return Err(Problem::Stopped);
    }
    // From here on half of it would have the name: it is not stopped.
    let going_on = AtomicBool::new(false);
    ftruncate(&to, 0).map_err(Problem::at(Doing::InPlace))?;
    copy_draft(draft, to.as_fd(), copying, &going_on)
        .and_then(|()| finish(copying, from, &to, stat))
        .map_err(|problem| match problem {
            Problem::Call(_, error) => Problem::Call(Doing::InPlace, error),
            problem => problem,
        })
}
