//! What is said: meanwhile a line on a terminal, at the end the totals and every failure.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use overlapped::time::{Duration, interval};
use overlapped::{Builder, Tasklet};

use super::Copying;
use super::ledger::{Failure, Ledger, Unkept};
use super::plan::Item;
use super::problem::plain;
use crate::say;
use crate::shown::Shown;

/// Between two looks at the counts.
const TICK: Duration = Duration::from_millis(100);

const UNKNOWN_THERE: &str = "the destination does not take them, or not from you";

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
    copying: &Copying,
    took: Duration,
    stopped: Option<&'static str>,
) -> anyhow::Result<ExitCode> {
    let ledger = &copying.ledger;
    let complaints = complain(ledger);
    lament(ledger);
    if let Some(signal) = stopped {
        let text = "what has a name is whole, and nothing else is left; copied so far:";
        let _ = writeln!(io::stderr(), "stopped by {signal}; {text}");
    }
    say(totals(copying, took, &complaints))?;
    Ok(match stopped {
        Some("SIGTERM") => ExitCode::from(143),
        Some(_) => ExitCode::from(130),
        None if complaints.failed + complaints.changed > 0 => ExitCode::FAILURE,
        None => ExitCode::SUCCESS,
    })
}

fn totals(copying: &Copying, took: Duration, complaints: &Complaints) -> String {
    let (ledger, archive) = (&copying.ledger, copying.options.archive);
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
    if ledger.specials.get() > 0 {
        text += &format!("; {} FIFOs, sockets or devices", HumanCount(ledger.specials.get()));
    }
    let hard_links = ledger.hard_links.get();
    if hard_links > 0 && archive {
        text += &format!("; {}", many(hard_links, "hard link"));
    } else if hard_links > 0 {
        text += &format!("; {} had other names, too", HumanCount(hard_links));
    }
    if ledger.swept.get() > 0 {
        text += &format!("; {} left by a killed copy removed", many(ledger.swept.get(), "draft"));
    }
    if ledger.kept.get() > 0 {
        text += &format!("; {} were there and stay", HumanCount(ledger.kept.get()));
    }
    for (count, what) in [(complaints.changed, "changed meanwhile"), (complaints.failed, "failed")]
    {
        if count > 0 {
            text += &format!("; {} {what}", HumanCount(count as u64));
        }
    }
    text + "\n"
}

fn many(count: u64, what: &str) -> String {
    format!("{} {what}{}", HumanCount(count), if count == 1 { "" } else { "s" })
}

/// Says once what copies lack. They are whole all the same.
fn lament(ledger: &Ledger) {
    let unkept = ledger.unkept();
    let mut out = io::stderr().lock();
    for (what, (count, why)) in &unkept {
        let (what, remedy) = match what {
            Unkept::Owners => {
                ("the owner or group, and set-ID bits with it", "only root gives files to others")
            }
            Unkept::Permissions => ("the permissions", UNKNOWN_THERE),
            Unkept::Times => ("the times", UNKNOWN_THERE),
            Unkept::Attributes => ("ACLs or extended attributes", UNKNOWN_THERE),
            Unkept::Links => ("one file of several names", "it was copied once more"),
        };
        let why = plain(&io::Error::from(*why));
        let _ = writeln!(out, "not kept: {what}, of {}: {why} ({remedy})", HumanCount(*count));
    }
}

/// The number of complaints.
struct Complaints {
    failed: usize,
    /// Copied all the same.
    changed: usize,
}

/// Lists what failed on standard error, each remedy once, and says how much it was.
fn complain(ledger: &Ledger) -> Complaints {
    let mut failures = ledger.failures();
    failures.sort_by(|one, other| one.path.cmp(&other.path));
    let mut out = io::stderr().lock();
    for Failure { path, problem } in failures.iter() {
        let what = if problem.is_warning() { "changed while it was copied" } else { "failed" };
        let _ = writeln!(out, "{what}: {}: {problem}", Shown::new(path));
    }
    let remedies: BTreeSet<_> = failures.iter().filter_map(|f| f.problem.remedy()).collect();
    for remedy in remedies {
        let _ = writeln!(out, "  {remedy}.");
    }
    let changed = failures.iter().filter(|failure| failure.problem.is_warning()).count();
    Complaints { failed: failures.len() - changed, changed }
}
