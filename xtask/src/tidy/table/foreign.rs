//! Modules outside of the project that reach the system, and their names that do not.

/// A module outside of the library that reaches the system, and its names that do not.
#[derive(Debug)]
pub struct Foreign {
    /// The path that leads to it; `core` counts as `std`.
    pub module: &'static [&'static str],
    /// Types and the like that may be named anywhere.
    pub allowed: &'static [&'static str],
    /// The only names that reach the system; if there are none, all do that are not allowed.
    pub refused: &'static [&'static str],
    /// Functions of those types that are calls all the same.
    pub denied: &'static [&'static str],
    /// NAMES_IN_CAPITALS are constants, and allowed, except error codes (`E…`): `sys` says what an
    /// error means.
    pub constants: bool,
    /// Its names stand in modules of their own (`rustix::io::Errno`).
    pub nested: bool,
}

impl Foreign {
    /// Names the row of an allowed name.
    pub fn row(&self, name: &str) -> String {
        format!("{}::{name}", self.module.join("::"))
    }
}

const fn foreign(module: &'static [&'static str], allowed: &'static [&'static str]) -> Foreign {
    Foreign { module, allowed, refused: &[], denied: &[], constants: false, nested: false }
}

/// Every such module.
pub const FOREIGN: &[Foreign] = &[
    Foreign { constants: true, ..foreign(&["libc"], &["iovec"]) },
    Foreign { nested: true, ..foreign(&["rustix"], &[]) },
    foreign(&["socket2"], &[]),
    foreign(
        &["std", "net"],
        &[
            "IpAddr",
            "Ipv4Addr",
            "Ipv6Addr",
            "Shutdown",
            "SocketAddr",
            "SocketAddrV4",
            "SocketAddrV6",
        ],
    ),
    foreign(&["std", "os", "unix", "net"], &["SocketAddr"]),
    foreign(&["std", "fs"], &["FileTimes", "Permissions"]),
    foreign(
        &["std", "os", "unix", "fs"],
        &[
            "DirBuilderExt",
            "DirEntryExt",
            "FileExt",
            "FileTypeExt",
            "MetadataExt",
            "OpenOptionsExt",
            "PermissionsExt",
        ],
    ),
    Foreign {
        denied: &["now", "elapsed"],
        ..foreign(&["std", "time"], &["Duration", "SystemTime", "UNIX_EPOCH"])
    },
    // `abort` ends the machine that a simulated port would stand in for.
    foreign(
        &["std", "process"],
        &[
            "CommandArgs",
            "CommandEnvs",
            "ExitCode",
            "ExitStatus",
            "Output",
            "Stdio",
            "Termination",
            "abort",
        ],
    ),
    foreign(&["std", "os", "unix", "process"], &[]),
    // `panicking` reads a count of std's.
    foreign(
        &["std", "thread"],
        &["AccessError", "JoinHandle", "LocalKey", "Result", "Thread", "ThreadId", "panicking"],
    ),
    // A wait on one may call a symbol that a program has replaced: `sys::lock` says why.
    Foreign {
        refused: &["Barrier", "Condvar", "Mutex", "RwLock"],
        ..foreign(&["std", "sync"], &[])
    },
    foreign(
        &["std", "os", "fd"],
        &["AsFd", "AsRawFd", "BorrowedFd", "FromRawFd", "IntoRawFd", "OwnedFd", "RawFd"],
    ),
    foreign(
        &["std", "os", "windows", "io"],
        &[
            "AsHandle",
            "AsRawHandle",
            "AsRawSocket",
            "AsSocket",
            "BorrowedHandle",
            "BorrowedSocket",
            "FromRawHandle",
            "FromRawSocket",
            "IntoRawHandle",
            "IntoRawSocket",
            "OwnedHandle",
            "OwnedSocket",
            "RawHandle",
            "RawSocket",
        ],
    ),
    foreign(
        &["std", "os", "windows", "fs"],
        &["FileExt", "FileTimesExt", "FileTypeExt", "MetadataExt", "OpenOptionsExt"],
    ),
    foreign(&["std", "os", "linux", "fs"], &["MetadataExt"]),
    foreign(&["std", "os", "linux", "raw"], &["stat"]),
    foreign(&["std", "os", "unix", "ffi"], &["OsStrExt"]),
    // All else of it; the rows above come first.
    Foreign { nested: true, ..foreign(&["std", "os"], &[]) },
];

/// Every such module for protocols, and what they may name of it. A file is a part of a reply.
pub const FOREIGN_TO_WIRE: &[Foreign] = &[
    foreign(&["libc"], &[]),
    foreign(&["rustix"], &[]),
    foreign(&["socket2"], &[]),
    foreign(&["overlapped"], &[]),
    foreign(&["std", "net"], &["IpAddr"]),
    Foreign {
        denied: &["create", "create_new", "open", "open_buffered", "options"],
        ..foreign(&["std", "fs"], &["File"])
    },
    Foreign {
        denied: &["now", "elapsed"],
        ..foreign(&["std", "time"], &["SystemTime", "UNIX_EPOCH"])
    },
    foreign(&["std", "process"], &[]),
    foreign(&["std", "thread"], &[]),
    foreign(&["std", "env"], &[]),
    foreign(&["std", "os"], &[]),
];
