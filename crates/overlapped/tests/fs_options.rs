//! `OpenOptions` compared with std's: every combination of flags on every kind of file opens the
//! same file, or fails with the same error, and leaves the same files.

use std::cell::Cell;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use overlapped::{run, scope, spawn, yield_now};
use rustix::fs::IFlags;

mod support;

/// The flags: read, write, append, truncate, create, create_new.
type Flags = [bool; 6];

fn flags_of(number: usize) -> Flags {
    std::array::from_fn(|bit| number >> bit & 1 == 1)
}

/// A trait over both, which have the same methods and no trait in common.
macro_rules! open {
    ($options:ty, $flags:expr, $custom:expr, $mode:expr, $path:expr) => {{
        let [read, write, append, truncate, create, create_new] = $flags;
        <$options>::new()
            .read(read)
            .write(write)
            .append(append)
            .truncate(truncate)
            .create(create)
            .create_new(create_new)
            .custom_flags($custom)
            .mode($mode)
            .open($path)
    }};
}

/// The kinds of files to be opened.
const TARGETS: [&str; 12] = [
    "missing",
    "empty",
    "full",
    "read-only",
    "immutable",
    "directory",
    "link",
    "dangling",
    "loop",
    "below/nothing",
    "full/below",
    "socket",
];

/// One file of each kind. After the drop they can be deleted.
struct Place(PathBuf);

impl Place {
    fn make(folder: &Path, name: &str) -> Place {
        let folder = folder.join(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("empty"), "").unwrap();
        for name in ["full", "read-only", "immutable"] {
            std::fs::write(folder.join(name), "full of text").unwrap();
        }
        std::fs::create_dir(folder.join("directory")).unwrap();
        symlink("full", folder.join("link")).unwrap();
        symlink("made by a link", folder.join("dangling")).unwrap();
        symlink("loop", folder.join("loop")).unwrap();
        std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap();
        let read_only = std::fs::Permissions::from_mode(0o444);
        std::fs::set_permissions(folder.join("read-only"), read_only).unwrap();
        let place = Place(folder);
        if let Err(error) = place.set_immutable(true)
            && support::asked().is_none()
        {
            eprintln!("SKIPPED: no file here can be made immutable: {error}");
        }
        place
    }

    fn set_immutable(&self, on: bool) -> io::Result<()> {
        let file = std::fs::File::open(self.0.join("immutable"))?;
        let mut flags = rustix::fs::ioctl_getflags(&file)?;
        flags.set(IFlags::IMMUTABLE, on);
        Ok(rustix::fs::ioctl_setflags(&file, flags)?)
    }

    /// Lists the names, kinds, permissions and contents of all files.
    fn contents(&self) -> Vec<(String, u32, Vec<u8>)> {
        let mut all: Vec<_> = std::fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let metadata = entry.metadata().unwrap();
                let bytes = match metadata.file_type() {
                    kind if kind.is_file() => std::fs::read(entry.path()).unwrap(),
                    kind if kind.is_symlink() || kind.is_dir() || kind.is_socket() => Vec::new(),
                    kind => panic!("{kind:?}"),
                };
                (entry.file_name().into_string().unwrap(), metadata.mode(), bytes)
            })
            .collect();
        all.sort();
        all
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.set_immutable(false);
    }
}

/// The part of an error that can be compared. An error that std itself makes has another text, and
/// a number or none, depending on std's version.
type Error = (io::ErrorKind, Option<(i32, String)>);

fn shown(error: &io::Error) -> Error {
    let number = error.raw_os_error().filter(|_| error.kind() != io::ErrorKind::InvalidInput);
    (error.kind(), number.map(|number| (number, error.to_string())))
}

/// The outcome of an open, and of the use of the file.
#[derive(Debug, PartialEq)]
enum Came {
    Failed(Error),
    Opened { flags: i32, wrote: Result<usize, i32>, read: Result<Vec<u8>, i32> },
}

fn used<F: Read + Write + Seek + AsFd>(result: io::Result<F>) -> Came {
    let errno = |error: io::Error| error.raw_os_error().unwrap();
    match result {
        Err(error) => Came::Failed(shown(&error)),
        Ok(mut file) => {
            // SAFETY: an open descriptor; no pointers.
            let flags = unsafe { libc::fcntl(file.as_fd().as_raw_fd(), libc::F_GETFL) };
            let wrote = file.write(b"new").map_err(errno);
            // A descriptor of `O_PATH` has no cursor.
            let _ = file.rewind();
            let mut bytes = Vec::new();
            let read = file.read_to_end(&mut bytes).map_err(errno).map(|_| bytes);
            Came::Opened { flags, wrote, read }
        }
    }
}

