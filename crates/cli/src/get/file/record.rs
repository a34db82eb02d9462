//! The URL that a complete file was saved from, so that a name belongs to a URL in later runs, too.
//!
//! The record is an extended attribute of the file: it moves with the file, and no other file
//! appears in the folder.
//!
//! ```text
//! user.overlapped.source    KEY LENGTH        of each file
//! .overlapped-get           KEY LENGTH NAME   a line per file, if the file system has no
//! attributes;
//!                                             the last line about a name counts; the other lines,
//!                                             and those about missing files, are removed at times
//! ```
//!
//! KEY is a digest of the URL, because a URL may contain secrets. LENGTH is the file's: after a
//! power failure a file may be shorter than it was, and then it is incomplete.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use overlapped::fs::{self, File, OpenOptions};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};
use rustix::fs::{XattrFlags, fsetxattr, lgetxattr};
use rustix::io::Errno;

use super::key::Key;
use super::name::{NOTE, UNFINISHED};
use super::own_files;

const ATTRIBUTE: &str = "user.overlapped.source";
const JOURNAL: &str = ".overlapped-get";
/// The name of a journal that is being rewritten.
const JOURNAL_NEW: &str = ".overlapped-get.new";
/// The size, in bytes, below which a journal is not rewritten.
const JOURNAL_MIN: u64 = 64 << 10;
/// The number of lines at the end of a journal that stay whether their files exist or not.
const LINES_YOUNG: usize = 100;
/// The most bytes of an attribute with a record.
const RECORD_MAX: usize = 256;
/// The maximum number of attempts to open a journal that other processes rewrite.
const TRIES: usize = 16;
/// Bytes that a name in the journal must not contain.
const TO_ENCODE: &AsciiSet = &CONTROLS.add(b'%');

/// The record of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) key: Key,
    /// The length of the complete file in bytes.
    pub(crate) length: u64,
}

impl Record {
    fn parse(text: &str) -> Option<Record> {
        let (key, length) = text.split_once(' ')?;
        Some(Record { key: Key::parse(key)?, length: length.parse().ok()? })
    }

    /// Writes the record of a complete file that is about to get `name` in `folder`.
    pub(crate) fn write(self, file: &File, folder: &Path, name: &Path) -> io::Result<()> {
        if self.write_attribute(file)? {
            return Ok(());
        }
        let name = name.as_os_str().as_encoded_bytes();
        let line = format!("{self} {}\n", percent_encode(name, TO_ENCODE));
        append(folder, &line)
    }

    /// Writes the record as an attribute of the file; `false` if the file cannot have it.
    pub(super) fn write_attribute(self, file: impl AsFd) -> io::Result<bool> {
        match fsetxattr(file, ATTRIBUTE, self.to_string().as_bytes(), XattrFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::IO) => Err(Errno::IO.into()),
            // Attributes are not supported, or there is no room for one.
            Err(_) => Ok(false),
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key, self.length)
    }
}

/// The records and partial files that earlier runs have left in a folder.
#[derive(Debug, Clone, Default)]
pub(crate) struct Records {
    /// All names of the folder; `None` if this user may not list it.
    present: Option<HashSet<String>>,
    files: HashMap<String, Record>,
    names: HashMap<Key, String>,
    /// The names of partial files, by the short key in them.
    parts: HashMap<String, String>,
}

impl Records {
    /// Reads all records of a folder.
    pub(crate) fn read(folder: &Path) -> io::Result<Records> {
        let folder = if folder == Path::new("") { Path::new(".") } else { folder };
        let mut records = Records::listed(folder)?;
        let journal = journal(folder)?;
        for name in records.present.iter().flatten() {
            let record = attribute(&folder.join(name)).or(journal.get(name).copied());
            if let Some(record) = record {
                records.names.insert(record.key, name.clone());
                records.files.insert(name.clone(), record);
            }
        }
        Ok(records)
    }

