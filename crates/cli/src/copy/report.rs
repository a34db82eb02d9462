//! Messages: progress on a terminal, and at the end the totals and every failure.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use overlapped::time::{Duration, interval};
use overlapped::{Builder, Tasklet};

use super::counters::{Counters, Failure, LostAttribute};
use super::plan::Item;
use super::shared::Copying;
use crate::display::{Escaped, count, count_irregular, plain};
use crate::resume_command;
use crate::stdout::print;

/// The time between two updates.
const TICK: Duration = Duration::from_millis(100);

const UNSUPPORTED: &str = "the destination cannot store them, or you may not set them";

const KNOWN: &str = "[{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta} {wide_msg}";
const UNKNOWN: &str = "{spinner} {bytes} {bytes_per_sec} {wide_msg}";

/// Returns the number of bytes to copy, if it is known beforehand: if all sources are files.
pub(super) fn total(items: &[Item]) -> Option<u64> {
    let length = |item: &Item| {
        let metadata = item.from_folder.join(&item.from_name).symlink_metadata().ok()?;
        metadata.is_file().then_some(metadata.len())
    };
    items.iter().map(length).sum()
}

/// Returns the one SRC, if it is a folder whose copy gets the name DST. Called before the copy
/// exists.
pub(super) fn renamed(items: &[Item], target: &Path) -> Option<PathBuf> {
    let [item] = items else { return None };
    let is_folder = item.source().symlink_metadata().is_ok_and(|found| found.is_dir());
    let text = item.shown.as_os_str().as_encoded_bytes();
    let is_contents = text == b"." || text.ends_with(b"/.");
    (is_folder && item.to_folder != target && !is_contents).then(|| item.shown.clone())
}

/// The progress line; dropping it removes it.
pub(super) struct Progress {
    bar: ProgressBar,
    ticker: Option<Tasklet<()>>,
}

