//! `overlapped get`: downloads, many at a time.
//!
//! ```text
//! main tasklet    spawns the tasklets below, joins the workers
//! ├ workers       a scope of N tasklets; each takes the next URL until none is left (download.rs)
//! ├ stopper       waits for a signal, then kills the workers
//! └ a tasklet that dumps all tasklets at SIGQUIT
//! ```
//!
//! A worker is ordinary blocking code: ureq reads from a socket, and the file is written. Many run
//! at a time because each call blocks only its own tasklet.
//!
//! | file | contents |
//! |---|---|
//! | `arguments` | options and their help |
//! | `list` | URLs with their names and checksums, from arguments and lists |
//! | `plan` | the downloads of a run, with their names |
//! | `run` | the workers and the stopper |
//! | `downloader` | what all downloads share, and the check of existing files |
//! | `download` | one download: attempts, ranges, the name |
//! | `file/` | the partial file, its final name, and the record of its URL |
//! | `client/` | the HTTP client over tasklets, its limits, proxies and trusted certificates |
//! | `failure` | reasons of failures, and whether to try again |
//! | `rate_limit` | the limit on bytes per second |
//! | `report/` | progress bars, the summary, how to resume after a stop |

mod arguments;
mod client;
mod download;
mod failure;
mod file;
mod outcome;
mod pace;
mod plan;
mod progress;

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::Context;
use indicatif::HumanBytes;
use overlapped::fs::File;
use overlapped::port::PortChoice;
use overlapped::time::{Duration, Instant};
use overlapped::{Builder, Config, JoinError, scope, spawn};

use crate::display::{Escaped, count, count_irregular};
use crate::resume_command;
use crate::signals::{self, StopSignals};
use crate::stdout::print;
pub(crate) use arguments::Arguments;
use client::{Client, Field, Limits, Netrc};
use download::{Downloader, Manner};
use file::part::publish::Made;
use file::sink::Target;
use outcome::Outcome;
use pace::Pace;
use plan::Plan;
use progress::Progress;

pub(crate) fn main(port: PortChoice, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let plan = Plan::of(arguments)?;
    let jobs = jobs(arguments, plan.items.len());
    let signals = StopSignals::register().context("cannot handle Ctrl-C and SIGTERM")?;
    let run = Rc::new(Run::new(arguments, plan, jobs)?);
    let stopped = Config::new().port(port).run_until(|| run.clone().until_stopped(signals))??;
    run.report(stopped)
}

/// The number of simultaneous downloads: as requested, or fewer if the limit on open files is low.
fn jobs(arguments: &Arguments, downloads: usize) -> usize {
    /// Descriptors of the process itself.
    const OWN: u64 = 16;
    /// A connection, an idle one for the next download, a file, and a folder or a note.
    const OF_DOWNLOAD: u64 = 4;
    let jobs = arguments.jobs.get().min(downloads.max(1));
    let limit = match overlapped::port::raise_fd_limit() {
        Ok((limit, _)) => limit,
        Err(error) => {
            tracing::info!("cannot raise the limit on open files: {error}");
            return jobs;
        }
    };
    let most = (limit.saturating_sub(OWN) / OF_DOWNLOAD).max(1);
    match usize::try_from(most) {
        Ok(most) if most < jobs => {
            let most_said = count(most as u64, "download");
            tracing::warn!(
                "only {most_said} at a time: the limit on open files is {limit} (`ulimit -n`)"
            );
            most
        }
        _ => jobs,
    }
}

/// Reads the file that NETRC names, or ~/.netrc.
fn netrc() -> anyhow::Result<Netrc> {
    let named = std::env::var_os("NETRC").filter(|name| !name.is_empty()).map(PathBuf::from);
    let path = named.or_else(|| Some(std::env::home_dir()?.join(".netrc")));
    Netrc::read(&path.context("--netrc: the home folder is unknown")?)
}

/// One run of the command.
struct Run {
    plan: Plan,
    jobs: usize,
    manner: Manner,
    compare: bool,
    sync: bool,
    /// The error of making the files durable, if any.
    not_synced: RefCell<Option<io::Error>>,
    timeout: Duration,
    rate_limit: Option<u64>,
    cacert: Option<PathBuf>,
    /// Header fields of every request.
    fields: Vec<Field>,
    netrc: Option<Rc<Netrc>>,
    quiet: bool,
    /// Outcomes, with the indices of their items in the plan.
    outcomes: RefCell<Vec<(usize, Outcome)>>,
    left: Rc<Cell<usize>>,
    progress: Rc<Progress>,
    /// The times of downloading one by one and simultaneously.
    times: [Cell<Duration>; 2],
}

