//! A suite whose tests have been found, and the verdicts on them.

use std::collections::BTreeMap;

use super::world::World;
use crate::exec::Progress;

/// The end of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Passed,
    Skipped,
    Failed(String),
}

/// Verdicts by the names of the tests.
pub(super) type Verdicts = BTreeMap<String, Verdict>;

/// A suite whose tests have been found.
pub(super) trait Suite {
    /// Lists all tests.
    fn tests(&self) -> &[String];
    /// Runs tests, with threads or with tasklets.
    fn run(&self, tests: &[String], on: &World, so_far: &Progress) -> anyhow::Result<Verdicts>;
}

/// A suite, or the remedy if its source is missing.
pub(super) type Found = Result<Box<dyn Suite>, String>;
