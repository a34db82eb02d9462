//! Random programs on files, run by std in one folder and by this library in a second one: the same
//! bytes, the same errors, and the same tree at the end.

use std::fmt::Debug;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use overlapped::{run, spawn};

mod support;
use support::Rng;

/// The number of handles that a program has.
const SLOTS: usize = 4;

/// The names that a program uses: few, so that its steps concern the same files.
const NAMES: [&str; 12] =
    ["a", "b", "c", "d", "d/a", "d/b", "d/e", "d/e/a", "link", "d/link", "missing/x", "."];

#[derive(Debug, Clone)]
enum Step {
    Open { slot: usize, name: &'static str, flags: [bool; 6], mode: u32 },
    Close { slot: usize },
    Clone { from: usize, to: usize },
    Read { slot: usize, len: usize },
    ReadToEnd { slot: usize },
    ReadSlices { slot: usize, lens: [usize; 3] },
    ReadAt { slot: usize, len: usize, offset: u64 },
    Write { slot: usize, len: usize, byte: u8 },
    WriteSlices { slot: usize, lens: [usize; 3], byte: u8 },
    WriteAt { slot: usize, len: usize, byte: u8, offset: u64 },
    Seek { slot: usize, to: SeekFrom },
    SetLen { slot: usize, len: u64 },
    Sync { slot: usize, data: bool },
    Stat { slot: usize },
    SetMode { slot: usize, mode: u32 },
    SetModified { slot: usize, seconds: u64 },
    Lock { slot: usize, shared: bool },
    Unlock { slot: usize },
    WholeRead { name: &'static str },
    WholeText { name: &'static str },
    WholeWrite { name: &'static str, len: usize, byte: u8 },
    Copy { from: &'static str, to: &'static str },
    Rename { from: &'static str, to: &'static str },
    Link { from: &'static str, to: &'static str },
    Symlink { target: &'static str, name: &'static str },
    ReadLink { name: &'static str },
    Canonical { name: &'static str },
    Remove { name: &'static str },
    RemoveDir { name: &'static str },
    RemoveAll { name: &'static str },
    MakeDir { name: &'static str },
    MakeDirs { name: &'static str, mode: u32 },
    List { name: &'static str },
    Metadata { name: &'static str },
    LinkMetadata { name: &'static str },
    Exists { name: &'static str },
    PathMode { name: &'static str, mode: u32 },
}

fn random_step(random: &mut Rng) -> Step {
    let slot = random.below(SLOTS);
    let name = NAMES[random.below(NAMES.len())];
    let other = NAMES[random.below(NAMES.len())];
    let len = [0, 1, 10, 511, 512, 4096, 5000, 20_000][random.below(8)];
    let lens = [random.below(5), random.below(3000), random.below(9000)];
    let offset = random.below(30_000) as u64;
    let byte = random.below(256) as u8;
    let mode = [0o600, 0o644, 0o400, 0o777, 0o000][random.below(5)];
    let mut flag = |likely: usize| random.below(10) < likely;
    let flags = [flag(6), flag(5), flag(3), flag(3), flag(6), flag(2)];
    let back = random.below(40_000) as i64 - 20_000;
    match random.below(45) {
        0..=6 => Step::Open { slot, name, flags, mode },
        7 => Step::Close { slot },
        8 => Step::Clone { from: slot, to: random.below(SLOTS) },
        9..=11 => Step::Read { slot, len },
        12 => Step::ReadToEnd { slot },
        13 => Step::ReadSlices { slot, lens },
        14 => Step::ReadAt { slot, len, offset },
        15..=18 => Step::Write { slot, len, byte },
        19 => Step::WriteSlices { slot, lens, byte },
        20 => Step::WriteAt { slot, len, byte, offset },
        21 => Step::Seek { slot, to: SeekFrom::Start(offset) },
        22 => Step::Seek { slot, to: SeekFrom::Current(back) },
        23 => Step::Seek { slot, to: SeekFrom::End(back) },
        24 => Step::SetLen { slot, len: offset },
        25 => Step::Sync { slot, data: byte < 128 },
        26 => Step::Stat { slot },
        27 => Step::SetMode { slot, mode },
        28 => Step::SetModified { slot, seconds: offset },
        29 => Step::Lock { slot, shared: byte < 128 },
        30 => Step::Unlock { slot },
        31 => Step::WholeRead { name },
        32 => match byte {
            0..=99 => Step::WholeText { name },
            _ => Step::WholeWrite { name, len, byte },
        },
        33 => Step::Copy { from: name, to: other },
        34 => Step::Rename { from: name, to: other },
        35 => Step::Link { from: name, to: other },
        36 => Step::Symlink { target: name, name: other },
        37 => match byte {
            0..=99 => Step::ReadLink { name },
            _ => Step::Canonical { name },
        },
        38 => Step::Remove { name },
        39 => match byte {
            0..=99 => Step::RemoveAll { name },
            _ => Step::RemoveDir { name },
        },
        40 => Step::MakeDir { name },
        41 => Step::MakeDirs { name, mode: mode | 0o700 },
        42 => Step::List { name },
        43 => match byte {
            0..=99 => Step::Metadata { name },
            100..=199 => Step::LinkMetadata { name },
            _ => Step::Exists { name },
        },
        _ => Step::PathMode { name, mode: mode | 0o700 },
    }
}

/// The outcome of a step, in a form that both worlds have.
type Came = Result<String, (io::ErrorKind, Option<i32>)>;

/// Returns an error's kind and number. The number of invalid input is left out, because whether std
/// gives it one depends on std's version.
fn failed(error: io::Error) -> (io::ErrorKind, Option<i32>) {
    let number = error.raw_os_error().filter(|_| error.kind() != io::ErrorKind::InvalidInput);
    (error.kind(), number)
}

fn shown<T: Debug>(result: io::Result<T>) -> Came {
    result.map(|value| format!("{value:?}")).map_err(failed)
}

/// Describes bytes in a short form: their number and a checksum.
fn bytes(result: io::Result<Vec<u8>>) -> Came {
    shown(result.map(|bytes| {
        let mut sum = 0u64;
        for byte in &bytes {
            sum = sum.wrapping_mul(31).wrapping_add(u64::from(*byte));
        }
        (bytes.len(), sum)
    }))
}

/// Defines what runs a program's steps: the same code over std's modules or over this library's.
macro_rules! world {
    ($world:ident, $fs:path, $symlink:path, $lock:ident) => {
        mod $world {
            use super::$lock as lock;
            use super::*;
            use $fs as fs;
            use $symlink as symlink;

            pub(super) struct World {
                pub(super) folder: PathBuf,
                slots: [Option<fs::File>; SLOTS],
            }

            fn facts(metadata: &fs::Metadata) -> impl Debug + use<> {
                let kind = metadata.file_type();
                assert!(!kind.is_socket());
                // A directory's size depends on the file system.
                let len = if kind.is_dir() { 0 } else { metadata.len() };
                (
                    kind.is_dir(),
                    kind.is_file(),
                    kind.is_symlink(),
                    len,
                    metadata.mode(),
                    metadata.nlink(),
                )
            }

            impl World {
                pub(super) fn new(folder: PathBuf) -> World {
                    World { folder, slots: [None, None, None, None] }
                }

                fn at(&self, name: &str) -> PathBuf {
                    self.folder.join(name)
                }

                pub(super) fn step(&mut self, step: &Step) -> Came {
                    match *step {
                        Step::Open { slot, name, flags, mode } => {
                            let [read, write, append, truncate, create, create_new] = flags;
                            let opened = fs::OpenOptions::new()
                                .read(read)
                                .write(write)
                                .append(append)
                                .truncate(truncate)
                                .create(create)
                                .create_new(create_new)
                                .mode(mode)
                                .open(self.at(name));
                            shown(opened.map(|file| self.slots[slot] = Some(file)))
                        }
                        Step::Close { slot } => shown(Ok(self.slots[slot].take().is_some())),
                        Step::Clone { from, to } => {
                            let Some(file) = &self.slots[from] else { return shown(Ok(())) };
                            let clone = file.try_clone();
                            shown(clone.map(|file| self.slots[to] = Some(file)))
                        }
                        Step::WholeRead { name } => bytes(fs::read(self.at(name))),
                        Step::WholeText { name } => shown(fs::read_to_string(self.at(name))),
                        Step::WholeWrite { name, len, byte } => {
                            shown(fs::write(self.at(name), vec![byte; len]))
                        }
                        Step::Copy { from, to } => shown(fs::copy(self.at(from), self.at(to))),
                        Step::Rename { from, to } => shown(fs::rename(self.at(from), self.at(to))),
                        Step::Link { from, to } => shown(fs::hard_link(self.at(from), self.at(to))),
                        Step::Symlink { target, name } => shown(symlink(target, self.at(name))),
                        Step::ReadLink { name } => shown(fs::read_link(self.at(name))),
                        Step::Canonical { name } => {
                            let path = fs::canonicalize(self.at(name));
                            let root = std::fs::canonicalize(&self.folder).unwrap();
                            shown(path.map(|path| path.strip_prefix(root).unwrap().to_owned()))
                        }
                        Step::Remove { name } => shown(fs::remove_file(self.at(name))),
                        Step::RemoveDir { name } => shown(fs::remove_dir(self.at(name))),
                        Step::RemoveAll { name } => shown(fs::remove_dir_all(self.at(name))),
                        Step::MakeDir { name } => shown(fs::create_dir(self.at(name))),
                        Step::MakeDirs { name, mode } => {
                            use std::os::unix::fs::DirBuilderExt;
                            let mut builder = fs::DirBuilder::new();
                            shown(builder.recursive(true).mode(mode).create(self.at(name)))
                        }
                        Step::List { name } => shown(self.list(name)),
                        Step::Metadata { name } => {
                            shown(fs::metadata(self.at(name)).map(|m| facts(&m)))
                        }
                        Step::LinkMetadata { name } => {
                            shown(fs::symlink_metadata(self.at(name)).map(|m| facts(&m)))
                        }
                        Step::Exists { name } => shown(fs::exists(self.at(name))),
                        Step::PathMode { name, mode } => {
                            let mode = fs::Permissions::from_mode(mode);
                            shown(fs::set_permissions(self.at(name), mode))
                        }
                        _ => self.step_on_slot(step),
                    }
                }

                fn list(&self, name: &str) -> io::Result<Vec<String>> {
                    let mut list = Vec::new();
                    for entry in fs::read_dir(self.at(name))? {
                        let entry = entry?;
                        let path = entry.path();
                        let path = path.strip_prefix(&self.folder).unwrap();
                        let facts = facts(&entry.metadata()?);
                        let name = entry.file_name();
                        let is_dir = entry.file_type()?.is_dir();
                        list.push(format!("{name:?} {path:?} {is_dir} {facts:?}"));
                    }
                    list.sort();
                    Ok(list)
                }

                fn step_on_slot(&mut self, step: &Step) -> Came {
                    let Some(mut file) = self.slots[slot_of(step)].as_ref() else {
                        return shown(Ok(()));
                    };
                    match *step {
                        Step::Read { len, .. } => {
                            let mut buf = vec![0; len];
                            bytes(file.read(&mut buf).map(|n| buf[..n].to_vec()))
                        }
                        Step::ReadToEnd { .. } => {
                            let mut all = b"before".to_vec();
                            let result = file.read_to_end(&mut all);
                            bytes(result.map(|_| all))
                        }
                        Step::ReadSlices { lens, .. } => {
                            let mut bufs = lens.map(|len| vec![0; len]);
                            let mut slices = Vec::new();
                            for buf in &mut bufs {
                                slices.push(IoSliceMut::new(buf));
                            }
                            let count = file.read_vectored(&mut slices);
                            bytes(count.map(|n| bufs.concat()[..n].to_vec()))
                        }
                        Step::ReadAt { len, offset, .. } => {
                            let mut buf = vec![0; len];
                            bytes(file.read_at(&mut buf, offset).map(|n| buf[..n].to_vec()))
                        }
                        Step::Write { len, byte, .. } => shown(file.write(&vec![byte; len])),
                        Step::WriteSlices { lens, byte, .. } => {
                            let bufs = lens.map(|len| vec![byte; len]);
                            let slices: Vec<_> = bufs.iter().map(|buf| IoSlice::new(buf)).collect();
                            shown(file.write_vectored(&slices))
                        }
                        Step::WriteAt { len, byte, offset, .. } => {
                            shown(file.write_at(&vec![byte; len], offset))
                        }
                        Step::Seek { to, .. } => shown(file.seek(to)),
                        Step::SetLen { len, .. } => shown(file.set_len(len)),
                        Step::Sync { data: true, .. } => shown(file.sync_data()),
                        Step::Sync { data: false, .. } => shown(file.sync_all()),
                        Step::Stat { .. } => shown(file.metadata().map(|m| facts(&m))),
                        Step::SetMode { mode, .. } => {
                            shown(file.set_permissions(fs::Permissions::from_mode(mode)))
                        }
                        Step::SetModified { seconds, .. } => {
                            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
                            let set = file.set_modified(time);
                            shown(set.and_then(|()| file.metadata()?.modified()))
                        }
                        Step::Lock { shared, .. } => shown(lock(file, Some(shared))),
                        Step::Unlock { .. } => shown(lock(file, None)),
                        _ => unreachable!("{step:?} has no slot"),
                    }
                }
            }
        }
    };
}

world!(theirs, std::fs, std::os::unix::fs::symlink, lock_theirs);
world!(ours, overlapped::fs, overlapped::os::unix::fs::symlink, lock_ours);

/// Does what std's `File::try_lock`, `try_lock_shared` and `unlock` do, which std has since 1.89
/// only. `None` unlocks.
fn lock_theirs(file: &std::fs::File, shared: Option<bool>) -> io::Result<()> {
    use rustix::fs::FlockOperation;
    let how = match shared {
        Some(true) => FlockOperation::NonBlockingLockShared,
        Some(false) => FlockOperation::NonBlockingLockExclusive,
        None => FlockOperation::Unlock,
    };
    rustix::fs::flock(file, how).map_err(|error| match error {
        rustix::io::Errno::AGAIN => io::ErrorKind::WouldBlock.into(),
        error => error.into(),
    })
}

fn lock_ours(file: &overlapped::fs::File, shared: Option<bool>) -> io::Result<()> {
    match shared {
        Some(true) => file.try_lock_shared()?,
        Some(false) => file.try_lock()?,
        None => file.unlock()?,
    }
    Ok(())
}

fn slot_of(step: &Step) -> usize {
    match *step {
        Step::Read { slot, .. }
        | Step::ReadToEnd { slot }
        | Step::ReadSlices { slot, .. }
        | Step::ReadAt { slot, .. }
        | Step::Write { slot, .. }
        | Step::WriteSlices { slot, .. }
        | Step::WriteAt { slot, .. }
        | Step::Seek { slot, .. }
        | Step::SetLen { slot, .. }
        | Step::Sync { slot, .. }
        | Step::Stat { slot }
        | Step::SetMode { slot, .. }
        | Step::SetModified { slot, .. }
        | Step::Lock { slot, .. }
        | Step::Unlock { slot } => slot,
        _ => unreachable!("{step:?} has no slot"),
    }
}

/// Lists the tree under a folder.
fn tree(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(at).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            let path = entry.path();
            let name = path.strip_prefix(folder).unwrap().to_owned();
            let (mode, links) = (metadata.mode(), metadata.nlink());
            let inside = if metadata.is_dir() {
                folders.push(path);
                String::new()
            } else if metadata.is_symlink() {
                format!("{:?}", std::fs::read_link(path).unwrap())
            } else {
                format!("{:?}", bytes(std::fs::read(path)))
            };
            all.push(format!("{name:?} {mode:o} {links} {inside}"));
        }
    }
    all.sort();
    all
}

/// Runs one program in both worlds. Returns the number of steps that succeeded.
fn program(seed: u64, place: &Path) -> usize {
    let folder = tempfile::tempdir_in(place).unwrap();
    let make = |name: &str| {
        let folder = folder.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::create_dir(folder.join("d")).unwrap();
        std::fs::write(folder.join("a"), "begins with this").unwrap();
        folder
    };
    let mut theirs = theirs::World::new(make("theirs"));
    let mut ours = ours::World::new(make("ours"));
    let mut random = Rng(seed);
    let mut succeeded = 0;
    let mut done = Vec::new();
    for _ in 0..50 {
        let step = random_step(&mut random);
        let expected = theirs.step(&step);
        let came = ours.step(&step);
        assert_eq!(came, expected, "program {seed}: after {done:#?}: {step:?}");
        succeeded += usize::from(came.is_ok());
        done.push(step);
    }
    assert_eq!(tree(&ours.folder), tree(&theirs.folder), "program {seed}: {done:#?}");
    succeeded
}

#[test]
fn f1_random_programs_do_the_same_as_with_std() {
    // File systems differ in what they support, so half of the programs run on files in memory.
    let disk = std::env::temp_dir();
    let memory = Path::new("/dev/shm");
    if !memory.is_dir() {
        eprintln!("SKIPPED: no /dev/shm, not tested on files in memory");
    }
    let programs = support::rounds(300, 10_000);
    let (mut checks, mut succeeded) = (0, 0);
    run(|| {
        let mut seed = 0;
        while checks < programs {
            // Several at the same time, so that their operations are in the port together.
            let batch: Vec<_> = (0..16)
                .map(|_| {
                    seed += 1;
                    let is_in_memory = seed % 2 == 0 && memory.is_dir();
                    let place = if is_in_memory { memory.to_owned() } else { disk.clone() };
                    spawn(move || program(seed, &place))
                })
                .collect();
            for program in batch {
                succeeded += program.join().unwrap();
                checks += 1;
            }
        }
    })
    .unwrap();
    assert!(succeeded > checks * 20, "not tested: hardly a step succeeded: {succeeded}");
    let figure = format!("{checks} programs of 50 steps, {succeeded} steps succeeded; 0 differ");
    support::report("F1", checks, &figure);
}

#[test]
fn random_programs_do_the_same_outside_of_a_scheduler() {
    let succeeded: usize =
        (1_000_000..1_000_040).map(|seed| program(seed, &std::env::temp_dir())).sum();
    assert!(succeeded > 40 * 20);
}
