//! A partial file: written beside its final name, and moved there when it is complete.
//!
//! ```text
//! NAME.1a2b3c4d.part        the bytes so far; the number is the beginning of the URL's key
//! NAME.1a2b3c4d.part.note   their version, if the server can continue them
//! NAME                      nothing, until the file is complete
//! ```
//!
//! | file | contents |
//! |---|---|
//! | `mod` | the partial file, in memory or on the disk |
//! | `small` | saving a file that is still in memory, in one job |
//! | `publish` | giving the file its name |
//!
//! A [`PartialFile`] starts in memory (`small`), unless an earlier run has left one: then
//! [`adopt`](PartialFile::adopt) continues it, or [`restart`](PartialFile::restart) starts over in
//! its place. As soon as it is worth keeping, it is on the disk with its note, open and locked, so
//! that two processes never write into one. It ends by [`finish`](PartialFile::finish), or by being
//! dropped: then it stays if it can be continued, and is removed otherwise. That also holds for a
//! killed tasklet, and so for Ctrl-C.

pub(crate) mod publish;
mod small;

use std::cell::Cell;
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use overlapped::fs::{self, File, OpenOptions, TryLockError};
use overlapped::task::{shield, unblock};

use super::name::{NOTE, UNFINISHED};
use super::own_files;
use super::record::{Key, Record};
use super::version::Version;
use publish::{SavedFiles, publish};
use small::SmallFile;

/// The number of bytes that are worth continuing in another run; fewer are downloaded again.
const WORTH_KEEPING: usize = 64 << 10;
/// The longest name, in bytes, that file systems accept.
const NAME_MAX: usize = 255;
/// Attempts to open a file that another process is moving away.
const TRIES: usize = 16;

/// A file that is being downloaded.
#[derive(Debug)]
pub(crate) struct PartialFile {
    path: PathBuf,
    note: PathBuf,
    key: Key,
    /// True if an earlier run may have left a partial file.
    may_exist: bool,
    early: Option<InMemory>,
    open: Option<OnDisk>,
    saved_files: SavedFiles,
    /// The number of partial files that this run has left.
    left: Rc<Cell<usize>>,
}

/// A partial file in memory.
#[derive(Debug)]
struct InMemory {
    bytes: Vec<u8>,
    /// `None`: the server cannot continue these bytes.
    version: Option<Version>,
}

/// A partial file on the disk.
#[derive(Debug)]
struct OnDisk {
    file: File,
    length: u64,
    /// `None`: the server cannot continue these bytes.
    version: Option<Version>,
    /// True if there may be a note.
    noted: bool,
    /// True if the file was empty when it was opened, and nothing has been written to it.
    is_empty: bool,
}

/// Returns the path of the partial file that is to become `path`.
pub(crate) fn path_of(path: &Path, key: Key) -> PathBuf {
    let ending = format!(".{}{UNFINISHED}", key.short());
    let name = path.file_name().unwrap_or_default();
    // A long name is cut: partial files are found by their keys.
    let bytes = name.as_encoded_bytes();
    let most = NAME_MAX - ending.len() - NOTE.len();
    let mut part = match bytes.len() > most {
        true => OsString::from_vec(bytes[..most].to_vec()),
        false => name.to_owned(),
    };
    part.push(ending);
    path.with_file_name(part)
}

impl PartialFile {
    /// Makes the partial file at `path` of the URL with this key; `may_exist`: an earlier run may
    /// have left it. Touches nothing on the disk.
    pub(crate) fn new(
        path: PathBuf,
        key: Key,
        may_exist: bool,
        saved_files: SavedFiles,
        left: Rc<Cell<usize>>,
    ) -> PartialFile {
        let mut note = path.clone().into_os_string();
        note.push(NOTE);
        PartialFile {
            path,
            note: note.into(),
            key,
            may_exist,
            early: None,
            open: None,
            saved_files,
            left,
        }
    }