    /// Reads the names of a folder, without records.
    pub(crate) fn names_only(folder: &Path) -> Records {
        let folder = if folder == Path::new("") { Path::new(".") } else { folder };
        Records::listed(folder).unwrap_or_default()
    }

    fn listed(folder: &Path) -> io::Result<Records> {
        let (mut present, mut parts) = (HashSet::new(), HashMap::new());
        for entry in fs::read_dir(folder)? {
            let Ok(name) = entry?.file_name().into_string() else { continue };
            let part = name.strip_suffix(NOTE).unwrap_or(&name);
            if let Some((_, key)) =
                part.strip_suffix(UNFINISHED).and_then(|name| name.rsplit_once('.'))
            {
                parts.insert(key.to_owned(), part.to_owned());
            } else {
                present.insert(name);
            }
        }
        Ok(Records { present: Some(present), parts, ..Records::default() })
    }

    /// Tells whether the folder may have had a file of this name when it was read. If a file system
    /// treats two spellings as one name, only an attempt to create the file detects it.
    pub(crate) fn may_have(&self, name: &str) -> bool {
        self.present.as_ref().is_none_or(|present| present.contains(name))
    }

    /// Tells whether a partial file of a URL may have existed.
    pub(crate) fn may_have_part(&self, key: Key) -> bool {
        self.present.is_none() || self.part_of(key).is_some()
    }

    /// Returns the name of the file that was saved from a URL.
    pub(crate) fn name_of(&self, key: Key) -> Option<&str> {
        self.names.get(&key).map(String::as_str)
    }

    /// Iterates over all files with a record.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, Record)> {
        self.files.iter().map(|(name, record)| (name.as_str(), *record))
    }

    /// Returns the record of the file of this name.
    pub(crate) fn record_of(&self, name: &str) -> Option<Record> {
        self.files.get(name).copied()
    }

    /// Returns the name of the partial file of a URL.
    pub(crate) fn part_of(&self, key: Key) -> Option<&str> {
        self.parts.get(&key.short()).map(String::as_str)
    }
}

/// Reads the current record of a file.
pub(crate) fn read_current(path: &Path) -> Option<Record> {
    let name = path.file_name()?.to_str()?;
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    attribute(path).or_else(|| journal(folder.unwrap_or(Path::new("."))).ok()?.get(name).copied())
}

/// Reads the record of a file itself: a symbolic link has none, so that its target's is not used.
fn attribute(path: &Path) -> Option<Record> {
    let mut buffer = [0; RECORD_MAX];
    let length = lgetxattr(path, ATTRIBUTE, &mut buffer[..]).ok()?;
    Record::parse(std::str::from_utf8(&buffer[..length]).ok()?)
}

/// Appends a line to the journal of a folder. Whenever the journal has doubled, it is rewritten: so
/// it has at most twice the bytes that its files need, and few writes read it.
fn append(folder: &Path, line: &str) -> io::Result<()> {
    let path = folder.join(JOURNAL);
    for is_last in (0..TRIES).map(|tries| tries + 1 == TRIES) {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        let mut journal = own_files::open(&path, options)?;
        // Without locks, no process rewrites it.
        let is_locked = journal.lock().is_ok();
        let ours = journal.metadata()?;
        let is_ours = |now: fs::Metadata| now.ino() == ours.ino();
        if is_locked && !is_last && !fs::symlink_metadata(&path).is_ok_and(is_ours) {
            // Another process rewrote it while this one waited.
            continue;
        }
        // One write, so that lines of several processes are not mixed.
        journal.write_all(line.as_bytes())?;
        let length = ours.len() + line.len() as u64;
        if is_locked && length.ilog2() > ours.len().max(JOURNAL_MIN - 1).ilog2() {
            compact(folder, &path)?;
        }
        break;
    }
    Ok(())
}

