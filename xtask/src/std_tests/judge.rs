//! Runs each test in a process and a folder of its own, for a limited time.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::Figures;
use super::allowed::allowed;
use super::scratch::Program;
use crate::torture::Port;

/// For one test. One of std's takes a lock a thousand million times.
const LIMIT: Duration = Duration::from_secs(120);

enum Result {
    Passed,
    /// std says so itself.
    Ignored,
    Failed(String),
}

/// Runs every test, prints those that failed, and writes why others were not run.
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
        tests.extend(names(program)?.into_iter().map(|name| (program, name)));
    }
    let results = all(&folder, &tests, port);
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
    for ((program, name), result) in tests.iter().zip(results) {
        let known = allowed(&program.name, name);
        match (result, known) {
            (Result::Ignored, _) => figures.not_run += 1,
            (Result::Passed, None) => figures.passed += 1,
            (Result::Passed, Some(_)) => {
                figures.passed += 1;
                println!("passed, although it is listed: {} {name}", program.name);
            }
            (Result::Failed(reason), Some(known)) => {
                figures.listed += 1;
                println!("as listed: {} {name}: {} ({reason})", program.name, known.reason);
            }
            (Result::Failed(reason), None) => {
                figures.failed += 1;
                println!("FAILED: {} {name}: {reason}", program.name);
            }
        }
    }
    Ok(figures)
}

/// The tests that a program has.
fn names(program: &Program) -> anyhow::Result<Vec<String>> {
    let output = Command::new(&program.path).args(["--list", "--format", "terse"]).output();
    let output = output.with_context(|| format!("running {}", program.path.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let names = text.lines().filter_map(|line| line.strip_suffix(": test"));
    Ok(names.map(str::to_owned).collect())
}

fn all(folder: &Path, tests: &[(&Program, String)], port: Option<Port>) -> Vec<Result> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|s| {
        for _ in 0..threads {
            s.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((program, name)) = tests.get(at) else { return };
                    let own = folder.join(at.to_string());
                    let result = one(&own, program, name, port)
                        .unwrap_or_else(|error| Result::Failed(format!("not started: {error}")));
                    if !matches!(result, Result::Failed(_)) {
                        let _ = std::fs::remove_dir_all(&own);
                    }
                    let mut results = results.lock().unwrap_or_else(|error| error.into_inner());
                    results.push((at, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(|error| error.into_inner());
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

fn one(
    folder: &Path,
    program: &Program,
    name: &str,
    port: Option<Port>,
) -> std::io::Result<Result> {
    let work = folder.join("work");
    std::fs::create_dir_all(&work)?;
    let said = folder.join("output.txt");
    let output = File::create(&said)?;
    let mut command = Command::new(&program.path);
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]).current_dir(&work);
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    command.env("TMPDIR", &work).env("RUST_BACKTRACE", "0");
    if let Some(port) = port {
        command.env("OVERLAPPED_PORT", port.name());
    }
    let mut child = command.spawn()?;
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begin.elapsed() > LIMIT {
            child.kill()?;
            child.wait()?;
            return Ok(Result::Failed(format!("no end within {} s", LIMIT.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let text = String::from_utf8_lossy(&std::fs::read(&said)?).into_owned();
    Ok(match status.success() {
        true if text.contains("1 ignored") => Result::Ignored,
        true if text.contains("1 passed") => Result::Passed,
        true => Result::Failed("it did not say that it passed".to_owned()),
        false => Result::Failed(format!("{status}: {} ({})", cause(&text), shown(&said))),
    })
}

/// The line that says why.
fn cause(text: &str) -> String {
    let mut lines = text.lines().skip_while(|line| !line.contains("panicked at")).skip(1);
    let first = lines.next().unwrap_or("no panic");
    let rest: Vec<&str> = lines.take(2).take_while(|line| line.starts_with(' ')).collect();
    format!("{first}{}", rest.concat()).chars().take(200).collect()
}

fn shown(path: &Path) -> String {
    let parts: Vec<_> = path.components().rev().take(5).collect();
    parts.into_iter().rev().collect::<PathBuf>().display().to_string()
}
