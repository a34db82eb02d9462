//! Kills of tasklets that use files: they lose no bytes and no entries, and change no order.

use std::cell::{Cell, RefCell};
use std::io::{Read, Seek};
#[cfg(unix)]
use std::os::unix::fs::FileExt;
#[cfg(windows)]
use std::os::windows::fs::FileExt;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use overlapped::fs::{self, File};
use overlapped::time::sleep;
use overlapped::{Tasklet, run, spawn, yield_now};

mod support;

const SIZE: usize = 1 << 20;

/// The maximum time of a job that began before its tasklet was joined.
const LATE: Duration = Duration::from_millis(20);

/// Kills `victim` after a time that grows with `round`. Tells whether the kill was in time.
fn kill_after<T>(victim: Tasklet<T>, round: usize) -> bool {
    yield_now();
    let began = Instant::now();
    while began.elapsed() < Duration::from_micros(20 * round as u64) {
        std::hint::spin_loop();
    }
    victim.kill();
    victim.join().is_err()
}

/// Removes the file from the page cache, so that the next reads wait for the disk.
#[cfg(unix)]
fn forget_cache(path: &Path) {
    let file = std::fs::File::open(path).unwrap();
    file.sync_all().unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
    // SAFETY: an open descriptor.
    unsafe { libc::posix_fadvise(fd, 0, 0, libc::POSIX_FADV_DONTNEED) };
}

/// Does nothing: every read waits for the pool.
#[cfg(windows)]
fn forget_cache(_: &Path) {}

#[cfg(unix)]
fn write_from_start(file: &File, bytes: &[u8]) {
    file.write_all_at(bytes, 0).unwrap();
}

#[cfg(windows)]
fn write_from_start(file: &File, bytes: &[u8]) {
    assert_eq!(file.seek_write(bytes, 0).unwrap(), bytes.len());
}

#[test]
fn a_killed_read_at_the_cursor_loses_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    std::fs::write(&path, vec![7; 4 * SIZE]).unwrap();
    let (mut killed, mut lost) = (0, 0);
    for round in 0..support::rounds(40, 1_000) {
        forget_cache(&path);
        run(|| {
            let (file, got) = (Rc::new(File::open(&path).unwrap()), Rc::new(Cell::new(0)));
            let (theirs, read) = (file.clone(), got.clone());
            let reader = spawn(move || {
                loop {
                    let count = (&*theirs).read(&mut vec![0; SIZE]).unwrap();
                    read.set(read.get() + count);
                    if count == 0 {
                        return;
                    }
                }
            });
            killed += usize::from(kill_after(reader, round % 40));
            sleep(LATE);
            lost += (&*file).stream_position().unwrap() as usize - got.get();
        })
        .unwrap();
    }
    assert!(killed > 0, "not tested: no tasklet was killed in time");
    assert_eq!(lost, 0, "bytes were taken from the cursor and lost; {killed} kills");
}

#[test]
fn a_killed_listing_loses_no_entry() {
    const ENTRIES: usize = 2_000;
    let folder = tempfile::tempdir().unwrap();
    for number in 0..ENTRIES {
        std::fs::write(folder.path().join(number.to_string()), "").unwrap();
    }
    let mut killed = 0;
    for round in 0..support::rounds(40, 1_000) {
        run(|| {
            let list = Rc::new(RefCell::new(fs::read_dir(folder.path()).unwrap()));
            let seen = Rc::new(Cell::new(0));
            let (theirs, counted) = (list.clone(), seen.clone());
            let lister = spawn(move || {
                for entry in theirs.borrow_mut().by_ref() {
                    entry.unwrap();
                    counted.set(counted.get() + 1);
                }
            });
            killed += usize::from(kill_after(lister, round % 40));
            let rest = list.borrow_mut().by_ref().map(Result::unwrap).count();
            assert_eq!(seen.get() + rest, ENTRIES, "entries are gone");
        })
        .unwrap();
    }
    assert!(killed > 0, "not tested: no tasklet was killed in time");
}

#[test]
fn a_killed_tasklet_s_write_does_not_come_after_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let file = Rc::new(File::create(&path).unwrap());
    let mut killed = 0;
    for round in 0..support::rounds(40, 1_000) {
        run(|| {
            let theirs = file.clone();
            let writer = spawn(move || {
                for number in 0.. {
                    write_from_start(&theirs, &vec![number as u8; 4 * SIZE]);
                }
            });
            killed += usize::from(kill_after(writer, 50 * (round % 40)));
            let then = std::fs::read(&path).unwrap();
            sleep(LATE);
            assert!(std::fs::read(&path).unwrap() == then, "a tasklet that has ended writes on");
        })
        .unwrap();
    }
    assert!(killed > 0, "not tested: no tasklet was killed in time");
}

#[test]
fn a_killed_tasklet_s_removal_is_done_before_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let mut killed = 0;
    for round in 0..support::rounds(200, 5_000) {
        std::fs::write(&path, "old").unwrap();
        run(|| {
            let theirs = path.clone();
            let remover = spawn(move || {
                fs::remove_file(&theirs).unwrap();
                yield_now();
            });
            killed += usize::from(kill_after(remover, round % 4));
            std::fs::write(&path, "new").unwrap();
            sleep(LATE / 10);
        })
        .unwrap();
        assert!(path.exists(), "it was removed after the end of the tasklet that removed another");
    }
    assert!(killed > 0, "not tested: no tasklet was killed in time");
}
