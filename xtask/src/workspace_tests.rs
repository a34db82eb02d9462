//! The test programs of the workspace, several at a time.
//!
//! Most tests wait: for a timer, a peer, a child. `cargo test` runs one program after the other,
//! and leaves the processors idle in the meantime. Here Cargo only builds the programs, and a few
//! run at the same time, each in the folder of its package, as under Cargo. The output of a program
//! is collected and printed at its end.
//!
//! A test that fails is run again by itself, several times. If it fails once more, it has failed.
//! Otherwise it is *unsteady*: it is reported and counted, but does not refuse a change that has
//! nothing to do with it. It is still a bug, of the test or of the tested code, and its output
//! helps to find it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::counted::Counted;
use crate::exec::{self, Invocation, Ran};

/// The programs that run beyond one for each processor: while one waits, another works.
const MORE: usize = 1;

/// The runs that a test that failed must pass by itself.
const AGAIN: usize = 3;

/// The number of tests that may fail at first. More of them are a failure.
const FEW: usize = 3;

/// The most lines of a failed program that are printed again.
const SHOWN: usize = 150;

/// The slowest programs that are named.
const SLOWEST: usize = 8;

/// The limit of one program. A test that hangs has failed.
const LIMIT: Duration = Duration::from_secs(10 * 60);

/// A program of tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    path: PathBuf,
    /// The folder of its package, in which it runs.
    folder: PathBuf,
}

impl Program {
    /// Names the package, and the program without Cargo's hash.
    fn name(&self) -> String {
        let own = self.path.file_name().unwrap_or_default().to_string_lossy();
        let own = own.rsplit_once('-').map_or(&*own, |(name, _)| name);
        let package = self.folder.file_name().unwrap_or_default().to_string_lossy();
        format!("{package}/{own}")
    }
}

/// Builds the tests that `cargo` (a `cargo test` without `--no-run`) would run, and lists their
/// programs. The inner error is the reason why they do not build.
pub(crate) fn build(
    root: &Path,
    cargo: &Invocation,
    limit: Duration,
) -> anyhow::Result<Result<Vec<Program>, String>> {
    let build = cargo.clone().arg("--no-run");
    println!("$ {build}");
    if let Some(reason) = exec::run(root, &build, limit)?.failure {
        return Ok(Err(reason));
    }
    // Everything is built already. This run only lists the programs.
    let listed = exec::run_quietly(root, &build.arg("--message-format=json"), limit)?;
    let programs: Vec<Program> = listed.lines.iter().filter_map(|line| program(line)).collect();
    if programs.is_empty() {
        bail!("Cargo has listed no test program");
    }
    Ok(Ok(programs))
}

/// Reads a message of Cargo about a test program.
fn program(line: &str) -> Option<Program> {
    let message: Value = serde_json::from_str(line).ok()?;
    let is_test = message["profile"]["test"].as_bool()?;
    let path = PathBuf::from(message["executable"].as_str().filter(|_| is_test)?);
    let folder = Path::new(message["manifest_path"].as_str()?).parent()?.to_path_buf();
    Some(Program { path, folder })
}

/// A program that has run.
#[derive(Debug)]
struct Ended {
    program: Program,
    ran: Ran,
    took: Duration,
}

/// The end of a suite.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) counted: Counted,
    /// The reason, if the suite has failed.
    pub(crate) failure: Option<String>,
    /// The tests that failed, at first or finally.
    pub(crate) failures: Failures,
}

/// Runs all programs, each by the invocation that `with` makes from its path and its number.
pub(crate) fn run(
    programs: &[Program],
    with: impl Fn(&Path, usize) -> Invocation + Sync,
) -> anyhow::Result<Outcome> {
    let begin = Instant::now();
    let next = AtomicUsize::new(0);
    let ended = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from) + MORE;
    std::thread::scope(|s| -> anyhow::Result<()> {
        let work = || -> anyhow::Result<()> {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(program) = programs.get(at) else { return Ok(()) };
                let one = one(program, &with(&program.path, at))?;
                let mut ended = ended.lock().unwrap_or_else(|error| error.into_inner());
                show(&one);
                ended.push(one);
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| s.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no test panics here"))
    })?;
    let ended = ended.into_inner().unwrap_or_else(|error| error.into_inner());
    print_slowest(&ended, begin.elapsed());
    decide(&ended, &with)
}

/// Runs one program to its end.
fn one(program: &Program, invocation: &Invocation) -> anyhow::Result<Ended> {
    let begin = Instant::now();
    let folder = program.folder.to_string_lossy();
    let invocation = invocation.clone().env("CARGO_MANIFEST_DIR", &folder);
    let ran = exec::run_quietly(&program.folder, &invocation, LIMIT)
        .with_context(|| format!("running {}", program.path.display()))?;
    Ok(Ended { program: program.clone(), ran, took: begin.elapsed() })
}

