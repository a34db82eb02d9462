//! Checks whether a copy may have its name, and gives it.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use rustix::fs::{Access, AtFlags, FileType, Stat, accessat, statat};
use rustix::io::Errno;

use super::copied::Copied;
use super::temporary::Named;
use crate::copy::folder::{Entry, Folder};
use crate::copy::identity;
use crate::copy::problem::{Problem, Step};
use crate::copy::shared::Copying;

/// Tells whether the copy may replace a file that has its name; `None` if there is one that must
/// stay.
pub(super) fn may_have_name(
    folder: &Folder,
    entry: &Entry,
    from: &Stat,
) -> Result<Option<bool>, Problem> {
    let Copying { options, identities, .. } = &**folder.copying();
    if folder.is_made() {
        return Ok(Some(false));
    }
    let there = match statat(folder.to(), entry.copy(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(there) => there,
        Err(Errno::NOENT) => return Ok(Some(!options.no_clobber)),
        Err(errno) => return Err(Problem::at(Step::Create)(errno)),
    };
    let to = || folder.to_path_of(entry.copy());
    if are_same(folder, entry, from, &there) {
        return Err(Problem::Same(to()));
    }
    if identities.is_made(&there, folder.to(), entry.copy()) {
        return Err(Problem::JustMade(to()));
    }
    if identities.is_source(identity::from_stat(&there)) {
        return Err(Problem::SourceExists(to()));
    }
    let kind = FileType::from_raw_mode(there.st_mode);
    match kind {
        FileType::Directory => return Err(Problem::FolderExists(to())),
        _ if kind == FileType::from_raw_mode(from.st_mode) && options.no_clobber => {
            return Ok(None);
        }
        FileType::RegularFile | FileType::Symlink if options.no_clobber => return Ok(None),
        FileType::Symlink => {}
        FileType::RegularFile if options.force => {}
        FileType::RegularFile => {
            let may = accessat(folder.to(), entry.copy(), Access::WRITE_OK, AtFlags::EACCESS);
            if may == Err(Errno::ACCESS) {
                return Err(Problem::WriteProtected(to()));
            }
        }
        // A special file of the same kind: taken for the copy of an earlier run.
        _ if kind == FileType::from_raw_mode(from.st_mode) => {}
        _ => return Err(Problem::SpecialExists(to())),
    }
    Ok(Some(true))
}

/// Tells whether a source and the file that has its copy's name are the same, or one is a link that
/// leads to the other. The copy would replace the contents by a link to them, or the link by the
/// contents that it leads to.
fn are_same(folder: &Folder, entry: &Entry, from: &Stat, there: &Stat) -> bool {
    let is_link = |stat: &Stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
    let leads_to = |at: BorrowedFd<'_>, name: &CStr, other: &Stat| {
        statat(at, name, AtFlags::empty())
            .is_ok_and(|found| identity::from_stat(&found) == identity::from_stat(other))
    };
    identity::from_stat(from) == identity::from_stat(there)
        || is_link(from) && leads_to(folder.from(), &entry.name, there)
        || is_link(there) && leads_to(folder.to(), entry.copy(), from)
}

/// Gives a copy its name by `publish`, which is told whether to replace an existing file. If
/// something may be replaced, the copies of a folder get their names one by one, each after
/// checking what the previous ones have made.
pub(super) fn give(
    folder: &Folder,
    entry: &Entry,
    from: &Stat,
    publish: impl FnOnce(bool) -> Result<Named, Problem>,
) -> Result<Named, Problem> {
    if folder.is_made() {
        return publish(false);
    }
    let _turn = folder.naming_lock();
    let Some(replace) = may_have_name(folder, entry, from)? else { return Ok(Named::Taken) };
    let named = publish(replace)?;
    if matches!(named, Named::Done | Named::MountPoint(_)) {
        folder.copying().identities.add_made(folder.to(), entry.copy());
    }
    Ok(named)
}

/// Reports a copy that did not get its name, because another file has it and must not be replaced.
pub(super) fn taken(folder: &Folder, entry: &Entry) -> Result<Copied, Problem> {
    if folder.is_made() {
        return Err(Problem::JustMade(folder.to_path_of(entry.copy())));
    }
    Ok(Copied::Kept)
}
