//! A folder of the source and its copy, both open.
//!
//! Everything below is done relative to these two descriptors: paths stay short, and no other
//! process can exchange a folder for a link to somewhere else. A folder's permissions and times are
//! set when the last user of this object drops it: earlier, they could forbid writing, and writing
//! would change the times. It keeps its parent open, so parents are finished later.
//!
//! If another process moves a folder of the copy, later copies go to its new place. So the folder's
//! name is checked when it is finished, while its new place is known, and again when everything is
//! copied (`finished`): it must still be the folder that was copied into.

pub(super) mod finished;
pub(super) mod root;

use std::ffi::{CStr, CString, OsStr};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RawDir, Stat, fchmod, fstat, fsync, mkdirat, openat,
    statat,
};
use rustix::io::Errno;

use super::file::attributes::{self, Object};
use super::file::stale::remove_stale;
use super::identity::{self, Identity, Written};
use super::plan::Item;
use super::problem::{Problem, Step};
use super::shared::Copying;
use root::{FOLDER, check_name};

/// Bytes of entries that one system call returns.
const ENTRIES: usize = 32 << 10;

/// A folder of the source and its copy.
#[derive(Debug)]
pub(super) struct Folder {
    from: OwnedFd,
    to: OwnedFd,
    /// The source's path, for messages.
    path: PathBuf,
    /// The copy's path, which begins as the user wrote it.
    to_path: PathBuf,
    /// True if this run made the copy, so that everything in it is of this run.
    is_made: bool,
    /// The identity of the copy.
    identity: Identity,
    /// The mount of the copy.
    mount: Option<u64>,
    /// The state of the source; `None` if the folder is only the place of a copy.
    stat: Option<Stat>,
    copying: Arc<Copying>,
    /// The parent, which outlives this folder, with the name of the copy in it.
    parent: Option<(Arc<Folder>, CString)>,
}

/// An entry of a folder.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: CString,
    /// The name of the copy, if it is another one.
    pub(super) copy: Option<CString>,
    pub(super) kind: FileType,
}

impl Entry {
    pub(super) fn copy(&self) -> &CStr {
        self.copy.as_deref().unwrap_or(&self.name)
    }
}

impl Folder {
    /// Opens the folders of an item and of its copy, and returns them with the item.
    pub(super) fn around(item: &Item, copying: &Arc<Copying>) -> Result<(Folder, Entry), Problem> {
        let from = openat(CWD, &item.from_folder, FOLDER, Mode::empty());
        let from = from.map_err(Problem::at(Step::Open))?;
        let to = copying.root.folder()?;
        let name = c_string(&item.from_name)?;
        let stat = statat(&from, &name, AtFlags::SYMLINK_NOFOLLOW);
        let stat = stat.map_err(Problem::at(Step::Open))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let copy = Some(c_string(&item.to_name)?);
        let there = fstat(&to).map_err(Problem::at(Step::Create))?;
        let mount = identity::mount_of(&to);
        if there.st_dev == stat.st_dev && mount != identity::mount_of(&from) {
            copying.identities.read_all(&copying.stopped);
        }
        let mut folder = Folder {
            from,
            to,
            // `tree/.` becomes `tree`.
            path: item.from_folder.components().collect(),
            to_path: item.to_folder.components().collect(),
            is_made: false,
            identity: identity::from_stat(&there),
            mount,
            stat: None,
            copying: Arc::clone(copying),
            parent: None,
        };
        folder.begin_writing()?;
        Ok((folder, Entry { name, copy, kind }))
    }