/// Tries one combination on every kind, with std and with this library.
fn compare(number: usize, custom: i32) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let (theirs, ours) = (Place::make(folder.path(), "std"), Place::make(folder.path(), "ours"));
    let flags = flags_of(number);
    for target in TARGETS {
        let there = open!(std::fs::OpenOptions, flags, custom, 0o640, theirs.0.join(target));
        let here = open!(overlapped::fs::OpenOptions, flags, custom, 0o640, ours.0.join(target));
        assert_eq!(used(here), used(there), "{flags:?} {custom:#o} on {target}");
    }
    assert_eq!(ours.contents(), theirs.contents(), "{flags:?} {custom:#o}");
    TARGETS.len()
}

/// Runs `f` while another tasklet is always ready: then opens share calls of the ring.
fn among_others<R>(f: impl FnOnce() -> R) -> R {
    let goes_on = &Cell::new(true);
    scope(|s| {
        s.spawn(move || {
            while goes_on.get() {
                yield_now();
            }
        });
        // The end of this tasklet also comes if `f` panics.
        let _end = Defer(|| goes_on.set(false));
        f()
    })
}

struct Defer<F: Fn()>(F);

impl<F: Fn()> Drop for Defer<F> {
    fn drop(&mut self) {
        self.0();
    }
}

#[test]
fn all_64_combinations_have_the_effect_of_std_s_on_every_kind_of_file() {
    let all = || (0..64).map(|number| compare(number, 0)).sum::<usize>();
    assert_eq!(run(all).unwrap(), 64 * TARGETS.len());
    assert_eq!(run(|| among_others(all)).unwrap(), 64 * TARGETS.len());
}

/// A kill that comes while an open is in the kernel, or just after it.
#[test]
fn opens_that_are_killed_leave_no_descriptor_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = &folder.path().join("file");
    std::fs::write(path, "there").unwrap();
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let held = || open().filter(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to == *path));
    run(|| {
        for round in 0..support::rounds(100, 2_000) {
            let open = || {
                let path = path.clone();
                spawn(move || while overlapped::fs::File::open(&path).is_ok() {})
            };
            let openers: Vec<_> = (0..8).map(|_| open()).collect();
            (0..=round % 5).for_each(|_| yield_now());
            openers.iter().for_each(|opener| opener.kill());
            openers.into_iter().for_each(|opener| drop(opener.join()));
            assert_eq!(held().count(), 0, "round {round}");
        }
    })
    .unwrap();
}

/// Root may write to read-only files, so the same runs again as a user who may not.
#[test]
fn all_64_combinations_have_the_effect_of_std_s_without_privileges() {
    const NAME: &str = "all_64_combinations_have_the_effect_of_std_s_without_privileges";
    if !rustix::process::geteuid().is_root() || support::asked().is_some() {
        run(|| (0..64).for_each(|number| assert!(compare(number, 0) > 0))).unwrap();
        return;
    }
    const NOBODY: u32 = 65_534;
    let folder = tempfile::tempdir().unwrap();
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([NAME, "--exact", "--nocapture"])
        .env(support::CHILD, "go on")
        .env("TMPDIR", folder.path())
        .uid(NOBODY)
        .gid(NOBODY)
        .output();
    match child {
        Err(error) => eprintln!("SKIPPED: the user `nobody` cannot run this program: {error}"),
        Ok(output) => assert!(output.status.success(), "{}", support::said(&output)),
    }
}

#[test]
fn custom_flags_have_the_effect_of_std_s() {
    run(|| {
        let customs = [
            libc::O_NOFOLLOW,
            libc::O_DIRECTORY,
            libc::O_NONBLOCK,
            libc::O_PATH,
            libc::O_NOATIME,
            libc::O_EXCL,
            libc::O_APPEND | libc::O_SYNC,
            libc::O_ACCMODE,
        ];
        // Read; read and write; create; create new.
        for number in [0b1, 0b11, 0b1_0010, 0b10_0010] {
            for custom in customs {
                compare(number, custom);
                among_others(|| compare(number, custom));
            }
        }
    })
    .unwrap();
}

#[test]
fn paths_that_do_not_exist_are_std_s_errors() {
    run(|| {
        for path in
            ["", "\0", "a\0b", "/", ".", "..", "/dev/null/x", "/dev/null/", &"x".repeat(300)]
        {
            for number in 0..64 {
                // The working directory is not known, so no file may be created in it.
                let flags = flags_of(number);
                let there = open!(std::fs::OpenOptions, flags, 0, 0o600, path).map(drop);
                let here = open!(overlapped::fs::OpenOptions, flags, 0, 0o600, path).map(drop);
                let (here, there) = (here.map_err(|e| shown(&e)), there.map_err(|e| shown(&e)));
                assert_eq!(here, there, "{path:?} {flags:?}");
            }
        }
    })
    .unwrap();
}
