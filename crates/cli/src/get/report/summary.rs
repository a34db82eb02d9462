//! The summary of a run: what was saved, the failures, and how to resume after a stop.

use std::io::{self, Write};
use std::process::ExitCode;

use indicatif::HumanBytes;
use overlapped::time::Duration;

use super::super::file::sink::Target;
use super::super::plan::Plan;
use super::outcome::Outcome;
use super::resume::resume_command;
use crate::display::{Escaped, count_irregular};
use crate::stdout::print;

/// The results of a run.
pub(crate) struct Summary<'a> {
    pub(crate) plan: &'a Plan,
    /// Outcomes, with the indices of their items in the plan.
    pub(crate) outcomes: &'a [(usize, Outcome)],
    pub(crate) jobs: usize,
    /// The times of downloading one by one and simultaneously.
    pub(crate) times: [Duration; 2],
    /// The error of making the files durable, if any.
    pub(crate) sync_error: Option<io::Error>,
    /// The number of partial files that are left.
    pub(crate) left: usize,
    /// True if the run was given `--resume`.
    pub(crate) resumes: bool,
    pub(crate) quiet: bool,
}

impl Summary<'_> {
    /// Prints everything, and returns the exit code.
    pub(crate) fn print(&self, stopped_by: Option<&'static str>) -> anyhow::Result<ExitCode> {
        let count =
            |is_it: fn(&Outcome) -> bool| self.outcomes.iter().filter(|(_, o)| is_it(o)).count();
        let saved = count(|outcome| matches!(outcome, Outcome::Saved { .. }));
        let existed = count(|outcome| matches!(outcome, Outcome::Existed { .. }));
        let mut text = format!("{saved} of {} saved", self.plan.items.len());
        if existed > 0 {
            text += &format!(", {existed} existed already");
        }
        self.print_summary(text + &self.speed() + "\n")?;
        if let Some(text) = self.comparison() {
            print(text)?;
        }
        print_error(&self.failures());
        Ok(match stopped_by {
            Some(signal) => {
                print_error(&self.stop_message(signal));
                ExitCode::from(if signal == "SIGTERM" { 143 } else { 130 })
            }
            None if saved + existed == self.plan.items.len() && self.sync_error.is_none() => {
                ExitCode::SUCCESS
            }
            None => ExitCode::FAILURE,
        })
    }

    /// Lists the failures, one a line.
    fn failures(&self) -> String {
        let mut failures = String::new();
        for (index, outcome) in self.outcomes {
            if let Outcome::Failed { text, kept } = outcome {
                failures += &format!("failed: {}: {text}\n", self.plan.items[*index].shown);
                if let Some(part) = kept {
                    failures +=
                        &format!("        the next run continues with {}\n", Escaped::new(part));
                }
            }
        }
        if let Some(error) = &self.sync_error {
            failures += &format!("failed: not all files are on the disk: {error}\n");
        }
        failures
    }

    /// Prints to standard output, or to standard error if a file goes to standard output.
    fn print_summary(&self, text: String) -> anyhow::Result<()> {
        match self.plan.target {
            _ if self.quiet => {}
            Some(Target::Stdout) => print_error(&text),
            _ => print(text)?,
        }
        Ok(())
    }

    fn speed(&self) -> String {
        let counts = self.outcomes.iter().map(|(_, outcome)| match outcome {
            Outcome::Saved { bytes, received, .. } => (*bytes, *received),
            _ => (0, 0),
        });
        let (bytes, received) = counts.fold((0, 0), |sum, next| (sum.0 + next.0, sum.1 + next.1));
        let seconds = self.times[1].as_secs_f64();
        if received == 0 || seconds == 0.0 {
            return String::new();
        }
        let rate = HumanBytes((received as f64 / seconds) as u64);
        let twice = match received > bytes {
            true => format!(" ({} received, some of it more than once)", HumanBytes(received)),
            false => String::new(),
        };
        format!(": {}{twice} in {seconds:.2} s, {rate}/s", HumanBytes(bytes))
    }

    fn comparison(&self) -> Option<String> {
        let [one_by_one, at_once] = self.times.map(|time| time.as_secs_f64());
        if one_by_one == 0.0 || at_once == 0.0 {
            return None;
        }
        Some(format!(
            "one by one {one_by_one:.2} s, {} at a time {at_once:.2} s: {:.1} times as fast\n",
            self.jobs,
            one_by_one / at_once
        ))
    }

    fn stop_message(&self, signal: &str) -> String {
        if self.plan.target.is_some() {
            return format!(
                "stopped by {signal}; the received bytes were written, and cannot be resumed\n"
            );
        }
        let unfinished = match self.left {
            0 => "no unfinished files are left".to_owned(),
            left => {
                count_irregular(left as u64, "unfinished file is", "unfinished files are")
                    + " kept as *.part"
            }
        };
        let command = if self.plan.from_stdin {
            "the same command and list, with --resume".to_owned()
        } else {
            resume_command(self.resumes)
        };
        format!("stopped by {signal}; {unfinished}. To resume:\n  {command}\n")
    }
}

/// Prints to standard error, which may be closed.
fn print_error(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
