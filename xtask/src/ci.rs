//! Runs the checks that a change must pass, as steps that can be chosen. They run on any machine:
//! nothing here is particular to that of CI.

use std::path::Path;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::counted::Counted;
use crate::exec::{self, Invocation};
use crate::folders;
use crate::new_op;
use crate::systems::{self, Systems};
use crate::tidy;
use crate::workspace_tests::{self, Failures};

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Step {
    /// The format.
    Fmt,
    /// The rules about the text.
    Tidy,
    /// The lints.
    Clippy,
    /// The crates compile for other systems.
    Systems,
    /// The files that lack an arm for a new operation are those of CONTRIBUTING.md.
    NewOp,
    /// The documentation, with every link.
    Doc,
    /// All tests, on the port that this machine chooses.
    Tests,
    /// The examples in the documentation.
    Doctests,
    /// The tests of packages that depend on the port, on the readiness port.
    TestsPoll,
    /// The same tests while the kernel refuses io_uring.
    TestsRefused,
    /// Every interleaving of the code that crosses threads.
    Loom,
    /// The benchmarks compile.
    Bench,
}

/// The end of a step.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Passed(Seen),
    Failed(String, Failures),
    Skipped(String),
}

/// Counts of a step that passed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    counted: String,
    /// The checks in it that were skipped, each because something is missing.
    skipped: u64,
    /// The tests that failed at first, and passed when they were run again.
    unsteady: Failures,
}

/// The command of all tests except those of the benchmarks, which are programs for measurements,
/// and the examples in the documentation, which are a step of their own.
const TESTS: &str = "test --workspace --exclude overlapped-bench --all-targets";

/// The packages whose tests do not depend on the port.
const WITHOUT_PORT: [&str; 3] = ["overlapped-wire", "overlapped-testkit", "xtask"];

/// The command of the examples in the documentation. They run once: the tests check on each port
/// what the examples show.
const DOCTESTS: &str = "test --workspace --exclude overlapped-bench --doc";

/// The cfg that replaces std's types by loom's. It is not named `loom`, because dependencies know
/// that name and would change, too, without what they need for it.
const LOOM_CFG: &str = "--cfg overlapped_loom";

/// The limit of one program of a step.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// Runs `steps` (all if none is named) except `without`, and tells whether none of them failed.
pub fn run(root: &Path, steps: &[Step], without: &[Step]) -> anyhow::Result<bool> {
    let all = Step::value_variants();
    let chosen =
        |step: &&Step| (steps.is_empty() || steps.contains(step)) && !without.contains(step);
    let mut results = Vec::new();
    for &step in all.iter().filter(chosen) {
        println!("\n== {} ==", name(step));
        let begin = Instant::now();
        let verdict = perform(root, step)?;
        let seconds = begin.elapsed().as_secs_f64();
        let line = format!("{:<14} {seconds:>7.1} s  {}", name(step), text(&verdict));
        println!("{line}");
        results.push((line, verdict));
    }
    let count = |wanted: fn(&Verdict) -> bool| results.iter().filter(|(_, v)| wanted(v)).count();
    let passed = count(|verdict| matches!(verdict, Verdict::Passed(_)));
    let failed = count(|verdict| matches!(verdict, Verdict::Failed(..)));
    let skipped = count(|verdict| matches!(verdict, Verdict::Skipped(_)));
    let seen = || {
        results.iter().filter_map(|(_, verdict)| match verdict {
            Verdict::Passed(seen) => Some(seen),
            _ => None,
        })
    };
    let within: u64 = seen().map(|seen| seen.skipped).sum();
    let unsteady: usize = seen().map(|seen| seen.unsteady.count()).sum();
    for (line, verdict) in &results {
        if let Verdict::Passed(Seen { unsteady: failures, .. }) | Verdict::Failed(_, failures) =
            verdict
            && *failures != Failures::default()
        {
            println!("\n== failures in {line} ==\n{failures}");
        }
    }
    println!("\n== summary ==");
    results.iter().for_each(|(line, _)| println!("{line}"));
    println!(
        "ci: {passed} passed, {failed} failed, {skipped} skipped; \
         {within} checks skipped and {unsteady} tests unsteady in passed steps"
    );
    Ok(failed == 0 && passed > 0)
}

