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
//! | `shared` | the state that all downloads share, and the check of existing files |
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
mod list;
mod plan;
mod rate_limit;
mod report;
mod run;
mod shared;

use std::process::ExitCode;
use std::rc::Rc;

use anyhow::Context;
use overlapped::Config;
use overlapped::port::PortChoice;

use crate::display::count;
use crate::signals::StopSignals;
pub(crate) use arguments::Arguments;
use plan::Plan;
use run::Run;

pub(crate) fn main(port: PortChoice, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let plan = Plan::new(arguments)?;
    let jobs = jobs(arguments, plan.items.len());
    let signals = StopSignals::register().context("cannot handle Ctrl-C and SIGTERM")?;
    let run = Rc::new(Run::new(arguments, plan, jobs)?);
    let stopped = Config::new().port(port).run_until(|| run.clone().until_stopped(signals))??;
    run.report(stopped)
}

/// Returns the number of simultaneous downloads: as requested, or fewer if the limit on open files
/// is low.
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
            let most_text = count(most as u64, "download");
            tracing::warn!(
                "only {most_text} at a time: the limit on open files is {limit} (`ulimit -n`)"
            );
            most
        }
        _ => jobs,
    }
}
