//! Tests that failed: what they said, and whether they fail again.
//!
//! A suite of a thousand tests with sockets, processes and clocks meets, on a busy machine, one
//! that fails once in many runs. It is a bug, of the test or of what it tests, and its output is
//! what finds it. So it is shown once more, where it is not lost among what passed; and the test is
//! run again by itself, several times. If it fails once more, it has failed. If not, it is
//! *unsteady*: said aloud and counted, but no reason to refuse a change that has nothing to do with
//! it.

use std::path::Path;
use std::time::Duration;

use crate::exec::{self, Invocation};

/// How often what failed must pass by itself.
const AGAIN: usize = 3;

/// As many at once say that something is broken.
const FEW: usize = 3;

/// Lines of output that are repeated at most.
const SHOWN: usize = 150;

/// After `suite` failed with `lines`: how many tests were only unsteady, or `None` if one of them
/// fails again, or if that is no way to know.
///
/// # Errors
///
/// A program cannot be started.
pub fn hold(
    root: &Path,
    suite: &Invocation,
    lines: &[String],
    limit: Duration,
) -> anyhow::Result<Option<usize>> {
    let names = names(lines);
    println!("\n== what failed ==");
    outputs(lines).iter().for_each(|line| println!("{line}"));
    // A program that was killed, or did not compile, names no test.
    let ends = lines.iter().filter(|line| line.starts_with("test result: FAILED")).count();
    if names.is_empty() || names.len() > FEW || programs(lines) > ends {
        return Ok(None);
    }
    let mut again = suite.clone().arg("--").arg("--exact");
    for name in &names {
        again = again.arg(name);
    }
    println!("\n== again, {AGAIN} times ==\n$ {again}");
    for _ in 0..AGAIN {
        let ran = exec::run(root, &again, limit)?;
        if ran.failure.is_some() {
            return Ok(None);
        }
    }
    names
        .iter()
        .for_each(|name| println!("UNSTEADY: {name} failed, and then passed {AGAIN} times"));
    Ok(Some(names.len()))
}

/// How many programs cargo says have failed.
fn programs(lines: &[String]) -> usize {
    let told = |line: &&String| {
        line.starts_with("error: test failed") || line.starts_with("error: doctest failed")
    };
    lines.iter().filter(told).count()
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
test two::three ... FAILED";

    fn said() -> Vec<String> {
        SAID.lines().map(str::to_owned).collect()
    }

    fn shell(script: &str) -> Option<usize> {
        let suite = Invocation::new("sh", "-c").arg(script);
        hold(Path::new("."), &suite, &said()[..13], Duration::from_secs(60)).unwrap()
    }

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
        assert!(outputs.last().unwrap().starts_with("error: test failed"));
    }

    #[test]
    fn what_passes_by_itself_is_unsteady() {
        assert_eq!(shell("exit 0"), Some(2));
    }

    #[test]
    fn what_fails_again_has_failed() {
        assert_eq!(shell("exit 1"), None);
    }

    #[test]
    fn a_program_that_ends_without_a_result_has_failed() {
        let mut lines = said();
        lines.push("error: test failed, to rerun pass `-p overlapped --test five`".to_owned());
        let suite = Invocation::new("true", "");
        assert_eq!(hold(Path::new("."), &suite, &lines, Duration::from_secs(60)).unwrap(), None);
    }
}
