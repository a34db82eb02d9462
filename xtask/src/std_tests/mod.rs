//! Runs std's own tests and examples over this library.
//!
//! No text of std is kept here: its sources come from a package. In them, `crate`, `std` and
//! `super` are renamed to a library that gives std's names to the types of this one (`shim`). The
//! body of each test runs inside `overlapped::run_until`, because its tasklets have to end with it,
//! as a program's threads do. An item that does not compile, because it uses std's private parts,
//! is left out and counted, with the compiler's reason.
//!
//! ```text
//! source ─▶ items ─▶ examples ─┐
//! (files)   (parts)            ├─▶ scratch ─▶ judge ─▶ passed, failed as listed, failed, not run
//!           (tests) ───────────┘   (compile) (each test in a process of its own)
//! ```

mod allowed;
mod examples;
mod items;
mod judge;
pub(crate) mod scratch;
pub(crate) mod source;

use std::path::{Path, PathBuf};

use crate::port::Port;

pub use judge::Figures;

/// The end of a run.
#[derive(Debug)]
pub enum Outcome {
    /// The sources are missing. The text names the remedy.
    Missing(String),
    /// Every test passed, or failed as the list of differences says.
    Passed(Figures),
    /// Other tests failed, or none passed.
    Failed(Figures),
}

/// The crate in which this library takes std's place.
const OVERLAPPED: scratch::Over = scratch::Over {
    folder: "target/std-tests",
    dependency: r#"overlapped = { path = "../../crates/overlapped" }"#,
    shim: include_str!("shim.rs"),
    examples: true,
    takes: |_| true,
    has_nonpoison: false,
};

/// Runs std's tests and examples on `port`, or on the port that the machine chooses. `from` is a
/// folder that contains `library/std`, or that `library` itself.
pub fn run(root: &Path, from: Option<PathBuf>, port: Option<Port>) -> anyhow::Result<Outcome> {
    let Some(library) = source::find(from) else {
        return Ok(Outcome::Missing(source::REMEDY.to_owned()));
    };
    println!("std-tests: std's sources in {}", library.display());
    let programs = scratch::build(root, &library, &OVERLAPPED)?;
    let figures = judge::run(root, &programs, port)?;
    let name = port.map_or("the port of this machine", Port::name);
    println!("std-tests: {figures} ({name})");
    let passed = figures.failed == 0 && figures.passed > 0;
    Ok(if passed { Outcome::Passed(figures) } else { Outcome::Failed(figures) })
}