    /// Continues what an earlier run has left, if possible.
    pub(crate) fn adopt(&mut self) -> io::Result<()> {
        if !self.may_exist {
            return Ok(());
        }
        let Some(note) = own_files::read(&self.note)? else { return Ok(()) };
        match Version::from_note(&String::from_utf8_lossy(&note), self.key) {
            Some(version) => self.acquire(Some(version)),
            None => Ok(()),
        }
    }

    /// The number of known bytes and their version; `None` if the server has to start at the first
    /// byte.
    pub(crate) fn known(&self) -> Option<(u64, &Version)> {
        let version = match (&self.open, &self.early) {
            (Some(open), _) => open.version.as_ref()?,
            (None, early) => early.as_ref()?.version.as_ref()?,
        };
        let length = self.length();
        let fits = version.length.is_none_or(|whole| length <= whole);
        (length > 0 && fits).then_some((length, version))
    }

    /// Remembers the length of the complete file, which a later response has stated.
    pub(crate) fn learn_length(&mut self, whole: u64) {
        let version = match (&mut self.open, &mut self.early) {
            (Some(open), _) => open.version.as_mut(),
            (None, early) => early.as_mut().and_then(|early| early.version.as_mut()),
        };
        if let Some(version) = version {
            version.length.get_or_insert(whole);
        }
    }

    /// The number of bytes so far.
    pub(crate) fn length(&self) -> u64 {
        match (&self.open, &self.early) {
            (Some(open), _) => open.length,
            (None, early) => early.as_ref().map_or(0, |early| early.bytes.len() as u64),
        }
    }

    /// Starts over at the first byte of this version, if the server names one.
    pub(crate) fn restart(&mut self, version: Option<Version>) -> io::Result<()> {
        if self.open.is_none() && !self.may_exist {
            self.early = Some(InMemory { bytes: Vec::new(), version });
            return Ok(());
        }
        self.begin(version)
    }

    /// Starts a file on the disk.
    fn begin(&mut self, version: Option<Version>) -> io::Result<()> {
        if self.open.is_none() {
            self.acquire(None)?;
        }
        let open = self.open.as_mut().ok_or(ErrorKind::NotConnected)?;
        open.version = None;
        if open.noted {
            // A note never exists beside bytes of another version.
            ignore_missing(fs::remove_file(&self.note))?;
            open.noted = false;
        }
        if !open.is_empty {
            // Not if it is empty: ext4 would then write all of it through at the close.
            open.file.set_len(0)?;
        }
        open.length = 0;
        open.version = version;
        Ok(())
    }

