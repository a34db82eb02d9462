//! Runs std's own tests and examples over this library.
//!
//! Nothing of std's is kept here: its sources come from a package. What `crate`, `std` and `super`
//! mean in them is changed to a library that gives std's names to ours (`shim`), each test's body
//! runs inside `overlapped::run_until` (a program's threads end with it, too), and what does not
//! compile, because it looks into std, is left out and counted, with the compiler's reason.
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

use crate::torture::Port;

/// The end of a run.
#[derive(Debug)]
pub enum Outcome {
    /// The sources are not there; the text names the remedy.
    Missing(String),
    /// Every test passed, or failed as the list of differences says.
    Passed(Figures),
    /// Others failed.
    Failed(Figures),
}

/// The numbers of tests and examples by their ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// They passed.
    pub passed: usize,
    /// Examples that std only compiles: they compile.
    pub compiled: usize,
    /// They failed, as docs/std.md says.
    pub listed: usize,
    /// They failed.
    pub failed: usize,
    /// They do not compile over another library, or std ignores them, too.
    pub not_run: usize,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Figures { passed, compiled, listed, failed, not_run } = self;
        write!(
            f,
            "{passed} passed, {compiled} compiled, {listed} failed as docs/std.md says, {failed} \
             failed, {not_run} not run"
        )
    }
}

/// This library in std's place.
const OVERLAPPED: scratch::Over = scratch::Over {
    folder: "target/std-tests",
    dependency: r#"overlapped = { path = "../../crates/overlapped" }"#,
    shim: include_str!("shim.rs"),
    examples: true,
    takes: |_| true,
    has_nonpoison: false,
};

/// Runs them on `port`, or on the one that the machine chooses. `from`: a folder that has
/// `library/std`, or is that `library`.
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
