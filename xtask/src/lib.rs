//! Programs that hold the rules of this repository. Each prints how many checks it ran, and fails
//! where that number is zero.
//!
//! ```text
//! tidy       imports, circles, outside calls, unsafe, sizes, words: rules about the text
//! ci         what a change must pass, as steps that can be chosen
//! counted    the results of test programs
//! suite      the test programs of the workspace, several at a time; what failed is run again
//! new_op     the files that lack an arm for a new operation, by the compiler
//! torture    the danger tests with their full figures; writes the table in RELIABILITY.md
//! std_items  what std's blocking types have, as a list
//! std_tests  std's own tests and examples, over this library
//! systems    the crates compile for other systems
//! suites     others' test-suites, with tasklets in the place of threads
//! libtest    runs each test of a program in a process of its own
//! clients    crates from the registry in tasklets, against real servers
//! exec       runs one program with a time limit and keeps what it said
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

/// The repository's root. Asked of cargo at run time: clones may share one target folder, and with
/// it a program that another of them compiled.
pub fn root() -> PathBuf {
    let own = std::env::var("CARGO_MANIFEST_DIR");
    let own = own.unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    Path::new(&own).parent().expect("xtask lies in the root").to_path_buf()
}

/// The folder in which Cargo puts what it builds.
pub(crate) fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into)
}
