//! CPython's own suites, run by the installed interpreter.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::suite::{Found, Suite, Verdict, Verdicts};
use super::world::World;
use crate::exec::{Mark, Progress, Scratch, no_end, spawn, wait_out_interrupt};
use crate::folders;

/// The limit of one test.
const LIMIT: Duration = Duration::from_secs(120);

const RUNNER: &str = include_str!("run.py");

/// The interpreters; the first is the one for which the exclusions are known.
const INTERPRETERS: [&str; 2] = ["python3.11", "python3"];

/// The variable that keeps the interpreter from writing beside CPython's sources.
const NO_BYTECODE: (&str, &str) = ("PYTHONDONTWRITEBYTECODE", "1");

struct Python {
    interpreter: PathBuf,
    module: String,
    folder: PathBuf,
    runner: PathBuf,
    tests: Vec<String>,
}

/// Finds a suite.
pub(super) fn find(root: &Path, name: &'static str) -> anyhow::Result<Found> {
    let folder = folders::target(root).join("suites/python").join(name);
    std::fs::create_dir_all(&folder)?;
    let runner = folder.join("run.py");
    std::fs::write(&runner, RUNNER)?;
    let module = format!("test.{name}");
    for name in INTERPRETERS {
        let Some(interpreter) = located(name) else { continue };
        let mut command = Command::new(&interpreter);
        command.arg(&runner).args(["/dev/null", &module]).env(NO_BYTECODE.0, NO_BYTECODE.1);
        let listed = command.output()?;
        let text = String::from_utf8_lossy(&listed.stdout);
        let tests: Vec<String> = text.lines().map(str::to_owned).collect();
        let is_there =
            listed.status.success() && !tests.iter().any(|test| test.contains("_Failed"));
        if is_there && !tests.is_empty() {
            return Ok(Ok(Box::new(Python { interpreter, module, folder, runner, tests })));
        }
    }
    Ok(Err("CPython's tests are missing: `apt-get install libpython3-testsuite` (Debian), or an \
            interpreter that was built from source, brings them"
        .to_owned()))
}

/// Finds the interpreter itself: the name may be that of a script that looks for it.
fn located(name: &str) -> Option<PathBuf> {
    let output = Command::new(name).args(["-c", "import sys; print(sys.executable)"]).output();
    let output = output.ok().filter(|output| output.status.success())?;
    let path = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(path.trim()))
}

impl Suite for Python {
    fn tests(&self) -> &[String] {
        &self.tests
    }

    fn run(&self, tests: &[String], on: &World, so_far: &Progress) -> anyhow::Result<Verdicts> {
        let mut verdicts = Verdicts::new();
        let mut left = tests.to_vec();
        while !left.is_empty() {
            if so_far.report() {
                let why = Verdict::Failed(so_far.over("it had not begun"));
                verdicts.extend(left.into_iter().map(|test| (test, why.clone())));
                break;
            }
            let (ended, broken) = self.attempt(&left, on, so_far)?;
            verdicts.extend(ended);
            verdicts.extend(broken.clone());
            let before = left.len();
            left.retain(|test| !verdicts.contains_key(test));
            if broken.is_none() || left.len() == before {
                break; // The others cannot be run.
            }
        }
        Ok(verdicts)
    }
}

impl Python {
    /// Runs tests in one process, until the end or until a test hangs or ends the process. Returns
    /// that test beside the others.
    fn attempt(
        &self,
        tests: &[String],
        on: &World,
        so_far: &Progress,
    ) -> anyhow::Result<(Verdicts, Option<(String, Verdict)>)> {
        let log = self.folder.join(format!("{}.log", on.name()));
        std::fs::write(&log, "")?;
        let path = self.folder.join(format!("{}.txt", on.name()));
        let output = File::options().append(true).create(true).open(path)?;
        let work = Scratch::new(self.folder.join("work"))?;
        let mut command = Command::new(&self.interpreter);
        command.arg(&self.runner).arg(&log).arg(&self.module).args(tests);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        command.current_dir(work.path()).env("TMPDIR", work.path());
        command.env(NO_BYTECODE.0, NO_BYTECODE.1).envs(on.environment());
        let why = follow(command, &log, so_far)?;
        let log = read(&log)?;
        let broken = log.running.map(|test| (test, Verdict::Failed(why)));
        Ok((log.ended, broken))
    }
}

