//! `overlapped copy`: removes temporary files of killed copies, and leaves those of running ones.

mod common;
mod trees;

use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, SystemTime};

use testkit::report;

use common::{Signal, on_each_port, send, text, wait_for_standstill};
use trees::{bytes, copy, copy_command, names};

fn temporary_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let names = entries.map(|entry| entry.unwrap().path());
    names.filter(|path| path.to_string_lossy().contains(".overlapped-")).collect()
}

/// Copies `source` into `target` with named temporary files, and sends the signal while a begun
/// one exists. Returns the begun temporary files of that moment.
fn catch(port: &str, folder: &Path, target: &str, signal: Signal) -> (Child, Vec<PathBuf>) {
    // An empty one may not be locked yet: it is created anew if it is removed.
    let is_begun = |file: &PathBuf| file.metadata().is_ok_and(|found| found.len() > 0);
    let into = folder.join(target).join("source");
    let begun_files = || temporary_files(&into).into_iter().filter(is_begun).collect::<Vec<_>>();
    for _ in 0..200 {
        let mut command = copy_command(port, folder, &["--jobs", "2", "--sync", "source", target]);
        command.env("OVERLAPPED_COPY_NAMED", "1").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        while child.try_wait().unwrap().is_none() {
            // A signal at the first sight of a file, before its first byte, would catch none ever.
            if !begun_files().is_empty() {
                send(&child, signal);
                wait_for_standstill(&child);
                // It may have got its final name meanwhile.
                let left = begun_files();
                if !left.is_empty() {
                    return (child, left);
                }
                let _ = child.kill();
            }
        }
        for name in names(&into) {
            fs::remove_file(into.join(name)).unwrap();
        }
    }
    panic!("void: no temporary file was caught");
}

fn source(folder: &Path) {
    fs::create_dir_all(folder.join("source")).unwrap();
    for i in 0..10 {
        fs::write(folder.join("source").join(format!("file-{i}")), bytes(i, 5 << 20)).unwrap();
    }
}

#[test]
fn t1_the_next_copy_removes_what_a_killed_one_has_left() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        source(folder.path());
        let mut removed = 0;
        for _ in 0..3 {
            fs::create_dir_all(folder.path().join("target/source")).unwrap();
            let (mut child, left) = catch(port, folder.path(), "target", Signal::KILL);
            child.wait().unwrap();
            removed += left.len();
            let output = copy(port, folder.path(), &["source", "target"]);
            let (stdout, stderr) = text(&output);
            assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
            assert!(stdout.contains(" of killed processes removed"), "{stdout}");
            let target = folder.path().join("target/source");
            assert_eq!(names(&target), names(&folder.path().join("source")));
            fs::remove_dir_all(folder.path().join("target")).unwrap();
        }
        let figure = format!("temporary files of killed copies on {port}, all removed by the next");
        report("T1", removed, &figure);
    });
}

#[test]
fn t1_the_temporary_files_of_a_running_copy_stay() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        source(folder.path());
        // It exists before: a copy does not replace another process's files in a folder that the
        // copy has made.
        fs::create_dir_all(folder.path().join("target/source")).unwrap();
        let (child, left) = catch(port, folder.path(), "target", Signal::STOP);
        let output = copy(port, folder.path(), &["source", "target"]);
        assert_eq!(output.status.code(), Some(0), "{:?}", text(&output));
        let target = folder.path().join("target/source");
        assert!(left.iter().all(|file| file.exists()), "{left:?}: {:?}", text(&output));
        send(&child, Signal::CONT);
        let output = child.wait_with_output().unwrap();
        let (stdout, stderr) = text(&output);
        assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
        assert_eq!(names(&target), names(&folder.path().join("source")));
        report("T1", left.len(), &format!("temporary files in use on {port}, none removed"));
    });
}

#[test]
fn temporary_files_of_other_machines_stay_for_a_day() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("into")).unwrap();
    fs::write(at("file"), "x").unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let here = format!("into/.file.overlapped-{}-89abcdef", &boot[..8]);
    let (other, no_temporary) =
        ("into/.file.overlapped-0123abcd-89abcdef", "into/.file.overlapped-1");
    for name in [&here, other, no_temporary] {
        fs::write(at(name), "half").unwrap();
    }
    let output = copy("poll", folder.path(), &["file", "into"]);
    let (stdout, stderr) = text(&output);
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    assert!(stdout.contains("; 1 unfinished copy of killed processes removed"), "{stdout}");
    assert!(!at(&here).exists() && at(other).exists() && at(no_temporary).exists());
    // A file's age counts from its ctime, which no user can set back.
    let old = SystemTime::now() - Duration::from_secs(2 * 24 * 60 * 60);
    let file = File::options().write(true).open(at(other)).unwrap();
    file.set_times(FileTimes::new().set_modified(old)).unwrap();
    assert_eq!(copy("poll", folder.path(), &["file", "into"]).status.code(), Some(0));
    assert!(at(other).exists());
}
