//! Others' test-suites, first with threads, then with tasklets in their place.
//!
//! No text of theirs is kept here: the sources are in the folder of a package, of the toolchain or
//! of Cargo's registry, and are built below `target`. On tasklets a suite runs under
//! `overlapped-preload`. **Every test that passes on threads must pass on tasklets**, except those
//! that `excluded` names, each with its reason. A test that fails is tried again, alone. If it then
//! passes, it is counted as unsteady.
//!
//! ```text
//! suite ─▶ tests ─▶ run on threads ─▶ those that pass, less the excluded ─▶ run on tasklets
//!           │                                                                │
//!           └ python (CPython's), rust (std's, published crates')            └ preload's report:
//!                                                                              tasklets, counted
//!
//! mod → python, rust → suite (the trait, and verdicts) → world (threads or tasklets)
//! ```

mod excluded;
mod python;
mod rust;
mod suite;
mod world;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::exec::{Progress, is_hung, is_over};
use crate::folders;
use crate::port::Port;
use excluded::{excluded, not_on_threads};
use suite::{Found, Suite, Verdict, Verdicts};
use world::World;

/// The limit of one suite, on threads and again on tasklets.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// The failures of one suite that are printed.
const FAILURES_SHOWN: usize = 20;

/// A suite that has not been looked for yet.
struct Finder {
    name: &'static str,
    /// The project that it belongs to, for the table.
    of: &'static str,
    find: fn(&Path, &'static str) -> anyhow::Result<Found>,
}

const fn cpython(name: &'static str) -> Finder {
    Finder { name, of: "CPython", find: python::find }
}

const FINDERS: &[Finder] = &[
    cpython("test_queue"),
    cpython("test_thread"),
    cpython("test_threading"),
    cpython("test_socket"),
    cpython("test_smtplib"),
    cpython("test_ftplib"),
    cpython("test_select"),
    cpython("test_poll"),
    Finder { name: "std", of: "Rust", find: rust::std },
    Finder { name: "parking_lot", of: "parking_lot", find: rust::published },
    Finder { name: "crossbeam-channel", of: "crossbeam", find: rust::published },
    Finder { name: "flume", of: "flume", find: rust::published },
];

/// Lists the names of all suites.
pub fn names() -> Vec<&'static str> {
    FINDERS.iter().map(|finder| finder.name).collect()
}

/// The result of one suite.
#[derive(Debug, Default)]
struct Row {
    name: String,
    of: String,
    tests: usize,
    on_threads: usize,
    on_tasklets: usize,
    excluded: usize,
    unsteady: usize,
    failed: Vec<(String, String)>,
    /// Threads of the suite that were tasklets.
    tasklets: u64,
    /// The reason why nothing ran.
    missing: Option<String>,
}

/// The figures of all suites.
#[derive(Debug)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Tells whether every test passed that should, and some test ran.
    pub fn passed(&self) -> bool {
        let mut ran = self.rows.iter().filter(|row| row.missing.is_none());
        // A suite may have no threads of its own (test_select), but all suites together must.
        self.rows.iter().any(|row| row.tasklets > 0)
            && ran.all(|row| row.failed.is_empty() && row.on_threads > 0)
    }

    /// Writes the figures in a line.
    pub fn summary(&self) -> String {
        let sum = |of: fn(&Row) -> usize| self.rows.iter().map(of).sum::<usize>();
        let missing: Vec<_> = self.rows.iter().filter(|row| row.missing.is_some()).collect();
        let mut text = format!(
            "{} checks: tests of {} suites pass on tasklets; {} excluded, {} unsteady, {} failed",
            sum(|row| row.on_tasklets),
            self.rows.len() - missing.len(),
            sum(|row| row.excluded),
            sum(|row| row.unsteady),
            sum(|row| row.failed.len()),
        );
        for row in missing {
            let _ = write!(text, "; {} SKIPPED", row.name);
        }
        text
    }

    /// Writes the table of docs/install.md.
    fn table(&self) -> String {
        let mut text = "| suite | of | tests | pass on threads | pass on tasklets | excluded | \
                        threads that were tasklets |\n|---|---|--:|--:|--:|--:|--:|\n"
            .to_owned();
        for row in self.rows.iter().filter(|row| row.missing.is_none()) {
            let Row { name, of, tests, on_threads, on_tasklets, excluded, tasklets, .. } = row;
            let _ = writeln!(
                text,
                "| {name} | {of} | {tests} | {on_threads} | {on_tasklets} | {excluded} | \
                 {tasklets} |"
            );
        }
        text
    }
}

