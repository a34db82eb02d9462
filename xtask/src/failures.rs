//! Tests that failed: what they said, and whether they fail again.
//!
//! A suite of a thousand tests with sockets, processes and clocks meets, on a busy machine, one
//! that fails once in many runs. It is a bug, of the test or of what it tests, and its output is
//! what finds it. So it is shown once more, where it is not lost among what passed; and the test is
//! run again by itself, several times. If it fails once more, it has failed. If not, it is
//! *unsteady*: said aloud and counted, but no reason to refuse a change that has nothing to do with
//! it.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::counted::Counted;
use crate::exec::{self, Invocation};

/// Runs in which a test that failed must pass by itself.
const AGAIN: usize = 3;

/// As many at once say that something is broken.
const FEW: usize = 3;

/// Lines of output that are repeated at most.
const SHOWN: usize = 150;

/// The failures in a run of a suite.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// The tests, each once.
    pub names: Vec<String>,
    /// The last lines that they wrote.
    said: Vec<String>,
    /// All programs came to their results: none was killed, died, or never compiled.
    complete: bool,
}

impl Failures {
    /// From what a suite wrote.
    pub fn of(lines: &[String]) -> Failures {
        let owned = |lines: Vec<&str>| lines.into_iter().map(str::to_owned).collect();
        let begins = |text| lines.iter().filter(move |line: &&String| line.starts_with(text));
        let failed = begins("error: test failed").chain(begins("error: doctest failed")).count();
        let results = begins("test result: FAILED").count();
        // Cargo's last word, after all programs; not said if it was killed itself.
        let is_over = begins("error: ").any(|line| line.trim_end().ends_with("failed:"));
        Failures {
            names: owned(names(lines)),
            said: owned(outputs(lines)),
            complete: is_over && failed == results,
        }
    }

    /// Runs the failed tests of `suite` again, by themselves; whether they pass now, each time.
    ///
    /// # Errors
    ///
    /// A program cannot be started.
    pub fn pass_again(
        &self,
        root: &Path,
        suite: &Invocation,
        limit: Duration,
    ) -> anyhow::Result<bool> {
        if self.names.is_empty() || self.names.len() > FEW || !self.complete {
            return Ok(false);
        }
        let again = suite.clone().arg("--").arg("--exact");
        let again = self.names.iter().fold(again, |again, name| again.arg(name));
        println!("\n== what failed again, {AGAIN} times ==\n$ {again}");
        for _ in 0..AGAIN {
            let ran = exec::run(root, &again, limit)?;
            // A name that finds no test passes nothing.
            if ran.failure.is_some() || Counted::of(&ran.lines).passed < self.names.len() as u64 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.said.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        self.names.iter().try_for_each(|name| writeln!(f, "failed: {name}"))
    }
}

/// The tests that failed, each once.
fn names(lines: &[String]) -> Vec<&str> {
    let mut names = Vec::new();
    for line in lines {
        let name = line.strip_prefix("test ").and_then(|line| line.strip_suffix(" ... FAILED"));
        // What should have panicked says so after its name.
        let name = name.map(|name| name.strip_suffix(" - should panic").unwrap_or(name));
        names.extend(name.filter(|name| !names.contains(name)));
    }
    names
}

/// From each program, what its failed tests wrote.
fn outputs(lines: &[String]) -> Vec<&str> {
    let mut failed = Vec::new();
    let mut within = false;
    for line in lines {
        if line.starts_with("failures:") || line.starts_with("error") {
            within = true;
        } else if line.starts_with("     Running") || line.starts_with("successes:") {
            within = false;
        }
        if within {
            failed.push(line.as_str());
        }
    }
    let from = failed.len().saturating_sub(SHOWN);
    failed.split_off(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
test one ... ok
test two::three ... FAILED
test four - should panic ... FAILED
successes:
---- one stdout ----
nothing
failures:
---- two::three stdout ----
assertion failed: no
failures:
    two::three
test result: FAILED. 1 passed; 2 failed; 0 ignored
error: test failed, to rerun pass `-p overlapped --test two`
     Running tests/five.rs
test two::three ... FAILED
test result: FAILED. 0 passed; 1 failed; 0 ignored
error: test failed, to rerun pass `-p overlapped --test five`
error: 2 targets failed:
    `-p overlapped --test two`";

    fn said() -> Vec<String> {
        SAID.lines().map(str::to_owned).collect()
    }

    /// Tells whether `said` is excused, where running the tests again writes this and ends so.
    fn passes_again(said: &[String], again: &str, status: u8) -> bool {
        let script = format!("echo '{again}'; exit {status}");
        let suite = Invocation::new("sh", "-c").arg(&script);
        Failures::of(said).pass_again(Path::new("."), &suite, Duration::from_secs(60)).unwrap()
    }

    const PASSED: &str = "test result: ok. 2 passed; 0 failed; 0 ignored";

    #[test]
    fn failed_tests_are_named_once() {
        assert_eq!(names(&said()), ["two::three", "four"]);
    }

    #[test]
    fn what_failed_tests_wrote_is_kept_and_nothing_else() {
        let said = said();
        let outputs = outputs(&said);
        assert_eq!(outputs[0], "failures:");
        assert!(outputs.contains(&"assertion failed: no"));
        assert!(!outputs.contains(&"nothing"));
        assert!(outputs.contains(&"error: 2 targets failed:"));
    }

    #[test]
    fn what_passes_by_itself_is_told_from_what_fails_again() {
        assert!(passes_again(&said(), PASSED, 0));
        assert!(!passes_again(&said(), PASSED, 101));
    }

    #[test]
    fn names_that_find_no_test_excuse_nothing() {
        assert!(!passes_again(&said(), "test result: ok. 1 passed; 0 failed; 0 ignored", 0));
    }

    #[test]
    fn a_program_that_ends_without_a_result_has_failed() {
        let mut lines = said();
        lines.push("error: test failed, to rerun pass `-p overlapped --test six`".to_owned());
        assert!(!passes_again(&lines, PASSED, 0));
    }

    #[test]
    fn a_suite_that_was_killed_has_failed() {
        let said = said();
        assert!(!passes_again(&said[..said.len() - 2], PASSED, 0));
    }

    #[test]
    fn without_a_failed_test_nothing_is_excused() {
        assert!(!passes_again(&[], PASSED, 0));
    }
}
