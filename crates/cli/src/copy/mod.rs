//! `overlapped copy`: files and trees, many files at a time.
//!
//! ```text
//! main tasklet    spawns the tasklets below, joins the workers
//! ├ workers       a scope of N tasklets; each takes the next work item until none is left
//! (work.rs)
//! ├ progress      a line on the terminal
//! ├ stopper       waits for a signal, then kills the workers
//! └ a tasklet that dumps all tasklets at SIGQUIT
//! ```
//!
//! | file | contents |
//! |---|---|
//! | `shared` | the state of a run that tasklets and pool threads share |
//! | `plan` | the sources and the names of their copies, by the rules of cp |
//! | `work` | the queue of work, and its workers |
//! | `folder/` | a folder and its copy, both open; finished folders |
//! | `file/` | one file, from opening it to the copy's name |
//! | `links` | files with several names |
//! | `identity` | whether two names are one object |
//! | `problem`, `counters`, `report` | failures and their remedies, counts, messages |

mod counters;
mod file;
mod folder;
mod identity;
mod links;
mod plan;
mod problem;
mod report;
mod shared;
mod work;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::Context;
use clap::ArgAction;
use overlapped::port::PortChoice;
use overlapped::time::{Duration, Instant};
use overlapped::{Builder, Config, JoinError, scope, spawn};

use crate::display::count_irregular;
use crate::signals::{self, StopSignals};
use folder::root::Root;
use identity::Identities;
use links::Links;
use shared::{Copying, Options};
use work::Queue;

/// The time for which a running job may finish after a signal: a few small files, or one fsync.
const GRACE: Duration = Duration::from_secs(60);

/// Copies files and folders, many files at a time.
///
/// A folder is copied with all its contents. As with cp, DST is a folder to copy into or, if it is
/// not a folder, the name of the copy; for several SRC it must be a folder. SRC/. stands for the
/// contents of SRC. Existing files in DST are replaced, without being compared. Permissions, times
/// and holes are kept.
///
///   overlapped copy photos /mnt/backup           makes /mnt/backup/photos
///   overlapped copy photos/. /mnt/backup         the contents of photos, into /mnt/backup
///   overlapped copy --no-clobber a b c folder    only what does not exist yet
///   overlapped copy --verify --sync disk.img /mnt/usb/   compared, and written to the device
///
/// A copy gets its name when it is complete, written and closed without an error: no name ever
/// stands for half a file. After Ctrl-C nothing else is left, and the command that copies the rest
/// is printed. The remains of a killed process (kill -9), `.NAME.overlapped-...`, are removed by
/// the next copy into that folder. Failures are listed at the end; everything else is copied.
///
/// A source is never replaced by a copy, whatever links, mounts or folded case lead to it, nor is a
/// copy by another one of the same run: if DST treats README and readme as one name, the second
/// fails. A file is read to its end, whatever its stated length. If it is written to during the
/// copy, the copy has the contents of the beginning, and the file is listed. If DST or a folder in
/// it is moved during the copy, the copies are in the moved folder, and its new place is printed;
/// for a folder that was finished before, only that it is missing. Files are not checked again.
///
/// Owners, permissions, times and attributes that DST cannot store, or that you may not set there,
/// are reported once, with the number of copies; that is no failure. Without -p or -a, owners,
/// ACLs, extended attributes, set-user-ID and set-group-ID bits are not kept, each hard link
/// becomes a file of its own, and FIFOs, sockets and devices are refused.
///
/// Unlike cp: symbolic links stay links, also those given as SRC; a file or link that has the
/// copy's name is replaced, not written into, unless it is a mount point, as in containers.
///
/// The last line counts files, their data, and the time; holes, which take no space on the disk,
/// are counted separately.
///
/// Exit code: 0 if everything is copied, 1 if something is not, or was changed or moved during the
/// copy, 2 if the command line is malformed, 130 after Ctrl-C, 143 after SIGTERM.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The files, folders and symbolic links to copy
    #[arg(value_name = "SRC", required = true)]
    sources: Vec<PathBuf>,
    /// The folder to copy into, or the copy's name
    #[arg(value_name = "DST", required = true)]
    target: PathBuf,
    /// Number of simultaneous copies; more of them help if the disk is slow to answer [default:
    /// twice the number of processors, but at least 4 and at most 16]
    #[arg(short, long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Also replaces write-protected files
    #[arg(short, long)]
    force: bool,
    /// Keeps existing files, whatever their contents; they are counted, and are no failure
    #[arg(short, long, conflicts_with = "force")]
    no_clobber: bool,
    /// Compares every copy with its source before it gets its name. The copy is first written to
    /// its device and dropped from the kernel's cache, so that the comparison reads from the
    /// device; it cannot bypass a cache in the device itself
    #[arg(long)]
    verify: bool,
    /// Waits until each copy is on the disk before it gets its name (fsync), and at the end until
    /// the names are
    #[arg(long)]
    sync: bool,
    /// Keeps everything possible, like cp -a: what -p keeps, extended attributes, and hard links;
    /// FIFOs, sockets and devices are created anew
    #[arg(short, long)]
    archive: bool,
    /// Keeps owners, the set-user-ID and set-group-ID bits, and ACLs, like cp -p
    #[arg(short, long)]
    preserve: bool,
    /// Skips other file systems than that of SRC: their mount points become empty folders, like
    /// with cp -x
    #[arg(short = 'x', long)]
    one_file_system: bool,
    /// Accepted for users of cp: folders are copied as a whole anyway
    #[arg(short = 'r', short_alias = 'R', long, action = ArgAction::Count, hide = true)]
    recursive: u8,
    /// Accepted for users of cp: links stay links anyway
    #[arg(short = 'P', long, action = ArgAction::Count, hide = true)]
    no_dereference: u8,
}