impl Progress {
    /// Shows the line; nothing if standard error is not a terminal.
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
                    show(&bar, &copying.counters);
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

fn show(bar: &ProgressBar, counters: &Counters) {
    bar.set_position(counters.moved.get());
    let failed = match counters.failures().len() {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    bar.set_message(count(counters.files.get(), "file") + &failed);
}

/// Prints the totals and the failures, and returns the exit code.
pub(super) fn report(
    copying: &Copying,
    took: Duration,
    stopped: Option<&'static str>,
) -> anyhow::Result<ExitCode> {
    let counters = &copying.counters;
    let failure_counts = list_failures(counters);
    report_lost_attributes(counters);
    if let Some(signal) = stopped {
        let text = "every copy that has its name is complete, and nothing else is left";
        let how = resume_hint(copying);
        let _ = writeln!(io::stderr(), "stopped by {signal}; {text}. {how}");
    }
    print(totals(copying, took, &failure_counts))?;
    Ok(match stopped {
        Some("SIGTERM") => ExitCode::from(143),
        Some(_) => ExitCode::from(130),
        None if failure_counts.failed + failure_counts.changed > 0 => ExitCode::FAILURE,
        None => ExitCode::SUCCESS,
    })
}

fn resume_hint(copying: &Copying) -> String {
    let (options, renamed) = (&copying.options, copying.renamed.as_deref());
    let flag = (!options.no_clobber && !options.force).then_some("--no-clobber");
    let command = resume_command::command(std::env::args_os(), "copy", flag, contents_of(renamed));
    let aim = match options.force {
        true if renamed.is_none() => return "The same command copies everything again".to_owned(),
        true => "To copy everything again",
        false => "To copy the rest",
    };
    let same = || {
        let flag = flag.map_or(String::new(), |flag| format!(" with {flag}"));
        let contents = renamed.map_or("", |_| ", and SRC/. in place of SRC");
        format!("{aim}: the same command{flag}{contents}")
    };
    command.map_or_else(same, |command| format!("{aim}:\n  {command}"))
}

/// Returns a replacement for the one SRC in a command that copies the rest: DST now exists as a
/// folder, and SRC itself would be copied into it.
fn contents_of(renamed: Option<&Path>) -> impl FnMut(&str) -> Option<String> {
    let (mut is_behind_copy, mut is_value) = (false, false);
    move |argument| {
        let is_source = is_behind_copy
            && !is_value
            && renamed.is_some_and(|source| {
                source == Path::new(argument) || source == Path::new("./").join(argument)
            });
        is_value = ["--jobs", "--port"].contains(&argument)
            || argument.starts_with('-') && !argument.starts_with("--") && argument.ends_with('j');
        is_behind_copy = (is_behind_copy || argument == "copy") && !is_source;
        is_source.then(|| format!("{}/.", argument.trim_end_matches('/')))
    }
}

fn totals(copying: &Copying, took: Duration, failure_counts: &FailureCounts) -> String {
    let (counters, archive) = (&copying.counters, copying.options.archive);
    let (bytes, seconds) = (counters.bytes.get(), took.as_secs_f64());
    let rate = HumanBytes((bytes as f64 / seconds.max(1e-6)) as u64);
    let mut text = format!(
        "{}, {} in {seconds:.2} s, {rate}/s",
        count(counters.files.get(), "file"),
        HumanBytes(bytes)
    );
    if counters.holes.get() > 0 {
        text += &format!("; {} of holes", HumanBytes(counters.holes.get()));
    }
    let (folders, links) = (counters.folders.get(), counters.links.get());
    if folders > 0 {
        text += &format!("; {}", count(folders, "folder"));
    }
    if links > 0 {
        text += &format!("; {}", count(links, "symbolic link"));
    }
    if counters.specials.get() > 0 {
        let [one, more] = ["FIFO, socket or device", "FIFOs, sockets and devices"];
        text += &format!("; {}", count_irregular(counters.specials.get(), one, more));
    }
    let hard_links = counters.hard_links.get();
    if hard_links > 0 && archive {
        text += &format!("; {}", count(hard_links, "hard link"));
    } else if hard_links > 0 {
        text += &format!("; hard links of {} not kept (see --archive)", count(hard_links, "file"));
    }
    if counters.stale_removed.get() > 0 {
        let stale_removed =
            count_irregular(counters.stale_removed.get(), "unfinished copy", "unfinished copies");
        text += &format!("; {stale_removed} of killed processes removed");
    }
    if counters.kept.get() > 0 {
        text += &format!("; {} existed already", HumanCount(counters.kept.get()));
    }
    if failure_counts.changed > 0 {
        text +=
            &format!("; {} changed during the copy", count(failure_counts.changed as u64, "file"));
    }
    if failure_counts.failed > 0 {
        text += &format!("; {}", count(failure_counts.failed as u64, "failure"));
    }
    text + "\n"
}

/// Reports once what copies lack; they are complete otherwise.
fn report_lost_attributes(counters: &Counters) {
    let lost_attributes = counters.lost_attributes();
    let mut out = io::stderr().lock();
    for (what, (count, why)) in &lost_attributes {
        let (what, remedy) = match what {
            LostAttribute::Owners => (
                "the owner or group, and set-ID bits with it",
                "only root can give files to others",
            ),
            LostAttribute::Permissions => ("the permissions", UNSUPPORTED),
            LostAttribute::Times => ("the times", UNSUPPORTED),
            LostAttribute::Attributes => ("ACLs or extended attributes", UNSUPPORTED),
            LostAttribute::Links => ("the hard link to another copy", "the contents were copied"),
        };
        let (copies, why) =
            (count_irregular(*count, "copy", "copies"), plain(&io::Error::from(*why)));
        let _ = writeln!(out, "not kept: {what}, of {copies}: {why} ({remedy})");
    }
}

/// The numbers of failures.
struct FailureCounts {
    failed: usize,
    /// Copied nevertheless.
    changed: usize,
}

/// Lists the failures on standard error, each remedy once, and counts them.
fn list_failures(counters: &Counters) -> FailureCounts {
    let mut failures = counters.failures();
    failures.sort_by(|one, other| one.path.cmp(&other.path));
    let mut out = io::stderr().lock();
    for Failure { path, problem } in failures.iter() {
        let what = if problem.is_warning() { "changed during the copy" } else { "failed" };
        let _ = writeln!(out, "{what}: {}: {problem}", Escaped::new(path));
    }
    let remedies: BTreeSet<_> = failures.iter().filter_map(|f| f.problem.remedy()).collect();
    for remedy in remedies {
        let _ = writeln!(out, "  {remedy}.");
    }
    let changed = failures.iter().filter(|failure| failure.problem.is_warning()).count();
    FailureCounts { failed: failures.len() - changed, changed }
}
