//! A file on its way: written beside its final name, and moved there when all of it has come.
//!
//! ```text
//! NAME.1a2b3c4d.part        what has come so far; the number is the beginning of the URL's key
//! NAME.1a2b3c4d.part.note   which version of it that is, where the server can go on with it
//! NAME                      nothing, until the file is complete
//! ```
//!
//! | file | one job |
//! |---|---|
//! | `mod` | the part, in memory or on the disk |
//! | `small` | saving what is still in memory, in one job |
//! | `publish` | giving it its name |
//!
//! A [`Part`] is in memory at first (`small`), unless an earlier run has left something: then
//! [`adopt`](Part::adopt) takes that up, or [`restart`](Part::restart) begins anew in its place. As
//! soon as there is something worth keeping, it is on the disk, with its note, open and locked, so
//! that two processes never write into one. It ends by [`finish`](Part::finish), or by being
//! dropped: then what can be gone on with stays, and anything else is removed. That holds for a
//! killed tasklet, too, and so for Ctrl-C.

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
use super::plain;
use super::record::{Key, Record};
use super::version::Version;
use publish::{Made, publish};
use small::Small;

/// Bytes that are worth being gone on with in another run. What is smaller is had anew.
const WORTH_KEEPING: usize = 64 << 10;
/// Bytes that file systems take as a name.
const NAME_MAX: usize = 255;
/// Attempts to open what somebody else is moving away.
const TRIES: usize = 16;

/// See the module.
#[derive(Debug)]
pub(crate) struct Part {
    path: PathBuf,
    note: PathBuf,
    key: Key,
    /// Tells whether an earlier run may have left a part.
    may_exist: bool,
    early: Option<Early>,
    open: Option<Open>,
    made: Made,
    /// How many parts of this run stayed.
    left: Rc<Cell<usize>>,
}

/// A part in memory.
#[derive(Debug)]
struct Early {
    bytes: Vec<u8>,
    /// `None`: nobody can be asked to continue these bytes.
    version: Option<Version>,
}

/// A part on the disk.
#[derive(Debug)]
struct Open {
    file: File,
    length: u64,
    /// `None`: nobody can be asked to continue these bytes.
    version: Option<Version>,
    /// Whether there may be a note.
    noted: bool,
    /// Tells whether the file was empty when it was opened, and nothing has been written to it.
    is_empty: bool,
}

/// The path of the unfinished file of a URL that is to become `path`.
pub(crate) fn path_of(path: &Path, key: Key) -> PathBuf {
    let ending = format!(".{}{UNFINISHED}", key.short());
    let name = path.file_name().unwrap_or_default();
    // Of a long name the beginning has to do: parts are found by their key.
    let bytes = name.as_encoded_bytes();
    let most = NAME_MAX - ending.len() - NOTE.len();
    let mut part = match bytes.len() > most {
        true => OsString::from_vec(bytes[..most].to_vec()),
        false => name.to_owned(),
    };
    part.push(ending);
    path.with_file_name(part)
}

impl Part {
    /// The unfinished file at `path` of the URL of this key; `may_exist`: that one may be there.
    /// Touches nothing.
    pub(crate) fn new(
        path: PathBuf,
        key: Key,
        may_exist: bool,
        made: Made,
        left: Rc<Cell<usize>>,
    ) -> Part {
        let mut note = path.clone().into_os_string();
        note.push(NOTE);
        Part { path, note: note.into(), key, may_exist, early: None, open: None, made, left }
    }

    /// Takes up what an earlier run has left, if that can be gone on with.
    pub(crate) fn adopt(&mut self) -> io::Result<()> {
        if !self.may_exist {
            return Ok(());
        }
        let Some(note) = plain::read(&self.note)? else { return Ok(()) };
        match Version::from_note(&String::from_utf8_lossy(&note), self.key) {
            Some(version) => self.acquire(Some(version)),
            None => Ok(()),
        }
    }

    /// How much there is, and of which version; `None` where the server is to begin at the first
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

    /// Notes the length of the whole, which a later response has stated.
    pub(crate) fn learn_length(&mut self, whole: u64) {
        let version = match (&mut self.open, &mut self.early) {
            (Some(open), _) => open.version.as_mut(),
            (None, early) => early.as_mut().and_then(|early| early.version.as_mut()),
        };
        if let Some(version) = version {
            version.length.get_or_insert(whole);
        }
    }

    /// Bytes so far.
    pub(crate) fn length(&self) -> u64 {
        match (&self.open, &self.early) {
            (Some(open), _) => open.length,
            (None, early) => early.as_ref().map_or(0, |early| early.bytes.len() as u64),
        }
    }

    /// Begins anew with the first byte of this version, if the server names one.
    pub(crate) fn restart(&mut self, version: Option<Version>) -> io::Result<()> {
        if self.open.is_none() && !self.may_exist {
            self.early = Some(Early { bytes: Vec::new(), version });
            return Ok(());
        }
        self.begin(version)
    }

    /// Begins a file on the disk.
    fn begin(&mut self, version: Option<Version>) -> io::Result<()> {
        if self.open.is_none() {
            self.acquire(None)?;
        }
        let open = self.open.as_mut().ok_or(ErrorKind::NotConnected)?;
        open.version = None;
        if open.noted {
            // At no moment there is a note for bytes that are not its version's.
            gone(fs::remove_file(&self.note))?;
            open.noted = false;
        }
        if !open.is_empty {
            // Not where it is empty: ext4 would write all of it through when it is closed.
            open.file.set_len(0)?;
        }
        open.length = 0;
        open.version = version;
        Ok(())
    }

