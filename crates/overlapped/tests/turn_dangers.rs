//! P21: tasklets that take turns at two files' cursors, in different orders, never wait for ever.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use overlapped::fs::{File, OpenOptions};
use overlapped::io::{copy, stderr, stdin, stdout};
use overlapped::{Config, JoinError, run, spawn, task, yield_now};
use support::Rng;

mod support;

/// No step takes longer than this on any machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `f`, which counts its steps, on a thread of its own, so that a hang does not block the
/// caller.
fn watched(f: impl FnOnce(Arc<AtomicUsize>) + Send + 'static) {
    let steps = Arc::new(AtomicUsize::new(0));
    let (theirs, (over, ended)) = (Arc::clone(&steps), mpsc::channel::<()>());
    let worker = thread::spawn(move || {
        let _over = over;
        f(theirs);
    });
    let (mut last, mut since) = (0, Instant::now());
    while ended.recv_timeout(Duration::from_millis(100)) == Err(mpsc::RecvTimeoutError::Timeout) {
        let now = steps.load(Relaxed);
        if now > last {
            (last, since) = (now, Instant::now());
        }
        assert!(since.elapsed() < PATIENCE, "after {now} steps all tasklets wait");
    }
    worker.join().unwrap();
}

/// Opens files. Two of them share a cursor, and one is appended to.
fn files(folder: &std::path::Path) -> Vec<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    let mut files: Vec<_> =
        ["a", "b", "c"].map(|name| options.open(folder.join(name)).unwrap()).into();
    files.push(files[0].try_clone().unwrap());
    let mut options = OpenOptions::new();
    files.push(options.read(true).append(true).create(true).open(folder.join("d")).unwrap());
    for file in &files {
        (&mut &*file).write_all(&[7; 20_000]).unwrap();
    }
    files
}

/// Performs one step, perhaps with streams locked around it, in the order that users must keep.
fn step(files: &[File], rng: &mut Rng) -> io::Result<()> {
    let _in = (rng.below(8) == 0).then(|| stdin().lock());
    let _out = (rng.below(8) == 0).then(|| stdout().lock());
    let _err = (rng.below(8) == 0).then(|| stderr().lock());
    let mut pick = || &files[rng.below(files.len())];
    let (mut from, mut to) = (pick(), pick());
    let size = 1 + rng.below(9_000);
    match rng.below(8) {
        0 => from.seek(SeekFrom::Start(rng.below(20_000) as u64)).map(drop),
        1 => from.read(&mut vec![0; size]).map(drop),
        2 => to.seek(SeekFrom::Start(0)).and_then(|_| to.write(&vec![7; size])).map(drop),
        _ => copy(&mut from.take(size as u64), &mut to).map(drop),
    }
}

#[test]
fn p21_crossing_copies_and_locks_of_streams_never_wait_for_ever() {
    const TASKLETS: usize = 12;
    let all = support::rounds(6_000, 100_000);
    watched(move |steps| {
        let folder = tempfile::tempdir().unwrap();
        let run = Config::new().threads(2).run(move || {
            let files = Arc::new(files(folder.path()));
            let mut placed = Vec::new();
            for number in 0..TASKLETS {
                let (files, steps) = (Arc::clone(&files), Arc::clone(&steps));
                let work = move || {
                    let mut rng = Rng(number as u64);
                    for _ in 0..all / TASKLETS {
                        step(&files, &mut rng).unwrap();
                        steps.fetch_add(1, Relaxed);
                        if rng.below(4) == 0 {
                            yield_now();
                        }
                    }
                };
                placed.push(task::place_on(number % 2, work).unwrap());
            }
            placed.into_iter().for_each(|placed| placed.join().unwrap());
        });
        run.unwrap();
    });
    support::report("P21", all, "crossing copies, reads, writes and locks of streams, all ended");
}