impl Run {
    fn new(arguments: &Arguments, plan: Plan, jobs: usize) -> anyhow::Result<Run> {
        let manner = Manner {
            resume: arguments.resume,
            overwrite: arguments.overwrite,
            remote_time: arguments.remote_time,
            retries: arguments.retries,
            retry_delay: arguments.retry_delay,
        };
        let phases = if arguments.compare { 2 } else { 1 };
        Ok(Run {
            jobs,
            progress: Rc::new(Progress::new(
                plan.items.len() * phases,
                plan.target != Some(Target::Stdout),
                arguments.quiet,
            )),
            plan,
            manner,
            compare: arguments.compare,
            sync: arguments.sync,
            not_synced: RefCell::default(),
            timeout: arguments.timeout,
            rate_limit: arguments.rate_limit,
            cacert: arguments.cacert.clone(),
            fields: arguments.headers.iter().chain(&arguments.user_agent).cloned().collect(),
            netrc: if arguments.netrc { Some(Rc::new(netrc()?)) } else { None },
            quiet: arguments.quiet,
            outcomes: RefCell::default(),
            left: Rc::default(),
            times: Default::default(),
        })
    }

    /// Downloads everything, or returns the name of the signal that came first.
    fn until_stopped(
        self: Rc<Run>,
        mut signals: StopSignals,
    ) -> anyhow::Result<Option<&'static str>> {
        signals::dump_on_quit().context("cannot handle SIGQUIT")?;
        let crowd = spawn({
            let run = self.clone();
            move || run.all()
        });
        let stop = crowd.remote();
        let stopper = spawn(move || {
            let signal = signals.wait();
            stop.kill();
            // From here on a second signal ends the process; see signals/.
            signal
        });
        match crowd.join() {
            Ok(done) => done.map(|()| None),
            Err(JoinError::Killed) => Ok(Some(stopper.join()?.context("cannot wait for signals")?)),
            Err(error) => Err(anyhow::Error::new(error).context("the workers ended")),
        }
    }

    fn all(&self) -> anyhow::Result<()> {
        if self.compare {
            // Beside the final files, so that both phases use the same disk.
            let folder =
                tempfile::Builder::new().prefix(".overlapped-").tempdir_in(&self.plan.folder);
            let folder = folder.context("cannot create a temporary folder for --compare")?;
            let manner = Manner { resume: false, overwrite: true, ..self.manner };
            let downloader = self.downloader(folder.path().to_owned(), None, manner, 1)?;
            let begin = Instant::now();
            self.phase(&downloader, 1, |_, _| {});
            self.times[0].set(begin.elapsed());
        }
        let (folder, target) = (self.plan.folder.clone(), self.plan.target.clone());
        let downloader = self.downloader(folder, target, self.manner, self.jobs)?;
        // Opened before anything is written, so that it reports every write-back error.
        let file_system = match self.sync && self.plan.target.is_none() {
            true => Some(File::open(Path::new(".").join(&self.plan.folder))?),
            false => None,
        };
        let begin = Instant::now();
        self.phase(&downloader, self.jobs, |place, outcome| {
            self.tell(place, &outcome);
            self.outcomes.borrow_mut().push((place, outcome));
        });
        if let Some(file_system) = file_system {
            // Once for all: a sync of each file takes longer than the downloads.
            let synced = rustix::fs::syncfs(&file_system);
            *self.not_synced.borrow_mut() = synced.err().map(io::Error::from);
        }
        self.times[1].set(begin.elapsed());
        Ok(())
    }

    fn downloader(
        &self,
        folder: PathBuf,
        target: Option<Target>,
        manner: Manner,
        jobs: usize,
    ) -> anyhow::Result<Downloader> {
        let cacert = self.cacert.as_deref();
        let limits = Limits {
            timeout: self.timeout,
            connections: jobs,
            cacert,
            fields: &self.fields,
            netrc: self.netrc.clone(),
        };
        Ok(Downloader {
            client: Client::new(limits)?,
            folder,
            target,
            manner,
            names: self.plan.names(),
            records: self.plan.records.clone(),
            progress: self.progress.clone(),
            pace: Pace::new(self.rate_limit),
            made: Made::default(),
            left: self.left.clone(),
        })
    }

    /// Runs `jobs` workers, each of which takes the next download until none is left.
    fn phase(&self, downloader: &Downloader, jobs: usize, done: impl Fn(usize, Outcome)) {
        let next = Cell::new(0);
        let work = || {
            while let Some(item) = self.plan.items.get(next.get()) {
                let place = next.replace(next.get() + 1);
                let outcome = downloader.download(item);
                self.progress.count();
                done(place, outcome);
            }
        };
        scope(|s| {
            for worker in 0..jobs {
                let spawned = Builder::new().name(format!("get {worker}")).spawn_scoped(s, work);
                if let Err(error) = spawned {
                    let most = count(worker as u64, "download");
                    tracing::warn!("only {most} at a time: {error}");
                    break;
                }
            }
        });
    }

    /// Prints one line for a file that is complete. Failures are listed at the end.
    fn tell(&self, place: usize, outcome: &Outcome) {
        match outcome {
            Outcome::Saved { path, bytes, earlier, .. } => {
                self.progress.print(format_args!(
                    "{:>11}  {}{earlier}\n",
                    HumanBytes(*bytes).to_string(),
                    Escaped::new(path)
                ));
            }
            Outcome::There { path, is_recorded } => {
                let told = if *is_recorded { "" } else { " (by its name; no record of its URL)" };
                self.progress.print(format_args!(
                    "{:>11}  {}{told}\n",
                    "exists",
                    Escaped::new(path)
                ));
            }
            Outcome::Failed { text, .. } => {
                tracing::debug!("{}: {text}", self.plan.items[place].shown);
            }
        }
    }

    /// Prints the summary, the failures and how to resume, and returns the exit code.
    fn report(&self, stopped: Option<&'static str>) -> anyhow::Result<ExitCode> {
        self.progress.end()?;
        let mut outcomes = self.outcomes.borrow_mut();
        outcomes.sort_by_key(|(place, _)| *place);
        let count =
            |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|(_, o)| wanted(o)).count();
        let saved = count(|outcome| matches!(outcome, Outcome::Saved { .. }));
        let there = count(|outcome| matches!(outcome, Outcome::There { .. }));
        let mut text = format!("{saved} of {} saved", self.plan.items.len());
        if there > 0 {
            text += &format!(", {there} existed already");
        }
        self.tell_result(text + &self.speed(&outcomes) + "\n")?;
        if let Some(text) = self.comparison() {
            print(text)?;
        }
        let mut failures = String::new();
        for (place, outcome) in outcomes.iter() {
            if let Outcome::Failed { text, kept } = outcome {
                failures += &format!("failed: {}: {text}\n", self.plan.items[*place].shown);
                if let Some(part) = kept {
                    failures +=
                        &format!("        --resume continues with {}\n", Escaped::new(part));
                }
            }
        }
        let not_synced = self.not_synced.take();
        if let Some(error) = &not_synced {
            failures += &format!("failed: not all files are on the disk: {error}\n");
        }
        complain(&failures);
        Ok(match stopped {
            Some(signal) => {
                complain(&self.how_to_go_on(signal));
                ExitCode::from(if signal == "SIGTERM" { 143 } else { 130 })
            }
            None if saved + there == self.plan.items.len() && not_synced.is_none() => {
                ExitCode::SUCCESS
            }
            None => ExitCode::FAILURE,
        })
    }

    /// Prints to standard output, or to standard error if a file goes to standard output.
    fn tell_result(&self, text: String) -> anyhow::Result<()> {
        match self.plan.target {
            _ if self.quiet => {}
            Some(Target::Stdout) => complain(&text),
            _ => print(text)?,
        }
        Ok(())
    }

    fn speed(&self, outcomes: &[(usize, Outcome)]) -> String {
        let counts = outcomes.iter().map(|(_, outcome)| match outcome {
            Outcome::Saved { bytes, came, .. } => (*bytes, *came),
            _ => (0, 0),
        });
        let (bytes, came) = counts.fold((0, 0), |sum, next| (sum.0 + next.0, sum.1 + next.1));
        let seconds = self.times[1].get().as_secs_f64();
        if came == 0 || seconds == 0.0 {
            return String::new();
        }
        let rate = HumanBytes((came as f64 / seconds) as u64);
        let twice = match came > bytes {
            true => format!(" ({} received, some of it more than once)", HumanBytes(came)),
            false => String::new(),
        };
        format!(": {}{twice} in {seconds:.2} s, {rate}/s", HumanBytes(bytes))
    }

    fn comparison(&self) -> Option<String> {
        let [one_by_one, at_once] = [&self.times[0], &self.times[1]].map(|t| t.get().as_secs_f64());
        if one_by_one == 0.0 || at_once == 0.0 {
            return None;
        }
        Some(format!(
            "one by one {one_by_one:.2} s, {} at a time {at_once:.2} s: {:.1} times as fast\n",
            self.jobs,
            one_by_one / at_once
        ))
    }

    fn how_to_go_on(&self, signal: &str) -> String {
        if self.plan.target.is_some() {
            return format!(
                "stopped by {signal}; the received bytes were written, and cannot be resumed\n"
            );
        }
        let unfinished = match self.left.get() {
            0 => "no unfinished files are left".to_owned(),
            left => {
                count_irregular(left as u64, "unfinished file is", "unfinished files are")
                    + " kept as *.part"
            }
        };
        let command = if self.plan.from_stdin {
            "the same command and list, with --resume".to_owned()
        } else {
            command_to_go_on(self.manner.resume)
        };
        format!("stopped by {signal}; {unfinished}. To resume:\n  {command}\n")
    }
}

