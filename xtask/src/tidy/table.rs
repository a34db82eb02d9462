//! The rules as data: rooms and what each may import, names from outside, sizes, words.

/// A rule, for the message of a finding.
#[derive(Debug)]
pub struct Rule {
    /// Stands in brackets in the message.
    pub name: &'static str,
    /// Why it is held.
    pub why: &'static str,
    /// What to do about a finding.
    pub remedy: &'static str,
}

/// Imports between rooms of the library.
pub static IMPORTS: Rule = Rule {
    name: "imports",
    why: "imports point one way (io → net fs → pipe chan … → task → sched → op port …), so \
          that a room can be read, tested and replaced without those above it",
    remedy: "move the code to the room it belongs to, or pass the value in; a new room or a new \
             direction is entered in ROOMS in xtask/src/tidy/table.rs, with its reason",
};

/// Calls to the system past the port.
pub static CALLS: Rule = Rule {
    name: "calls",
    why: "whatever reaches the system goes through the port, so that a simulated port can stand in \
          for the whole machine",
    remedy: "call `crate::port` (control for calls that never wait, the clock for the time); a \
             name that does nothing by itself is entered in FOREIGN in xtask/src/tidy/table.rs",
};

/// Calls to the system from protocols.
pub static NO_IO: Rule = Rule {
    name: "no-io",
    why: "a protocol is told the bytes and the time, so that it can be tested and fuzzed with \
          nothing around it, and driven by anything",
    remedy: "do it in crates/serve and pass the result in; a name that does nothing by itself is \
             entered in FOREIGN_TO_WIRE in xtask/src/tidy/table.rs",
};

/// `unsafe` outside the library.
pub static UNSAFE: Rule = Rule {
    name: "unsafe",
    why: "the library, and the crate that takes the place of libc's functions, are the only ones \
          with unsafe code, so that no other is to be reviewed for it",
    remedy: "remove it, or move it into crates/overlapped behind a safe function; a crate root \
             begins with #![forbid(unsafe_code)]",
};

/// Names of corosensei.
pub static COROSENSEI: Rule = Rule {
    name: "corosensei",
    why: "a stack is unwound only at its own suspension point: forced from outside it would be \
          freed with operations in flight (first law)",
    remedy: "use crate::switch; to end a tasklet, kill it and go on scheduling",
};

/// Sizes of files, functions, folders and lines.
pub static SIZES: Rule = Rule {
    name: "sizes",
    why: "what does not fit on a few screens is not read",
    remedy: "split it along its nouns; a limit is a number in xtask/src/tidy/table.rs",
};

/// Paths and hosts of one machine, and talk about the work.
pub static WORDS: Rule = Rule {
    name: "words",
    why: "the text is for readers who have neither the machine nor the talk it came from",
    remedy: "say what holds and why, or take the path from the environment",
};

/// A file that is not Rust, or a row of this table that names a file that is gone.
pub static BROKEN: Rule = Rule {
    name: "broken",
    why: "what cannot be looked at is not held",
    remedy: "repair the file, or the row in xtask/src/tidy/table.rs that names it",
};

/// Folders that hold nothing of the project.
pub const FOLDERS_SKIPPED: &[&str] = &[".git", "target"];

/// Where the library lies.
pub const LIBRARY: &str = "crates/overlapped/src/";

