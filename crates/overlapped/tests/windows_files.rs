//! Files on Windows: the same results as std's, turns at one file, kills, and locks.
#![cfg(windows)]

use std::cell::Cell;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::windows::fs::FileExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle, IntoRawHandle, OwnedHandle};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use overlapped::fs::{self, File, OpenOptions, TryLockError};
use overlapped::task::{Config, no_switch, shield};
use overlapped::time::{sleep, timeout};
use overlapped::{JoinError, run, spawn, yield_now};

mod support;

/// Larger than a job's memory.
const LONG: usize = 200_000;

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 7 + at % 251) as u8).collect()
}

/// The same scenarios with the types of `$fs`. Each returns a log of its results.
macro_rules! world {
    ($world:ident, $fs:path) => {
        mod $world {
            use std::fmt::Debug;
            use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
            use std::os::windows::fs::{FileExt, MetadataExt, OpenOptionsExt};
            use std::path::Path;
            use std::time::{Duration, SystemTime};

            use fs::{File, OpenOptions};
            use $fs as fs;

            use super::{LONG, pattern};

            type Log = Vec<String>;

            fn told<T: Debug>(log: &mut Log, what: &str, result: io::Result<T>) {
                log.push(match result {
                    Ok(value) => format!("{what}: {value:?}"),
                    Err(error) => {
                        format!("{what}: {:?} {:?}", error.kind(), error.raw_os_error())
                    }
                });
            }

            fn transfers(folder: &Path, log: &mut Log) -> io::Result<()> {
                let path = folder.join("transfers");
                let mut file = File::create_new(&path)?;
                told(log, "again", File::create_new(&path).map(drop));
                file.write_all(b"0123456789")?;
                told(log, "at end", file.read(&mut [0; 4]));
                for to in [
                    SeekFrom::End(-3),
                    SeekFrom::Current(-2),
                    SeekFrom::End(5),
                    SeekFrom::End(-11),
                    SeekFrom::Current(-100),
                    SeekFrom::Start(u64::MAX),
                    SeekFrom::Start(4),
                ] {
                    told(log, &format!("{to:?}"), file.seek(to));
                }
                let mut buf = [9; 16];
                told(log, "read", file.read(&mut buf));
                told(log, "bytes", Ok(buf));
                told(log, "end", file.read(&mut buf));
                told(log, "nothing", file.read(&mut []));
                file.rewind()?;
                let mut text = String::from(">");
                told(log, "text", file.read_to_string(&mut text));
                told(log, "text", Ok(text));
                file.seek(SeekFrom::Start(7))?;
                let mut bytes = vec![1];
                told(log, "to the end", file.read_to_end(&mut bytes));
                told(log, "to the end", file.read_to_end(&mut bytes));
                told(log, "bytes", Ok(bytes));
                file.seek(SeekFrom::Start(2))?;
                let parts = [IoSlice::new(b""), IoSlice::new(b"ab"), IoSlice::new(b"cd")];
                told(log, "write_vectored", file.write_vectored(&parts));
                let (mut one, mut two) = ([0; 3], [0; 9]);
                let mut slices = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
                told(log, "read_vectored", file.read_vectored(&mut slices));
                told(log, "slices", Ok((one, two)));
                told(log, "flush", file.flush());
                told(log, "all", fs::read(&path));
                told(log, "unreadable", File::create(folder.join("w"))?.read(&mut buf));
                told(log, "unwritable", File::open(&path)?.write(b"x"));
                told(log, "no text", {
                    fs::write(&path, [b'a', 0xff])?;
                    fs::read_to_string(&path)
                });
                Ok(())
            }

            fn long_transfers(folder: &Path, log: &mut Log) -> io::Result<()> {
                let path = folder.join("long");
                let data = pattern(LONG);
                let mut file = File::create_new(&path)?;
                told(log, "write", file.write(&data));
                told(log, "position", file.stream_position());
                file.seek(SeekFrom::Start(1))?;
                let mut buf = vec![0; LONG + 10];
                told(log, "read", file.read(&mut buf));
                told(log, "same", Ok(buf[..LONG - 1] == data[1..]));
                told(log, "seek_read", file.seek_read(&mut buf, 100_000));
                told(log, "same", Ok(buf[..LONG - 100_000] == data[100_000..]));
                told(log, "position", file.stream_position());
                told(log, "seek_write", file.seek_write(&data, 50_000));
                told(log, "position", file.stream_position());
                told(log, "whole", fs::read(&path).map(|all| all[50_000..] == data[..]));
                told(log, "copy", fs::copy(&path, folder.join("copy")));
                file.seek(SeekFrom::Start(3))?;
                let mut rest = vec![1, 2];
                told(log, "rest", file.read_to_end(&mut rest));
                told(log, "same", Ok(rest[2..] == fs::read(&path)?[3..]));
                told(log, "position", file.stream_position());
                fs::write(&path, data.repeat(20))?;
                told(log, "large", Ok(fs::read(&path)? == data.repeat(20)));
                let mut large = Vec::new();
                told(log, "large", File::open(&path)?.read_to_end(&mut large));
                told(log, "same", Ok(large == data.repeat(20)));
                told(log, "same", Ok(fs::read(folder.join("copy"))? == fs::read(&path)?));
                told(log, "no copy", fs::copy(folder.join("none"), folder.join("copy")));
                Ok(())
            }

            fn far(folder: &Path, log: &mut Log) -> io::Result<()> {
                let mut file = File::create_new(folder.join("sparse"))?;
                let far = (5 << 32) + 12_345;
                told(log, "seek_write", file.seek_write(b"far", far));
                told(log, "len", file.metadata().map(|metadata| metadata.len()));
                let mut buf = [9; 8];
                told(log, "across", file.seek_read(&mut buf, far - 2));
                told(log, "bytes", Ok(buf));
                told(log, "hole", file.seek_read(&mut buf, 12_345));
                told(log, "bytes", Ok(buf));
                told(log, "behind", file.seek_read(&mut buf, far + 10));
                file.seek(SeekFrom::Start(far))?;
                told(log, "read", file.read(&mut buf));
                told(log, "position", file.stream_position());
                told(log, "set_len", file.set_len(far));
                told(log, "len", file.metadata().map(|metadata| metadata.len()));
                told(log, "too long", file.set_len(u64::MAX));
                told(log, "negative", file.seek_read(&mut buf, 1 << 63));
                Ok(())
            }

            fn options(folder: &Path, log: &mut Log) -> io::Result<()> {
                let path = folder.join("options");
                for bits in 0..64_u32 {
                    let is = |bit: u32| bits & (1 << bit) != 0;
                    let mut options = OpenOptions::new();
                    options.read(is(0)).write(is(1)).append(is(2));
                    options.truncate(is(3)).create(is(4)).create_new(is(5));
                    for exists in [false, true] {
                        let _ = fs::remove_file(&path);
                        if exists {
                            fs::write(&path, "contents")?;
                        }
                        let opened = options.open(&path).map(|mut file| file.write(b"X").ok());
                        told(log, &format!("{bits:06b} {exists}"), opened);
                        told(log, "then", fs::read_to_string(&path));
                    }
                }
                let log_path = folder.join("log");
                let one = OpenOptions::new().append(true).create(true).open(&log_path)?;
                let two = OpenOptions::new().append(true).open(&log_path)?;
                for (mut file, text) in [(&one, "a"), (&two, "b"), (&one, "c")] {
                    file.write_all(text.as_bytes())?;
                }
                told(log, "log", fs::read_to_string(&log_path));
                Ok(())
            }

            fn shares(folder: &Path, log: &mut Log) -> io::Result<()> {
                const DELETE_ON_CLOSE: u32 = 0x0400_0000;
                const HIDDEN: u32 = 2;
                let path = folder.join("shared");
                fs::write(&path, "contents")?;
                let alone = OpenOptions::new().read(true).share_mode(0).open(&path)?;
                told(log, "open", File::open(&path).map(drop));
                told(log, "remove", fs::remove_file(&path));
                told(log, "rename", fs::rename(&path, folder.join("other")));
                drop(alone);
                let readers = OpenOptions::new().read(true).share_mode(1).open(&path)?;
                told(log, "open", File::open(&path).map(drop));
                told(log, "write", fs::write(&path, "x"));
                drop(readers);
                told(log, "remove", fs::remove_file(&path));
                told(log, "exists", fs::exists(&path));
                let mut options = OpenOptions::new();
                options.write(true).create(true).custom_flags(DELETE_ON_CLOSE).attributes(HIDDEN);
                let brief = options.open(folder.join("brief"))?;
                let attributes = brief.metadata()?.file_attributes();
                told(log, "hidden", Ok(attributes & HIDDEN != 0));
                drop(brief);
                told(log, "exists", fs::exists(folder.join("brief")));
                let mut options = OpenOptions::new();
                told(log, "access", options.access_mode(0x8000_0000).open(folder).map(drop));
                Ok(())
            }

            fn folders(folder: &Path, log: &mut Log) -> io::Result<()> {
                let deep = folder.join("a").join("b").join("c");
                told(log, "create_dir", fs::create_dir(&deep));
                told(log, "create_dir_all", fs::create_dir_all(&deep));
                told(log, "create_dir_all", fs::create_dir_all(&deep));
                told(log, "create_dir", fs::create_dir(&deep));
                for number in 0..600 {
                    fs::write(deep.join(format!("{number:03}")), vec![0; number])?;
                }
                let mut names = Vec::new();
                for entry in fs::read_dir(&deep)? {
                    let entry = entry?;
                    let (kind, len) = (entry.file_type()?, entry.metadata()?.len());
                    assert_eq!(entry.path(), deep.join(entry.file_name()));
                    names.push((entry.file_name(), kind.is_file(), len));
                }
                names.sort();
                told(log, "entries", Ok(names));
                told(log, "missing", fs::read_dir(folder.join("none")).map(drop));
                told(log, "file", fs::read_dir(deep.join("001")).map(drop));
                told(log, "empty", {
                    fs::create_dir(folder.join("empty"))?;
                    fs::read_dir(folder.join("empty")).map(Iterator::count)
                });
                told(log, "remove_dir", fs::remove_dir(folder.join("a")));
                told(log, "remove_dir", fs::remove_dir(folder.join("empty")));
                told(log, "remove_file", fs::remove_file(folder.join("a")));
                told(log, "remove_dir_all", fs::remove_dir_all(folder.join("a")));
                told(log, "remove_dir_all", fs::remove_dir_all(folder.join("a")));
                Ok(())
            }

            fn paths(folder: &Path, log: &mut Log) -> io::Result<()> {
                let path = folder.join("file");
                fs::write(&path, "contents")?;
                told(log, "hard_link", fs::hard_link(&path, folder.join("link")));
                told(log, "hard_link", fs::hard_link(&path, folder.join("link")));
                fs::write(folder.join("link"), "other")?;
                told(log, "same", fs::read_to_string(&path));
                told(log, "read_link", fs::read_link(&path));
                told(log, "rename", fs::rename(folder.join("link"), folder.join("new")));
                told(log, "rename", fs::rename(folder.join("link"), folder.join("new")));
                told(log, "over", fs::rename(&path, folder.join("new")));
                fs::write(&path, "again")?;
                let absolute = fs::canonicalize(folder.join(".").join("file"));
                told(log, "canonicalize", absolute.map(|at| at.ends_with("file")));
                told(log, "canonicalize", fs::canonicalize(folder.join("none")));
                for name in ["file", ".", "none"] {
                    for (how, found) in [
                        ("metadata", fs::metadata(folder.join(name))),
                        ("symlink_metadata", fs::symlink_metadata(folder.join(name))),
                    ] {
                        let facts = found.map(|found| {
                            let kind = found.file_type();
                            (kind.is_file(), kind.is_dir(), kind.is_symlink(), found.is_file())
                        });
                        told(log, how, facts);
                    }
                    told(log, "exists", fs::exists(folder.join(name)));
                }
                let mut permissions = fs::metadata(&path)?.permissions();
                permissions.set_readonly(true);
                told(log, "read-only", fs::set_permissions(&path, permissions.clone()));
                told(log, "write", fs::write(&path, "x"));
                told(log, "is", fs::metadata(&path).map(|found| found.permissions()));
                let file = File::open(&path)?;
                permissions.set_readonly(false);
                fs::set_permissions(&path, permissions)?;
                let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
                told(log, "set_modified", file.set_modified(time));
                let file = OpenOptions::new().write(true).open(&path)?;
                told(log, "set_modified", file.set_modified(time));
                let times = fs::FileTimes::new().set_accessed(time);
                told(log, "set_times", file.set_times(times));
                told(log, "modified", file.metadata()?.modified());
                told(log, "sync_all", file.sync_all());
                told(log, "sync_data", file.sync_data());
                told(log, "sync_all", File::open(&path)?.sync_all());
                Ok(())
            }

            fn clones(folder: &Path, log: &mut Log) -> io::Result<()> {
                let mut file = File::create_new(folder.join("clones"))?;
                let mut clone = file.try_clone()?;
                file.write_all(b"one")?;
                clone.write_all(b"two")?;
                told(log, "position", file.stream_position());
                drop(file);
                clone.rewind()?;
                let mut text = String::new();
                clone.read_to_string(&mut text)?;
                told(log, "text", Ok(text));
                Ok(())
            }

            fn locks(folder: &Path, log: &mut Log) -> io::Result<()> {
                let path = folder.join("locks");
                let one = File::create_new(&path)?;
                let two = OpenOptions::new().read(true).write(true).open(&path)?;
                told(log, "lock", one.lock());
                told(log, "try_lock", two.try_lock().map_err(io::Error::from));
                told(log, "try_lock_shared", two.try_lock_shared().map_err(io::Error::from));
                told(log, "unlock", one.unlock());
                told(log, "lock_shared", one.lock_shared());
                told(log, "try_lock_shared", two.try_lock_shared().map_err(io::Error::from));
                told(log, "unlock", one.unlock());
                told(log, "unlock", two.unlock());
                told(log, "try_lock", two.try_lock().map_err(io::Error::from));
                drop(two);
                told(log, "lock", one.lock());
                Ok(())
            }

            /// Makes all scenarios, in a new folder.
            pub(super) fn log() -> Log {
                let scenarios: [(&str, fn(&Path, &mut Log) -> io::Result<()>); 9] = [
                    ("transfers", transfers),
                    ("long transfers", long_transfers),
                    ("far", far),
                    ("options", options),
                    ("shares", shares),
                    ("folders", folders),
                    ("paths", paths),
                    ("clones", clones),
                    ("locks", locks),
                ];
                let mut log = Log::new();
                for (name, scenario) in scenarios {
                    let folder = tempfile::tempdir().unwrap();
                    log.push(format!("--- {name}"));
                    let result = scenario(folder.path(), &mut log);
                    told(&mut log, name, result);
                }
                log
            }
        }
    };
}

