//! Programs of libtest: each test in a process and a folder of its own, for a limited time.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::exec::{Mark, Progress, Scratch, no_end, spawn, wait_out_interrupt};

/// The limit of one test. One of std's takes a lock a thousand million times.
const LIMIT: Duration = Duration::from_secs(120);

/// The maximum number of bytes that a test may have in memory. A test that sends without end would
/// otherwise take all of the machine's.
const MEMORY_MAX: u64 = 4 << 30;

/// A test of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Test {
    pub(crate) program: PathBuf,
    pub(crate) name: String,
}

impl Test {
    /// Names its program and the test.
    fn shown(&self) -> String {
        let program = self.program.file_name().unwrap_or_default().to_string_lossy();
        // Cargo appends a hash.
        let program = program.rsplit_once('-').map_or(&*program, |(name, _)| name);
        format!("{program}::{}", self.name)
    }
}

/// The end of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Passed,
    /// Its source has the attribute `ignore`.
    Ignored,
    Failed(String),
}

/// Variables of the environment.
pub(crate) type Environment = Vec<(String, String)>;

/// Lists the tests of a program.
pub(crate) fn tests(program: &Path) -> anyhow::Result<Vec<Test>> {
    let output = Command::new(program).args(["--list", "--format", "terse"]).output();
    let output = output.with_context(|| format!("running {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let names = text.lines().filter_map(|line| line.strip_suffix(": test"));
    Ok(names.map(|name| Test { program: program.to_owned(), name: name.to_owned() }).collect())
}

/// Runs all tests, in subfolders of `folder`, and returns their ends in the same order.
pub(crate) fn run(
    folder: &Path,
    tests: &[Test],
    environment: &Environment,
    progress: &Progress,
) -> Vec<End> {
    let next = AtomicUsize::new(0);
    let ends = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|s| {
        for _ in 0..threads {
            s.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(test) = tests.get(at) else { return };
                    let own = folder.join(at.to_string());
                    let end = reported(&own, test, environment, progress);
                    if !matches!(end, End::Failed(_)) {
                        let _ = std::fs::remove_dir_all(&own);
                    }
                    ends.lock().unwrap_or_else(|error| error.into_inner()).push((at, end));
                }
            });
        }
    });
    let mut ends = ends.into_inner().unwrap_or_else(|error| error.into_inner());
    ends.sort_by_key(|(at, _)| *at);
    ends.into_iter().map(|(_, end)| end).collect()
}

/// Runs one of many tests, and reports its begin and its end.
fn reported(folder: &Path, test: &Test, environment: &Environment, progress: &Progress) -> End {
    if progress.report() {
        return End::Failed(progress.over("it had not begun"));
    }
    let shown = test.shown();
    progress.begin(&shown);
    let end = one(folder, test, environment, progress)
        .unwrap_or_else(|error| End::Failed(format!("not started: {error}")));
    let failure = if let End::Failed(why) = &end { Some(why.as_str()) } else { None };
    if failure.is_some() {
        wait_out_interrupt();
    }
    progress.end(&shown, failure);
    end
}

fn one(
    folder: &Path,
    test: &Test,
    environment: &Environment,
    progress: &Progress,
) -> std::io::Result<End> {
    std::fs::create_dir_all(folder)?;
    let work = Scratch::new(folder.join("work"))?;
    let log = folder.join("output.txt");
    let output = File::create(&log)?;
    let mut command = Command::new(&test.program);
    command.args([&test.name, "--exact", "--nocapture", "--test-threads=1"]);
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    command.current_dir(work.path()).env("TMPDIR", work.path()).env("RUST_BACKTRACE", "0");
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let status = match follow(command, progress)? {
        Ok(status) => status,
        Err(why) => return Ok(End::Failed(why)),
    };
    let text = String::from_utf8_lossy(&std::fs::read(&log)?).into_owned();
    Ok(match status.success() {
        true if text.contains("1 ignored") => End::Ignored,
        true if text.contains("1 passed") => End::Passed,
        true => End::Failed("it has not reported that it passed".to_owned()),
        false => End::Failed(format!("{status}: {} ({})", cause(&text), shown(&log))),
    })
}

/// Runs a test to its end, or ends it and returns the reason.
fn follow(
    mut command: Command,
    progress: &Progress,
) -> std::io::Result<Result<ExitStatus, String>> {
    let mark = Mark::new();
    mark.set(&mut command);
    let mut child = spawn(&mut command)?;
    let begin = Instant::now();
    let why = loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Ok(status));
        }
        match () {
            () if begin.elapsed() > LIMIT => break no_end(LIMIT),
            () if progress.report() => break progress.over("it still ran"),
            () if resident(child.id()) > MEMORY_MAX => {
                break format!("it took more than {MEMORY_MAX} bytes");
            }
            () => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    drop(mark);
    child.kill()?;
    child.wait()?;
    Ok(Err(why))
}

/// Reads the bytes of a process in memory (proc(5), `statm`: the second field, in pages).
fn resident(process: u32) -> u64 {
    const PAGE: u64 = 4096;
    let text = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * PAGE
}

/// Finds the message of a panic.
fn cause(text: &str) -> String {
    let mut lines = text.lines().skip_while(|line| !line.contains("panicked at")).skip(1);
    let first = lines.next().unwrap_or("no panic");
    let rest: Vec<&str> = lines.take(2).take_while(|line| line.starts_with(' ')).collect();
    format!("{first}{}", rest.concat()).chars().take(200).collect()
}

/// Shortens a path to its last parts.
fn shown(path: &Path) -> String {
    let parts: Vec<_> = path.components().rev().take(5).collect();
    parts.into_iter().rev().collect::<PathBuf>().display().to_string()
}