/// A room of the library: its name, and the rooms that it may import. `lib.rs` may import all.
///
/// Downwards only. Of the first layer, rooms that park tasklets without an operation may reach the
/// scheduler; to the others, `task` gives what they need of it. Sideways only with a reason.
pub const ROOMS: &[(&str, &[&str])] = &[
    ("os", &["net", "fs", "process", "io"]), // re-exports at std's paths
    // It names every type that it can copy between, so it stands above them; what they need of
    // pipes is in `pipe`.
    ("io", &["task", "driver", "offload", "sys", "op", "time", "pipe", "net", "fs", "process"]),
    ("net", &["task", "offload", "sys", "op", "time", "pipe"]),
    ("fs", &["task", "driver", "sys", "op", "time", "pipe"]),
    ("process", &["task", "offload", "sys", "op", "time", "pipe", "fs"]), // pipes
    ("signal", &["task", "sched", "offload", "watchdog", "sys", "op", "time", "chan"]),
    ("thread", &["task", "sys", "op", "time", "sync"]), // a handle that another thread joins
    ("sync", &["task", "sched", "sys", "op", "time"]),
    ("chan", &["task", "sched", "sys", "op", "time"]), // deadlines; never net
    ("pipe", &["task", "driver", "sys", "op", "time"]),
    ("time", &["task", "sched", "driver", "sys", "op"]),
    (
        "task",
        &[
            "sched", "driver", "offload", "watchdog", "sys", "foreign", "op", "switch", "stack",
            "locals",
        ],
    ),
    (
        "sched",
        &["driver", "offload", "watchdog", "sys", "foreign", "op", "switch", "stack", "locals"],
    ),
    ("port", &["driver", "op", "sys"]),
    ("watchdog", &["driver", "op", "sys", "foreign"]),
    ("driver", &["op", "sys", "foreign", "spin", "locals"]), // the doctor asks for thread-locals
    ("offload", &["sys", "foreign", "spin"]),
    ("op", &["sys"]),       // types
    ("switch", &["stack"]), // a fiber runs on a stack of the pool
    ("sys", &["offload"]),
    ("foreign", &[]),
    ("spin", &[]),
    ("stack", &[]),
    ("locals", &[]),
];

/// A module outside of the library that reaches the system, and its names that do not.
#[derive(Debug)]
pub struct Foreign {
    /// The path that leads to it; `core` counts as `std`.
    pub module: &'static [&'static str],
    /// Types and the like that may be named anywhere.
    pub allowed: &'static [&'static str],
    /// Functions of those types that are calls all the same.
    pub denied: &'static [&'static str],
    /// Whether NAMES_IN_CAPITALS are constants, allowed.
    pub constants: bool,
    /// Whether its names stand in modules of their own (`rustix::io::Errno`).
    pub nested: bool,
}

const fn foreign(module: &'static [&'static str], allowed: &'static [&'static str]) -> Foreign {
    Foreign { module, allowed, denied: &[], constants: false, nested: false }
}

/// Every such module.
pub const FOREIGN: &[Foreign] = &[
    Foreign {
        constants: true,
        ..foreign(
            &["libc"],
            &[
                "c_char",
                "c_int",
                "c_long",
                "c_short",
                "c_uint",
                "c_ulong",
                "c_void",
                "iovec",
                "mode_t",
                "msghdr",
                "off_t",
                "off64_t",
                "pid_t",
                "siginfo_t",
                "size_t",
                "sockaddr",
                "sockaddr_in",
                "sockaddr_in6",
                "sockaddr_storage",
                "sockaddr_un",
                "socklen_t",
                "ssize_t",
                "timespec",
                "timeval",
            ],
        )
    },
    Foreign { nested: true, ..foreign(&["rustix"], &["Errno"]) },
    foreign(&["socket2"], &["Domain", "Protocol", "SockAddr", "SockAddrStorage", "Type"]),
    foreign(
        &["std", "net"],
        &[
            "AddrParseError",
            "IpAddr",
            "Ipv4Addr",
            "Ipv6Addr",
            "Shutdown",
            "SocketAddr",
            "SocketAddrV4",
            "SocketAddrV6",
            "ToSocketAddrs",
        ],
    ),
    foreign(&["std", "os", "unix", "net"], &["SocketAddr"]),
    foreign(&["std", "fs"], &["FileTimes", "FileType", "Metadata", "Permissions"]),
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
        ..foreign(
            &["std", "time"],
            &["Duration", "Instant", "SystemTime", "SystemTimeError", "UNIX_EPOCH"],
        )
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
    foreign(&["std", "os", "unix", "process"], &["ExitStatusExt"]),
];

/// Where the protocols lie.
pub const WIRE: &str = "crates/wire/src/";