/// Runs the suites that `wanted` names, or all if it is empty, on `port` or on the port that the
/// machine chooses.
pub fn run(root: &Path, wanted: &[String], port: Option<Port>) -> anyhow::Result<Report> {
    if let Some(unknown) = wanted.iter().find(|name| !names().contains(&name.as_str())) {
        bail!("no suite {unknown}; there are {}", names().join(", "));
    }
    claim(&folders::target(root).join("suites"))?;
    let tasklets = World::tasklets(root, port)?;
    let mut rows = Vec::new();
    for finder in FINDERS {
        if wanted.is_empty() || wanted.iter().any(|name| name == finder.name) {
            println!("\n== {} ==", finder.name);
            rows.push(row(root, finder, &tasklets).context(finder.name)?);
        }
    }
    let report = Report { rows };
    println!("\n{}", report.table());
    for row in &report.rows {
        if let Some(remedy) = &row.missing {
            println!("SKIPPED: {}: {remedy}", row.name);
        }
        for (test, why) in row.failed.iter().take(FAILURES_SHOWN) {
            println!("FAILED: {} {test}: {why}", row.name);
        }
        if let Some(more) = row.failed.len().checked_sub(FAILURES_SHOWN).filter(|more| *more > 0) {
            println!("FAILED: {} and {more} more", row.name);
        }
    }
    println!("suites: {}", report.summary());
    Ok(report)
}

/// Refuses a folder that another run uses.
fn claim(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join("runs.txt");
    let other = std::fs::read_to_string(&path).unwrap_or_default();
    let runs = std::fs::read_to_string(format!("/proc/{other}/comm"));
    let own = std::process::id().to_string();
    if !other.is_empty() && other != own && runs.is_ok_and(|name| name.trim() == "xtask") {
        bail!("process {other} runs suites in {}", folder.display());
    }
    Ok(std::fs::write(path, own)?)
}

fn row(root: &Path, finder: &Finder, tasklets: &World) -> anyhow::Result<Row> {
    let mut row = Row { name: finder.name.into(), of: finder.of.into(), ..Row::default() };
    let suite = match (finder.find)(root, finder.name)? {
        Ok(suite) => suite,
        Err(remedy) => {
            println!("SKIPPED: {remedy}");
            row.missing = Some(remedy);
            return Ok(row);
        }
    };
    row.tests = suite.tests().len();
    let (out, to_run): (Vec<_>, Vec<_>) =
        suite.tests().iter().cloned().partition(|test| not_on_threads(finder.name, test).is_some());
    for test in &out {
        println!("not run: {test}: {}", not_on_threads(finder.name, test).unwrap_or_default());
    }
    let threads = steadily(&*suite, &to_run, (&World::threads(), finder), &mut row.unsteady)?;
    for (test, verdict) in &threads {
        match verdict {
            Verdict::Failed(why) if is_over(why) => row.failed.push((test.clone(), why.clone())),
            Verdict::Failed(why) => println!("fails on threads, too: {test}: {why}"),
            Verdict::Passed | Verdict::Skipped => {}
        }
    }
    let passed = threads.into_iter().filter(|(_, verdict)| *verdict == Verdict::Passed);
    let passed: Vec<String> = passed.map(|(test, _)| test).collect();
    row.on_threads = passed.len();
    let (out, to_run): (Vec<_>, Vec<_>) =
        passed.into_iter().partition(|test| excluded(finder.name, test).is_some());
    row.excluded = out.len();
    for test in &out {
        println!("excluded: {test}: {}", excluded(finder.name, test).unwrap_or_default());
    }
    tasklets.begin_count()?;
    let verdicts = steadily(&*suite, &to_run, (tasklets, finder), &mut row.unsteady)?;
    row.tasklets = tasklets.count()?;
    for test in to_run {
        match verdicts.get(&test) {
            Some(Verdict::Passed) => row.on_tasklets += 1,
            Some(Verdict::Skipped) => row.failed.push((test, "it was skipped".into())),
            Some(Verdict::Failed(why)) => row.failed.push((test, why.clone())),
            None => row.failed.push((test, "it did not run".into())),
        }
    }
    println!("{}: {} on threads, {} on tasklets", row.name, row.on_threads, row.on_tasklets);
    Ok(row)
}

