//! Trees to be copied, and their listings.
#![allow(dead_code, reason = "each test program uses some of it")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use testkit::Rng;

use crate::common::PROGRAM;

/// Makes a command that runs `overlapped copy` with these `arguments` in `folder`.
pub(crate) fn copy_command(port: &str, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["--port", port, "copy"]).args(arguments).current_dir(folder);
    command.stdin(Stdio::null());
    command
}

pub(crate) fn copy(port: &str, folder: &Path, arguments: &[&str]) -> Output {
    copy_command(port, folder, arguments).output().unwrap()
}

/// Makes the command as an unprivileged user; `None` if that is impossible here.
pub(crate) fn as_nobody(port: &str, folder: &Path, arguments: &[&str]) -> Option<Command> {
    // The folder is not root's, so this user is unprivileged already.
    if fs::metadata(folder).unwrap().uid() != 0 {
        return Some(copy_command(port, folder, arguments));
    }
    let works = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", PROGRAM, "--version"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !works {
        println!("SKIPPED: the check as another user, for want of setpriv or of access");
        return None;
    }
    let plain = copy_command(port, folder, arguments);
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(plain.get_program());
    command.args(plain.get_args()).current_dir(folder);
    Some(command)
}

/// Makes bytes that differ from those of another seed.
pub(crate) fn bytes(seed: u32, length: usize) -> Vec<u8> {
    let mut rng = Rng(u64::from(seed) << 32 | length as u64);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&rng.next().to_be_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Returns the names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Creates one of everything: 17 files in 6 folders, 3 symbolic links. Two files share an inode.
pub(crate) fn tree(root: &Path) {
    for folder in ["", "empty", "a/b/c", "sticky"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    let lengths = [0, 1, 4_095, 65_536, 65_537, 1 << 20, (1 << 20) + 1, 3_000_007];
    for (i, length) in (0..).zip(lengths) {
        fs::write(root.join(format!("of {length} bytes")), bytes(i, length)).unwrap();
    }
    for (name, mode) in [("a/private", 0o600), ("a/tool", 0o755), ("a/b/read-only", 0o444)] {
        fs::write(root.join(name), name).unwrap();
        fs::set_permissions(root.join(name), Permissions::from_mode(mode)).unwrap();
    }
    fs::write(root.join(OsStr::from_bytes(b"a/b/no text: \xff\n")), "strange").unwrap();
    fs::write(root.join("a/b").join("n".repeat(255)), "long").unwrap();
    let sparse = File::create(root.join("a/b/c/sparse")).unwrap();
    sparse.set_len(2 << 20).unwrap();
    sparse.write_all_at(b"data", 1 << 20).unwrap();
    fs::write(root.join("sticky/one"), "twice").unwrap();
    fs::hard_link(root.join("sticky/one"), root.join("sticky/two")).unwrap();
    fs::write(root.join("old"), "old").unwrap();
    symlink("a/tool", root.join("to a file")).unwrap();
    symlink("../a", root.join("a/to a folder")).unwrap();
    symlink("nowhere", root.join("empty/to nothing")).unwrap();
    let old = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    let times = FileTimes::new().set_modified(old).set_accessed(old);
    File::options().write(true).open(root.join("old")).unwrap().set_times(times).unwrap();
    fs::set_permissions(root.join("sticky"), Permissions::from_mode(0o1777)).unwrap();
    fs::set_permissions(root.join("a/b"), Permissions::from_mode(0o550)).unwrap();
    File::open(root.join("a/b")).unwrap().set_times(times).unwrap();
    File::open(root.join("a")).unwrap().set_times(times).unwrap();
}

/// Lists everything in a tree that a copy keeps, by path.
pub(crate) fn describe(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut found = BTreeMap::new();
    look(root, root, &mut found);
    found
}

pub(crate) fn hash(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{} bytes, hash {hash:016x}", bytes.len())
}

fn look(root: &Path, path: &Path, found: &mut BTreeMap<Vec<u8>, String>) {
    let metadata = fs::symlink_metadata(path).unwrap();
    let contents = if metadata.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            look(root, &entry.unwrap().path(), found);
        }
        "folder".to_owned()
    } else if metadata.is_symlink() {
        format!("link to {:?}", fs::read_link(path).unwrap())
    } else {
        hash(&fs::read(path).unwrap())
    };
    let key = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
    let (mode, seconds, nanos) = (metadata.mode(), metadata.mtime(), metadata.mtime_nsec());
    found.insert(key, format!("{mode:o} {seconds}.{nanos:09} {contents}"));
}
