//! Files that are created rather than copied: symbolic links, further names of a file, FIFOs,
//! sockets and devices.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, mknodat, openat, readlinkat, symlinkat};
use rustix::io::Errno;

use super::attributes::{self, Object};
use super::copied::Copied;
use super::name;
use super::temporary::{self, Named};
use crate::copy::counters::LostAttribute;
use crate::copy::folder::{Entry, Folder};
use crate::copy::identity;
use crate::copy::links::{Claimed, CopiedName, Links};
use crate::copy::problem::{Problem, Step};

const PATH: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Creates a copy of something that is neither a file nor a folder.
pub(in crate::copy) fn copy(
    links: &Arc<Links>,
    folder: &Arc<Folder>,
    entry: &Entry,
) -> Result<Copied, Problem> {
    let from = openat(folder.from(), &entry.name, PATH, Mode::empty());
    let from = from.map_err(Problem::at(Step::Open))?;
    let stat = fstat(&from).map_err(Problem::at(Step::Open))?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let is_link = kind == FileType::Symlink;
    let is_known = !matches!(kind, FileType::RegularFile | FileType::Directory | FileType::Unknown);
    if !(is_link || is_known && folder.copying().options.archive) {
        return Err(Problem::Special(kind));
    }
    if name::may_have_name(folder, entry, &stat)?.is_none() {
        return Ok(Copied::Kept);
    }
    let claim = match links.claim(folder, entry, &stat) {
        Claimed::Alone => None,
        Claimed::First(claim) => Some(claim),
        Claimed::Waits => return Ok(Copied::Waits),
        Claimed::Copied(copied_name) => match link(folder, entry, &stat, &copied_name)? {
            Some(copied) => return Ok(copied),
            None => None,
        },
    };
    let target = if is_link {
        readlinkat(&from, c"", Vec::new()).map_err(Problem::at(Step::Read))?
    } else {
        c"".to_owned()
    };
    let to = folder.to();
    let named = name::give(folder, entry, &stat, |replace| {
        let made = temporary::make(to, entry.copy(), replace, |name| {
            if is_link {
                symlinkat(&target, to, name)
            } else {
                mknodat(to, name, kind, Mode::RUSR | Mode::WUSR, stat.st_rdev)
            }
        });
        made.map_err(Problem::at(Step::Create))
    })?;
    if matches!(named, Named::Taken) {
        return name::taken(folder, entry);
    }
    keep(folder, entry, &from, &stat)?;
    if let Some(claim) = claim {
        claim.done(folder, entry);
    }
    let counters = &folder.copying().counters;
    if is_link {
        counters.links.add(1)
    } else {
        counters.specials.add(1)
    }
    Ok(Copied::Yes)
}

/// Gives the created file the attributes of its source.
fn keep(folder: &Folder, entry: &Entry, from: &OwnedFd, stat: &Stat) -> Result<(), Problem> {
    let made = openat(folder.to(), entry.copy(), PATH, Mode::empty());
    let made = made.map_err(Problem::at(Step::Keep))?;
    let there = fstat(&made).map_err(Problem::at(Step::Keep))?;
    // If it was exchanged meanwhile, it must not be changed.
    if FileType::from_raw_mode(there.st_mode) != FileType::from_raw_mode(stat.st_mode) {
        return Err(Problem::at(Step::Keep)(Errno::STALE));
    }
    let (from, to) = (Object::Path(from.as_fd()), Object::Path(made.as_fd()));
    attributes::keep(folder.copying(), &from, &to, stat)
}

/// Tells whether the file cannot have another name there. `NOENT` means that its last name is gone,
/// or that the file system does not count links, so that it seems to be.
fn is_no_link(errno: Errno) -> bool {
    const CANNOT: [Errno; 4] = [Errno::MLINK, Errno::PERM, Errno::OPNOTSUPP, Errno::XDEV];
    CANNOT.contains(&errno) || errno == Errno::NOENT
}

/// Links a finished copy to another name. Returns `None` if it must be copied again, because the
/// first copy is gone, or has the most names possible, or is on another device.
pub(super) fn link(
    folder: &Folder,
    entry: &Entry,
    from: &Stat,
    copied_name: &CopiedName,
) -> Result<Option<Copied>, Problem> {
    let opened = openat(rustix::fs::CWD, &copied_name.path, PATH, Mode::empty());
    let found = opened.and_then(|file| Ok((fstat(&file)?, file)));
    let is_same_file = |stat: &Stat, file: &OwnedFd| {
        let birth = identity::birth_of(file.as_fd(), c"");
        (identity::from_stat(stat), birth) == (copied_name.identity, copied_name.birth)
    };
    let file = match found {
        Ok((stat, file)) if is_same_file(&stat, &file) => file,
        result => {
            let errno = result.err().unwrap_or(Errno::STALE);
            folder.copying().counters.count_lost(LostAttribute::Links, errno);
            return Ok(None);
        }
    };
    let mut refused = None;
    let named = name::give(folder, entry, from, |replace| {
        match temporary::make(folder.to(), entry.copy(), replace, |name| {
            temporary::link(file.as_fd(), folder.to(), name)
        }) {
            Err(errno) if is_no_link(errno) => {
                refused = Some(errno);
                Ok(Named::Taken)
            }
            result => result.map_err(Problem::at(Step::Name)),
        }
    })?;
    if let Some(errno) = refused {
        folder.copying().counters.count_lost(LostAttribute::Links, errno);
        return Ok(None);
    }
    if matches!(named, Named::Taken) {
        return name::taken(folder, entry).map(Some);
    }
    folder.copying().counters.hard_links.add(1);
    Ok(Some(Copied::Yes))
}