/// For protocols: every such module, and what they may name of it. A file is a part of a reply.
pub const FOREIGN_TO_WIRE: &[Foreign] = &[
    foreign(&["libc"], &[]),
    foreign(&["rustix"], &[]),
    foreign(&["socket2"], &[]),
    foreign(&["overlapped"], &[]),
    foreign(&["std", "net"], &["IpAddr", "Ipv4Addr", "Ipv6Addr", "SocketAddr"]),
    Foreign {
        denied: &["create", "create_new", "open", "open_buffered", "options"],
        ..foreign(&["std", "fs"], &["File"])
    },
    Foreign {
        denied: &["now", "elapsed"],
        ..foreign(&["std", "time"], &["Duration", "SystemTime", "UNIX_EPOCH"])
    },
    foreign(&["std", "process"], &[]),
    foreign(&["std", "thread"], &[]),
    foreign(&["std", "env"], &[]),
    foreign(&["std", "os"], &[]),
];

/// Rooms below the rule about calls: they are the way to the system, or to memory and registers
/// that no port stands for (`stack`, `locals`).
pub const ROOMS_THAT_CALL: &[&str] =
    &["driver", "offload", "watchdog", "sys", "port", "stack", "locals"];

/// Files of conversions between std's, socket2's and libc's forms of the same value.
pub const CONVERSIONS: &[&str] = &["net/convert.rs", "fs/file/convert.rs"];

/// The benchmarks.
pub const BENCH: &str = "crates/bench/";

/// Crates that may have `unsafe`; bench has raw loops to compare with. install defines functions of
/// libc, which are given pointers: there is no safe form of that. It makes system calls by
/// instruction (the `syscalls` crate), since libc's functions are what it takes the place of.
/// preload defines more of them.
pub const CRATES_WITH_UNSAFE: &[&str] =
    &["crates/overlapped/", "crates/install/", "crates/preload/", BENCH];

/// Functions of corosensei that appear nowhere.
pub const COROSENSEI_NEVER: &[&str] = &["force_unwind", "force_reset"];

/// Rooms that may name corosensei. bench may too: it measures what a bare switch takes.
pub const COROSENSEI_ROOMS: &[&str] = &["switch", "stack"];

/// Code lines of one file. Counted without comments, blank lines and tests, as all sizes.
pub const FILE_LINES_MAX: usize = 400;
/// Code lines of one function; one whose body is a single exhaustive match may exceed it.
pub const FUNCTION_LINES_MAX: usize = 70;
/// Characters of one line of a Rust file.
pub const COLUMNS_MAX: usize = 100;
/// Rust files in one folder besides its `mod.rs`.
pub const FOLDER_FILES_MAX: usize = 8;
/// Folders where any number may stand: crate roots, and folders in which Cargo finds programs.
pub const FOLDERS_OF_ANY_SIZE: &[&str] = &["src", "tests", "examples", "benches", "fuzz_targets"];
/// The heart: if it outgrows this, the design is wrong, not the number.
pub const HEART: &[(&str, usize)] =
    &[("crates/overlapped/src/task/wait.rs", 151), ("crates/overlapped/src/sched/run/mod.rs", 250)];

/// Beginnings of paths that mean one machine only. Tests may use them.
pub const MACHINE_PATHS: &[&str] = &["/home/", "/root/", "/work/", "/tmp/"];
/// Hosts of registries and mirrors.
pub const HOSTS: &[&str] = &[
    "index.crates.io",
    "static.crates.io",
    "registry.npmjs.org",
    "pypi.org",
    "pythonhosted.org",
    "proxy.golang.org",
    "deb.debian.org",
    "archive.ubuntu.com",
    "artifactory",
    "rsproxy",
];
/// Talk about how the text came about.
pub const TALK: &[&str] = &[
    "acceptance criteria",
    "as an ai",
    "as discussed",
    "as instructed",
    "chatgpt",
    "claude",
    "fixme",
    "language model",
    "subagent",
    "sub-agent",
    "the brief says",
    "the issue asks",
    "the issue says",
    "the task asks",
];
/// The file that must name them.
pub const WORDS_EXEMPT: &[&str] = &["xtask/src/tidy/table.rs"];
