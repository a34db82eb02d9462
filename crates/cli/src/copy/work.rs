//! The queue of work and its workers.
//!
//! ```text
//! queue ─▶ worker (tasklet) ─▶ job on a pool thread: a folder, or up to 64 small files
//!   ▲          │    ▲                 │
//!   │          │    └── further work ─┘
//!   └──────────┘
//!              └─▶ a large file: its contents by the worker itself, through `io::transfer`
//! ```
//!
//! The queue is a stack: the files of a folder come before its subfolders, and these before the
//! next sibling folders. So few folders are open at a time, about as many as the tree is deep.
//!
//! docs/decisions/0079 says why these are jobs of the pool and not operations of the ring.

use std::cell::{Cell, RefCell};
use std::os::fd::AsFd;
use std::sync::Arc;

use overlapped::Channel;
use overlapped::io::{Side, TransferError, transfer_up_to};
use overlapped::task::{shield, unblock};
use rustix::fs::{FileType, SeekFrom, seek};

use super::file::copied::Copied;
use super::file::data::{self, BUFFER, DataRange, Extent};
use super::file::regular::{self, OpenCopy};
use super::file::special;
use super::folder::{Entry, Folder};
use super::links::Links;
use super::plan::Item;
use super::problem::{Problem, Step};
use super::shared::Copying;

/// Small files that one job copies: enough to make its way to a thread and back cheap, few enough
/// to give all threads some.
const FILES: usize = 64;

/// The bytes that a worker moves at a time; after each piece it updates the progress.
const PIECE: u64 = 16 << 20;

/// One unit of work.
#[derive(Debug)]
pub(super) enum Work {
    Item(Item),
    Folder(Arc<Folder>, Entry),
    /// Everything but folders; small as far as known.
    Files(Arc<Folder>, Vec<Entry>),
    Large(Arc<Folder>, Entry),
}

impl Work {
    fn file((folder, entry): (Arc<Folder>, Entry)) -> Work {
        Work::Files(folder, vec![entry])
    }
}

/// The queue, with the workers that wait for it.
#[derive(Debug)]
pub(super) struct Queue {
    copying: Arc<Copying>,
    links: Arc<Links>,
    work: RefCell<Vec<Work>>,
    /// The number of workers that may yet add work.
    busy: Cell<usize>,
    added: Channel<()>,
}

impl Queue {
    pub(super) fn new(copying: Arc<Copying>, links: Arc<Links>, items: Vec<Item>) -> Queue {
        let work = RefCell::new(items.into_iter().rev().map(Work::Item).collect());
        Queue { copying, links, work, busy: Cell::new(0), added: Channel::new() }
    }

    /// Runs a worker until no work is left.
    pub(super) fn serve(&self) {
        while let Some(work) = self.take() {
            let more = match work {
                Work::Large(folder, entry) => {
                    self.copy_large(&folder, &entry);
                    released(&self.links).collect()
                }
                work => {
                    let (copying, links) = (Arc::clone(&self.copying), Arc::clone(&self.links));
                    run_in_pool(move || run(work, &copying, &links)).unwrap_or_else(|problem| {
                        self.copying.counters.fail("a worker".into(), problem);
                        Vec::new()
                    })
                }
            };
            self.add(more);
        }
    }

    /// Checks again that the copies of all folders still have their names.
    pub(super) fn check_folders(&self) {
        let copying = Arc::clone(&self.copying);
        let checked = run_in_pool(move || {
            let Copying { finished, root, counters, stopped, .. } = &*copying;
            finished.check(root, counters, stopped);
        });
        if let Err(problem) = checked {
            self.copying.counters.fail("a check of the folders".into(), problem);
        }
    }

    fn take(&self) -> Option<Work> {
        loop {
            if let Some(work) = self.work.borrow_mut().pop() {
                self.busy.set(self.busy.get() + 1);
                return Some(work);
            }
            if self.busy.get() == 0 {
                // Wakes the others: there will be no more work.
                self.added.close();
                return None;
            }
            self.added.recv().ok()?;
        }
    }

    fn add(&self, more: Vec<Work>) {
        self.busy.set(self.busy.get() - 1);
        let count = more.len();
        self.work.borrow_mut().extend(more);
        for _ in 0..count {
            // No worker waits: the next one finds it in the queue.
            if self.added.try_send(()).is_err() {
                break;
            }
        }
    }

    fn copy_large(&self, folder: &Arc<Folder>, entry: &Entry) {
        match self.try_copy_large(folder, entry) {
            Ok(copied) => count_kept(folder, &copied),
            Err(problem) => self.copying.counters.fail(folder.path_of(&entry.name), problem),
        }
    }

    fn try_copy_large(&self, folder: &Arc<Folder>, entry: &Entry) -> Result<Copied, Problem> {
        let open_copy = {
            let (links, folder) = (Arc::clone(&self.links), Arc::clone(folder));
            let entry = entry.clone();
            run_in_pool(move || regular::begin(&links, &folder, &entry, u64::MAX))??
        };
        let open_copy = match open_copy {
            Ok(open_copy) => open_copy,
            Err(copied) => return Ok(copied),
        };
        let open_copy = self.move_contents(open_copy)?;
        let open_copy = if self.copying.options.verify { verify(open_copy)? } else { open_copy };
        run_in_pool(move || open_copy.end())?
    }