/// Returns this command with `--resume`, without its secrets.
fn command_to_go_on(resumes: bool) -> String {
    let (mut is_field, mut has_secrets) = (false, false);
    let shown = |argument: &str| {
        let masked = match is_field {
            true => Some(field_name(argument)),
            false => masked(argument),
        };
        is_field = argument == "--header" || glued_field(argument) == Some("");
        has_secrets |= masked.is_some();
        masked
    };
    let flag = (!resumes).then_some("--resume");
    let command = resume_command::command(std::env::args_os(), "get", flag, shown);
    let mut command = command.unwrap_or_else(|| "the same command, with --resume".to_owned());
    if has_secrets {
        command += "\n  with the passwords and tokens filled in";
    }
    command
}

/// Returns an argument without its secrets, if it may have some.
fn masked(argument: &str) -> Option<String> {
    let field = argument.strip_prefix("--header=").or_else(|| glued_field(argument));
    if let Some(field) = field.filter(|field| !field.is_empty()) {
        let flag = &argument[..argument.len() - field.len()];
        return Some(format!("{flag}{}", field_name(field)));
    }
    client::url::without_secrets(argument)
}

/// Finds the text that follows `-H`, also after other short options, as in `-qH`; empty if the
/// field
/// is an argument of its own.
fn glued_field(argument: &str) -> Option<&str> {
    /// Short options with a value, which follows them.
    const WITH_VALUE: [char; 4] = ['i', 'o', 'j', 'A'];
    let options = argument.strip_prefix('-').filter(|options| !options.starts_with('-'))?;
    let at = options.find(|option| option == 'H' || WITH_VALUE.contains(&option))?;
    options[at..].strip_prefix('H')
}