fn name(step: Step) -> String {
    step.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

fn text(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Passed(Seen { counted, unsteady, .. }) => match unsteady.count() {
            0 => format!("passed  {counted}"),
            number => format!("passed  {counted}; {number} UNSTEADY"),
        },
        Verdict::Failed(reason, _) => format!("FAILED  {reason}"),
        Verdict::Skipped(reason) => format!("SKIPPED  {reason}"),
    }
}

fn perform(root: &Path, step: Step) -> anyhow::Result<Verdict> {
    match step {
        Step::Fmt => plain(root, &Invocation::cargo("fmt --all --check")),
        Step::Tidy => {
            let report = tidy::check_repository(root)?;
            print!("{report}");
            let counted = format!("{} checks", report.checks);
            Ok(if report.passed() {
                Verdict::Passed(Seen { counted, ..Seen::default() })
            } else {
                Verdict::Failed(format!("{} findings", report.findings.len()), Failures::default())
            })
        }
        Step::Clippy => {
            plain(root, &Invocation::cargo("clippy --workspace --all-targets -- -D warnings"))
        }
        Step::Systems => Ok(match systems::check(root)? {
            Systems::Compile(counted) => Verdict::Passed(Seen { counted, ..Seen::default() }),
            Systems::Fail(reason) => Verdict::Failed(reason, Failures::default()),
            Systems::Missing(remedy) => {
                println!("SKIPPED: it is not checked that the crates compile for other systems");
                Verdict::Skipped(remedy)
            }
        }),
        Step::NewOp => Ok(match new_op::run(root) {
            Ok(true) => Verdict::Passed(Seen::default()),
            Ok(false) => Verdict::Failed("the lists differ".to_owned(), Failures::default()),
            Err(error) => Verdict::Failed(format!("{error:#}"), Failures::default()),
        }),
        Step::Doc => {
            let doc = Invocation::cargo("doc --workspace --exclude overlapped-bench --no-deps");
            plain(root, &doc.env("RUSTDOCFLAGS", "-Dwarnings"))
        }
        Step::Tests => tests(root, &Invocation::cargo(TESTS), None),
        Step::Doctests => counted(root, &Invocation::cargo(DOCTESTS)),
        Step::TestsPoll => tests(root, &tests_of_ports(), Some("poll")),
        Step::TestsRefused => match refused(root, "EPERM")? {
            // The checks that need io_uring are skipped there, as they should be.
            Refused::Held { tests, refusals, unsteady } => {
                let counted = format!("{tests} tests, {refusals} refusals of io_uring");
                Ok(Verdict::Passed(Seen { counted, skipped: 0, unsteady }))
            }
            Refused::Failed(reason, failures) => Ok(Verdict::Failed(reason, failures)),
            Refused::Impossible(reason) => {
                println!("SKIPPED: it is not checked that the suite passes without io_uring");
                Ok(Verdict::Skipped(reason))
            }
        },
        Step::Loom => {
            let target = folders::target(root).join("loom");
            let loom =
                Invocation::cargo("test -p overlapped -p overlapped-install --lib --release loom_")
                    .env("RUSTFLAGS", LOOM_CFG)
                    .env("CARGO_TARGET_DIR", &target.to_string_lossy());
            counted(root, &loom)
        }
        Step::Bench => plain(root, &Invocation::cargo("build -p overlapped-bench")),
    }
}

fn plain(root: &Path, invocation: &Invocation) -> anyhow::Result<Verdict> {
    println!("$ {invocation}");
    Ok(match exec::run(root, invocation, LIMIT)?.failure {
        None => Verdict::Passed(Seen::default()),
        Some(reason) => Verdict::Failed(reason, Failures::default()),
    })
}

/// Runs tests by Cargo and counts them.
fn counted(root: &Path, invocation: &Invocation) -> anyhow::Result<Verdict> {
    println!("$ {invocation}");
    let ran = exec::run(root, invocation, LIMIT)?;
    let counted = Counted::parse(&ran.lines);
    Ok(match ran.failure {
        Some(reason) => Verdict::Failed(format!("{reason}; {counted}"), Failures::default()),
        None if counted.passed == 0 => {
            Verdict::Failed("no test ran".to_owned(), Failures::default())
        }
        None => {
            let (skipped, counted) = (counted.skipped, counted.to_string());
            Verdict::Passed(Seen { counted, skipped, ..Seen::default() })
        }
    })
}