    /// Opens a subfolder and its copy, which is created if it is missing.
    pub(super) fn enter(self: &Arc<Folder>, entry: &Entry) -> Result<Folder, Problem> {
        let flags = FOLDER | OFlags::NOFOLLOW;
        let from = openat(&self.from, &entry.name, flags, Mode::empty());
        let from = from.map_err(Problem::at(Step::Open))?;
        let stat = fstat(&from).map_err(Problem::at(Step::Open))?;
        if self.copying.identities.reads(identity::from_stat(&stat)) {
            return Err(Problem::IntoItself);
        }
        // Until it is registered as made, no other thread may take it for an existing folder.
        let turn = self.naming_lock();
        // Until the end, this process must be able to write to it, and no other user needs to.
        let is_new = match mkdirat(&self.to, entry.copy(), Mode::RWXU) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(errno) => return Err(Problem::at(Step::Create)(errno)),
        };
        let to = match openat(&self.to, entry.copy(), flags, Mode::empty()) {
            Ok(to) => to,
            Err(Errno::NOTDIR | Errno::LOOP) => {
                return Err(Problem::NotFolderExists(self.to_path_of(entry.copy())));
            }
            Err(errno) => return Err(Problem::at(Step::Create)(errno)),
        };
        let there = fstat(&to).map_err(Problem::at(Step::Create))?;
        let mount = if is_new { self.mount } else { identity::mount_of(&to) };
        if mount != self.mount {
            self.copying.identities.read_all(&self.copying.stopped);
        }
        let mut folder = Folder {
            from,
            to,
            path: self.path_of(&entry.name),
            to_path: self.to_path_of(entry.copy()),
            is_made: is_new,
            identity: identity::from_stat(&there),
            mount,
            stat: None,
            copying: Arc::clone(&self.copying),
            parent: Some((Arc::clone(self), entry.copy().to_owned())),
        };
        folder.begin_writing()?;
        drop(turn);
        // From here on it is finished when it is dropped.
        folder.stat = Some(stat);
        if there.st_mode & 0o300 != 0o300 {
            // An earlier copy of a folder that its owner must not write to. If it is another
            // user's, later writes report it.
            let _ = fchmod(&folder.to, Mode::from_raw_mode(there.st_mode & 0o7777) | Mode::RWXU);
        }
        self.copying.counters.folders.add(1);
        Ok(folder)
    }

    /// Registers that copies go into the folder, unless it is a source.
    fn begin_writing(&mut self) -> Result<(), Problem> {
        let Copying { identities, counters, stopped, .. } = &*self.copying;
        match identities.writes(self.identity) {
            Written::IsSource => return Err(Problem::SourceExists(self.to_path.clone())),
            Written::First if self.is_made => identities.add_made_folder(self.identity),
            Written::First => counters.stale_removed.add(remove_stale(self.to.as_fd(), stopped)),
            Written::Repeated => self.is_made |= identities.is_made_folder(self.identity),
        }
        Ok(())
    }

    /// Waits until no other thread gives a copy its name in this folder.
    pub(super) fn naming_lock(&self) -> MutexGuard<'_, ()> {
        self.copying.identities.naming_lock(self.identity)
    }

    /// Tells whether the source is on another file system, which must not be copied.
    fn is_beyond(&self) -> bool {
        let device = |folder: &Folder| folder.stat.map(|stat| stat.st_dev);
        let above = self.parent.as_ref().and_then(|(parent, _)| device(parent));
        self.copying.options.one_file_system && above.is_some() && above != device(self)
    }

    /// Lists the source, in the order of inode numbers, which is mostly that of the disk.
    pub(super) fn entries(&self) -> Result<Vec<Entry>, Problem> {
        if self.is_beyond() {
            return Ok(Vec::new());
        }
        let mut entries = Vec::new();
        let mut memory = vec![MaybeUninit::uninit(); ENTRIES];
        let mut raw = RawDir::new(&self.from, &mut memory);
        while let Some(entry) = raw.next() {
            if self.copying.is_stopped() {
                return Err(Problem::Stopped);
            }
            let entry = entry.map_err(Problem::at(Step::Read))?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => {
                    let stat = statat(&self.from, name, AtFlags::SYMLINK_NOFOLLOW);
                    FileType::from_raw_mode(stat.map_err(Problem::at(Step::Read))?.st_mode)
                }
                kind => kind,
            };
            let number = entry.ino();
            entries.push((number, Entry { name: name.to_owned(), copy: None, kind }));
        }
        entries.sort_by_key(|(number, _)| *number);
        Ok(entries.into_iter().map(|(_, entry)| entry).collect())
    }

    pub(super) fn from(&self) -> BorrowedFd<'_> {
        self.from.as_fd()
    }

    pub(super) fn to(&self) -> BorrowedFd<'_> {
        self.to.as_fd()
    }

    /// Tells whether nothing may be replaced in the copy, because everything in it is of this run.
    pub(super) fn is_made(&self) -> bool {
        self.is_made
    }

    pub(super) fn copying(&self) -> &Arc<Copying> {
        &self.copying
    }

    /// Returns the path of an entry of the source, for messages.
    pub(super) fn path_of(&self, name: &CStr) -> PathBuf {
        joined(&self.path, name)
    }

    /// Returns the path of an entry of the copy.
    pub(super) fn to_path_of(&self, name: &CStr) -> PathBuf {
        joined(&self.to_path, name)
    }

    fn finish(&self) -> Result<(), Problem> {
        if let Some(stat) = &self.stat {
            let (from, to) = (Object::Open(self.from.as_fd()), Object::Open(self.to()));
            attributes::keep(&self.copying, &from, &to, stat)?;
        }
        if self.copying.options.sync {
            fsync(&self.to).map_err(Problem::at(Step::Sync))?;
        }
        Ok(())
    }

    /// Registers the folder, so that its name is checked again at the end.
    fn register_finished(&self, is_there: bool) {
        if self.parent.is_some() {
            let birth = identity::birth_of(self.to(), c"");
            let known = is_there.then_some((self.identity, birth));
            self.copying.finished.add(self.to_path.clone(), known);
        }
    }

    fn check_name(&self) -> Result<(), Problem> {
        let Some((parent, name)) = &self.parent else { return Ok(()) };
        check_name(self.to(), || statat(parent.to(), name, AtFlags::SYMLINK_NOFOLLOW))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(problem) = self.finish() {
            self.copying.counters.fail(self.path.clone(), problem);
        }
        let checked = self.check_name();
        self.register_finished(checked.is_ok());
        if let Err(problem) = checked {
            self.copying.counters.fail(self.to_path.clone(), problem);
        }
    }
}

fn joined(folder: &Path, name: &CStr) -> PathBuf {
    if name == c"." {
        return folder.to_owned();
    }
    let name = Path::new(OsStr::from_bytes(name.to_bytes()));
    if folder == Path::new(".") { name.to_owned() } else { folder.join(name) }
}

fn c_string(name: &OsStr) -> Result<CString, Problem> {
    CString::new(name.as_bytes()).map_err(|_| Problem::at(Step::Open)(Errno::INVAL))
}
