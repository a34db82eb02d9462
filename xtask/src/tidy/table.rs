//! The rules as data. Here are the crates, their rooms (top-level modules), and the imports and
//! names that each may have; below are the texts of findings ([`rules`]), names from outside
//! ([`foreign`]), and sizes and words ([`text`]).

pub mod foreign;
pub mod rules;
pub mod text;

pub use foreign::*;
pub use rules::*;
pub use text::*;

/// The beginning of the paths of these tables.
pub const TABLE: &str = "xtask/src/tidy/table";

/// The sources of the library.
pub const LIBRARY: &str = "crates/overlapped/src/";
/// The sources of the protocols.
pub const WIRE: &str = "crates/wire/src/";
/// The benchmarks.
pub const BENCH: &str = "crates/bench/";

/// A crate whose rooms have an order.
#[derive(Debug)]
pub struct Crate {
    /// The folder of its sources.
    pub folder: &'static str,
    /// Its rooms: the name of each, and the rooms that it may import. The root may import all.
    pub rooms: &'static [(&'static str, &'static [&'static str])],
    /// Its rooms may import names from the root. These count as names of the room from which the
    /// root re-exports them.
    pub root: bool,
}

impl Crate {
    /// Names the row of a room.
    pub fn row(&self, room: &str) -> String {
        format!("{}{room}", self.folder)
    }

    /// Names the row of a permission.
    pub fn direction(&self, room: &str, other: &str) -> String {
        format!("{}{room} → {other}", self.folder)
    }
}

/// The crates whose rooms have an order. The rooms of `crates/install` and `crates/preload` import
/// each other both ways, so they have none yet.
pub const CRATES: &[Crate] = &[
    Crate { folder: LIBRARY, rooms: ROOMS, root: false },
    Crate { folder: WIRE, rooms: ROOMS_OF_WIRE, root: true },
    Crate { folder: "crates/serve/src/", rooms: ROOMS_OF_SERVE, root: true },
    Crate { folder: "crates/cli/src/", rooms: ROOMS_OF_CLI, root: true },
    Crate { folder: "crates/bench/src/", rooms: ROOMS_OF_BENCH, root: false },
    Crate { folder: "xtask/src/", rooms: ROOMS_OF_XTASK, root: false },
];

/// The rooms of the library.
///
/// Imports go downwards only. In the first layer, rooms that park tasklets without an operation may
/// import the scheduler; `task` gives the others what they need of it. Imports sideways need a
/// reason.
pub const ROOMS: &[(&str, &[&str])] = &[
    ("os", &["net", "fs", "process", "io"]), // re-exports at std's paths
    // `io` names every type between which it can copy, so it is above their rooms. The parts of
    // pipes that those need are in `pipe`.
    (
        "io",
        &[
            "task",
            "driver",
            "sys",
            "op",
            "time",
            "sync",
            "descriptor",
            "pipe",
            "net",
            "fs",
            "process",
        ],
    ),
    ("net", &["task", "offload", "sys", "op", "time", "descriptor", "pipe"]),
    ("fs", &["task", "sys", "op", "time", "descriptor", "pipe"]),
    ("process", &["task", "offload", "sys", "op", "pipe"]), // pipes
    ("signal", &["task", "sched", "watchdog", "sys", "op"]),
    ("thread", &["task", "sys", "time", "sync"]), // a handle that another thread joins
    ("sync", &["task", "sched", "sys", "time"]),
    ("chan", &["task", "sched", "sys", "op", "time"]), // deadlines; never net
    ("pipe", &["task", "sys", "op", "time", "descriptor"]),
    // The state that handles to one open file share. The turn at its cursor is a lock of `sync`.
    ("descriptor", &["task", "sys", "op", "time", "sync"]),
    ("time", &["task", "sched", "sys"]),
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
    ("driver", &["op", "sys", "foreign", "spin", "locals"]), // the doctor examines thread-locals
    ("offload", &["sys", "foreign", "spin"]),
    ("op", &["sys"]),              // types
    ("switch", &["stack", "sys"]), // a fiber runs on a stack of the pool
    ("stack", &["sys"]),
    ("locals", &["sys"]),
    ("sys", &[]),
    ("foreign", &[]),
    ("spin", &[]),
];

/// The rooms of the protocols.
const ROOMS_OF_WIRE: &[(&str, &[&str])] = &[
    ("bracket", &["protocol"]),
    ("codec", &["protocol", "reply"]),
    ("echo", &["protocol"]),
    ("http", &["protocol", "reply"]),
    ("length", &["protocol"]),
    ("line", &["protocol"]),
    ("zen", &["protocol", "reply"]),
    ("protocol", &["reply"]),
    ("reply", &[]),
];

