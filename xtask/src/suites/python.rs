//! CPython's own suites, by the interpreter that is installed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::bench::Bench;
use super::{Found, Suite, Verdict, Verdicts};
use crate::exec::kill_all;

/// For one test.
const LIMIT: Duration = Duration::from_secs(120);

const RUNNER: &str = include_str!("run.py");

/// Interpreters, the one that this was made with first.
const INTERPRETERS: [&str; 2] = ["python3.11", "python3"];

struct Python {
    interpreter: &'static str,
    module: String,
    folder: PathBuf,
    runner: PathBuf,
    tests: Vec<String>,
}

/// Finds a suite.
pub(super) fn find(root: &Path, name: &'static str) -> anyhow::Result<Found> {
    let folder = crate::target(root).join("suites/python").join(name);
    std::fs::create_dir_all(&folder)?;
    let runner = folder.join("run.py");
    std::fs::write(&runner, RUNNER)?;
    let module = format!("test.{name}");
    for interpreter in INTERPRETERS {
        let listed = Command::new(interpreter).arg(&runner).args(["/dev/null", &module]).output();
        let Ok(listed) = listed else { continue };
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

impl Suite for Python {
    fn tests(&self) -> &[String] {
        &self.tests
    }

    fn run(&self, tests: &[String], on: &Bench) -> anyhow::Result<Verdicts> {
        let mut verdicts = Verdicts::new();
        let mut left = tests.to_vec();
        while !left.is_empty() {
            let (ended, broken) = self.attempt(&left, on)?;
            verdicts.extend(ended);
            verdicts.extend(broken.clone());
            let before = left.len();
            left.retain(|test| !verdicts.contains_key(test));
            if broken.is_none() || left.len() == before {
                break; // What is left now is not run at all.
            }
        }
        Ok(verdicts)
    }
}

impl Python {
    /// Runs tests in one process, to the end or to the first that hangs or ends the process; that
    /// one beside the others.
    fn attempt(
        &self,
        tests: &[String],
        on: &Bench,
    ) -> anyhow::Result<(Verdicts, Option<(String, Verdict)>)> {
        let log = self.folder.join(format!("{}.log", on.name()));
        std::fs::write(&log, "")?;
        let path = self.folder.join(format!("{}.txt", on.name()));
        let output = File::options().append(true).create(true).open(path)?;
        let work = self.folder.join("work");
        std::fs::create_dir_all(&work)?;
        let mut command = Command::new(self.interpreter);
        command.arg(&self.runner).arg(&log).arg(&self.module).args(tests).current_dir(&work);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        command.envs(on.environment());
        let child = command.spawn().context(self.interpreter)?;
        let why = follow(child, &log)?;
        let log = read(&log)?;
        let broken = log.running.map(|test| (test, Verdict::Failed(why)));
        Ok((log.ended, broken))
    }
}

/// Waits for the end, or ends it when a test takes too long; which.
fn follow(mut child: Child, log: &Path) -> anyhow::Result<String> {
    let (mut since, mut seen) = (Instant::now(), 0);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.to_string());
        }
        let len = std::fs::metadata(log)?.len();
        if len != seen {
            (since, seen) = (Instant::now(), len);
        }
        if since.elapsed() > LIMIT {
            kill_all(&mut child);
            child.wait()?;
            return Ok(format!("no end within {} s", LIMIT.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The lines that a runner has written.
#[derive(Debug, Default)]
struct Log {
    ended: Verdicts,
    /// Has begun, and not ended.
    running: Option<String>,
}

fn read(path: &Path) -> anyhow::Result<Log> {
    Ok(Log::of(&String::from_utf8_lossy(&std::fs::read(path)?)))
}

impl Log {
    fn of(text: &str) -> Log {
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
    fn a_test_that_never_ends_is_told_from_those_before() {
        let text = "BEGIN a\nEND a passed\nBEGIN b\nEND b failed x y\nBEGIN c\nEND c skipped z\n\
                    BEGIN d\n";
        let log = Log::of(text);
        assert_eq!(log.running.as_deref(), Some("d"));
        assert_eq!(log.ended["a"], Verdict::Passed);
        assert_eq!(log.ended["b"], Verdict::Failed("x y".into()));
        assert_eq!(log.ended["c"], Verdict::Skipped);
        assert_eq!(Log::of(&format!("{text}OVER\n")).running, None);
    }
}