/// Rewrites a journal without its obsolete lines; the caller holds its lock.
fn compact(folder: &Path, path: &Path) -> io::Result<()> {
    let text = own_files::read(path)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let mut kept = Vec::new();
    let mut seen = HashSet::new();
    for (age, line) in lines.iter().rev().enumerate() {
        let Some((name, _)) = record_in(line) else { continue };
        // The files of young lines may not have their names yet.
        let counts = age < LINES_YOUNG || fs::symlink_metadata(folder.join(&name)).is_ok();
        if seen.insert(name) && counts {
            kept.push(*line);
        }
    }
    kept.reverse();
    let anew = folder.join(JOURNAL_NEW);
    own_files::write(&anew, (kept.join("\n") + "\n").as_bytes())?;
    fs::rename(&anew, path)
}

fn record_in(line: &str) -> Option<(String, Record)> {
    let (key, rest) = line.split_once(' ')?;
    let (length, name) = rest.split_once(' ')?;
    let name = percent_decode_str(name).decode_utf8().ok()?.into_owned();
    Some((name, Record::parse(&format!("{key} {length}"))?))
}

fn journal(folder: &Path) -> io::Result<HashMap<String, Record>> {
    let text = own_files::read(&folder.join(JOURNAL))?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().filter_map(record_in).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let key = Key::from_url("http://host/a");
        let text = format!("{key} 5 a b.txt\n{key} 6 100%25\nnonsense\n{key} 7 a b.txt\n{key} 8 c");
        fs::write(folder.path().join(JOURNAL), text).unwrap();
        let found = journal(folder.path()).unwrap();
        assert_eq!(found["a b.txt"], Record { key, length: 7 }, "the last line counts");
        assert_eq!(found["100%"].length, 6);
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn a_journal_does_not_grow_without_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let key = Key::from_url("http://host/a");
        let append = |name: &str, length: u64| {
            append(folder.path(), &format!("{key} {length} {name}\n")).unwrap();
        };
        let long = "n".repeat(200);
        fs::write(path("stays"), "").unwrap();
        append("stays", 1);
        for i in 0..700 {
            append("again", i);
            append(&format!("gone-{i}-{long}"), i);
            let length = fs::metadata(path(JOURNAL)).unwrap().len();
            assert!(length < JOURNAL_MIN, "{length} bytes after {i}");
        }
        let found = journal(folder.path()).unwrap();
        assert_eq!(found["stays"].length, 1);
        assert_eq!(found["again"].length, 699);
        assert_eq!(found[&format!("gone-699-{long}")].length, 699);
        assert!(!path(JOURNAL_NEW).exists());
        // If all files exist, all lines stay.
        let name = |i: u64| format!("file-{i}-{long}");
        for i in 0..700 {
            fs::write(path(&name(i)), "").unwrap();
            append(&name(i), i);
        }
        let found = journal(folder.path()).unwrap();
        assert!((0..700).all(|i| found[&name(i)].length == i));
    }

    #[test]
    fn lines_of_several_threads_all_arrive() {
        let folder = tempfile::tempdir().unwrap();
        let key = Key::from_url("http://host/a");
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let folder = folder.path();
                scope.spawn(move || {
                    for i in 0..200 {
                        let name = format!("{thread}-{i}-{}", "n".repeat(200));
                        fs::write(folder.join(&name), "").unwrap();
                        append(folder, &format!("{key} {i} {name}\n")).unwrap();
                    }
                });
            }
        });
        assert_eq!(journal(folder.path()).unwrap().len(), 800);
    }

    #[test]
    fn a_record_moves_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let (key, other) = (Key::from_url("http://host/a"), Key::from_url("http://host/b"));
        assert_ne!(key, other);
        let path = folder.path().join("first");
        let file = File::create(&path).unwrap();
        let record = Record { key, length: 0 };
        record.write(&file, folder.path(), Path::new("first")).unwrap();
        let records = Records::read(folder.path()).unwrap();
        assert_eq!((records.name_of(key), records.name_of(other)), (Some("first"), None));
        assert_eq!(records.record_of("first"), Some(record));
        if !folder.path().join(JOURNAL).exists() {
            fs::rename(&path, folder.path().join("second")).unwrap();
            assert_eq!(Records::read(folder.path()).unwrap().name_of(key), Some("second"));
        }
    }
}
