//! Files among tasklets: turns at the cursor, kills and deadlines, unwinding, locks.

use std::io::{BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use overlapped::fs::{self, AlignedBuf, File, OpenOptions};
use overlapped::task::no_switch;
use overlapped::time::{sleep, timeout};
use overlapped::{run, spawn, yield_now};

mod support;

const BLOCK: usize = 5_000;

/// A file of numbered blocks.
fn blocks(path: &Path, count: usize) {
    let bytes: Vec<u8> = (0..count).flat_map(|number| vec![number as u8; BLOCK]).collect();
    std::fs::write(path, bytes).unwrap();
}

/// Removes the file from the page cache, so that the next reads wait for the disk.
fn forget_cache(path: &Path) {
    let file = std::fs::File::open(path).unwrap();
    file.sync_all().unwrap();
    // SAFETY: an open descriptor.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
}

#[test]
fn writes_at_the_cursor_are_done_in_the_order_of_the_calls() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    run(|| {
        let file = Rc::new(File::create(&path).unwrap());
        let clone = Rc::new(file.try_clone().unwrap());
        let writers: Vec<_> = (0..100u8)
            .map(|number| {
                // Clones share the cursor, and the queue.
                let file = if number % 2 == 0 { file.clone() } else { clone.clone() };
                spawn(move || (&*file).write_all(&[number; BLOCK]).unwrap())
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
    })
    .unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let expected: Vec<u8> = (0..100).flat_map(|number| [number; BLOCK]).collect();
    assert!(bytes == expected, "{} bytes, not in order", bytes.len());
}

#[test]
fn reads_at_the_cursor_get_each_byte_once_and_in_order_also_from_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    blocks(&path, 100);
    for _ in 0..5 {
        forget_cache(&path);
        run(|| {
            let file = Rc::new(File::open(&path).unwrap());
            let readers: Vec<_> = (0..100u8)
                .map(|number| {
                    let file = file.clone();
                    spawn(move || {
                        let mut block = [0; BLOCK];
                        assert_eq!((&*file).read(&mut block).unwrap(), BLOCK);
                        assert!(block.iter().all(|&byte| byte == number), "block {number}");
                    })
                })
                .collect();
            readers.into_iter().for_each(|reader| reader.join().unwrap());
            assert_eq!((&*file).read(&mut [0; BLOCK]).unwrap(), 0);
        })
        .unwrap();
    }
}

#[test]
fn a_read_does_not_come_out_short_where_the_page_cache_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    blocks(&path, 100);
    let whole = std::fs::read(&path).unwrap();
    for at_cursor in [true, false] {
        forget_cache(&path);
        let pages = std::fs::File::open(&path).unwrap();
        // SAFETY: an open descriptor. The call switches reading ahead off.
        unsafe { libc::posix_fadvise(pages.as_raw_fd(), 0, 0, libc::POSIX_FADV_RANDOM) };
        pages.read_exact_at(&mut [0; 2 * 4096], 0).unwrap();
        run(|| {
            let mut file = File::open(&path).unwrap();
            let mut buf = vec![0; 300_000];
            let count = if at_cursor { file.read(&mut buf) } else { file.read_at(&mut buf, 0) };
            assert_eq!(count.unwrap(), buf.len());
            assert!(buf == whole[..buf.len()]);
            assert_eq!(file.stream_position().unwrap(), if at_cursor { 300_000 } else { 0 });
        })
        .unwrap();
    }
}

#[test]
fn threads_take_turns_at_one_cursor() {
    const EACH: usize = 200;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let file = Arc::new(File::create(&path).unwrap());
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let file = file.clone();
            scope.spawn(move || {
                let work = move || {
                    for _ in 0..EACH {
                        (&*file).write_all(&[thread + 1; 100]).unwrap();
                    }
                };
                // Two threads have a scheduler, two have none.
                if thread < 2 { run(work).unwrap() } else { work() }
            });
        }
    });
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes.len(), 4 * EACH * 100, "a write went over another");
    let mut counts = [0; 5];
    for block in bytes.chunks(100) {
        assert!(block.iter().all(|byte| *byte == block[0]), "a write was torn");
        counts[usize::from(block[0])] += 1;
    }
    assert_eq!(counts, [0, EACH, EACH, EACH, EACH]);
}

