//! What there is to do, and who does it.
//!
//! ```text
//! queue ─▶ worker (tasklet) ─▶ job on a pool thread: a folder, or up to 64 small files
//!   ▲          │    ▲                 │
//!   │          │    └── what is more ─┘
//!   └──────────┘
//!              └─▶ a large file: its contents by the worker itself, through `io::transfer`
//! ```
//!
//! The queue is a stack: the files of a folder come before its folders, these before the next ones
//! beside it. So few folders are open at a time, about as many as the tree is deep.
//!
//! docs/decisions/0079 says why these are jobs of the pool and not operations of the ring.

use std::cell::{Cell, RefCell};
use std::os::fd::AsFd;
use std::sync::Arc;

use overlapped::Channel;
use overlapped::io::{Side, TransferError, transfer_up_to};
use overlapped::task::{shield, unblock};
use rustix::fs::{FileType, SeekFrom, seek};

use super::Copying;
use super::file::data::{self, BUFFER, Extent, Part};
use super::file::{self, Begun, Copied};
use super::folder::{Entry, Folder};
use super::plan::Item;
use super::problem::{Doing, Problem};

/// Small files that one job copies. Enough to make its way to a thread and back cheap, few enough
/// for all threads to have some.
const FILES: usize = 64;

/// What a tasklet moves at a time: after each, the progress is told.
const PIECE: u64 = 16 << 20;

/// One thing to do.
#[derive(Debug)]
pub(super) enum Work {
    Item(Item),
    Folder(Arc<Folder>, Entry),
    /// All that is no folder, and small as far as is known.
    Files(Arc<Folder>, Vec<Entry>),
    Large(Arc<Folder>, Entry),
}

impl Work {
    fn file((folder, entry): (Arc<Folder>, Entry)) -> Work {
        Work::Files(folder, vec![entry])
    }
}

/// The queue, and those who wait for it.
#[derive(Debug)]
pub(super) struct Queue {
    copying: Arc<Copying>,
    work: RefCell<Vec<Work>>,
    /// Workers that may yet add something.
    busy: Cell<usize>,
    added: Channel<()>,
}

impl Queue {
    pub(super) fn new(copying: Arc<Copying>, items: Vec<Item>) -> Queue {
        let work = items.into_iter().rev().map(Work::Item).collect();
        Queue { copying, work: RefCell::new(work), busy: Cell::new(0), added: Channel::new() }
    }

    /// A worker's life.
    pub(super) fn serve(&self) {
        while let Some(work) = self.take() {
            let more = match work {
                Work::Large(folder, entry) => {
                    self.copy_large(&folder, &entry);
                    released(&self.copying).collect()
                }
                work => {
                    let copying = Arc::clone(&self.copying);
                    in_the_pool(move || run(work, &copying)).unwrap_or_else(|problem| {
                        self.copying.ledger.fail("a worker".into(), problem);
                        Vec::new()
                    })
                }
            };
            self.add(more);
        }
    }

    /// Looks once more whether the copies of all folders are where they were made.
    pub(super) fn check_folders(&self) {
        let copying = Arc::clone(&self.copying);
        let checked = in_the_pool(move || copying.placed.check(&copying));
        if let Err(problem) = checked {
            self.copying.ledger.fail("a check of the folders".into(), problem);
        }
    }