    /// Appends received bytes.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(early) = &mut self.early {
            if early.bytes.len() + bytes.len() < WORTH_KEEPING {
                early.bytes.extend_from_slice(bytes);
                return Ok(());
            }
            self.put_on_disk()?;
        }
        let open = self.open.as_mut().ok_or(ErrorKind::NotConnected)?;
        open.is_empty = false;
        open.file.write_all_at(bytes, open.length)?;
        open.length += bytes.len() as u64;
        if let Some(version) = &open.version
            && !open.noted
            && open.length >= WORTH_KEEPING as u64
        {
            own_files::write(&self.note, version.to_note(self.key).as_bytes())?;
            open.noted = true;
        }
        Ok(())
    }

    /// Moves the bytes from memory to the disk.
    fn put_on_disk(&mut self) -> io::Result<()> {
        let Some(early) = self.early.take() else { return Ok(()) };
        self.begin(early.version)?;
        if early.bytes.is_empty() { Ok(()) } else { self.append(&early.bytes) }
    }

    /// Gives the complete file its modification date and its name. An existing file of that name is
    /// an error, unless it is to be replaced; the name never stands for anything but a complete
    /// file.
    pub(crate) fn finish(
        &mut self,
        name: &Path,
        modified: Option<SystemTime>,
        replace: bool,
    ) -> io::Result<()> {
        let (folder, record) = (name.parent().unwrap_or(Path::new("")), self.record());
        let file_name = name.file_name().unwrap_or_default();
        if let Some(early) = &mut self.early {
            let bytes = Arc::new(std::mem::take(&mut early.bytes));
            let small =
                SmallFile { bytes, record, modified, saved_files: self.saved_files.clone() };
            match small.save(folder, file_name.to_owned()) {
                Ok(true) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::AlreadyExists && !replace => {
                    return Err(error);
                }
                // The other way may succeed, or has the better error.
                Ok(false) | Err(_) => {}
            }
            early.bytes = Arc::unwrap_or_clone(small.bytes);
            self.put_on_disk()?;
        }
        if let Some(open) = &self.open {
            if let Some(time) = modified {
                open.file.set_modified(time)?;
            }
            crate::close::close(&open.file)?;
            record.write(&open.file, folder, Path::new(file_name))?;
        }
        // Shielded, so that a kill finds either the partial file or the final one, not both.
        shield(|| {
            let (from, to, saved_files) =
                (self.path.clone(), name.to_owned(), self.saved_files.clone());
            unblock(move || publish(&from, &to, replace, &saved_files))
                .map_err(io::Error::other)??;
            match self.open.take() {
                Some(OnDisk { noted: true, .. }) => ignore_missing(fs::remove_file(&self.note)),
                _ => Ok(()),
            }
        })
    }

    fn record(&self) -> Record {
        Record { key: self.key, length: self.length() }
    }

    /// Removes what is left of a published file, if its run ended while publishing it.
    pub(crate) fn sweep(&self, name: &Path) {
        if !self.may_exist {
            return;
        }
        let is_left = match (fs::symlink_metadata(&self.path), fs::symlink_metadata(name)) {
            (Ok(part), Ok(file)) => part.ino() == file.ino() && part.dev() == file.dev(),
            (Err(error), Ok(_)) => error.kind() == ErrorKind::NotFound,
            _ => false,
        };
        if is_left {
            let _ = fs::remove_file(&self.path);
            let _ = fs::remove_file(&self.note);
        }
    }

    /// The path of the file that stays after a failure, if it can be continued.
    pub(crate) fn kept(&self) -> Option<&Path> {
        let is_noted = self.open.as_ref()?.noted;
        self.known().filter(|_| is_noted).map(|_| &*self.path)
    }

    /// Opens the file and locks it. `version` is that of its bytes.
    fn acquire(&mut self, version: Option<Version>) -> io::Result<()> {
        for is_last in (0..TRIES).map(|tries| tries + 1 == TRIES) {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false);
            let file = own_files::open(&self.path, options)?;
            // Shielded, so that a kill leaves no empty file behind.
            self.open = shield(|| self.take(file, version.clone(), is_last))?;
            if self.open.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Takes the opened file; `None` if it is no longer the partial file. The last try takes it
    /// anyway: on some file systems a file's inode number changes with every query.
    fn take(
        &self,
        file: File,
        version: Option<Version>,
        is_last: bool,
    ) -> io::Result<Option<OnDisk>> {
        // Any other error means that the file system has no locks.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            let text = format!("{} is being written by another process", self.path.display());
            return Err(io::Error::new(ErrorKind::ResourceBusy, text));
        }
        // Its previous owner may have moved it to its final name meanwhile.
        let (ours, named) = (file.metadata()?, fs::symlink_metadata(&self.path));
        match named {
            Ok(named) if named.ino() == ours.ino() && named.dev() == ours.dev() => {}
            _ if is_last => {}
            _ => return Ok(None),
        }
        // Some file systems report 0 for every file.
        if ours.nlink() > 1 {
            // It already has its final name, and a crash kept this one: leave the file alone.
            fs::remove_file(&self.path)?;
            return Ok(None);
        }
        let length = ours.len();
        Ok(Some(OnDisk { file, length, version, noted: true, is_empty: length == 0 }))
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if self.open.is_none() {
            return;
        }
        if self.kept().is_some() {
            self.left.set(self.left.get() + 1);
        } else {
            let _ = fs::remove_file(&self.path);
            let _ = fs::remove_file(&self.note);
        }
    }
}

