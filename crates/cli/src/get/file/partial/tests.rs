//! Tests of partial files: what stays, what is continued, what is never touched.

use std::io::ErrorKind;

use super::super::record::Records;
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
        fs::write(&part.paths.bytes, bytes).unwrap();
        fs::write(&part.paths.note, &note).unwrap();
        part.adopt().unwrap();
        assert_eq!(part.known(), None, "{note}");
        part.restart(None).unwrap();
        assert_eq!(fs::read(&part.paths.bytes).unwrap(), b"");
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
    fs::hard_link(&name, &part.paths.bytes).unwrap();
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
            fs::hard_link(&name, &part.paths.bytes).unwrap();
        }
        fs::write(&part.paths.note, "note").unwrap();
        part.sweep(&name);
        assert_eq!(names(folder.path()), ["name"]);
    }
    // A partial file that is another file stays.
    fs::write(&part.paths.bytes, "comp").unwrap();
    fs::write(&part.paths.note, "note").unwrap();
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
        let record = Records::read(folder.path()).unwrap();
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
    std::os::unix::fs::symlink(&victim, &part.paths.bytes).unwrap();
    part.restart(None).unwrap_err();
    assert_eq!(fs::read(&victim).unwrap(), b"untouched");
}
