//! Sizes, and words.

/// Folders that hold nothing of the project.
pub const FOLDERS_SKIPPED: &[&str] = &[".git", "target"];

/// Code lines of one file. Counted without comments, blank lines and tests, as all sizes.
pub const FILE_LINES_MAX: usize = 400;
/// Code lines of one function; one whose body is a single exhaustive match may exceed it.
pub const FUNCTION_LINES_MAX: usize = 70;
/// Characters of one line of a Rust file.
pub const COLUMNS_MAX: usize = 100;
/// Rust files in one folder besides its `mod.rs`.
pub const FOLDER_FILES_MAX: usize = 8;
/// Folders where any number may stand: crate roots, and folders in which Cargo finds programs.
pub const FOLDERS_OF_ANY_SIZE: &[&str] = &["src", "tests", "examples", "fuzz_targets"];
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
/// The file that must name them.
pub const WORDS_EXEMPT: &[&str] = &["xtask/src/tidy/table/text.rs"];

/// Files of others that comments and documents name, and whose they are.
pub const ELSEWHERE: &[(&str, &str)] = &[];

/// Words that no doc comment begins with: each begins a clause.
pub const NOT_FIRST: &[&str] = &[
    "How",
    "If",
    "Nor",
    "Of",
    "That",
    "What",
    "Whatever",
    "When",
    "Whenever",
    "Where",
    "Wherever",
    "Whether",
    "Which",
    "Whichever",
    "Who",
    "Whoever",
    "Whom",
    "Whose",
    "Why",
];

/// Rooms, folders and files in which no doc comment begins with one of them. It only grows: `cargo
/// xtask tidy` tells which others could be entered.
pub const CLEAN: &[&str] = &[
    "crates/cli/",
    "crates/overlapped/src/",
    "crates/serve/",
    "crates/ureq/",
    "crates/wire/",
    "examples/",
    "fuzz/",
    "xtask/",
];
