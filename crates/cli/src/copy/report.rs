//! What is said: meanwhile a line on a terminal, at the end the totals and every failure.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use overlapped::time::{Duration, interval};
use overlapped::{Builder, Tasklet};

use super::Copying;
use super::ledger::{Failure, Ledger, Unkept};
use super::plan::Item;
use crate::display::{Escaped, count, count_irregular, plain};
use crate::resume_command;
use crate::stdout::print;

/// Between two looks at the counts.
const TICK: Duration = Duration::from_millis(100);

const UNKNOWN_THERE: &str = "the destination cannot store them, or you may not set them";

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

/// The one SRC, if it is a folder whose copy gets the name DST. It is found before that is made.
pub(super) fn renamed(items: &[Item], target: &Path) -> Option<PathBuf> {
    let [item] = items else { return None };
    let is_folder = item.source().symlink_metadata().is_ok_and(|found| found.is_dir());
    let text = item.shown.as_os_str().as_encoded_bytes();
    let is_contents = text == b"." || text.ends_with(b"/.");
    (is_folder && item.to_folder != target && !is_contents).then(|| item.shown.clone())
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
    bar.set_message(count(ledger.files.get(), "file") + &failed);
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
        let text = "each copy that has its name is whole, and nothing else is left";
        let how = how_to_go_on(copying);
        let _ = writeln!(io::stderr(), "stopped by {signal}; {text}. {how}");
    }
    print(totals(copying, took, &complaints))?;
    Ok(match stopped {
        Some("SIGTERM") => ExitCode::from(143),
        Some(_) => ExitCode::from(130),
        None if complaints.failed + complaints.changed > 0 => ExitCode::FAILURE,
        None => ExitCode::SUCCESS,
    })
}

fn how_to_go_on(copying: &Copying) -> String {
    let (options, renamed) = (&copying.options, copying.renamed.as_deref());
    let flag = (!options.no_clobber && !options.force).then_some("--no-clobber");
    let command = resume_command::command(std::env::args_os(), "copy", flag, contents_of(renamed));
    let aim = match options.force {
        true if renamed.is_none() => return "The same command copies everything anew".to_owned(),
        true => "To copy everything anew",
        false => "To go on with what is not there yet",
    };
    let same = || {
        let flag = flag.map_or(String::new(), |flag| format!(" with {flag}"));
        let contents = renamed.map_or("", |_| ", and SRC/. in the place of SRC");
        format!("{aim}: the same command{flag}{contents}")
    };
    command.map_or_else(same, |command| format!("{aim}:\n  {command}"))
}

/// Gives the argument that takes the place of the one SRC in a command that copies the rest: DST is
/// a folder by now, and SRC itself would be copied into it.
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

fn totals(copying: &Copying, took: Duration, complaints: &Complaints) -> String {
    let (ledger, archive) = (&copying.ledger, copying.options.archive);
    let (bytes, seconds) = (ledger.bytes.get(), took.as_secs_f64());
    let rate = HumanBytes((bytes as f64 / seconds.max(1e-6)) as u64);
    let mut text = format!(
        "{}, {} in {seconds:.2} s, {rate}/s",
        count(ledger.files.get(), "file"),
        HumanBytes(bytes)
    );
    if ledger.holes.get() > 0 {
        text += &format!("; {} of holes", HumanBytes(ledger.holes.get()));
    }
    let (folders, links) = (ledger.folders.get(), ledger.links.get());
    if folders > 0 {
        text += &format!("; {}", count(folders, "folder"));
    }
    if links > 0 {
        text += &format!("; {}", count(links, "symbolic link"));
    }
    if ledger.specials.get() > 0 {
        let [one, more] = ["FIFO, socket or device", "FIFOs, sockets and devices"];
        text += &format!("; {}", count_irregular(ledger.specials.get(), one, more));
    }
    let hard_links = ledger.hard_links.get();
    if hard_links > 0 && archive {
        text += &format!("; {}", count(hard_links, "hard link"));
    } else if hard_links > 0 {
        text += &format!("; hard links of {} not kept (see --archive)", count(hard_links, "file"));
    }
    if ledger.swept.get() > 0 {
        let swept = count_irregular(ledger.swept.get(), "unfinished copy", "unfinished copies");
        text += &format!("; {swept} of killed runs removed");
    }
    if ledger.kept.get() > 0 {
        text += &format!("; {}", count_irregular(ledger.kept.get(), "was there", "were there"));
    }
    if complaints.changed > 0 {
        text += &format!("; {} changed while copied", count(complaints.changed as u64, "file"));
    }
    if complaints.failed > 0 {
        text += &format!("; {}", count(complaints.failed as u64, "failure"));
    }
    text + "\n"
}

/// Says once what copies lack. They are whole all the same.
fn lament(ledger: &Ledger) {
    let unkept = ledger.unkept();
    let mut out = io::stderr().lock();
    for (what, (count, why)) in &unkept {
        let (what, remedy) = match what {
            Unkept::Owners => (
                "the owner or group, and set-ID bits with it",
                "only root can give files to others",
            ),
            Unkept::Permissions => ("the permissions", UNKNOWN_THERE),
            Unkept::Times => ("the times", UNKNOWN_THERE),
            Unkept::Attributes => ("ACLs or extended attributes", UNKNOWN_THERE),
            Unkept::Links => ("the hard link to another copy", "the contents were copied"),
        };
        let (copies, why) =
            (count_irregular(*count, "copy", "copies"), plain(&io::Error::from(*why)));
        let _ = writeln!(out, "not kept: {what}, of {copies}: {why} ({remedy})");
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
        let _ = writeln!(out, "{what}: {}: {problem}", Escaped::new(path));
    }
    let remedies: BTreeSet<_> = failures.iter().filter_map(|f| f.problem.remedy()).collect();
    for remedy in remedies {
        let _ = writeln!(out, "  {remedy}.");
    }
    let changed = failures.iter().filter(|failure| failure.problem.is_warning()).count();
    Complaints { failed: failures.len() - changed, changed }
}