    /// Writes what has come.
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
            plain::write(&self.note, version.to_note(self.key).as_bytes())?;
            open.noted = true;
        }
        Ok(())
    }

    /// Writes to the disk what is in memory.
    fn put_on_disk(&mut self) -> io::Result<()> {
        let Some(early) = self.early.take() else { return Ok(()) };
        self.begin(early.version)?;
        if early.bytes.is_empty() { Ok(()) } else { self.append(&early.bytes) }
    }

    /// Gives the complete file its name, and its date of modification. A file of that name is an
    /// error, unless it is to be replaced; at no moment the name stands for anything but a whole
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
            let small = Small { bytes, record, modified, made: self.made.clone() };
            match small.save(folder, file_name.to_owned()) {
                Ok(true) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::AlreadyExists && !replace => {
                    return Err(error);
                }
                // The long way gets further, or has the better error.
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
        // A kill shall find either the part or the file, not both.
        shield(|| {
            let (from, to, made) = (self.path.clone(), name.to_owned(), self.made.clone());
            unblock(move || publish(&from, &to, replace, &made)).map_err(io::Error::other)??;
            match self.open.take() {
                Some(Open { noted: true, .. }) => gone(fs::remove_file(&self.note)),
                _ => Ok(()),
            }
        })
    }

    fn record(&self) -> Record {
        Record { key: self.key, length: self.length() }
    }

    /// Removes what is left of a file that has its name, if its run was ended in the middle of
    /// giving it that.
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

    /// Where it stays after a failure, if it can be gone on with.
    pub(crate) fn kept(&self) -> Option<&Path> {
        let is_noted = self.open.as_ref()?.noted;
        self.known().filter(|_| is_noted).map(|_| &*self.path)
    }

    /// Opens the file and locks it. `version`: which one its bytes are from.
    fn acquire(&mut self, version: Option<Version>) -> io::Result<()> {
        for is_last in (0..TRIES).map(|tries| tries + 1 == TRIES) {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false);
            let file = plain::open(&self.path, options)?;
            // A kill shall not leave an empty file that nobody removes.
            self.open = shield(|| self.take(file, version.clone(), is_last))?;
            if self.open.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// `None`: that was no part any more. The last try takes it anyway: there are file systems
    /// where a file has another number whenever it is asked for.
    fn take(
        &self,
        file: File,
        version: Option<Version>,
        is_last: bool,
    ) -> io::Result<Option<Open>> {
        // Any other error: this file system has no locks.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            let text = format!("{} is being written by another process", self.path.display());
            return Err(io::Error::new(ErrorKind::ResourceBusy, text));
        }
        // Its last owner may have moved it to its final name meanwhile.
        let (ours, named) = (file.metadata()?, fs::symlink_metadata(&self.path));
        match named {
            Ok(named) if named.ino() == ours.ino() && named.dev() == ours.dev() => {}
            _ if is_last => {}
            _ => return Ok(None),
        }
        // Some file systems say 0 of every file.
        if ours.nlink() > 1 {
            // It has its final name already, and a crash kept this one: leave the file alone.
            fs::remove_file(&self.path)?;
            return Ok(None);
        }
        let length = ours.len();
        Ok(Some(Open { file, length, version, noted: true, is_empty: length == 0 }))
    }
}

impl Drop for Part {
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

/// It is as well that it was not there.
pub(super) fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::of("http://host/name")
    }

    fn part(folder: &Path) -> Part {
        Part::new(folder.join("name.1a2b3c4d.part"), key(), true, Made::default(), Rc::default())
    }

    /// A part in a folder where no earlier run has left anything.
    fn fresh_part(folder: &Path) -> Part {
        Part::new(folder.join("name.1a2b3c4d.part"), key(), false, Made::default(), Rc::default())
    }

    fn version() -> Option<Version> {
        version_of(Some(10))
    }

    fn version_of(length: Option<u64>) -> Option<Version> {
        let mut headers = ureq::http::HeaderMap::new();
        headers.insert("etag", "\"v1\"".parse().unwrap());
        Some(Version::of(&headers, length))
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_left_is_taken_up() {
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
    fn what_cannot_be_gone_on_with_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let large = vec![7; WORTH_KEEPING];
        // Of no version; longer than the whole; empty; small.
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
    fn a_note_about_another_url_or_of_fewer_bytes_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let note = version().unwrap().to_note(key());
        let other = version().unwrap().to_note(Key::of("http://other/name"));
        // The last one is longer than the whole.
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
    fn a_file_that_exists_is_not_replaced_unless_told() {
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
    fn two_never_write_into_one() {
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
    fn what_a_crash_left_beside_a_complete_file_is_swept() {
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
        // A part that is another file stays.
        fs::write(&part.path, "comp").unwrap();
        fs::write(&part.note, "note").unwrap();
        part.sweep(&name);
        assert_eq!(names(folder.path()).len(), 3);
    }

    #[test]
    fn a_small_file_is_nowhere_until_it_is_whole() {
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
    fn a_file_that_outgrows_memory_goes_on_on_the_disk() {
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
    fn a_link_in_the_place_of_a_part_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let mut part = part(folder.path());
        let victim = folder.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        std::os::unix::fs::symlink(&victim, &part.path).unwrap();
        part.restart(None).unwrap_err();
        assert_eq!(fs::read(&victim).unwrap(), b"untouched");
    }
}