/// Three copies, in the order that once made two of them wait for each other.
#[test]
fn p21_three_copies_of_three_files_end() {
    let rounds = support::rounds(5, 200);
    watched(move |steps| {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..rounds {
            let make = |name: &str| {
                let path = folder.path().join(name);
                std::fs::write(&path, vec![7; 1 << 20]).unwrap();
                Arc::new(OpenOptions::new().read(true).write(true).open(path).unwrap())
            };
            run(|| {
                let (a, b, c) = (make("a"), make("b"), make("c"));
                let copy = |from: &Arc<File>, to: &Arc<File>| {
                    let (from, to) = (from.clone(), to.clone());
                    let copying = spawn(move || copy(&mut (&*from).take(1 << 20), &mut &*to));
                    yield_now();
                    copying
                };
                for copying in [copy(&a, &c), copy(&a, &b), copy(&b, &a)] {
                    copying.join().unwrap().unwrap();
                    steps.fetch_add(1, Relaxed);
                }
            })
            .unwrap();
        }
    });
    support::report("P21", 3 * rounds, "copies of three at a time, all ended");
}

/// Both sides of a terminal.
fn terminal() -> (OwnedFd, OwnedFd) {
    let (mut outside, mut inside) = (-1, -1);
    let null = std::ptr::null_mut();
    // SAFETY: places for two descriptors, which no other code knows afterwards; nothing else is
    // asked for.
    unsafe {
        let done = libc::openpty(&raw mut outside, &raw mut inside, null, null.cast(), null.cast());
        assert_eq!(done, 0, "{}", io::Error::last_os_error());
        (OwnedFd::from_raw_fd(outside), OwnedFd::from_raw_fd(inside))
    }
}

/// A descriptor without a cursor has no turns: a copy that waits for input may wait for the output
/// of another.
#[test]
fn p21_a_copy_from_a_terminal_does_not_hold_up_a_copy_to_it() {
    watched(|_| {
        let (outside, inside) = terminal();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "question").unwrap();
        let mut outside = std::fs::File::from(outside);
        let answer = thread::spawn(move || {
            let mut said = [0; 8];
            outside.read_exact(&mut said).unwrap();
            assert_eq!(&said, b"question");
            outside.write_all(b"answer\n").unwrap();
            outside
        });
        run(|| {
            let terminal = Arc::new(File::from(inside));
            let theirs = Arc::clone(&terminal);
            let (mut reader, mut writer) = overlapped::io::pipe().unwrap();
            let waits = spawn(move || copy(&mut (&*theirs).take(6), &mut writer));
            yield_now();
            let mut question = File::open(folder.path().join("a")).unwrap();
            assert_eq!(copy(&mut question, &mut &*terminal).unwrap(), 8);
            let mut answer = [0; 6];
            reader.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"answer");
            assert_eq!(waits.join().unwrap().unwrap(), 6);
        })
        .unwrap();
        drop(answer.join().unwrap());
    });
    support::report("P21", 1, "copy to a terminal past one that waits for its input");
}

#[test]
fn a_tasklet_killed_a_second_time_in_a_cursors_queue_leaves_it() {
    watched(|steps| {
        let folder = tempfile::tempdir().unwrap();
        let file = Arc::new(files(folder.path()).swap_remove(0));
        let (begun, begins) = mpsc::channel();
        let (go, goes) = mpsc::channel();
        let theirs = Arc::clone(&file);
        let holder = thread::spawn(move || {
            let ended = run(|| {
                let writes = spawn(move || (&*theirs).write(&[7; 8]).unwrap());
                yield_now();
                // The write has the turn until its tasklet goes on, which it cannot.
                begun.send(()).unwrap();
                goes.recv().unwrap();
                writes.join().unwrap()
            });
            ended.unwrap()
        });
        begins.recv().unwrap();
        run(|| {
            let reading = || {
                let file = Arc::clone(&file);
                move || (&*file).read(&mut [0; 8])
            };
            let read = reading();
            let victim = spawn(move || {
                let exit = catch_unwind(AssertUnwindSafe(task::pause)).unwrap_err();
                drop(exit);
                read()
            });
            yield_now();
            victim.kill();
            support::wait_until_waiting(1, "a file's cursor");
            steps.fetch_add(1, Relaxed);
            // When it leaves, it lets the next waiter in the queue run.
            victim.kill();
            let other = spawn(reading());
            assert!(matches!(victim.join(), Err(JoinError::Killed)));
            steps.fetch_add(1, Relaxed);
            go.send(()).unwrap();
            assert!(other.join().unwrap().is_ok());
        })
        .unwrap();
        assert_eq!(holder.join().unwrap(), 8);
    });
}