/// Prints the output of a program, as Cargo would.
fn show(ended: &Ended) {
    println!("     Running {} ({:.1} s)", ended.program.name(), ended.took.as_secs_f64());
    ended.ran.lines.iter().for_each(|line| println!("{line}"));
    if let Some(failure) = &ended.ran.failure {
        println!("error: {}: {failure}", ended.program.name());
    }
}

fn print_slowest(ended: &[Ended], all: Duration) {
    let mut by_time: Vec<&Ended> = ended.iter().collect();
    by_time.sort_by_key(|one| std::cmp::Reverse(one.took));
    let named = |one: &&Ended| format!("{} {:.0} s", one.program.name(), one.took.as_secs_f64());
    let named: Vec<String> = by_time.iter().take(SLOWEST).map(named).collect();
    let sum: Duration = ended.iter().map(|one| one.took).sum();
    println!(
        "{} programs in {:.0} s, {:.0} s one after the other; the slowest: {}",
        ended.len(),
        all.as_secs_f64(),
        sum.as_secs_f64(),
        named.join(", ")
    );
}

/// Sums the results, and runs failed tests again.
fn decide(ended: &[Ended], with: &impl Fn(&Path, usize) -> Invocation) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut again = Vec::new();
    for one in ended {
        outcome.counted += Counted::parse_program(&one.ran.lines);
        let Some(reason) = &one.ran.failure else { continue };
        let failed = names(&one.ran.lines);
        outcome.failures.add(&one.program, &failed, &one.ran.lines);
        if failed.is_empty() || !is_complete(&one.ran.lines) {
            outcome.failure = Some(format!("{}: {reason}", one.program.name()));
        }
        let failed: Vec<String> = failed.into_iter().map(str::to_owned).collect();
        again.push((one.program.clone(), failed));
    }
    let failed: usize = again.iter().map(|(_, failed)| failed.len()).sum();
    if outcome.failure.is_none() && failed > FEW {
        outcome.failure = Some(format!("{failed} tests failed"));
    }
    if outcome.failure.is_some() {
        return Ok(outcome);
    }
    for (at, (program, names)) in again.iter().enumerate() {
        let number = ended.len() + at;
        if !passes_again(program, names, &with(&program.path, number))? {
            outcome.failure = Some(format!("{}: {}", program.name(), names.join(", ")));
        }
    }
    Ok(outcome)
}