/// Treats a missing file as removed.
pub(super) fn ignore_missing(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::from_url("http://host/name")
    }

    fn part(folder: &Path) -> PartialFile {
        PartialFile::new(
            folder.join("name.1a2b3c4d.part"),
            key(),
            true,
            SavedFiles::default(),
            Rc::default(),
        )
    }

    /// Makes a partial file in a folder where no earlier run has left anything.
    fn fresh_part(folder: &Path) -> PartialFile {
        PartialFile::new(
            folder.join("name.1a2b3c4d.part"),
            key(),
            false,
            SavedFiles::default(),
            Rc::default(),
        )
    }

    fn version() -> Option<Version> {
        version_of(Some(10))
    }

    fn version_of(length: Option<u64>) -> Option<Version> {
        let mut headers = ureq::http::HeaderMap::new();
        headers.insert("etag", "\"v1\"".parse().unwrap());
        Some(Version::from_headers(&headers, length))
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_partial_file_is_continued_by_the_next_run() {
        let folder = tempfile::tempdir().unwrap();
        let (kept, mut first) = (vec![7; WORTH_KEEPING], part(folder.path()));
        let version = || version_of(None);
        first.restart(version()).unwrap();
        first.append(&kept).unwrap();
        let left = first.left.clone();
        drop(first);
        assert_eq!(left.get(), 1);
        assert_eq!(names(folder.path()).len(), 2);

        let mut second = part(folder.path());
        second.adopt().unwrap();
        assert_eq!(second.known(), Some((WORTH_KEEPING as u64, &version().unwrap())));
        second.append(b"the rest").unwrap();
        second.finish(&folder.path().join("name"), None, false).unwrap();
        drop(second);
        assert_eq!(names(folder.path()), ["name"]);
        let whole = [&kept, &b"the rest"[..]].concat();
        assert!(fs::read(folder.path().join("name")).unwrap() == whole);
    }

    #[test]
    fn a_partial_file_that_cannot_be_continued_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let large = vec![7; WORTH_KEEPING];
        // Without a version; longer than the complete file; empty; small.
        for (version, bytes) in
            [(None, &large[..]), (version(), &large), (version(), b""), (version(), b"01234")]
        {
            let mut part = part(folder.path());
            part.restart(version).unwrap();
            part.append(bytes).unwrap();
            drop(part);
            assert_eq!(names(folder.path()), [""; 0]);
        }
    }

    #[test]
    fn a_note_about_another_url_or_fewer_bytes_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let note = version().unwrap().to_note(key());
        let other = version().unwrap().to_note(Key::from_url("http://other/name"));
        // The last one is longer than the complete file.
        for (bytes, note) in [("01234", other), ("01234", String::new()), ("0123456789x", note)] {
            let mut part = part(folder.path());
            fs::write(&part.path, bytes).unwrap();
            fs::write(&part.note, &note).unwrap();
            part.adopt().unwrap();
            assert_eq!(part.known(), None, "{note}");
            part.restart(None).unwrap();
            assert_eq!(fs::read(&part.path).unwrap(), b"");
        }
    }

    #[test]
    fn an_existing_file_is_replaced_only_on_request() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("name");
        fs::write(&name, "old").unwrap();
        let mut part = part(folder.path());
        part.restart(version()).unwrap();
        part.append(b"new").unwrap();
        let refused = part.finish(&name, None, false).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&name).unwrap(), b"old");
        part.finish(&name, None, true).unwrap();
        assert_eq!(fs::read(&name).unwrap(), b"new");
    }

    #[test]
    fn two_downloads_never_write_into_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = part(folder.path());
        first.restart(version()).unwrap();
        first.append(&vec![7; WORTH_KEEPING]).unwrap();
        let busy = part(folder.path()).restart(version()).unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::ResourceBusy);
        assert_eq!(part(folder.path()).adopt().unwrap_err().kind(), ErrorKind::ResourceBusy);
        assert_eq!(first.length(), WORTH_KEEPING as u64);
    }

    #[test]
    fn a_complete_file_with_both_names_is_not_touched_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut part = part(folder.path());
        let name = folder.path().join("name");
        fs::write(&name, "complete").unwrap();
        fs::hard_link(&name, &part.path).unwrap();
        part.restart(None).unwrap();
        part.append(b"x").unwrap();
        assert_eq!(fs::read(&name).unwrap(), b"complete");
    }

    #[test]
    fn remains_of_a_crash_beside_a_complete_file_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let part = part(folder.path());
        let name = folder.path().join("name");
        fs::write(&name, "complete").unwrap();
        // Both names and the note; only the note.
        for has_part in [true, false] {
            if has_part {
                fs::hard_link(&name, &part.path).unwrap();
            }
            fs::write(&part.note, "note").unwrap();
            part.sweep(&name);
            assert_eq!(names(folder.path()), ["name"]);
        }
        // A partial file that is another file stays.
        fs::write(&part.path, "comp").unwrap();
        fs::write(&part.note, "note").unwrap();
        part.sweep(&name);
        assert_eq!(names(folder.path()).len(), 3);
    }

    #[test]
    fn a_small_file_has_no_name_until_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("name");
        for (contents, replace) in [("first", false), ("second", true)] {
            let mut part = fresh_part(folder.path());
            part.restart(version_of(None)).unwrap();
            part.append(contents.as_bytes()).unwrap();
            assert_eq!(part.known().map(|(length, _)| length), Some(contents.len() as u64));
            assert_eq!(names(folder.path()).len(), usize::from(replace));
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
            part.finish(&name, Some(time), replace).unwrap();
            drop(part);
            assert_eq!(names(folder.path()), ["name"]);
            assert_eq!(fs::read_to_string(&name).unwrap(), contents);
            assert_eq!(fs::metadata(&name).unwrap().modified().unwrap(), time);
            let record = super::super::record::Records::read(folder.path()).unwrap();
            let record = record.record_of("name").unwrap();
            assert_eq!((record.key, record.length), (key(), contents.len() as u64));
        }
        let mut late = fresh_part(folder.path());
        late.restart(None).unwrap();
        late.append(b"third").unwrap();
        let refused = late.finish(&name, None, false).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&name).unwrap(), "second");
    }

    #[test]
    fn a_file_that_outgrows_memory_continues_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let (pieces, name) = (WORTH_KEEPING / 1000 + 2, folder.path().join("name"));
        let mut part = fresh_part(folder.path());
        part.restart(version_of(None)).unwrap();
        for piece in 0..pieces {
            part.append(&[piece as u8; 1000]).unwrap();
        }
        assert_eq!(part.length(), pieces as u64 * 1000);
        assert_eq!(names(folder.path()), ["name.1a2b3c4d.part", "name.1a2b3c4d.part.note"]);
        part.finish(&name, None, false).unwrap();
        drop(part);
        assert_eq!(names(folder.path()), ["name"]);
        let found = fs::read(&name).unwrap();
        assert_eq!(found.len(), pieces * 1000);
        assert!(found.chunks(1000).enumerate().all(|(n, piece)| piece == [n as u8; 1000]));
    }

    #[test]
    fn a_link_in_place_of_a_partial_file_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let mut part = part(folder.path());
        let victim = folder.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        std::os::unix::fs::symlink(&victim, &part.path).unwrap();
        part.restart(None).unwrap_err();
        assert_eq!(fs::read(&victim).unwrap(), b"untouched");
    }
}