/// Returns a header field without its value.
fn field_name(field: &str) -> String {
    format!("{}: VALUE", field.split(':').next().unwrap_or_default())
}

/// Prints to standard error, which may be closed.
fn complain(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn fields_are_masked_however_they_are_given() {
        for (argument, shown) in [
            ("-HX: secret", Some("-HX: VALUE")),
            ("-qcHX: secret", Some("-qcHX: VALUE")),
            ("--header=X: secret", Some("--header=X: VALUE")),
            ("-oH", None),
            ("-qoHome", None),
            ("--overHead", None),
            ("-q", None),
        ] {
            assert_eq!(masked(argument).as_deref(), shown, "{argument}");
        }
        assert_eq!([glued_field("-H"), glued_field("-qH")], [Some(""); 2]);
    }

    #[test]
    fn the_short_options_with_values_are_known() {
        let mut program = crate::Arguments::command();
        program.build();
        let get = program.find_subcommand("get").unwrap();
        for option in get.get_arguments().filter(|option| option.get_action().takes_values()) {
            let Some(short) = option.get_short() else { continue };
            let glued = glued_field(&format!("-{short}H")).map(str::to_owned);
            assert_eq!(glued, (short == 'H').then(|| "H".to_owned()), "-{short}");
        }
    }
}