/// Runs the failed tests by themselves, several times, and tells whether they pass each time.
fn passes_again(
    program: &Program,
    names: &[String],
    invocation: &Invocation,
) -> anyhow::Result<bool> {
    let invocation =
        names.iter().fold(invocation.clone().arg("--exact"), |all, name| all.arg(name));
    println!("\n== failed tests again, {AGAIN} times ==\n$ {invocation}");
    for _ in 0..AGAIN {
        let ended = one(program, &invocation)?;
        show(&ended);
        // A name that selects no test passes nothing.
        let passed = Counted::parse_program(&ended.ran.lines).passed;
        if ended.ran.failure.is_some() || passed < names.len() as u64 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Tells whether a program has printed its result, and so was not killed and did not die.
fn is_complete(lines: &[String]) -> bool {
    lines.iter().any(|line| line.starts_with("test result: FAILED"))
}

/// The tests that failed, and their output.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// The tests, by their programs.
    pub names: BTreeMap<String, Vec<String>>,
    /// The last lines of each program's output about its failures.
    output: Vec<String>,
}

impl Failures {
    /// Counts the tests.
    pub fn count(&self) -> usize {
        self.names.values().map(Vec::len).sum()
    }

    fn add(&mut self, program: &Program, failed: &[&str], lines: &[String]) {
        let names = failed.iter().map(|name| (*name).to_owned()).collect();
        self.names.insert(program.name(), names);
        self.output.push(format!("---- {} ----", program.name()));
        self.output.extend(output(lines).iter().cloned());
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.output.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        for (program, names) in &self.names {
            names.iter().try_for_each(|name| writeln!(f, "failed: {program}: {name}"))?;
        }
        Ok(())
    }
}

/// Lists the tests that failed, each once. The list of tests ends where their output begins, since
/// programs that a test ran may have lists of their own there.
fn names(lines: &[String]) -> Vec<&str> {
    let mut names = Vec::new();
    for line in lines.iter().take_while(|line| !matches!(&***line, "successes:" | "failures:")) {
        let name = line.strip_prefix("test ").and_then(|line| line.strip_suffix(" ... FAILED"));
        // A test that should have panicked has a note after its name.
        let name = name.map(|name| name.strip_suffix(" - should panic").unwrap_or(name));
        names.extend(name.filter(|name| !names.contains(name)));
    }
    names
}

/// Finds the output of the failed tests, or the end of the whole output if the program died.
fn output(lines: &[String]) -> &[String] {
    let from = lines.iter().position(|line| line == "failures:").unwrap_or(0);
    &lines[from.max(lines.len().saturating_sub(SHOWN))..]
}

/// Makes the invocation of a program that also shows the output of passing tests, which says what
/// they have skipped.
pub(crate) fn shown(path: &Path) -> Invocation {
    Invocation::new("", "").program(path).arg("--show-output")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn test_programs_are_read_from_messages_of_cargo() {
        let line = r#"{"reason":"compiler-artifact","manifest_path":"/a/crates/b/Cargo.toml",
            "profile":{"test":true},"executable":"/a/target/debug/deps/c-0123"}"#;
        let found = program(line).unwrap();
        assert_eq!(
            (found.folder.as_path(), found.name()),
            (Path::new("/a/crates/b"), "b/c".into())
        );
        assert_eq!(program(&line.replace("true", "false")), None);
        assert_eq!(program(&line.replace(r#""/a/target/debug/deps/c-0123""#, "null")), None);
        assert_eq!(program("   Compiling overlapped v0.1.0"), None);
    }

    #[test]
    fn failed_tests_are_named_once_and_their_output_is_kept() {
        let written = lines(
            "test one ... ok\ntest two::three ... FAILED\ntest four - should panic ... FAILED\n\
             successes:\ntest five ... FAILED\nfailures:\n---- two::three stdout ----\nno\n\
             test result: FAILED. 1 passed; 2 failed; 0 ignored",
        );
        assert_eq!(names(&written), ["two::three", "four"]);
        assert_eq!(output(&written)[0], "failures:");
        assert!(is_complete(&written) && !is_complete(&written[..8]));
    }

    /// Runs programs that write the texts of `first` and end with its statuses. A second run of one
    /// writes `again`.
    fn suite(first: &[(&str, u8)], again: (&str, u8)) -> Outcome {
        let programs: Vec<Program> = (0..first.len())
            .map(|at| Program { path: format!("p{at}-0").into(), folder: PathBuf::from(".") })
            .collect();
        run(&programs, |_, number| {
            let (text, status) = first.get(number).copied().unwrap_or(again);
            Invocation::new("sh", "-c").arg(&format!("echo '{text}'; exit {status}"))
        })
        .unwrap()
    }

    const GOOD: (&str, u8) = ("test result: ok. 2 passed; 0 failed; 0 ignored", 0);
    const ONE: (&str, u8) = ("test a ... FAILED\ntest result: FAILED. 1 passed; 1 failed", 101);

    #[test]
    fn a_package_is_built_and_its_programs_run_in_its_folder() {
        let cargo = Invocation::cargo("test -p overlapped-testkit --all-targets");
        let programs = build(&crate::root(), &cargo, LIMIT).unwrap().unwrap();
        assert_eq!(programs.len(), 1);
        assert_eq!(programs[0].name(), "testkit/testkit");
        let outcome = run(&programs, |path, _| shown(path)).unwrap();
        assert_eq!((outcome.failure, outcome.failures.count()), (None, 0));
        assert!(outcome.counted.passed >= 5, "{:?}", outcome.counted);
    }

    #[test]
    fn the_results_of_all_programs_are_summed() {
        let outcome = suite(&[GOOD, GOOD, GOOD, GOOD], GOOD);
        assert_eq!((outcome.failure, outcome.failures.count()), (None, 0));
        assert_eq!(outcome.counted.passed, 8);
    }

    #[test]
    fn results_of_programs_that_a_test_ran_do_not_count() {
        let nested = format!("successes:\n{}\n{}", ONE.0, GOOD.0);
        let outcome = suite(&[(&nested, 0)], GOOD);
        assert_eq!((outcome.failure, outcome.failures.count()), (None, 0));
        assert_eq!((outcome.counted.passed, outcome.counted.failed), (2, 0));
    }

    #[test]
    fn a_test_that_passes_by_itself_is_unsteady() {
        let outcome = suite(&[GOOD, ONE], GOOD);
        assert_eq!((outcome.failure, outcome.failures.count()), (None, 1));
    }

    #[test]
    fn a_test_that_fails_again_has_failed() {
        assert!(suite(&[ONE, GOOD], ONE).failure.is_some());
    }

    #[test]
    fn names_that_select_no_test_excuse_nothing() {
        let none = ("test result: ok. 0 passed; 0 failed; 0 ignored", 0);
        assert!(suite(&[ONE], none).failure.is_some());
    }

    #[test]
    fn programs_that_end_without_a_result_have_failed() {
        assert!(suite(&[GOOD, ("test a ... FAILED", 134)], GOOD).failure.is_some());
        assert!(suite(&[("", 1)], GOOD).failure.is_some());
    }

    #[test]
    fn many_failures_at_once_are_not_excused() {
        assert!(suite(&[ONE, ONE, ONE], GOOD).failure.is_none());
        assert!(suite(&[ONE, ONE, ONE, ONE], GOOD).failure.is_some());
    }
}