#[test]
fn many_reads_at_offsets_are_in_flight_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    blocks(&path, 200);
    forget_cache(&path);
    run(|| {
        let file = Rc::new(File::open(&path).unwrap());
        let readers: Vec<_> = (0..200usize)
            .map(|number| {
                let file = file.clone();
                spawn(move || {
                    let mut block = [0; BLOCK];
                    file.read_exact_at(&mut block, (number * BLOCK) as u64).unwrap();
                    assert!(block.iter().all(|&byte| byte == number as u8));
                })
            })
            .collect();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    })
    .unwrap();
}

#[test]
fn a_waiter_for_the_cursor_can_be_killed_or_time_out_and_holds_up_no_other() {
    /// Returns false if the first write has ended before the others waited for it.
    fn is_shown(path: &Path, first: Vec<u8>) -> bool {
        let file = Rc::new(File::create(path).unwrap());
        let began = Rc::new(std::cell::Cell::new(0));
        let write = |byte: u8| {
            let (file, began) = (file.clone(), began.clone());
            move || {
                began.set(began.get() + 1);
                (&*file).write_all(&[byte; 10]).unwrap();
            }
        };
        let long = spawn({
            let file = file.clone();
            move || (&*file).write_all(&first).unwrap()
        });
        yield_now();
        let (victim, patient) = (spawn(write(2)), spawn(write(3)));
        let late = spawn({
            let file = file.clone();
            move || timeout(Duration::from_micros(50), || (&*file).write(&[4; 10]))
        });
        let last = spawn(write(5));
        yield_now();
        victim.kill();
        let (victim, late) = (victim.join(), late.join().unwrap());
        if long.is_finished() {
            return false;
        }
        assert!(victim.is_err(), "it waited for its turn, and was killed there");
        assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
        for tasklet in [long, patient, last] {
            tasklet.join().unwrap();
        }
        assert_eq!(began.get(), 3);
        true
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let round = || run(|| is_shown(&path, vec![1; 96 << 20])).unwrap();
    assert!((0..10).any(|_| round()), "not tested: the first write has always ended too early");
    let mut tail = Vec::new();
    let mut file = std::fs::File::open(&path).unwrap();
    file.seek(SeekFrom::Start(96 << 20)).unwrap();
    file.read_to_end(&mut tail).unwrap();
    assert_eq!(tail, [[3; 10], [5; 10]].concat(), "a waiter that left the queue wrote nothing");
}

#[test]
fn a_tasklet_that_unwinds_finishes_its_files_in_place() {
    struct Flushes(Option<BufWriter<File>>, std::path::PathBuf);
    impl Drop for Flushes {
        fn drop(&mut self) {
            let mut writer = self.0.take().unwrap();
            writer.flush().unwrap();
            writer.get_ref().sync_all().unwrap();
            assert_eq!(fs::read(&self.1).unwrap(), b"kept back");
            fs::rename(&self.1, self.1.with_extension("done")).unwrap();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let switched = Rc::new(std::cell::Cell::new(false));
    run(|| {
        let flag = switched.clone();
        let path = path.clone();
        let unwinding = spawn(move || {
            let mut writer = BufWriter::new(File::create(&path).unwrap());
            writer.write_all(b"kept back").unwrap();
            let _flushes = Flushes(Some(writer), path);
            spawn(move || flag.set(true));
            support::quiet_panic(());
        });
        assert!(unwinding.join().is_err());
    })
    .unwrap();
    assert_eq!(std::fs::read(path.with_extension("done")).unwrap(), b"kept back");
}

#[test]
fn inside_no_switch_files_are_done_in_place() {
    let folder = tempfile::tempdir().unwrap();
    run(|| {
        let neighbour = Rc::new(std::cell::Cell::new(false));
        let flag = neighbour.clone();
        spawn(move || flag.set(true));
        no_switch(|| {
            fs::create_dir(folder.path().join("d")).unwrap();
            fs::write(folder.path().join("d/a"), "text").unwrap();
            assert_eq!(fs::read_to_string(folder.path().join("d/a")).unwrap(), "text");
            assert_eq!(fs::read_dir(folder.path().join("d")).unwrap().count(), 1);
            fs::remove_dir_all(folder.path().join("d")).unwrap();
        });
        assert!(!neighbour.get(), "it has switched");
    })
    .unwrap();
}

#[test]
fn an_error_ends_its_operation_and_the_run_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    run(|| {
        let mut file = File::create(&path).unwrap();
        for _ in 0..10 {
            assert_eq!(file.read(&mut [0]).unwrap_err().raw_os_error(), Some(libc::EBADF));
            assert_eq!(file.read_at(&mut [0], 5).unwrap_err().raw_os_error(), Some(libc::EBADF));
        }
        let mut file = File::open(&path).unwrap();
        assert_eq!(file.write(b"x").unwrap_err().raw_os_error(), Some(libc::EBADF));
        let mut folder = File::open(folder.path()).unwrap();
        assert_eq!(folder.read(&mut [0]).unwrap_err().kind(), ErrorKind::IsADirectory);
        assert_eq!(fs::read(folder_of(&path)).unwrap_err().kind(), ErrorKind::IsADirectory);
    })
    .unwrap();
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap()
}

#[test]
fn a_killed_tasklet_ends_its_file_operations_and_leaks_no_descriptor() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    blocks(&path, 100);
    let rounds = support::rounds(40, 1_000);
    for round in 0..rounds {
        // Other tests of this program open and close files, too: only a growing number is a leak.
        forget_cache(&path);
        run(|| {
            let workers: Vec<_> = (0..20u64)
                .map(|number| {
                    let path = path.clone();
                    spawn(move || {
                        loop {
                            let mut file = File::open(&path).unwrap();
                            file.seek(SeekFrom::Start(number * 1000)).unwrap();
                            file.read_exact(&mut [0; BLOCK]).unwrap();
                            fs::metadata(&path).unwrap();
                            fs::copy(&path, path.with_extension(number.to_string())).unwrap();
                            file.sync_data().unwrap();
                        }
                    })
                })
                .collect();
            for _ in 0..round % 30 {
                yield_now();
            }
            workers.iter().for_each(|worker| worker.kill());
            for worker in workers {
                assert!(worker.join().is_err());
            }
        })
        .unwrap();
    }
    support::wait_until("few descriptors are open", || support::open_descriptors() <= 200);
}

#[test]
fn a_file_that_becomes_std_s_is_complete_even_while_a_job_works_on_it() {
    let folder = tempfile::tempdir().unwrap();
    run(|| {
        let path = folder.path().join("a");
        let options = OpenOptions::new().read(true).write(true).create(true).clone();
        let file = Rc::new(options.open(path).unwrap());
        let busy = file.clone();
        let writer = spawn(move || busy.write_all_at(&vec![1; 32 << 20], 0));
        yield_now();
        writer.kill();
        let _ = writer.join();
        let file = std::fs::File::from(Rc::into_inner(file).unwrap());
        file.write_at(b"end", 32 << 20).unwrap();
        assert_eq!(file.metadata().unwrap().len(), (32 << 20) + 3);
        let back = File::from(OwnedFd::from(file));
        let mut end = [0; 3];
        back.read_exact_at(&mut end, 32 << 20).unwrap();
        assert_eq!(&end, b"end");
    })
    .unwrap();
}

/// Waits until `count` callers wait in the kernel for a lock of the file (proc_locks(5)).
fn wait_until_queued(path: &Path, count: usize) {
    let file = format!(":{} ", std::fs::metadata(path).unwrap().ino());
    let queued = || {
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        locks.lines().filter(|lock| lock.contains("-> FLOCK") && lock.contains(&file)).count()
    };
    support::wait_until("the callers wait in the kernel", || queued() == count);
}

#[test]
fn a_lock_is_waited_for_by_the_tasklet_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    File::create(&path).unwrap();
    run(|| {
        let open = || File::open(&path).unwrap();
        let holder = open();
        holder.lock().unwrap();
        assert!(matches!(open().try_lock(), Err(fs::TryLockError::WouldBlock)));
        assert!(matches!(open().try_lock_shared(), Err(fs::TryLockError::WouldBlock)));
        let late = timeout(Duration::from_millis(20), || open().lock());
        assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
        let got = Rc::new(std::cell::Cell::new(0));
        let waiters: Vec<_> = (0..20)
            .map(|number| {
                let (file, got) = (open(), got.clone());
                spawn(move || {
                    if number % 2 == 0 {
                        file.lock().unwrap()
                    } else {
                        file.lock_shared().unwrap()
                    }
                    got.set(got.get() + 1);
                })
            })
            .collect();
        wait_until_queued(&path, waiters.len());
        assert_eq!(got.get(), 0);
        // A killed waiter gets the lock at that very moment, or never.
        waiters[..10].iter().for_each(|waiter| waiter.kill());
        holder.unlock().unwrap();
        let mut granted = 0;
        for (number, waiter) in waiters.into_iter().enumerate() {
            let has_got_it = waiter.join().is_ok();
            assert!(has_got_it || number < 10);
            granted += usize::from(has_got_it);
        }
        assert_eq!(got.get(), granted);
        timeout(Duration::from_secs(10), || open().lock()).unwrap();
    })
    .unwrap();
}

