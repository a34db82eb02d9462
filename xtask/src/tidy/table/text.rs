//! Sizes and words.

/// The folders without files of the project.
pub const FOLDERS_SKIPPED: &[&str] = &[".git", "target"];

/// The most lines of code in one file. All sizes are counted without comments, blank lines and
/// tests.
pub const FILE_LINES_MAX: usize = 400;
/// The most lines of code in one function, unless its body is a single exhaustive match.
pub const FUNCTION_LINES_MAX: usize = 70;
/// The most characters in one line of a Rust file.
pub const COLUMNS_MAX: usize = 100;
/// The most Rust files in one folder besides its `mod.rs`.
pub const FOLDER_FILES_MAX: usize = 8;
/// The folders with any number of files: crate roots, and folders in which Cargo finds programs.
pub const FOLDERS_OF_ANY_SIZE: &[&str] = &["src", "tests", "examples", "fuzz_targets"];
/// The beginnings of paths that exist on one machine only. Tests may use them.
pub const MACHINE_PATHS: &[&str] = &["/home/", "/root/", "/work/", "/tmp/"];
/// The hosts of registries and mirrors.
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
/// The files that have to name them.
pub const WORDS_EXEMPT: &[&str] = &["xtask/src/tidy/table/text.rs"];

/// The files of other projects that comments and documents name, with the projects.
pub const ELSEWHERE: &[(&str, &str)] = &[];

/// The words with which no doc comment begins: each begins a clause.
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
