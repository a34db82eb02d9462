//! Programs that enforce the rules of this repository. Each prints the number of its checks, and
//! fails if that number is zero.
//!
//! ```text
//! tidy       imports, circles, outside calls, unsafe, sizes, words: rules about the text
//! ci         the checks that a change must pass, as steps that can be chosen
//! counted    the results of test programs
//! suite      the test programs of the workspace, several at a time; failed tests are run again
//! new_op     the files that lack an arm for a new operation, by the compiler
//! torture    the danger tests with their full figures, and the table in RELIABILITY.md
//! std_items  the list of the methods and traits of std's blocking types
//! std_tests  std's own tests and examples, over this library
//! systems    the check that the crates compile for other systems
//! suites     others' test-suites, with tasklets in the place of threads
//! libtest    test programs, with each test in a process of its own
//! clients    crates from the registry in tasklets, against real servers
//! exec       programs that are run with a time limit, and their output
//! ```

#![forbid(unsafe_code)]

pub mod ci;
pub mod clients;
mod counted;
pub mod exec;
mod libtest;
pub mod new_op;
pub mod std_items;
pub mod std_tests;
pub mod suite;
pub mod suites;
mod systems;
pub mod tidy;
pub mod torture;

use std::path::{Path, PathBuf};

/// Returns the repository's root, as Cargo names it at run time: clones may share one target
/// folder, and with it a program that another clone has compiled.
pub fn root() -> PathBuf {
    let own = std::env::var("CARGO_MANIFEST_DIR");
    let own = own.unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    Path::new(&own).parent().expect("xtask lies in the root").to_path_buf()
}

/// Returns the folder in which Cargo puts its builds.
pub(crate) fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into)
}