/// A kill can come at the moment in which the lock is granted.
#[test]
fn a_lock_that_comes_with_a_kill_is_released() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    File::create(&path).unwrap();
    let mut random = support::Rng(5);
    let mut killed = 0;
    for round in 0..support::rounds(200, 5_000) {
        let holder = std::fs::File::open(&path).unwrap();
        rustix::fs::flock(&holder, rustix::fs::FlockOperation::LockExclusive).unwrap();
        // A kill reaches the pool some time after the request. In three of four rounds the kill and
        // the grant may coincide; in the fourth, the kill is always first.
        let late = if round % 4 == 0 { 20_000_000 } else { 0 };
        let (unlock_after, kill_after) = (late + random.below(400_000), random.below(60_000));
        run(|| {
            let file = Arc::new(File::open(&path).unwrap());
            let kept = file.clone();
            let waiter = spawn(move || file.lock().unwrap());
            sleep(Duration::from_micros(300));
            let begin = Instant::now();
            let spin = move |nanos: usize| {
                while begin.elapsed() < Duration::from_nanos(nanos as u64) {
                    std::hint::spin_loop();
                }
            };
            let other = std::thread::spawn(move || {
                spin(unlock_after);
                drop(holder);
            });
            spin(kill_after);
            waiter.kill();
            let got = waiter.join().is_ok();
            other.join().unwrap();
            killed += usize::from(!got);
            let stranger = File::open(&path).unwrap();
            if got {
                assert!(stranger.try_lock().is_err(), "it reported that it had the lock");
                kept.unlock().unwrap();
            } else {
                let free = timeout(Duration::from_secs(10), || stranger.lock());
                free.expect("no caller has the lock, and no call waits for it");
            }
        })
        .unwrap();
    }
    assert!(killed > 0, "not tested: no tasklet was killed in time");
}

