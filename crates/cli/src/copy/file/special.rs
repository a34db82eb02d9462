//! What is made rather than copied: symbolic links, further names of a file, FIFOs, sockets and
//! devices.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, mknodat, openat, readlinkat, symlinkat};
use rustix::io::Errno;

use super::attributes::{self, Object};
use super::draft::{self, Named};
use super::{Copied, name};
use crate::copy::folder::{Entry, Folder};
use crate::copy::identity;
use crate::copy::ledger::Unkept;
use crate::copy::links::{Claimed, Links, Twin};
use crate::copy::problem::{Doing, Problem};

const PATH: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Makes another one of what is neither a file nor a folder.
pub(in crate::copy) fn copy(folder: &Arc<Folder>, entry: &Entry) -> Result<Copied, Problem> {
    let from = openat(folder.from(), &entry.name, PATH, Mode::empty());
    let from = from.map_err(Problem::at(Doing::Open))?;
    let stat = fstat(&from).map_err(Problem::at(Doing::Open))?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let is_link = kind == FileType::Symlink;
    let is_known = !matches!(kind, FileType::RegularFile | FileType::Directory | FileType::Unknown);
    if !(is_link || is_known && folder.copying().options.archive) {
        return Err(Problem::Special(kind));
    }
    if name::may_take(folder, entry, &stat)?.is_none() {
        return Ok(Copied::Kept);
    }
    let claim = match Links::claim(folder, entry, &stat) {
        Claimed::Alone => None,
        Claimed::First(claim) => Some(claim),
        Claimed::Waits => return Ok(Copied::Waits),
        Claimed::Copied(twin) => match link(folder, entry, &stat, &twin)? {
            Some(copied) => return Ok(copied),
            None => None,
        },
    };
    let target = if is_link {
        readlinkat(&from, c"", Vec::new()).map_err(Problem::at(Doing::Read))?
    } else {
        c"".to_owned()
    };
    let to = folder.to();
    let named = name::give(folder, entry, &stat, |replace| {
        let made = draft::make(to, entry.copy(), replace, |name| {
            if is_link {
                symlinkat(&target, to, name)
            } else {
                mknodat(to, name, kind, Mode::RUSR | Mode::WUSR, stat.st_rdev)
            }
        });
        made.map_err(Problem::at(Doing::Create))
    })?;
    if matches!(named, Named::Taken) {
        return name::taken(folder, entry);
    }
    keep(folder, entry, &from, &stat)?;
    if let Some(claim) = claim {
        claim.done(folder, entry);
    }
    let ledger = &folder.copying().ledger;
    if is_link {
        ledger.links.add(1)
    } else {
        ledger.specials.add(1)
    }
    Ok(Copied::Yes)
}

/// Gives what was made the attributes of its source.
fn keep(folder: &Folder, entry: &Entry, from: &OwnedFd, stat: &Stat) -> Result<(), Problem> {
    let made = openat(folder.to(), entry.copy(), PATH, Mode::empty());
    let made = made.map_err(Problem::at(Doing::Keep))?;
    let there = fstat(&made).map_err(Problem::at(Doing::Keep))?;
    // Should it have been exchanged meanwhile, that is not ours to change.
    if FileType::from_raw_mode(there.st_mode) != FileType::from_raw_mode(stat.st_mode) {
        return Err(Problem::at(Doing::Keep)(Errno::STALE));
    }
    let (from, to) = (Object::Path(from.as_fd()), Object::Path(made.as_fd()));
    attributes::keep(folder.copying(), &from, &to, stat)
}

/// Tells whether a file can have no further name there. With `NOENT` its last one is gone, or the
/// file system does not count names, so that it seems to be.
fn is_no_link(errno: Errno) -> bool {
    const CANNOT: [Errno; 4] = [Errno::MLINK, Errno::PERM, Errno::OPNOTSUPP, Errno::XDEV];
    CANNOT.contains(&errno) || errno == Errno::NOENT
}

/// Gives a copy that was made before another name. `None`: it must be copied once more, because
/// that one is gone, or has as many names as it can have, or stands on another device.
pub(super) fn link(
    folder: &Folder,
    entry: &Entry,
    from: &Stat,
    twin: &Twin,
) -> Result<Option<Copied>, Problem> {
    let opened = openat(rustix::fs::CWD, &twin.path, PATH, Mode::empty());
    let found = opened.and_then(|file| Ok((fstat(&file)?, file)));
    let is_twin = |stat: &Stat, file: &OwnedFd| {
        let birth = identity::birth_of(file.as_fd(), c"");
        (identity::of(stat), birth) == (twin.identity, twin.birth)
    };
    let file = match found {
        Ok((stat, file)) if is_twin(&stat, &file) => file,
        result => {
            let errno = result.err().unwrap_or(Errno::STALE);
            folder.copying().ledger.note_unkept(Unkept::Links, errno);
            return Ok(None);
        }
    };
    let mut refused = None;
    let named = name::give(folder, entry, from, |replace| {
        match draft::make(folder.to(), entry.copy(), replace, |name| {
            draft::link(file.as_fd(), folder.to(), name)
        }) {
            Err(errno) if is_no_link(errno) => {
                refused = Some(errno);
                Ok(Named::Taken)
            }
            result => result.map_err(Problem::at(Doing::Name)),
        }
    })?;
    if let Some(errno) = refused {
        folder.copying().ledger.note_unkept(Unkept::Links, errno);
        return Ok(None);
    }
    if matches!(named, Named::Taken) {
        return name::taken(folder, entry).map(Some);
    }
    folder.copying().ledger.hard_links.add(1);
    Ok(Some(Copied::Yes))
}