/// Makes the invocation of the tests of packages that depend on the port.
fn tests_of_ports() -> Invocation {
    let without = |all: Invocation, package: &&str| all.arg("--exclude").arg(package);
    WITHOUT_PORT.iter().fold(Invocation::cargo(TESTS), without)
}

/// Builds and runs test programs, several at once, on `port` if it is given, or on the port that
/// the machine chooses.
fn tests(root: &Path, cargo: &Invocation, port: Option<&str>) -> anyhow::Result<Verdict> {
    let programs = match workspace_tests::build(root, cargo, LIMIT)? {
        Ok(programs) => programs,
        Err(reason) => return Ok(Verdict::Failed(reason, Failures::default())),
    };
    let outcome = workspace_tests::run(&programs, |path, _| {
        let program = workspace_tests::shown(path);
        port.iter().fold(program, |program, port| program.env("OVERLAPPED_PORT", port))
    })?;
    let (skipped, passed) = (outcome.counted.skipped, outcome.counted.passed);
    let counted = outcome.counted.to_string();
    Ok(match outcome.failure {
        Some(reason) => Verdict::Failed(format!("{reason}; {counted}"), outcome.failures),
        None if passed == 0 => Verdict::Failed("no test ran".to_owned(), outcome.failures),
        None => Verdict::Passed(Seen { counted, skipped, unsteady: outcome.failures }),
    })
}

/// The end of the suite while io_uring was refused.
#[derive(Debug)]
pub enum Refused {
    /// Every test passed, and the refusal was seen.
    Held {
        /// The number of tests that passed.
        tests: u64,
        /// The calls of io_uring_setup(2) that were refused.
        refusals: u64,
        /// The tests that failed at first, and passed when they were run again.
        unsteady: Failures,
    },
    /// The reason, and the tests.
    Failed(String, Failures),
    /// strace is missing or may not trace.
    Impossible(String),
}

/// Runs the tests of packages that depend on the port while io_uring_setup(2) fails with `errno`.
pub fn refused(root: &Path, errno: &str) -> anyhow::Result<Refused> {
    let logs = folders::target(root).join(format!("refused-{errno}"));
    // Removed, so that the refusals of an earlier run are not counted again.
    let _ = std::fs::remove_dir_all(&logs);
    std::fs::create_dir_all(&logs)?;
    // strace tampers only with calls that it traces: `trace=none` would refuse nothing.
    let strace = |log: &str| {
        Invocation::new("strace", "-f --seccomp-bpf -qq -e signal=none -o")
            .arg(&logs.join(log).to_string_lossy())
            .arg("-etrace=io_uring_setup")
            .arg(&format!("-einject=io_uring_setup:error={errno}"))
            .without_env("OVERLAPPED_PORT")
    };
    if !Invocation::new("true", "").under(strace("probe")).probe() {
        return Ok(Refused::Impossible("strace is missing or may not trace here".to_owned()));
    }
    let programs = match workspace_tests::build(root, &tests_of_ports(), LIMIT)? {
        Ok(programs) => programs,
        Err(reason) => return Ok(Refused::Failed(reason, Failures::default())),
    };
    println!("$ {}", Invocation::new("PROGRAM", "").under(strace("NUMBER")));
    let outcome = workspace_tests::run(&programs, |path, number| {
        workspace_tests::shown(path).under(strace(&number.to_string()))
    })?;
    let mut refusals = 0;
    for entry in std::fs::read_dir(&logs)? {
        let log = std::fs::read(entry?.path())?;
        let log = String::from_utf8_lossy(&log);
        refusals += log.lines().filter(|line| line.contains("(INJECTED)")).count() as u64;
    }
    let failures = outcome.failures;
    if let Some(reason) = outcome.failure {
        return Ok(Refused::Failed(format!("{reason}; {}", outcome.counted), failures));
    }
    Ok(match (outcome.counted.passed, refusals) {
        (0, _) => Refused::Failed("no test ran".to_owned(), failures),
        (_, 0) => Refused::Failed("void: no test has called io_uring_setup".to_owned(), failures),
        (tests, refusals) => Refused::Held { tests, refusals, unsteady: failures },
    })
}