    /// Moves the contents. Every piece is a suspension point: a kill unwinds here, and the
    /// temporary file is removed.
    fn move_contents(&self, mut open_copy: OpenCopy) -> Result<OpenCopy, Problem> {
        let OpenCopy { from, temporary, stat, .. } = &open_copy;
        let moved_on = &self.copying.counters.moved;
        let (mut at, mut data) = (0, 0);
        while let Some(DataRange { begin, end }) =
            data::next_range(from.as_fd(), stat, at).map_err(Problem::at(Step::Read))?
        {
            seek(from, SeekFrom::Start(begin)).map_err(Problem::at(Step::Read))?;
            seek(temporary, SeekFrom::Start(begin)).map_err(Problem::at(Step::Write))?;
            moved_on.add(begin - at);
            at = begin;
            while at < end {
                let piece = (end - at).min(PIECE);
                let moved = transfer_up_to(from, temporary, piece).map_err(transfer_problem)?;
                moved_on.add(moved);
                at += moved;
                data += moved;
                if moved < piece {
                    open_copy.copied = Extent { length: at, data };
                    return Ok(open_copy);
                }
            }
        }
        run_in_pool(move || {
            let OpenCopy { from, temporary, stat, .. } = &open_copy;
            let (from, temporary, stopped) =
                (from.as_fd(), temporary.as_fd(), &open_copy.copying().stopped);
            let mut buffer = vec![0; BUFFER];
            let copied = Extent { length: at, data };
            open_copy.copied =
                data::copy_rest(from, temporary, stat, copied, &mut buffer, stopped)?;
            open_copy.copying().counters.moved.add(open_copy.copied.length - at);
            Ok(open_copy)
        })?
    }
}

fn transfer_problem(error: TransferError) -> Problem {
    let step = match error.side() {
        Side::Source => Step::Read,
        Side::Sink => Step::Write,
    };
    Problem::Call(step, error.into())
}

/// Verifies a copy in pieces, so that a kill can be delivered between them.
fn verify(open_copy: OpenCopy) -> Result<OpenCopy, Problem> {
    let DataRange { mut begin, end } = open_copy.whole();
    let mut open_copy = run_in_pool(move || open_copy.write_through().map(|()| open_copy))??;
    while begin < end {
        let range = DataRange { begin, end: end.min(begin + PIECE) };
        open_copy = run_in_pool(move || open_copy.compare(range).map(|()| open_copy))??;
        begin = range.end;
    }
    Ok(open_copy)
}

/// Runs a job of the pool to its end, even if the caller is killed: the job may hold the only
/// handle of a temporary file. Jobs are short, or check whether to stop.
fn run_in_pool<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    shield(|| unblock(job)).map_err(|error| Problem::Lost(format!("was not copied: {error}")))
}

/// Runs a job, and returns the further work.
fn run(work: Work, copying: &Arc<Copying>, links: &Arc<Links>) -> Vec<Work> {
    let mut more = Vec::new();
    match work {
        Work::Item(item) => match Folder::around(&item, copying) {
            Ok((folder, entry)) => sort(&Arc::new(folder), vec![entry], &mut more),
            Err(problem) => copying.counters.fail(item.shown, problem),
        },
        Work::Folder(parent, entry) => match parent.enter(&entry) {
            Ok(folder) => {
                let folder = Arc::new(folder);
                match folder.entries() {
                    Ok(entries) => sort(&folder, entries, &mut more),
                    Err(problem) => copying.counters.fail(parent.path_of(&entry.name), problem),
                }
            }
            Err(problem) => copying.counters.fail(parent.path_of(&entry.name), problem),
        },
        Work::Files(folder, entries) => copy_files(links, &folder, &entries, &mut more),
        Work::Large(..) => unreachable!("workers copy large files themselves"),
    }
    more.extend(released(links));
    // The switch to this thread is paid for, so it also copies the last bundle of files.
    if let Some(Work::Files(..)) = more.last()
        && let Some(Work::Files(folder, entries)) = more.pop()
    {
        copy_files(links, &folder, &entries, &mut more);
        // Names that waited for one of these: no other worker may come back for them.
        more.extend(released(links));
    }
    more
}

/// Makes work of the names that waited for a file whose copy is complete.
fn released(links: &Links) -> impl Iterator<Item = Work> {
    links.released().into_iter().map(Work::file)
}

/// Makes work of a folder's entries, files on top of the stack.
fn sort(folder: &Arc<Folder>, entries: Vec<Entry>, more: &mut Vec<Work>) {
    let mut bundle = Vec::new();
    let mut bundles = Vec::new();
    for entry in entries {
        match entry.kind {
            FileType::Directory => more.push(Work::Folder(Arc::clone(folder), entry)),
            FileType::Unknown => {
                let path = folder.path_of(&entry.name);
                folder.copying().counters.fail(path, Problem::Special(entry.kind));
            }
            _ => {
                bundle.push(entry);
                if bundle.len() == FILES {
                    bundles.push(Work::Files(Arc::clone(folder), std::mem::take(&mut bundle)));
                }
            }
        }
    }
    if !bundle.is_empty() {
        bundles.push(Work::Files(Arc::clone(folder), bundle));
    }
    more.append(&mut bundles);
}

fn copy_files(links: &Arc<Links>, folder: &Arc<Folder>, entries: &[Entry], more: &mut Vec<Work>) {
    let copying = folder.copying();
    let mut buffer = vec![0; BUFFER];
    for entry in entries {
        if copying.is_stopped() {
            return;
        }
        let copied = match entry.kind {
            FileType::RegularFile => regular::copy(links, folder, entry, &mut buffer),
            _ => special::copy(links, folder, entry),
        };
        match copied {
            Ok(Copied::Large) => more.push(Work::Large(Arc::clone(folder), entry.clone())),
            Ok(copied) => count_kept(folder, &copied),
            Err(problem) => copying.counters.fail(folder.path_of(&entry.name), problem),
        }
    }
}

fn count_kept(folder: &Folder, copied: &Copied) {
    if matches!(copied, Copied::Kept) {
        folder.copying().counters.kept.add(1);
    }
}