#[test]
fn waiting_for_files_takes_no_processor_time() {
    const NAME: &str = "waiting_for_files_takes_no_processor_time";
    if support::asked().is_none() {
        let output = support::child(NAME, "wait");
        assert!(output.status.success(), "{}", support::said(&output));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    run(|| {
        let holder = File::create(&path).unwrap();
        holder.lock().unwrap();
        let waiters: Vec<_> = (0..10)
            .map(|_| {
                let path = path.clone();
                spawn(move || File::open(path).unwrap().lock().unwrap())
            })
            .collect();
        wait_until_queued(&path, waiters.len());
        // A loop that polls would poll in each of the rounds.
        support::in_time(Duration::from_millis(50), || {
            let before = cpu_time();
            sleep(Duration::from_millis(500));
            cpu_time() - before
        });
        holder.unlock().unwrap();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    })
    .unwrap();
}

fn cpu_time() -> Duration {
    // SAFETY: a zeroed rusage is valid and is overwritten.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &mut usage), 0);
        usage
    };
    let of = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
    };
    of(usage.ru_utime) + of(usage.ru_stime)
}

#[test]
fn direct_io_takes_aligned_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("direct");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).custom_flags(libc::O_DIRECT);
    run(|| {
        let mut file = match options.open(&path) {
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                eprintln!("SKIPPED: no direct I/O here: {error}");
                return;
            }
            file => file.unwrap(),
        };
        let mut buffer = AlignedBuf::new(3 * AlignedBuf::ALIGNMENT);
        buffer.fill(7);
        file.write_all(&buffer).unwrap();
        buffer.fill(8);
        file.write_all_at(&buffer[..4096], 4096).unwrap();
        file.rewind().unwrap();
        let mut back = AlignedBuf::new(4 * AlignedBuf::ALIGNMENT);
        assert_eq!(file.read(&mut back).unwrap(), 3 * 4096);
        assert!(back[..4096].iter().chain(&back[8192..12288]).all(|&byte| byte == 7));
        assert!(back[4096..8192].iter().all(|&byte| byte == 8));
        assert_eq!(file.read(&mut back).unwrap(), 0);
        // Each write goes to the cursor that the previous one has moved; later writes append to the
        // file.
        file.rewind().unwrap();
        for byte in [1, 2] {
            buffer.fill(byte);
            file.write_all(&buffer[..4096]).unwrap();
        }
        assert_eq!(file.stream_position().unwrap(), 8192);
        let mut options = OpenOptions::new();
        let mut log = options.append(true).custom_flags(libc::O_DIRECT).open(&path).unwrap();
        for byte in [3, 4] {
            buffer.fill(byte);
            log.write_all(&buffer[..4096]).unwrap();
        }
        assert_eq!(log.stream_position().unwrap(), 5 * 4096);
        let whole = std::fs::read(&path).unwrap();
        let pages: Vec<u8> = whole.chunks(4096).map(|page| page[0]).collect();
        assert_eq!(pages, [1, 2, 7, 3, 4]);
    })
    .unwrap();
}

