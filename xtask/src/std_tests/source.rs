//! The folder of std's sources, and the files among them that test types of this library.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Advice for a machine without the sources.
pub(crate) const REMEDY: &str = "std's sources are missing: `apt-get install rust-web-src` \
     (Debian) or `rustup component add rust-src` brings them, `--source DIR` says where they are";

/// The files with tests: the path below `library`, and the meaning of `super` at the top.
pub(super) const TESTS: &[(&str, &str)] = &[
    ("std/src/net/tcp/tests.rs", "net"),
    ("std/src/net/udp/tests.rs", "net"),
    ("std/src/net/socket_addr/tests.rs", "net"),
    ("std/src/os/unix/net/tests.rs", "os::unix::net"),
    ("std/src/os/unix/fs/tests.rs", "os::unix::fs"),
    ("std/src/os/net/linux_ext/tests.rs", "os::linux::net"),
    ("std/src/fs/tests.rs", "fs"),
    ("std/src/process/tests.rs", "process"),
    ("std/src/sys/process/unix/unix/tests.rs", "process"),
    ("std/src/thread/tests.rs", "thread"),
    ("std/src/io/copy/tests.rs", "io"),
    ("std/src/io/pipe/tests.rs", "io"),
    ("std/src/io/stdio/tests.rs", "io"),
    ("std/src/sys/io/kernel_copy/linux/tests.rs", "io"),
    ("std/tests/pipe_subprocess.rs", ""),
    ("std/tests/process_spawning.rs", ""),
    ("std/tests/thread.rs", ""),
    ("std/tests/sync/barrier.rs", ""),
    ("std/tests/sync/condvar.rs", ""),
    ("std/tests/sync/lazy_lock.rs", ""),
    ("std/tests/sync/mpsc.rs", ""),
    ("std/tests/sync/mpsc_sync.rs", ""),
    ("std/tests/sync/mutex.rs", ""),
    ("std/tests/sync/once_lock.rs", ""),
    ("std/tests/sync/rwlock.rs", ""),
];

/// The files and folders whose documentation has examples.
pub(super) const DOCUMENTS: &[&str] = &[
    "std/src/net/tcp.rs",
    "std/src/net/udp.rs",
    "std/src/net/mod.rs",
    "std/src/os/unix/net",
    "std/src/os/unix/fs.rs",
    "std/src/os/unix/process.rs",
    "std/src/fs.rs",
    "std/src/process.rs",
    "std/src/thread",
    "std/src/io/copy.rs",
    "std/src/io/pipe.rs",
    "std/src/io/stdio.rs",
    "std/src/io/mod.rs",
    "std/src/sync/barrier.rs",
    "std/src/sync/lazy_lock.rs",
    "std/src/sync/mpsc.rs",
    "std/src/sync/once_lock.rs",
    "std/src/sync/poison/condvar.rs",
    "std/src/sync/poison/mutex.rs",
    "std/src/sync/poison/rwlock.rs",
];

/// Finds the folder `library` that has std's tests: `from`, or the folder of a package.
pub(crate) fn find(from: Option<PathBuf>) -> Option<PathBuf> {
    let mut places = Vec::new();
    match from {
        Some(from) => places.push(from),
        None => {
            let known = std::fs::read_dir("/usr/src").into_iter().flatten().flatten();
            places.extend(known.map(|entry| entry.path()));
            places.sort();
            places.reverse();
            let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output();
            let sysroot =
                sysroot.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
            places.extend(sysroot.map(|root| Path::new(root.trim()).join("lib/rustlib/src/rust")));
        }
    }
    let inside = |place: PathBuf| [place.join("library"), place];
    let mut places = places.into_iter().flat_map(inside);
    places.find(|place| place.join(TESTS[0].0).is_file())
}
