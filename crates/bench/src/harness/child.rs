//! Child processes: this program again, with a hidden subcommand.
//!
//! A child prints one line of JSON on stdout (its [`Report`]), or ends with an error and the reason
//! on stderr.

use serde_json::{Value, json};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The longest time of a child. One that takes longer is killed and counts as failed.
const CHILD_TIME_MAX: Duration = Duration::from_secs(180);

/// One figure of one child.
pub(crate) struct Metric {
    pub(crate) case: String,
    pub(crate) unit: String,
    pub(crate) value: f64,
}

/// The result of one child.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) metrics: Vec<Metric>,
    /// Remarks for the reader, shown once.
    pub(crate) notes: Vec<String>,
}

impl Report {
    pub(crate) fn push(&mut self, case: impl Into<String>, unit: &str, value: f64) {
        self.metrics.push(Metric { case: case.into(), unit: unit.into(), value });
    }

    pub(crate) fn to_json(&self) -> Value {
        let metrics: Vec<Value> =
            self.metrics.iter().map(|m| json!([m.case, m.unit, m.value])).collect();
        json!({ "metrics": metrics, "notes": self.notes })
    }

    fn from_json(line: &str) -> Option<Report> {
        let value: Value = serde_json::from_str(line).ok()?;
        let mut report = Report::default();
        for metric in value["metrics"].as_array()? {
            let (case, unit) = (metric[0].as_str()?, metric[1].as_str()?);
            report.push(case, unit, metric[2].as_f64()?);
        }
        for note in value["notes"].as_array()? {
            report.notes.push(note.as_str()?.into());
        }
        Some(report)
    }
}

/// Runs one measurement in a fresh process.
pub(crate) fn measure(arguments: &[&str]) -> Result<Report, String> {
    let mut child = this_program()
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start: {error}"))?;
    // Little comes through either pipe (one line, a panic message), but a child that prints more
    // must not block on one of them.
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let status = wait(&mut child)?;
    let stdout = stdout.join().unwrap_or_default();
    let stderr = stderr.join().unwrap_or_default();
    if !status.success() {
        let last: Vec<&str> = stderr.lines().filter(|line| !line.is_empty()).collect();
        let shown = last[..last.len().min(4)].join(" / ");
        return Err(format!("{status}: {shown}"));
    }
    let line = stdout.lines().last().unwrap_or_default();
    Report::from_json(line).ok_or_else(|| format!("the report is malformed: {line}"))
}

/// Returns a command that runs this program again.
pub(crate) fn this_program() -> Command {
    let program = std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
    Command::new(program)
}

/// Reads a pipe to its end, in a thread of its own.
fn drain(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(mut pipe) = pipe {
            // A broken pipe ends the text; what has arrived by then is reported.
            let _ = pipe.read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    })
}

/// Waits for the end of a child, at most [`CHILD_TIME_MAX`].
fn wait(child: &mut Child) -> Result<std::process::ExitStatus, String> {
    let deadline = Instant::now() + CHILD_TIME_MAX;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok(None) => {
                // Killed and reaped: the next measurement must not share its core.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("killed after {} s", CHILD_TIME_MAX.as_secs()));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}