#[test]
fn files_of_unknown_size_are_read_to_their_end() {
    run(|| {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        assert!(status.contains("Threads:") && status.len() > 500, "{status}");
        assert!(fs::read("/proc/cpuinfo").unwrap().len() > 100);
        let folder = tempfile::tempdir().unwrap();
        let copied = fs::copy("/proc/self/status", folder.path().join("copy")).unwrap();
        assert!(copied > 500, "the kernel reports an empty file");
    })
    .unwrap();
}

#[test]
fn a_copy_has_contents_and_permissions_and_refuses_other_kinds_of_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let bytes: Vec<u8> = (0..40 << 20).map(|i: u32| (i >> 8) as u8).collect();
    std::fs::write(at("big"), &bytes).unwrap();
    std::fs::set_permissions(at("big"), fs::Permissions::from_mode(0o751)).unwrap();
    std::fs::write(at("there"), vec![9; 100 << 10]).unwrap();
    run(|| {
        for to in ["new", "there"] {
            assert_eq!(fs::copy(at("big"), at(to)).unwrap(), bytes.len() as u64);
            assert!(std::fs::read(at(to)).unwrap() == bytes);
            let mode = fs::metadata(at(to)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o751);
        }
        for (from, kind) in [("nothing", ErrorKind::NotFound), (".", ErrorKind::InvalidInput)] {
            assert_eq!(fs::copy(at(from), at("other")).unwrap_err().kind(), kind);
            assert!(!fs::exists(at("other")).unwrap());
        }
        let into_folder = fs::copy(at("big"), folder.path()).unwrap_err();
        assert_eq!(into_folder.kind(), ErrorKind::IsADirectory);
        // Neither a kill nor a deadline waits until all of it is copied.
        let begin = Instant::now();
        let late = timeout(Duration::from_micros(200), || fs::copy(at("big"), at("late")));
        if let Err(error) = late {
            assert_eq!(error.kind(), ErrorKind::TimedOut);
        }
        assert!(begin.elapsed() < support::within(Duration::from_secs(2)));
    })
    .unwrap();
}

#[test]
fn big_directories_are_listed_completely_and_deep_ones_removed() {
    let folder = tempfile::tempdir_in(if Path::new("/dev/shm").is_dir() {
        Path::new("/dev/shm").to_owned()
    } else {
        std::env::temp_dir()
    });
    let folder = folder.unwrap();
    run(|| {
        let big = folder.path().join("big");
        fs::create_dir(&big).unwrap();
        for number in 0..3_000 {
            std::fs::write(big.join(format!("a file with a long name {number:05}")), "").unwrap();
        }
        let mut names: Vec<_> =
            fs::read_dir(&big).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 3_000);
        let mut deep = folder.path().join("deep");
        for _ in 0..300 {
            deep.push("d");
        }
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("file"), "").unwrap();
        fs::remove_dir_all(folder.path().join("deep")).unwrap();
        fs::remove_dir_all(&big).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    })
    .unwrap();
}
