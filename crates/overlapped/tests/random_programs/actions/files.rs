//! Files, child processes, the lock of standard output.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use overlapped::fs::{self, File};
use overlapped::io::StdoutLock;
use overlapped::os::unix::fs::FileExt;
use overlapped::process::Command;

use crate::actor::Actor;
use crate::check::{Buffer, ensure, is_cancelled, word};

/// The folder for the files of all programs of this process.
static FOLDER: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a temporary folder"));
/// A file whose bytes are known.
static KNOWN: LazyLock<PathBuf> = LazyLock::new(|| {
    let path = FOLDER.path().join("known");
    let bytes: Vec<u8> = (0..LENGTH).map(byte).collect();
    std::fs::write(&path, bytes).expect("a file");
    std::fs::File::open(&path).and_then(|file| file.sync_all()).expect("a file");
    path
});
const LENGTH: u64 = 96 << 10;
/// The number of regions of the file that is written to, and the length of each.
const REGIONS: usize = 6;
const REGION: usize = 2_000;

fn byte(at: u64) -> u8 {
    word(99, at / 8).to_le_bytes()[(at % 8) as usize]
}

#[derive(Default)]
pub(crate) struct Files {
    known: RefCell<Option<Rc<Known>>>,
    written: RefCell<Option<Rc<Written>>>,
    copied: RefCell<Option<Rc<[File; 3]>>>,
    /// The lock that a tasklet has left behind; it is dropped when the first tasklet ends.
    pub(crate) speaking: RefCell<Option<Speaking>>,
}

/// A file with known contents, and the position of its cursor.
struct Known {
    file: File,
    at: Cell<u64>,
    is_busy: Cell<bool>,
}

/// The contents of a region of a file: unknown after a write that was cancelled.
#[derive(Clone, Copy, Default)]
enum Content {
    #[default]
    Nothing,
    Text(u64),
    Unknown,
}

/// A file that only this program uses, and the contents of its regions.
struct Written {
    file: File,
    regions: [Cell<Content>; REGIONS],
    is_busy: [Cell<bool>; REGIONS],
}

/// A flag that is set while this value lives.
struct Using<'a>(&'a Cell<bool>);