world!(theirs, std::fs);
world!(ours, overlapped::fs);

#[test]
fn all_results_are_those_of_std() {
    let expected = theirs::log();
    assert!(expected.len() > 300, "{expected:#?}");
    for (who, log) in [("a tasklet", run(ours::log).unwrap()), ("a thread", ours::log())] {
        for (one, other) in expected.iter().zip(&log) {
            assert_eq!(one, other, "{who}");
        }
        assert_eq!(log.len(), expected.len(), "{who}");
    }
    let refused = run(|| no_switch(ours::log)).unwrap();
    assert_eq!(refused, expected, "a tasklet that may not wait");
}

/// Runs `test` with a path in a new folder, as a tasklet.
fn with_path(test: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    run(|| test(&folder.path().join("a"))).unwrap();
}

#[test]
fn fifty_tasklets_on_one_file_do_not_mix_their_lines() {
    with_path(|path| {
        let file = Rc::new(File::create_new(path).unwrap());
        let writers: Vec<_> = (0..50)
            .map(|number: usize| {
                let file = Rc::clone(&file);
                // Some lines are longer than one job's memory.
                let line = format!("{number:02}").repeat(if number % 10 == 0 { 50_000 } else { 9 });
                spawn(move || {
                    for _ in 0..4 {
                        assert_eq!((&*file).write(line.as_bytes()).unwrap(), line.len());
                        assert_eq!((&*file).write(b"\n").unwrap(), 1);
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        let text = fs::read_to_string(path).unwrap();
        assert_eq!(text.matches('\n').count(), 200);
        let mut rest = text.replace('\n', "");
        while !rest.is_empty() {
            let number = rest[..2].parse::<usize>().unwrap();
            let len = if number % 10 == 0 { 100_000 } else { 18 };
            let written = rest.as_bytes()[..len].chunks(2).all(|two| two == &rest.as_bytes()[..2]);
            assert!(written, "the line of {number} is mixed with another");
            rest.drain(..len);
        }
        // Readers at offsets, at the same time: each gets its own bytes.
        let data = pattern(LONG);
        fs::write(path, &data).unwrap();
        let file = Rc::new(File::open(path).unwrap());
        let readers: Vec<_> = (0..50)
            .map(|number: usize| {
                let (file, expected) = (Rc::clone(&file), data[number * 1_000..][..900].to_vec());
                spawn(move || {
                    let mut buf = [0; 900];
                    assert_eq!(file.seek_read(&mut buf, number as u64 * 1_000).unwrap(), 900);
                    assert!(buf[..] == expected[..]);
                })
            })
            .collect();
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

#[test]
fn one_file_in_two_schedulers_and_a_thread_keeps_each_write_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let file = Arc::new(File::create_new(&path).unwrap());
    let write = |file: Arc<File>, letter: u8| {
        for _ in 0..20 {
            assert_eq!((&*file).write(&vec![letter; 70_000]).unwrap(), 70_000);
        }
    };
    std::thread::scope(|scope| {
        for letter in *b"ab" {
            let file = Arc::clone(&file);
            scope.spawn(move || run(move || write(file, letter)).unwrap());
        }
        let file = Arc::clone(&file);
        scope.spawn(move || write(file, b'c'));
    });
    let all = std::fs::read(path).unwrap();
    assert_eq!(all.len(), 60 * 70_000);
    assert!(all.chunks(70_000).all(|whole| whole.iter().all(|byte| *byte == whole[0])));
}

#[test]
fn a_tasklet_that_is_killed_in_a_read_loses_no_byte() {
    let mut killed = 0;
    with_path(|path| {
        let data = pattern(LONG);
        fs::write(path, &data).unwrap();
        for round in 0..support::rounds(100, 1_000) {
            let mut file = File::open(path).unwrap();
            let (theirs, got) = (file.try_clone().unwrap(), Rc::new(Cell::new(0)));
            let count = Rc::clone(&got);
            let reader = spawn(move || {
                let mut buf = vec![0; 3_000 + 1_000 * (round % 80)];
                while let Ok(moved @ 1..) = (&theirs).read(&mut buf) {
                    count.set(count.get() + moved);
                }
            });
            yield_now();
            let began = Instant::now();
            while began.elapsed() < Duration::from_micros(20 * round as u64 % 1_000) {
                yield_now();
            }
            reader.kill();
            killed += usize::from(matches!(reader.join(), Err(JoinError::Killed)));
            assert_eq!(file.stream_position().unwrap(), got.get() as u64);
            let mut rest = Vec::new();
            file.read_to_end(&mut rest).unwrap();
            assert!(rest == data[got.get()..]);
        }
    });
    assert!(killed > 0, "not tested: no tasklet was killed in time");
}

#[test]
fn a_kill_and_a_deadline_end_the_read_of_a_pipe() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    run(|| {
        let file = Rc::new(File::from(OwnedHandle::from(reader)));
        let theirs = Rc::clone(&file);
        let waiting = spawn(move || (&*theirs).read(&mut [0; 8]));
        let theirs = Rc::clone(&file);
        let queued = spawn(move || (&*theirs).read(&mut [0; 8]));
        sleep(Duration::from_millis(50));
        queued.kill();
        assert!(matches!(queued.join(), Err(JoinError::Killed)));
        waiting.kill();
        assert!(matches!(waiting.join(), Err(JoinError::Killed)));
        let late = timeout(Duration::from_millis(50), || (&*file).read(&mut [0; 8]));
        assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
        writer.write_all(b"bytes").unwrap();
        let mut buf = [0; 8];
        assert_eq!((&*file).read(&mut buf).unwrap(), 5);
        assert_eq!(&buf[..5], b"bytes");
        drop(writer);
        assert_eq!((&*file).read(&mut buf).unwrap(), 0);
    })
    .unwrap();
}

#[test]
fn a_read_that_was_abandoned_ends_and_gives_its_turn_away() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let file = Arc::new(File::from(OwnedHandle::from(reader)));
    let theirs = Arc::clone(&file);
    let (done, ended) = std::sync::mpsc::channel();
    // A thread on which a tasklet was abandoned must not end.
    std::thread::spawn(move || {
        let config = Config::new().grace(Duration::from_millis(20));
        let result = config.run_until(|| {
            drop(spawn(move || shield(|| (&*theirs).read(&mut [0; 8]))));
            sleep(Duration::from_millis(50));
        });
        done.send(result.is_ok()).unwrap();
        std::thread::sleep(Duration::MAX);
    });
    assert!(ended.recv_timeout(Duration::from_secs(30)).unwrap());
    // It ends without bytes, and before this read, which has the next turn.
    let next = std::thread::spawn(move || {
        let mut buf = [0; 8];
        (&*file).read(&mut buf).map(|count| buf[..count].to_vec())
    });
    std::thread::sleep(Duration::from_millis(100));
    writer.write_all(b"bytes").unwrap();
    assert_eq!(next.join().unwrap().unwrap(), b"bytes");
}

/// Releases a lock. std releases it twice, and Wine answers the second time that there is a
/// conflict (33), where Windows says that there is no lock, which std takes for success.
fn unlock(file: &File) {
    match file.unlock() {
        Err(error) if error.raw_os_error() == Some(33) => {}
        result => result.unwrap(),
    }
}

#[test]
fn a_lock_that_another_handle_has_is_waited_for() {
    with_path(|path| {
        let open = || OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let (holder, waiter) = (open().unwrap(), Rc::new(open().unwrap()));
        holder.lock().unwrap();
        assert!(matches!(waiter.try_lock(), Err(TryLockError::WouldBlock)));
        let late = timeout(Duration::from_millis(50), || waiter.lock());
        assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
        let theirs = Rc::clone(&waiter);
        let killed = spawn(move || theirs.lock_shared());
        sleep(Duration::from_millis(20));
        killed.kill();
        assert!(matches!(killed.join(), Err(JoinError::Killed)));
        let theirs = Rc::clone(&waiter);
        let granted = spawn(move || theirs.lock().map(|()| Instant::now()));
        sleep(Duration::from_millis(50));
        let released = Instant::now();
        unlock(&holder);
        assert!(granted.join().unwrap().unwrap() >= released);
        assert!(matches!(holder.try_lock_shared(), Err(TryLockError::WouldBlock)));
        unlock(&waiter);
        holder.lock().unwrap();
    });
}

#[test]
fn only_one_of_many_handles_has_the_lock() {
    with_path(|path| {
        fs::write(path, [0]).unwrap();
        let (counted, inside) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
        let tasklets: Vec<_> = (0..10)
            .map(|_| {
                let file = OpenOptions::new().write(true).open(path).unwrap();
                let (counted, inside) = (Rc::clone(&counted), Rc::clone(&inside));
                spawn(move || {
                    for _ in 0..3 {
                        file.lock().unwrap();
                        assert!(!inside.replace(true));
                        yield_now();
                        counted.set(counted.get() + 1);
                        inside.set(false);
                        unlock(&file);
                    }
                })
            })
            .collect();
        for tasklet in tasklets {
            tasklet.join().unwrap();
        }
        assert_eq!(counted.get(), 30);
    });
}

#[test]
fn a_file_goes_to_std_and_comes_back_with_its_cursor() {
    with_path(|path| {
        fs::write(path, "0123456789").unwrap();
        let mut file = File::open(path).unwrap();
        file.seek(SeekFrom::Start(3)).unwrap();
        let number = file.as_raw_handle();
        let std = std::fs::File::from(file);
        assert_eq!(std.as_raw_handle(), number);
        let raw = std.into_raw_handle();
        // SAFETY: the handle has just been given away by its owner.
        let mut file = unsafe { File::from_raw_handle(raw) };
        let mut rest = String::new();
        file.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "3456789");
        assert_eq!(File::from(OwnedHandle::from(file)).as_raw_handle(), number);
    });
}

#[test]
fn offsets_that_no_file_has_are_errors() {
    with_path(|path| {
        let mut file = File::create_new(path).unwrap();
        file.write_all(b"0123456789").unwrap();
        for offset in [u64::MAX, u64::MAX - 1, 1 << 63] {
            assert_eq!(file.seek_write(b"lost", offset).unwrap_err().raw_os_error(), Some(87));
            assert_eq!(file.seek_read(&mut [0], offset).unwrap_err().raw_os_error(), Some(87));
        }
        assert_eq!(fs::read(path).unwrap(), b"0123456789");
    });
}

#[test]
fn other_tasklets_run_while_one_uses_files() {
    with_path(|path| {
        let (rounds, ended) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
        let (counted, is_over) = (Rc::clone(&rounds), Rc::clone(&ended));
        let other = spawn(move || {
            while !is_over.get() {
                counted.set(counted.get() + 1);
                yield_now();
            }
        });
        let mut file = File::create_new(path).unwrap();
        for _ in 0..20 {
            let before = rounds.get();
            file.write_all(&[1; 1_000]).unwrap();
            assert!(rounds.get() > before, "the write blocked the thread");
        }
        ended.set(true);
        other.join().unwrap();
    });
}
