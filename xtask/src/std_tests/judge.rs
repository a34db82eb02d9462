//! Runs each test, and compares its end with the list of known differences.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::allowed::allowed;
use super::scratch::Program;
use crate::exec::Progress;
use crate::libtest::{self, End, Environment};
use crate::port::Port;

/// The limit of all tests together.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// The numbers of tests and examples by their ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Those that passed.
    pub passed: usize,
    /// Examples that std only compiles, and that compile.
    pub compiled: usize,
    /// Those that failed as docs/std.md says.
    pub listed: usize,
    /// Those that failed otherwise.
    pub failed: usize,
    /// Those that do not compile over another library, or that std ignores, too.
    pub not_run: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { passed, compiled, listed, failed, not_run } = self;
        write!(
            f,
            "{passed} passed, {compiled} compiled, {listed} failed as docs/std.md says, {failed} \
             failed, {not_run} not run"
        )
    }
}

/// Runs every test, and prints those that failed, and the reasons for those that were not run.
pub(super) fn run(
    root: &Path,
    programs: &[Program],
    port: Option<Port>,
) -> anyhow::Result<Figures> {
    let folder = root.join("target/std-tests/run").join(port.map_or("any", Port::name));
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let mut tests = Vec::new();
    for program in programs {
        tests.extend(libtest::tests(&program.path)?.into_iter().map(|test| (program, test)));
    }
    let environment = port.map(|port| ("OVERLAPPED_PORT".to_owned(), port.name().to_owned()));
    let environment: Environment = environment.into_iter().collect();
    let all: Vec<_> = tests.iter().map(|(_, test)| test.clone()).collect();
    let progress = Progress::new("std-tests".to_owned(), all.len(), LIMIT);
    let ends = libtest::run(&folder, &all, &environment, &progress);
    let mut figures = Figures::default();
    let mut why = BTreeMap::<&str, usize>::new();
    for program in programs {
        figures.compiled += program.compiled();
        for (name, reason) in program.left_out() {
            figures.not_run += 1;
            *why.entry(reason).or_default() += 1;
            println!("not run: {} {name}: {reason}", program.name);
        }
    }
    for ((program, test), end) in tests.iter().zip(ends) {
        let name = &test.name;
        let known = allowed(&program.name, name);
        match (end, known) {
            (End::Ignored, _) => figures.not_run += 1,
            (End::Passed, None) => figures.passed += 1,
            (End::Passed, Some(_)) => {
                figures.passed += 1;
                println!("passed, although it is listed: {} {name}", program.name);
            }
            (End::Failed(reason), Some(known)) => {
                figures.listed += 1;
                println!("as listed: {} {name}: {} ({reason})", program.name, known.reason);
            }
            (End::Failed(reason), None) => {
                figures.failed += 1;
                println!("FAILED: {} {name}: {reason}", program.name);
            }
        }
    }
    Ok(figures)
}