/// Runs tests, and runs those that fail again, one by one.
fn steadily(
    suite: &dyn Suite,
    tests: &[String],
    (on, finder): (&World, &Finder),
    unsteady: &mut usize,
) -> anyhow::Result<Verdicts> {
    const TRIES: usize = 2;
    let so_far = Progress::new(format!("{} on {}", finder.name, on.name()), tests.len(), LIMIT);
    let mut verdicts = suite.run(tests, on, &so_far)?;
    for test in tests {
        // A test that hangs would hang again, for as long.
        let is_bad = |verdicts: &Verdicts| match verdicts.get(test) {
            Some(Verdict::Passed | Verdict::Skipped) => false,
            Some(Verdict::Failed(why)) => !is_hung(why),
            None => true,
        };
        for _ in 0..TRIES {
            if !is_bad(&verdicts) {
                break;
            }
            if let Some(Verdict::Failed(why)) = verdicts.get(test) {
                println!("again: {test}: {why}");
            }
            so_far.again();
            verdicts.extend(suite.run(std::slice::from_ref(test), on, &so_far)?);
            if let Some(Verdict::Passed) = verdicts.get(test) {
                println!("unsteady on {}: {test}", on.name());
                *unsteady += 1;
            }
        }
    }
    Ok(verdicts)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake(Vec<String>);

    impl Suite for Fake {
        fn tests(&self) -> &[String] {
            &self.0
        }

        fn run(&self, tests: &[String], on: &World, _: &Progress) -> anyhow::Result<Verdicts> {
            let is_alone = tests.len() == 1;
            let verdict = |test: &String| match test.as_str() {
                "good" => Some(Verdict::Passed),
                "unsteady" if is_alone => Some(Verdict::Passed),
                "hangs" if on.is_tasklets() => None,
                "hangs" => Some(Verdict::Passed),
                _ => Some(Verdict::Failed("bad".into())),
            };
            Ok(tests.iter().filter_map(|test| Some((test.clone(), verdict(test)?))).collect())
        }
    }

    #[test]
    fn a_test_that_passes_on_threads_must_pass_on_tasklets() {
        let root = std::env::temp_dir().join(format!("xtask-suites-{}", std::process::id()));
        std::fs::create_dir_all(&root).unwrap();
        let on = World::fake(&root);
        let find = |_: &Path, _: &'static str| -> anyhow::Result<Found> {
            let tests = ["good", "unsteady", "hangs", "bad"].map(str::to_owned).to_vec();
            Ok(Ok(Box::new(Fake(tests))))
        };
        let found = row(&root, &Finder { name: "fake", of: "us", find }, &on).unwrap();
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!((found.tests, found.on_threads, found.on_tasklets), (4, 3, 2));
        assert_eq!(found.failed, [("hangs".to_owned(), "it did not run".to_owned())]);
        assert_eq!(found.unsteady, 2, "once on threads, and once on tasklets");
        assert!(!Report { rows: vec![found] }.passed());
    }

    #[test]
    fn a_suite_with_no_time_left_on_threads_has_failed() {
        struct Slow([String; 1]);
        impl Suite for Slow {
            fn tests(&self) -> &[String] {
                &self.0
            }
            fn run(
                &self,
                tests: &[String],
                _: &World,
                so_far: &Progress,
            ) -> anyhow::Result<Verdicts> {
                let why = Verdict::Failed(so_far.over("it still ran"));
                Ok(tests.iter().map(|test| (test.clone(), why.clone())).collect())
            }
        }
        let root = std::env::temp_dir().join(format!("xtask-slow-{}", std::process::id()));
        std::fs::create_dir_all(&root).unwrap();
        let find = |_: &Path, _: &'static str| -> anyhow::Result<Found> {
            Ok(Ok(Box::new(Slow(["slow".to_owned()]))))
        };
        let finder = Finder { name: "slow", of: "us", find };
        let found = row(&root, &finder, &World::fake(&root)).unwrap();
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(found.failed.len(), 1);
    }
}
