//! One file, from opening it to the copy's name.
//!
//! ```text
//! begin ─▶ Begun ─▶ contents (here, or by a tasklet) ─▶ end: verify, attributes, sync, name
//! ```
//!
//! Small files go all the way in one job of the pool: between so many calls that take a microsecond
//! each, every change of the thread would cost more than the calls. Of a large one the contents are
//! moved by a tasklet, so that a kill does not have to wait for them.

pub(super) mod attributes;
pub(super) mod data;
mod draft;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{
    Access, AtFlags, FileType, Mode, OFlags, Stat, accessat, fstat, fsync, openat, readlinkat,
    statat,
};
use rustix::io::Errno;

use super::folder::{Entry, Folder};
use super::problem::{Doing, Problem};
use data::Part;
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
}

/// A file and its copy, both open, the copy without a name.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) from: OwnedFd,
    pub(super) draft: Draft,
    pub(super) stat: Stat,
    folder: Arc<Folder>,
    entry: Entry,
    replace: bool,
}

/// Copies a file, if it is small.
pub(super) fn copy(
    folder: &Arc<Folder>,
    entry: &Entry,
    buffer: &mut [u8],
) -> Result<Copied, Problem> {
    loop {
        let begun = match begin(folder, entry, SMALL)? {
            Ok(begun) => begun,
            Err(copied) => return Ok(copied),
        };
        data::copy(begun.from.as_fd(), begun.draft.as_fd(), &begun.stat, buffer)?;
        folder.copying().ledger.moved.add(data::size(&begun.stat));
        if folder.copying().options.verify {
            data::compare(&begun.from, &begun.draft, begun.whole())?;
        }
        if let Some(copied) = begun.end()? {
            return Ok(copied);
        }
    }
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
    let Some(replace) = may_take_name(folder, entry, &stat)? else {
        return Ok(Err(Copied::Kept));
    };
    if data::size(&stat) > size_max {
        return Ok(Err(Copied::Large));
    }
    let draft = Draft::new(folder, &folder.copying().nameless, entry.copy());
    let draft = draft.map_err(Problem::at(Doing::Create))?;
    let (folder, entry) = (Arc::clone(folder), entry.clone());
    Ok(Ok(Begun { from, draft, stat, folder, entry, replace }))
}

impl Begun {
    pub(super) fn whole(&self) -> Part {
        Part { begin: 0, end: data::size(&self.stat) }
    }

    /// Gives the copy everything else, its name last. `None`: it must be made anew.
    pub(super) fn end(self) -> Result<Option<Copied>, Problem> {
        let Begun { from, draft, stat, folder, entry, replace } = self;
        let now = fstat(&from).map_err(Problem::at(Doing::Read))?;
        let moved_on = |stat: &Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
        if moved_on(&now) != moved_on(&stat) {
            let (before, after) = (data::size(&stat), data::size(&now));
            return Err(Problem::Changed { before, after });
        }
        let copying = folder.copying();
        let attributes = attributes::of_file(draft.as_fd(), &stat);
        if copying.options.sync {
            fsync(&draft).map_err(Problem::at(Doing::Sync))?;
        }
        let named = draft.publish(&copying.nameless, entry.copy(), replace);
        match named.map_err(Problem::at(Doing::Name))? {
            Named::Done => {}
            Named::Taken => return Ok(Some(Copied::Kept)),
            Named::Never => return Ok(None),
        }
        copying.ledger.files.add(1);
        copying.ledger.bytes.add(data::size(&stat));
        copying.ledger.hard_links.add(u64::from(stat.st_nlink > 1));
        attributes.map_err(Problem::at(Doing::Keep))?;
        Ok(Some(Copied::Yes))
    }
}

/// Copies a symbolic link as it is.
pub(super) fn copy_link(folder: &Folder, entry: &Entry) -> Result<Copied, Problem> {
    let target = readlinkat(folder.from(), &entry.name, Vec::new());
    let target = target.map_err(Problem::at(Doing::Read))?;
    let stat = statat(folder.from(), &entry.name, AtFlags::SYMLINK_NOFOLLOW);
    let stat = stat.map_err(Problem::at(Doing::Read))?;
    let Some(replace) = may_take_name(folder, entry, &stat)? else {
        return Ok(Copied::Kept);
    };
    let made = draft::symlink(folder, &target, entry.copy(), replace);
    match made.map_err(Problem::at(Doing::Create))? {
        Named::Taken => return Ok(Copied::Kept),
        Named::Done | Named::Never => {}
    }
    folder.copying().ledger.links.add(1);
    let times = attributes::of_link(folder.to(), entry.copy(), &stat);
    times.map_err(Problem::at(Doing::Keep))?;
    Ok(Copied::Yes)
}

/// Whether the copy may replace what has its name; `None` where that is to stay.
fn may_take_name(folder: &Folder, entry: &Entry, from: &Stat) -> Result<Option<bool>, Problem> {
    let options = &folder.copying().options;
    let replace = !options.no_clobber;
    if folder.is_fresh() {
        return Ok(Some(replace));
    }
    let there = match statat(folder.to(), entry.copy(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(there) => there,
        Err(Errno::NOENT) => return Ok(Some(replace)),
        Err(errno) => return Err(Problem::at(Doing::Create)(errno)),
    };
    if (there.st_dev, there.st_ino) == (from.st_dev, from.st_ino) {
        return Err(Problem::Same);
    }
    match FileType::from_raw_mode(there.st_mode) {
        FileType::Directory => return Err(Problem::FolderThere),
        FileType::RegularFile | FileType::Symlink if options.no_clobber => return Ok(None),
        FileType::Symlink => {}
        FileType::RegularFile if options.force => {}
        FileType::RegularFile => {
            let may = accessat(folder.to(), entry.copy(), Access::WRITE_OK, AtFlags::EACCESS);
            if may == Err(Errno::ACCESS) {
                return Err(Problem::WriteProtected);
            }
        }
        _ => return Err(Problem::SpecialThere),
    }
    Ok(Some(true))
}