impl Arguments {
    fn options(&self) -> Options {
        Options {
            force: self.force,
            no_clobber: self.no_clobber,
            verify: self.verify,
            sync: self.sync,
            archive: self.archive,
            one_file_system: self.one_file_system,
            preserve: self.preserve || self.archive,
        }
    }
}

pub(crate) fn main(port: PortChoice, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let items = plan::plan(&arguments.sources, &arguments.target)?;
    // All copies go into one folder.
    let root = Root::open(items.first().map_or(Path::new("."), |item| &item.to_folder));
    if let Err(error) = overlapped::port::raise_fd_limit() {
        tracing::info!("cannot raise the limit on open files: {error}");
    }
    let jobs = arguments.jobs.map_or_else(default_jobs, NonZeroUsize::get);
    let renamed = report::renamed(&items, &arguments.target);
    let identities = Identities::new(&items);
    let copying = Arc::new(Copying::new(arguments.options(), root, identities, renamed));
    let links = Arc::<Links>::default();
    let signals = StopSignals::register().context("cannot handle Ctrl-C and SIGTERM")?;
    let begin = Instant::now();
    let total = report::total(&items);
    let queue = Queue::new(Arc::clone(&copying), Arc::clone(&links), items);
    let copy = || until_stopped(&copying, Rc::new(queue), jobs, total, signals);
    let stopped = Config::new().port(port).grace(GRACE).run_until(copy)??;
    if let Err(problem) = copying.root.check() {
        copying.counters.fail(copying.root.path().to_owned(), problem);
    }
    // Dropped before the report, so that the folders of a stopped run are finished, too.
    for (folder, entry) in links.left_out() {
        if stopped.is_none() {
            let problem = problem::Problem::Lost("was left out: a bug in this program".into());
            copying.counters.fail(folder.path_of(&entry.name), problem);
        }
    }
    report::report(&copying, begin.elapsed(), stopped)
}

fn default_jobs() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    (2 * processors).clamp(4, 16)
}

/// Copies everything, or returns the name of the signal that came first.
fn until_stopped(
    copying: &Arc<Copying>,
    queue: Rc<Queue>,
    jobs: usize,
    total: Option<u64>,
    mut signals: StopSignals,
) -> anyhow::Result<Option<&'static str>> {
    signals::dump_on_quit().context("cannot handle SIGQUIT")?;
    let workers = spawn(move || {
        all(&queue, jobs);
        queue.check_folders();
    });
    let stop = workers.remote();
    let stopper = spawn({
        let copying = Arc::clone(copying);
        move || {
            let signal = signals.wait();
            copying.stop();
            stop.kill();
            // From here on a second signal ends the process; see signals/.
            signal
        }
    });
    let progress = report::Progress::begin(copying, total);
    let joined = workers.join();
    drop(progress);
    match joined {
        Ok(()) => Ok(None),
        Err(JoinError::Killed) => Ok(Some(stopper.join()?.context("cannot wait for signals")?)),
        Err(error) => Err(anyhow::Error::new(error).context("the workers ended")),
    }
}

/// Runs `jobs` workers.
fn all(queue: &Queue, jobs: usize) {
    scope(|s| {
        for worker in 0..jobs {
            let name = format!("copy {worker}");
            if let Err(error) = Builder::new().name(name).spawn_scoped(s, || queue.serve()) {
                let most = count_irregular(worker as u64, "copy", "copies");
                tracing::warn!("only {most} at a time: {error}");
                break;
            }
        }
    });
}
