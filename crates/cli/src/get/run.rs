//! The workers of a run, which download the items of its plan, and the stopper.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::Context;
use indicatif::HumanBytes;
use overlapped::fs::File;
use overlapped::time::{Duration, Instant};
use overlapped::{Builder, JoinError, scope, spawn};

use super::arguments::Arguments;
use super::client::{Client, Field, Limits, Netrc};
use super::download::download;
use super::file::partial::publish::SavedFiles;
use super::file::sink::Target;
use super::plan::Plan;
use super::rate_limit::RateLimiter;
use super::report::outcome::Outcome;
use super::report::progress::Progress;
use super::report::summary::Summary;
use super::shared::{DownloadOptions, Shared};
use crate::display::{Escaped, count};
use crate::signals::{self, StopSignals};

/// One run of the command.
pub(super) struct Run {
    plan: Plan,
    jobs: usize,
    options: DownloadOptions,
    compare: bool,
    sync: bool,
    /// The error of making the files durable, if any.
    sync_error: RefCell<Option<io::Error>>,
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
    pub(super) fn new(arguments: &Arguments, plan: Plan, jobs: usize) -> anyhow::Result<Run> {
        let options = DownloadOptions {
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
            options,
            compare: arguments.compare,
            sync: arguments.sync,
            sync_error: RefCell::default(),
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
    pub(super) fn until_stopped(
        self: Rc<Run>,
        mut signals: StopSignals,
    ) -> anyhow::Result<Option<&'static str>> {
        signals::dump_on_quit().context("cannot handle SIGQUIT")?;
        let workers = spawn({
            let run = self.clone();
            move || run.all()
        });
        let stop = workers.remote();
        let stopper = spawn(move || {
            let signal = signals.wait();
            stop.kill();
            // From here on a second signal ends the process; see signals/.
            signal
        });
        match workers.join() {
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
            let options = DownloadOptions { resume: false, overwrite: true, ..self.options };
            let shared = self.shared(folder.path().to_owned(), None, options, 1)?;
            let begin = Instant::now();
            self.phase(&shared, 1, |_, _| {});
            self.times[0].set(begin.elapsed());
        }
        let (folder, target) = (self.plan.folder.clone(), self.plan.target.clone());
        let shared = self.shared(folder, target, self.options, self.jobs)?;
        // Opened before anything is written, so that it reports every write-back error.
        let file_system = match self.sync && self.plan.target.is_none() {
            true => Some(File::open(Path::new(".").join(&self.plan.folder))?),
            false => None,
        };
        let begin = Instant::now();
        self.phase(&shared, self.jobs, |index, outcome| {
            self.print_outcome(index, &outcome);
            self.outcomes.borrow_mut().push((index, outcome));
        });
        if let Some(file_system) = file_system {
            // Once for all: a sync of each file takes longer than the downloads.
            let synced = rustix::fs::syncfs(&file_system);
            *self.sync_error.borrow_mut() = synced.err().map(io::Error::from);
        }
        self.times[1].set(begin.elapsed());
        Ok(())
    }

    fn shared(
        &self,
        folder: PathBuf,
        target: Option<Target>,
        options: DownloadOptions,
        jobs: usize,
    ) -> anyhow::Result<Shared> {
        let cacert = self.cacert.as_deref();
        let limits = Limits {
            timeout: self.timeout,
            connections: jobs,
            cacert,
            fields: &self.fields,
            netrc: self.netrc.clone(),
        };
        Ok(Shared {
            client: Client::new(limits)?,
            folder,
            target,
            options,
            names: self.plan.names(),
            records: self.plan.records.clone(),
            progress: self.progress.clone(),
            rate_limiter: RateLimiter::new(self.rate_limit),
            saved_files: SavedFiles::default(),
            left: self.left.clone(),
        })
    }

    /// Runs `jobs` workers, each of which takes the next download until none is left.
    fn phase(&self, shared: &Shared, jobs: usize, done: impl Fn(usize, Outcome)) {
        let next = Cell::new(0);
        let work = || {
            while let Some(item) = self.plan.items.get(next.get()) {
                let index = next.replace(next.get() + 1);
                let outcome = download(shared, item);
                self.progress.count();
                done(index, outcome);
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
    fn print_outcome(&self, index: usize, outcome: &Outcome) {
        match outcome {
            Outcome::Saved { path, bytes, earlier, .. } => {
                self.progress.print(format_args!(
                    "{:>11}  {}{earlier}\n",
                    HumanBytes(*bytes).to_string(),
                    Escaped::new(path)
                ));
            }
            Outcome::Existed { path, is_recorded } => {
                let remark = if *is_recorded { "" } else { " (by its name; no record of its URL)" };
                self.progress.print(format_args!(
                    "{:>11}  {}{remark}\n",
                    "exists",
                    Escaped::new(path)
                ));
            }
            Outcome::Failed { text, .. } => {
                tracing::debug!("{}: {text}", self.plan.items[index].shown);
            }
        }
    }

    /// Prints the summary, the failures and how to resume, and returns the exit code.
    pub(super) fn report(&self, stopped_by: Option<&'static str>) -> anyhow::Result<ExitCode> {
        self.progress.end()?;
        let mut outcomes = self.outcomes.borrow_mut();
        outcomes.sort_by_key(|(index, _)| *index);
        let summary = Summary {
            plan: &self.plan,
            outcomes: &outcomes,
            jobs: self.jobs,
            times: [self.times[0].get(), self.times[1].get()],
            sync_error: self.sync_error.take(),
            left: self.left.get(),
            resumes: self.options.resume,
            quiet: self.quiet,
        };
        summary.print(stopped_by)
    }
}

/// Reads the file that NETRC names, or ~/.netrc.
fn netrc() -> anyhow::Result<Netrc> {
    let named = std::env::var_os("NETRC").filter(|name| !name.is_empty()).map(PathBuf::from);
    let path = named.or_else(|| Some(std::env::home_dir()?.join(".netrc")));
    Netrc::read(&path.context("--netrc: the home folder is unknown")?)
}