/// The rooms of the server.
const ROOMS_OF_SERVE: &[(&str, &[&str])] = &[
    ("fuzzed", &["stream", "web"]),
    ("web", &["locks", "peer", "state", "stream", "telemetry"]),
    ("server", &["listen", "peer", "session", "state", "stream", "telemetry"]),
    ("listen", &["locks", "peer", "session", "state", "stream", "telemetry", "tls"]),
    ("session", &["peer", "state", "stream", "telemetry"]),
    ("stream", &["locks", "peer", "state"]),
    ("telemetry", &["locks", "peer", "state"]),
    ("state", &["locks", "tls"]),
    ("tls", &["locks"]),
    ("peer", &[]),
    ("locks", &[]),
];

/// The rooms of the program.
const ROOMS_OF_CLI: &[(&str, &[&str])] = &[
    ("close", &[]),
    ("copy", &["close", "display", "resume_command", "signals", "stdout"]),
    ("display", &[]),
    ("doctor", &["display", "stdout"]),
    ("foreign_flags", &[]),
    ("get", &["close", "display", "resume_command", "serve", "signals", "stdout"]),
    ("manual", &["stdout"]),
    ("resume_command", &["display"]),
    ("serve", &["display", "signals", "stdout"]),
    ("signals", &[]),
    ("stdout", &[]),
    ("tour", &["stdout"]),
    ("zen", &["stdout"]),
];

/// The rooms of the benchmarks.
const ROOMS_OF_BENCH: &[(&str, &[&str])] = &[
    ("bin", &[]), // a program of its own
    ("rounds", &["harness", "names", "options", "suites"]),
    ("suites", &["error", "harness", "material", "names", "subjects", "traits"]),
    ("subjects", &["error", "harness", "material", "names", "traits"]),
    ("traits", &["error", "harness", "material"]),
    ("material", &["error"]),
    ("harness", &["names"]),
    ("options", &["names"]),
    ("names", &[]),
    ("error", &[]),
];

/// The rooms of `cargo xtask`.
const ROOMS_OF_XTASK: &[(&str, &[&str])] = &[
    ("torture", &["ci", "counted", "exec", "folders", "port", "std_tests", "suites"]),
    ("ci", &["counted", "exec", "folders", "new_op", "systems", "tidy", "workspace_tests"]),
    ("suites", &["exec", "folders", "libtest", "port", "std_tests"]),
    ("std_tests", &["exec", "libtest", "port"]),
    ("std_items", &[]),
    ("clients", &["exec", "port"]),
    ("new_op", &["exec", "folders", "tidy"]),
    ("systems", &["exec", "folders"]),
    ("workspace_tests", &["counted", "exec"]),
    ("libtest", &["exec"]),
    ("tidy", &[]),
    ("counted", &[]),
    ("exec", &[]),
    ("port", &[]),
    ("folders", &[]),
];

/// The rooms that import each other both ways, directly or by others. The list only shrinks.
pub const BOTH_WAYS: &[&str] = &[];

/// The types of operations: the name of each, and its variants that hold a group of others.
pub const OPERATIONS: &[(&str, &[&str])] =
    &[("Op", &["Net", "Fs", "Wait"]), ("Net", &[]), ("Fs", &[]), ("Wait", &[])];

/// The rooms to which the rule about calls does not apply: they are the way to the system (`sys`;
/// `driver`, which has the ring and the poller), or ask the C library about its memory (`locals`).
pub const ROOMS_THAT_CALL: &[&str] = &["driver", "sys", "locals"];

/// The files that convert between std's, socket2's and libc's forms of the same value.
pub const CONVERSIONS: &[&str] = &["fs/file/convert.rs", "port/request.rs"];

/// The crates that may have `unsafe`. bench has raw loops for comparison. install defines functions
/// of libc, which take pointers: there is no safe form of that. It makes system calls by
/// instruction (the `syscalls` crate), since it replaces libc's functions. preload defines more of
/// them.
pub const CRATES_WITH_UNSAFE: &[&str] =
    &["crates/overlapped/", "crates/install/", "crates/preload/", BENCH];

/// The functions of corosensei that may appear nowhere.
pub const COROSENSEI_NEVER: &[&str] = &["force_unwind", "force_reset"];

/// The rooms that may name corosensei. bench may, too: it measures a bare switch.
pub const COROSENSEI_ROOMS: &[&str] = &["switch", "stack"];

/// The heart of the library, with limits of its own: if a file outgrows its limit, the design is
/// wrong, not the number.
pub const HEART: &[(&str, usize)] =
    &[("crates/overlapped/src/task/wait.rs", 150), ("crates/overlapped/src/sched/run/mod.rs", 250)];
