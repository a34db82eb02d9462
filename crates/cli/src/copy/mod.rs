//! `overlapped copy`: files and trees, many files at a time.
//!
//! ```text
//! main tasklet    spawns those below, waits for the crowd's end
//! ├ crowd         a scope of N workers
//! │ └ workers     each takes the next thing to do, until there is none (work.rs)
//! ├ progress      a line on the terminal
//! ├ stopper       waits for a signal, then kills the crowd
//! └ a tasklet that shows all of them at SIGQUIT
//! ```
//!
//! | file | one job |
//! |---|---|
//! | `plan` | arguments to a list of what goes where, by the rules of cp |
//! | `work` | the queue, and what is done by whom |
//! | `folder` | a folder and its copy, both open; in `folder/`, those that are finished |
//! | `file` | one file, from opening it to the copy's name; in `file/` |
//! | `links` | files with several names |
//! | `identity` | whether two names are one object |
//! | `problem`, `ledger`, `report` | why not, how many, and what is said |

mod file;
mod folder;
mod identity;
mod ledger;
mod links;
mod plan;
mod problem;
mod report;
mod work;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use anyhow::Context;
use clap::ArgAction;
use overlapped::port::PortChoice;
use overlapped::time::{Duration, Instant};
use overlapped::{Builder, Config, JoinError, scope, spawn};

use crate::display::count_irregular;
use crate::signals::{self, StopSignals};
use file::Nameless;
use folder::Root;
use folder::placed::Placed;
use identity::Identities;
use ledger::Ledger;
use links::Links;
use plan::Item;
use work::Queue;

/// A job that runs when the signal comes is let finish: a few small files, or one fsync.
const GRACE: Duration = Duration::from_secs(60);

/// Copies files and folders, many files at a time.
///
/// A folder is copied with all that is in it. As with cp, DST is a folder to copy into or, if it is
/// not a folder, the name of the copy; for several SRC it must be a folder. SRC/. stands for what
/// is in SRC. Files that DST has already are replaced, without being compared. Permissions, times
/// and holes are kept.
///
///   overlapped copy photos /mnt/backup           makes /mnt/backup/photos
///   overlapped copy photos/. /mnt/backup         what is in photos, into /mnt/backup
///   overlapped copy --no-clobber a b c folder    only what is not there yet
///   overlapped copy --verify --sync disk.img /mnt/usb/   ends when the device has it, compared
///
/// A copy gets its name when all of it is there, written and closed without an error: no name ever
/// stands for half a file. After Ctrl-C nothing else is left, and the command that copies the rest
/// is said. What a process that was killed (kill -9) has left, `.NAME.overlapped-...`, is removed
/// by the next copy into that folder. What cannot be copied is listed at the end; all else is
/// copied.
///
/// A source is never replaced by a copy, whatever links, mounts or folded case lead to it, nor is a
/// copy by another one of the same run: where DST takes README and readme for one name, the second
/// fails. A file is read to its end, whatever length it claims. If somebody writes to it meanwhile,
/// the copy has what was there at the beginning, and the file is listed. If somebody moves DST or a
/// folder in it meanwhile, the copies are in the folder that was moved, and its new place is said;
/// of a folder that was finished before, only that it is not there any more. Files are not looked
/// at again.
///
/// Owners, permissions, times and attributes that DST cannot store, or that you may not set there,
/// are said once, with the number of copies; that is no failure. Without -p or -a, owners, ACLs,
/// extended attributes, set-user-ID and set-group-ID bits are not kept, each hard link becomes a
/// file of its own, and FIFOs, sockets and devices are refused.
///
/// Not as with cp: symbolic links stay links, also those given as SRC; a file or link that has the
/// copy's name is replaced, not written into, unless it is a mount point, as in containers.
///
/// The last line counts files, their data, and the time; holes, which take no place on the disk,
/// are counted apart.
///
/// Exit code: 0 when everything is copied, 1 when something is not, or has changed or was moved
/// meanwhile, 2 when the command line is malformed, 130 after Ctrl-C, 143 after SIGTERM.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// What to copy: files, folders, symbolic links
    #[arg(value_name = "SRC", required = true)]
    sources: Vec<PathBuf>,
    /// A folder to copy into, or the copy's name
    #[arg(value_name = "DST", required = true)]
    target: PathBuf,
    /// Copies at a time; more of them help where the disk is slow to answer [default: twice the
    /// number of processors, but at least 4 and at most 16]
    #[arg(short, long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Replaces write-protected files, too
    #[arg(short, long)]
    force: bool,
    /// Keeps files that are there, whatever is in them; they are counted, and are no failure
    #[arg(short, long, conflicts_with = "force")]
    no_clobber: bool,
    /// Compares every copy with its source before it gets its name. The copy is written to its
    /// device and dropped from the kernel's cache first, so what is compared was read from the
    /// device; a cache of the device itself is not seen through
    #[arg(long)]
    verify: bool,
    /// Waits until each copy is on the disk before it gets its name (fsync), and in the end until
    /// the names are
    #[arg(long)]
    sync: bool,
    /// Keeps all that can be kept, as cp -a: what -p keeps, extended attributes, and hard links;
    /// FIFOs, sockets and devices are made anew
    #[arg(short, long)]
    archive: bool,
    /// Keeps owners, the set-user-ID and set-group-ID bits, and ACLs, as cp -p
    #[arg(short, long)]
    preserve: bool,
    /// Leaves out what is on other file systems than SRC: their mount points become empty folders,
    /// as with cp -x
    #[arg(short = 'x', long)]
    one_file_system: bool,
    /// For the habit of cp: folders are copied whole anyway
    #[arg(short = 'r', short_alias = 'R', long, action = ArgAction::Count, hide = true)]
    recursive: u8,
    /// For the habit of cp: links stay links anyway
    #[arg(short = 'P', long, action = ArgAction::Count, hide = true)]
    no_dereference: u8,
}

