//! What is said: meanwhile a line on a terminal, at the end the totals and every failure.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use overlapped::time::{Duration, interval};
use overlapped::{Builder, Tasklet};

use super::Copying;
use super::ledger::Ledger;
use super::plan::Item;
use crate::say;

/// Between two looks at the counts.
const TICK: Duration = Duration::from_millis(100);

const KNOWN: &str = "[{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta} {wide_msg}";
const UNKNOWN: &str = "{spinner} {bytes} {bytes_per_sec} {wide_msg}";

/// The bytes to be copied, where that can be told beforehand: nothing but files.
pub(super) fn total(items: &[Item]) -> Option<u64> {
    let length = |item: &Item| {
        let metadata = item.from_folder.join(&item.from_name).symlink_metadata().ok()?;
        metadata.is_file().then_some(metadata.len())
    };
    items.iter().map(length).sum()
}

/// The line. It goes when it is dropped.
pub(super) struct Progress {
    bar: ProgressBar,
    ticker: Option<Tasklet<()>>,
}

impl Progress {
    /// Nothing where standard error is no terminal.
    pub(super) fn begin(copying: &Arc<Copying>, total: Option<u64>) -> Progress {
        let (bar, style) = match total {
            Some(total) => (ProgressBar::new(total), KNOWN),
            None => (ProgressBar::no_length(), UNKNOWN),
        };
        if bar.is_hidden() {
            return Progress { bar, ticker: None };
        }
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        let ticker = Builder::new().name("progress").spawn({
            let (bar, copying) = (bar.clone(), Arc::clone(copying));
            move || {
                let mut ticks = interval(TICK);
                loop {
                    ticks.tick();
                    show(&bar, &copying.ledger);
                }
            }
        });
        Progress { bar, ticker: ticker.ok() }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(ticker) = &self.ticker {
            ticker.kill();
        }
        self.bar.finish_and_clear();
    }
}

fn show(bar: &ProgressBar, ledger: &Ledger) {
    bar.set_position(ledger.moved.get());
    let failed = match ledger.failures().len() {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    bar.set_message(format!("{} files{failed}", HumanCount(ledger.files.get())));
}

/// The totals, the failures, and the exit code.
pub(super) fn report(
    ledger: &Ledger,
    took: Duration,
    stopped: Option<&'static str>,
) -> anyhow::Result<ExitCode> {
    let failures = complain(ledger);
    if let Some(signal) = stopped {
        let text = "what has a name is whole, and nothing else is left; copied so far:";
        let _ = writeln!(io::stderr(), "stopped by {signal}; {text}");
    }
    say(totals(ledger, took, failures))?;
    Ok(match stopped {
        Some("SIGTERM") => ExitCode::from(143),
        Some(_) => ExitCode::from(130),
        None if failures > 0 => ExitCode::FAILURE,
        None => ExitCode::SUCCESS,
    })
}

fn totals(ledger: &Ledger, took: Duration, failures: usize) -> String {
    let (bytes, seconds) = (ledger.bytes.get(), took.as_secs_f64());
    let rate = HumanBytes((bytes as f64 / seconds.max(1e-6)) as u64);
    let mut text = format!(
        "{}, {} in {seconds:.2} s, {rate}/s",
        many(ledger.files.get(), "file"),
        HumanBytes(bytes)
    );
    let (folders, links) = (ledger.folders.get(), ledger.links.get());
    if folders > 0 {
        text += &format!("; {}", many(folders, "folder"));
    }
    if links > 0 {
        text += &format!("; {}", many(links, "symbolic link"));
    }
    if ledger.hard_links.get() > 0 {
        text += &format!("; {} had other names, too", HumanCount(ledger.hard_links.get()));
    }
    if ledger.kept.get() > 0 {
        text += &format!("; {} were there and stay", HumanCount(ledger.kept.get()));
    }
    if failures > 0 {
        text += &format!("; {} failed", HumanCount(failures as u64));
    }
    text + "\n"
}

fn many(count: u64, what: &str) -> String {
    format!("{} {what}{}", HumanCount(count), if count == 1 { "" } else { "s" })
}

/// Lists what failed on standard error, each remedy once, and says how many there were.
fn complain(ledger: &Ledger) -> usize {
    let mut failures = ledger.failures();
    failures.sort_by(|one, other| one.path.cmp(&other.path));
    let mut out = io::stderr().lock();
    for failure in failures.iter() {
        let _ = writeln!(out, "failed: {} {}", failure.path.display(), failure.problem);
    }
    let remedies: BTreeSet<_> = failures.iter().filter_map(|f| f.problem.remedy()).collect();
    for remedy in remedies {
        let _ = writeln!(out, "  {remedy}.");
    }
    failures.len()
}