    fn take(&self) -> Option<Work> {
        loop {
            if let Some(work) = self.work.borrow_mut().pop() {
                self.busy.set(self.busy.get() + 1);
                return Some(work);
            }
            if self.busy.get() == 0 {
                // Wakes the others: there will be nothing more.
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
            // Nobody waits: whoever comes next finds it.
            if self.added.try_send(()).is_err() {
                break;
            }
        }
    }

    fn copy_large(&self, folder: &Arc<Folder>, entry: &Entry) {
        match self.try_copy_large(folder, entry) {
            Ok(copied) => note(folder, &copied),
            Err(problem) => self.copying.ledger.fail(folder.path_of(&entry.name), problem),
        }
    }

    fn try_copy_large(&self, folder: &Arc<Folder>, entry: &Entry) -> Result<Copied, Problem> {
        let begun = {
            let (folder, entry) = (Arc::clone(folder), entry.clone());
            in_the_pool(move || file::begin(&folder, &entry, u64::MAX))??
        };
        let begun = match begun {
            Ok(begun) => begun,
            Err(copied) => return Ok(copied),
        };
        let begun = self.move_contents(begun)?;
        let begun = if self.copying.options.verify { verify(begun)? } else { begun };
        in_the_pool(move || begun.end())?
    }

    /// A suspension point at every piece: a kill ends it here, and the draft is gone.
    fn move_contents(&self, mut begun: Begun) -> Result<Begun, Problem> {
        let Begun { from, draft, stat, .. } = &begun;
        let moved_on = &self.copying.ledger.moved;
        let (mut at, mut data) = (0, 0);
        while let Some(Part { begin, end }) =
            data::next_part(from.as_fd(), stat, at).map_err(Problem::at(Doing::Read))?
        {
            seek(from, SeekFrom::Start(begin)).map_err(Problem::at(Doing::Read))?;
            seek(draft, SeekFrom::Start(begin)).map_err(Problem::at(Doing::Write))?;
            moved_on.add(begin - at);
            at = begin;
            while at < end {
                let piece = (end - at).min(PIECE);
                let moved = transfer_up_to(from, draft, piece).map_err(of_transfer)?;
                moved_on.add(moved);
                at += moved;
                data += moved;
                if moved < piece {
                    begun.copied = Extent { length: at, data };
                    return Ok(begun);
                }
            }
        }
        in_the_pool(move || {
            let Begun { from, draft, stat, .. } = &begun;
            let (from, draft, stopped) = (from.as_fd(), draft.as_fd(), &begun.copying().stopped);
            let mut buffer = vec![0; BUFFER];
            let copied = Extent { length: at, data };
            begun.copied = data::copy_rest(from, draft, stat, copied, &mut buffer, stopped)?;
            begun.copying().ledger.moved.add(begun.copied.length - at);
            Ok(begun)
        })?
    }
}

fn of_transfer(error: TransferError) -> Problem {
    let doing = match error.side() {
        Side::Source => Doing::Read,
        Side::Sink => Doing::Write,
    };
    Problem::Call(doing, error.into())
}

/// In pieces, so that a kill comes through.
fn verify(begun: Begun) -> Result<Begun, Problem> {
    let Part { mut begin, end } = begun.whole();
    let mut begun = in_the_pool(move || begun.settle().map(|()| begun))??;
    while begin < end {
        let part = Part { begin, end: end.min(begin + PIECE) };
        begun = in_the_pool(move || begun.compare(part).map(|()| begun))??;
        begin = part.end;
    }
    Ok(begun)
}

/// Runs a job of the pool to its end, whoever kills the caller meanwhile: it may have the only
/// handle to a draft. Jobs are short, or look whether to stop.
fn in_the_pool<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    shield(|| unblock(job)).map_err(|error| Problem::Lost(format!("was not copied: {error}")))
}

/// A job. Returns what there is more to do.
fn run(work: Work, copying: &Arc<Copying>) -> Vec<Work> {
    let mut more = Vec::new();
    match work {
        Work::Item(item) => match Folder::around(&item, copying) {
            Ok((folder, entry)) => sort(&Arc::new(folder), vec![entry], &mut more),
            Err(problem) => copying.ledger.fail(item.shown, problem),
        },
        Work::Folder(parent, entry) => match parent.enter(&entry) {
            Ok(folder) => {
                let folder = Arc::new(folder);
                match folder.entries() {
                    Ok(entries) => sort(&folder, entries, &mut more),
                    Err(problem) => copying.ledger.fail(parent.path_of(&entry.name), problem),
                }
            }
            Err(problem) => copying.ledger.fail(parent.path_of(&entry.name), problem),
        },
        Work::Files(folder, entries) => copy_files(&folder, &entries, &mut more),
        Work::Large(..) => unreachable!("a worker's own part"),
    }
    more.extend(released(copying));
    // The way to this thread is paid for: the last bundle of files goes with it.
    if let Some(Work::Files(..)) = more.last()
        && let Some(Work::Files(folder, entries)) = more.pop()
    {
        copy_files(&folder, &entries, &mut more);
        // Names that waited for one of these: nobody else may come by for them.
        more.extend(released(copying));
    }
    more
}

/// Makes work of the names that waited for a file which has been copied meanwhile.
fn released(copying: &Copying) -> impl Iterator<Item = Work> {
    copying.links.released().into_iter().map(Work::file)
}

/// Makes work of a folder's entries: files on top.
fn sort(folder: &Arc<Folder>, entries: Vec<Entry>, more: &mut Vec<Work>) {
    let mut bundle = Vec::new();
    let mut bundles = Vec::new();
    for entry in entries {
        match entry.kind {
            FileType::Directory => more.push(Work::Folder(Arc::clone(folder), entry)),
            FileType::Unknown => {
                let path = folder.path_of(&entry.name);
                folder.copying().ledger.fail(path, Problem::Special(entry.kind));
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

fn copy_files(folder: &Arc<Folder>, entries: &[Entry], more: &mut Vec<Work>) {
    let copying = folder.copying();
    let mut buffer = vec![0; BUFFER];
    for entry in entries {
        if copying.is_stopped() {
            return;
        }
        let copied = match entry.kind {
            FileType::RegularFile => file::copy(folder, entry, &mut buffer),
            _ => file::special::copy(folder, entry),
        };
        match copied {
            Ok(Copied::Large) => more.push(Work::Large(Arc::clone(folder), entry.clone())),
            Ok(copied) => note(folder, &copied),
            Err(problem) => copying.ledger.fail(folder.path_of(&entry.name), problem),
        }
    }
}

fn note(folder: &Folder, copied: &Copied) {
    if matches!(copied, Copied::Kept) {
        folder.copying().ledger.kept.add(1);
    }
}