impl<'a> Using<'a> {
    fn take(flag: &'a Cell<bool>) -> Option<Using<'a>> {
        (!flag.replace(true)).then(|| Using(flag))
    }
}

impl Drop for Using<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

fn may_fail(me: &Actor, what: &str, error: &io::Error) {
    let may = match error.kind() {
        ErrorKind::TimedOut => true,
        ErrorKind::QuotaExceeded => me.world.shared.plan.operations_max.is_some(),
        _ => is_cancelled(error),
    };
    ensure!(may, "{what}: {error}");
}

/// Returns the known file; opens it if necessary. `None` if the open was cancelled.
fn known(me: &mut Actor) -> Option<Rc<Known>> {
    let there = me.world.files.known.borrow().clone();
    if there.is_some() {
        return there;
    }
    match me.wait(|| File::open(&*KNOWN)) {
        Ok(file) => {
            let new = Rc::new(Known { file, at: Cell::new(0), is_busy: Cell::new(false) });
            Some(me.world.files.known.borrow_mut().get_or_insert(new).clone())
        }
        Err(error) => {
            may_fail(me, "open", &error);
            None
        }
    }
}

fn forget_pages(file: &File) {
    // SAFETY: the descriptor is open.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
}

/// Reads at the cursor. The next reader gets the bytes that a killed one has not got.
pub(super) fn read_at_cursor(me: &mut Actor) {
    let Some(known) = known(me) else { return };
    let Some(_using) = Using::take(&known.is_busy) else { return };
    if me.one_in(8) {
        let at = me.rng.below(LENGTH as usize) as u64;
        match (&known.file).seek(SeekFrom::Start(at)) {
            Ok(now) => ensure!(now == at, "a cursor at {now}, not {at}"),
            Err(error) => return may_fail(me, "seek", &error),
        }
        known.at.set(at);
    }
    if me.one_in(3) {
        forget_pages(&known.file);
    }
    let begin = known.at.get();
    let mut buf = Buffer::<4_096>::new(me.rng.next());
    match me.wait(|| (&known.file).read(&mut buf.bytes)) {
        Ok(n) => {
            ensure!(n > 0 || begin == LENGTH, "an end at {begin} of {LENGTH}");
            for (at, found) in (begin..).zip(buf.filled(n)) {
                ensure!(*found == byte(at), "another byte at {at} of a file, read from {begin}");
            }
            known.at.set(begin + n as u64);
        }
        Err(error) => may_fail(me, "read", &error),
    }
}

pub(super) fn read_at(me: &mut Actor) {
    let Some(known) = known(me) else { return };
    if me.one_in(4) {
        forget_pages(&known.file);
    }
    let begin = me.rng.below(LENGTH as usize) as u64;
    let mut buf = Buffer::<4_096>::new(me.rng.next());
    match me.wait(|| known.file.read_at(&mut buf.bytes, begin)) {
        Ok(n) => {
            ensure!(n > 0, "an end at {begin} of {LENGTH}");
            for (at, found) in (begin..).zip(buf.filled(n)) {
                ensure!(*found == byte(at), "another byte at {at} of a file");
            }
        }
        Err(error) => may_fail(me, "read_at", &error),
    }
}

fn written(me: &mut Actor) -> Rc<Written> {
    let there = me.world.files.written.borrow().clone();
    there.unwrap_or_else(|| {
        let file = tempfile::tempfile_in(FOLDER.path()).expect("a file");
        let (regions, is_busy) = Default::default();
        let new = Rc::new(Written { file: File::from(file), regions, is_busy });
        *me.world.files.written.borrow_mut() = Some(new.clone());
        new
    })
}

/// Checks a region, then writes another text there.
pub(super) fn write_at(me: &mut Actor) {
    let written = written(me);
    let region = me.rng.below(REGIONS);
    let Some(_using) = Using::take(&written.is_busy[region]) else { return };
    let begin = (region * REGION) as u64;
    let text = |tag, at: usize| word(tag, at as u64).to_le_bytes()[0];
    match written.regions[region].get() {
        // A cancelled write may still happen.
        Content::Unknown => return,
        Content::Nothing => {}
        Content::Text(tag) => {
            let mut buf = Buffer::<REGION>::new(me.rng.next());
            match me.wait(|| written.file.read_at(&mut buf.bytes, begin)) {
                Ok(n) => {
                    let mut found = buf.filled(n).iter().enumerate();
                    let is_whole = found.all(|(at, found)| *found == text(tag, at));
                    ensure!(n == REGION && is_whole, "{n} bytes of a region, not as written");
                }
                Err(error) => return may_fail(me, "read_at", &error),
            }
        }
    }
    written.regions[region].set(Content::Unknown);
    let tag = me.rng.next();
    let mut buf = Buffer::<REGION>::new(tag);
    (0..REGION).for_each(|at| buf.bytes[at] = text(tag, at));
    buf.filled(REGION);
    match me.wait(|| written.file.write_at(&buf.bytes, begin)) {
        Ok(n) => {
            ensure!(n == REGION, "{n} of {REGION} bytes written to a file");
            written.regions[region].set(Content::Text(tag));
        }
        Err(error) => may_fail(me, "write_at", &error),
    }
}

/// A path whose file is removed in the end, if it exists.
struct Removing(PathBuf);

impl Drop for Removing {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Writes a file by its name and reads it.
pub(super) fn whole(me: &mut Actor) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("whole {}", NEXT.fetch_add(1, SeqCst));
    let path = Removing(FOLDER.path().join(name));
    let tag = me.rng.next();
    let bytes: Vec<u8> = (0..me.rng.below(9_000) as u64).map(|at| byte(tag ^ at)).collect();
    match me.wait(|| fs::write(&path.0, &bytes)) {
        Ok(()) => {}
        Err(error) => return may_fail(me, "fs::write", &error),
    }
    match me.wait(|| fs::read(&path.0)) {
        Ok(read) => ensure!(read == bytes, "{} bytes read, not those written", read.len()),
        Err(error) => may_fail(me, "fs::read", &error),
    }
}

/// Copies among few files, each of which is a source and a sink. All of them end.
pub(super) fn copy(me: &mut Actor) {
    let there = me.world.files.copied.borrow().clone();
    let files = there.unwrap_or_else(|| {
        let new = || File::from(tempfile::tempfile_in(FOLDER.path()).expect("a file"));
        let new = Rc::new([new(), new(), new()]);
        *me.world.files.copied.borrow_mut() = Some(new.clone());
        new
    });
    let (from, to) = (me.rng.below(3), me.rng.below(3));
    if from == to {
        return;
    }
    let result = files[from].set_len(9_000).and_then(|()| (&files[from]).rewind()).and_then(|()| {
        let copied = overlapped::io::copy(&mut &files[from], &mut &files[to])?;
        ensure!(copied < 1 << 30, "{copied} bytes copied");
        Ok(())
    });
    if let Err(error) = result {
        may_fail(me, "copy", &error);
    }
}

/// Runs a child process, rarely: it costs a thousand times as much as other actions.
pub(super) fn child(me: &mut Actor) {
    if !me.one_in(20) {
        return;
    }
    let tag = me.rng.next().to_string();
    let ends = me.one_in(2);
    let mut command = match ends {
        true => Command::new("echo"),
        false => Command::new("sleep"),
    };
    command.arg(if ends { &tag } else { "100" }).kill_on_drop(true);
    let limit = match ends {
        true => Duration::from_secs(100),
        false => me.brief(),
    };
    match overlapped::time::timeout(limit, || command.output()) {
        Ok(output) => {
            let said = output.stdout == format!("{tag}\n").as_bytes();
            ensure!(ends && output.status.success() && said, "a child ended so: {output:?}");
        }
        Err(error) => may_fail(me, "a child", &error),
    }
}

/// The lock of standard output while a tasklet holds it.
pub(crate) struct Speaking {
    _flag: Flag,
    _lock: StdoutLock<'static>,
}

static IS_SPEAKING: AtomicBool = AtomicBool::new(false);

struct Flag;

impl Drop for Flag {
    fn drop(&mut self) {
        ensure!(IS_SPEAKING.swap(false, SeqCst), "another tasklet had standard output's lock");
    }
}

/// Locks standard output, which excludes all other tasklets. The lock may outlive the tasklet that
/// took it.
pub(super) fn standard_output(me: &mut Actor) {
    if me.level > 0 || me.has_left_lock {
        return;
    }
    let before = std::mem::replace(&mut me.level, 100);
    let lock = overlapped::io::stdout().lock();
    ensure!(!IS_SPEAKING.swap(true, SeqCst), "two tasklets hold the lock of standard output");
    let speaking = Speaking { _flag: Flag, _lock: lock };
    drop(overlapped::io::stdout().lock());
    me.pause_a_while();
    if me.one_in(3) {
        overlapped::time::sleep(me.brief());
    }
    if me.one_in(6) && me.fate.is_some() && me.world.is_directed.get() {
        me.has_left_lock = true;
        *me.world.files.speaking.borrow_mut() = Some(speaking);
    }
    me.level = before;
}