/// How to copy.
#[derive(Debug)]
struct Options {
    force: bool,
    no_clobber: bool,
    verify: bool,
    sync: bool,
    archive: bool,
    one_file_system: bool,
    /// Also with `archive`.
    preserve: bool,
}

/// One call of the program, as tasklets and pool threads see it.
#[derive(Debug)]
struct Copying {
    options: Options,
    root: Root,
    ledger: Ledger,
    nameless: Nameless,
    identities: Identities,
    links: Links,
    placed: Placed,
    stopped: AtomicBool,
    /// The source that is copied to the name DST, as its contents have to be when that is there.
    renamed: Option<PathBuf>,
}

impl Copying {
    fn new(arguments: &Arguments, items: &[Item], root: Root) -> Copying {
        let Arguments { force, no_clobber, verify, sync, archive, .. } = *arguments;
        let (preserve, one_file_system) =
            (arguments.preserve || archive, arguments.one_file_system);
        Copying {
            options: Options {
                force,
                no_clobber,
                verify,
                sync,
                archive,
                one_file_system,
                preserve,
            },
            root,
            ledger: Ledger::default(),
            nameless: Nameless::default(),
            identities: Identities::new(items),
            links: Links::default(),
            placed: Placed::default(),
            stopped: AtomicBool::new(false),
            renamed: report::renamed(items, &arguments.target),
        }
    }

    /// Whether jobs are to begin no further file.
    fn is_stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }
}

pub(crate) fn main(port: PortChoice, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let items = plan::plan(&arguments.sources, &arguments.target)?;
    // All copies go into one folder.
    let root = Root::open(items.first().map_or(Path::new("."), |item| &item.to_folder));
    if let Err(error) = overlapped::port::raise_fd_limit() {
        tracing::info!("the limit on open files stays as it is: {error}");
    }
    let jobs = arguments.jobs.map_or_else(default_jobs, NonZeroUsize::get);
    let copying = Arc::new(Copying::new(arguments, &items, root));
    let signals = StopSignals::register().context("cannot handle Ctrl-C and SIGTERM")?;
    let begin = Instant::now();
    let total = report::total(&items);
    let queue = Queue::new(Arc::clone(&copying), items);
    let copy = || until_stopped(&copying, Rc::new(queue), jobs, total, signals);
    let stopped = Config::new().port(port).grace(GRACE).run_until(copy)??;
    if let Err(problem) = copying.root.check() {
        copying.ledger.fail(copying.root.path().to_owned(), problem);
    }
    if stopped.is_none() {
        for (folder, entry) in copying.links.left_out() {
            let problem =
                problem::Problem::Lost("was left out, which is a fault of this program".into());
            copying.ledger.fail(folder.path_of(&entry.name), problem);
        }
    }
    report::report(&copying, begin.elapsed(), stopped)
}

fn default_jobs() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    (2 * processors).clamp(4, 16)
}

/// Copies everything, or gives the name of the signal that came first.
fn until_stopped(
    copying: &Arc<Copying>,
    queue: Rc<Queue>,
    jobs: usize,
    total: Option<u64>,
    mut signals: StopSignals,
) -> anyhow::Result<Option<&'static str>> {
    signals::dump_on_quit().context("cannot handle SIGQUIT")?;
    let crowd = spawn(move || {
        all(&queue, jobs);
        queue.check_folders();
    });
    let stop = crowd.remote();
    let stopper = spawn({
        let copying = Arc::clone(copying);
        move || {
            let signal = signals.wait();
            copying.stopped.store(true, Relaxed);
            stop.kill();
            // From here on a second signal ends the process; see signals.rs.
            signal
        }
    });
    let progress = report::Progress::begin(copying, total);
    let joined = crowd.join();
    drop(progress);
    match joined {
        Ok(()) => Ok(None),
        Err(JoinError::Killed) => Ok(Some(stopper.join()?.context("cannot wait for signals")?)),
        Err(error) => Err(anyhow::Error::new(error).context("the copying ended")),
    }
}

/// So many workers.
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