/// Runs the interpreter to its end, or ends it when a test takes too long, and returns the reason.
fn follow(mut command: Command, log: &Path, so_far: &Progress) -> anyhow::Result<String> {
    let mark = Mark::new();
    mark.set(&mut command);
    let mut child = spawn(&mut command).context("CPython")?;
    let mut reported = Reported::default();
    let mut since = Instant::now();
    let why = loop {
        let status = child.try_wait()?;
        if reported.advance(log, so_far)? {
            since = Instant::now();
        }
        match status {
            Some(status) => break status.to_string(),
            None if since.elapsed() > LIMIT => break no_end(LIMIT),
            None if so_far.report() => break so_far.over("it still ran"),
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    drop(mark);
    if !child.wait()?.success() {
        wait_out_interrupt();
    }
    if let Some(test) = reported.log.running {
        so_far.end(&test, Some(&why));
    }
    Ok(why)
}

/// The part of a log that has been reported.
#[derive(Default)]
struct Reported {
    log: Log,
    len: u64,
}

impl Reported {
    /// Reports the new lines, and tells whether there were any.
    fn advance(&mut self, path: &Path, so_far: &Progress) -> anyhow::Result<bool> {
        let len = std::fs::metadata(path)?.len();
        if len == self.len {
            return Ok(false);
        }
        let before = std::mem::replace(self, Reported { log: read(path)?, len }).log;
        let is_new = |test: &&String| !before.ended.contains_key(*test);
        for test in self.log.ended.keys().filter(is_new) {
            if before.running.as_ref() != Some(test) {
                so_far.begin(test);
            }
            let verdict = &self.log.ended[test];
            so_far.end(test, if let Verdict::Failed(why) = verdict { Some(why) } else { None });
        }
        if let Some(test) =
            self.log.running.as_ref().filter(|one| before.running.as_ref() != Some(one))
        {
            so_far.begin(test);
        }
        Ok(true)
    }
}

/// The lines that a runner has written.
#[derive(Debug, Default)]
struct Log {
    ended: Verdicts,
    /// The test that has begun and not ended.
    running: Option<String>,
}

fn read(path: &Path) -> anyhow::Result<Log> {
    Ok(Log::parse(&String::from_utf8_lossy(&std::fs::read(path)?)))
}

impl Log {
    fn parse(text: &str) -> Log {
        let mut log = Log::default();
        for line in text.lines() {
            let mut words = line.splitn(4, ' ');
            let (what, test) = (words.next(), words.next().unwrap_or_default().to_owned());
            match what {
                Some("BEGIN") => log.running = Some(test),
                Some("END") => {
                    let verdict = match words.next() {
                        Some("passed") => Verdict::Passed,
                        Some("skipped") => Verdict::Skipped,
                        _ => Verdict::Failed(words.next().unwrap_or_default().to_owned()),
                    };
                    log.running = None;
                    log.ended.insert(test, verdict);
                }
                Some("OVER") => log.running = None,
                _ => {}
            }
        }
        log
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_never_ends_is_distinguished_from_earlier_ones() {
        let text = "BEGIN a\nEND a passed\nBEGIN b\nEND b failed x y\nBEGIN c\nEND c skipped z\n\
                    BEGIN d\n";
        let log = Log::parse(text);
        assert_eq!(log.running.as_deref(), Some("d"));
        assert_eq!(log.ended["a"], Verdict::Passed);
        assert_eq!(log.ended["b"], Verdict::Failed("x y".into()));
        assert_eq!(log.ended["c"], Verdict::Skipped);
        assert_eq!(Log::parse(&format!("{text}OVER\n")).running, None);
    }
}
