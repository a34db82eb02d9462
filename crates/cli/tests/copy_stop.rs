//! `overlapped copy`, interrupted: no partial file has a final name, and nothing else is left.

mod common;
mod trees;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use testkit::{report, rounds, within};

use common::{Signal, on_each_port, send, text};
use trees::{bytes, copy_command};

const BIG: usize = 6 << 20;

/// Creates 10 big files and 20 small ones, and returns their contents.
fn source(folder: &Path) -> HashMap<String, Vec<u8>> {
    let mut files = HashMap::new();
    for i in 0..30 {
        let length = if i < 10 { BIG + i as usize * 100_003 } else { 500 * i as usize };
        files.insert(format!("file-{i}"), bytes(i, length));
    }
    fs::create_dir(folder).unwrap();
    for (name, contents) in &files {
        fs::write(folder.join(name), contents).unwrap();
    }
    files
}

/// Checks every file, and counts those that have their names.
fn check(target: &Path, whole: &HashMap<String, Vec<u8>>, old: Option<&[u8]>) -> (usize, usize) {
    let (mut new, mut kept) = (0, 0);
    let Ok(entries) = fs::read_dir(target) else { return (0, 0) };
    for entry in entries {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let expected = whole.get(&name);
        let expected = expected.unwrap_or_else(|| panic!("{name} is left"));
        let contents = fs::read(entry.path()).unwrap();
        if contents == *expected {
            new += 1;
        } else {
            assert_eq!(Some(&*contents), old, "{name}: {} of {}", contents.len(), expected.len());
            kept += 1;
        }
    }
    (new, kept)
}

/// Counts the files that are not old ones.
fn done(target: &Path, old: &Option<Vec<u8>>) -> usize {
    let Ok(entries) = fs::read_dir(target) else { return 0 };
    let length =
        |entry: std::io::Result<fs::DirEntry>| entry.ok()?.metadata().ok().map(|m| m.len());
    let old = old.as_ref().map(|old| old.len() as u64);
    entries.map(length).filter(|length| length.is_some() && *length != old).count()
}

#[test]
fn c4_a_copy_that_is_interrupted_leaves_whole_files_only() {
    let rounds = rounds(12, 50);
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let whole = source(&folder.path().join("source"));
        let (mut round, mut stopped, mut between) = (0, 0, 0);
        // However fast or slow the machine is, some of the stops hit the middle.
        while round < rounds || between * 4 < rounds {
            assert!(round < rounds * 10, "void: {between} of {round} rounds hit the middle");
            let target = folder.path().join("target");
            let old = (round % 3 == 0).then(|| b"the old contents".to_vec());
            if let Some(old) = &old {
                fs::create_dir_all(target.join("source")).unwrap();
                for name in whole.keys() {
                    fs::write(target.join("source").join(name), old).unwrap();
                }
            } else {
                fs::create_dir(&target).unwrap();
            }
            // With one job, the files get their names throughout; otherwise many do at the end.
            let options: &[&str] =
                [&[][..], &["--verify"], &["--jobs", "1"], &["--jobs", "1", "--verify"]][round % 4];
            let arguments = [options, &["source", "target"]].concat();
            let mut command = copy_command(port, folder.path(), &arguments);
            if round / 4 % 2 == 0 {
                command.env("OVERLAPPED_COPY_NAMED", "1");
            }
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            // At a moment between start and end: after a number of files and some bytes.
            let (goal, more) = (round * 7 % 31, round as u64 * 997 % 5_000);
            let mut ended = false;
            while done(&target.join("source"), &old) < goal && !ended {
                thread::sleep(Duration::from_micros(300));
                ended = child.try_wait().unwrap().is_some();
            }
            thread::sleep(Duration::from_micros(more));
            let (signal, name) = match round % 5 {
                4 => (Signal::TERM, "SIGTERM"),
                _ => (Signal::INT, "SIGINT"),
            };
            // A process that has ended and was waited for gets no signal: its number may be reused.
            if !ended {
                send(&child, signal);
            }
            let begin = Instant::now();
            let output = child.wait_with_output().unwrap();
            let took = begin.elapsed();
            assert!(took < within(Duration::from_secs(5)), "{took:?}");
            let (new, kept) = check(&target.join("source"), &whole, old.as_deref());
            let (stdout, stderr) = text(&output);
            match output.status.code() {
                Some(0) => assert_eq!((new, kept), (30, 0)),
                Some(130 | 143) => {
                    stopped += 1;
                    between += usize::from(new > 0 && new < 30);
                    assert!(stdout.starts_with(&format!("{new} file")), "{new}: {stdout}");
                    assert!(stderr.starts_with(&format!("stopped by {name}; ")), "{stderr}");
                }
                // Before its handlers were installed.
                None => assert_eq!(new, 0),
                code => panic!("{code:?} {stdout}{stderr}"),
            }
            fs::remove_dir_all(&target).unwrap();
            round += 1;
        }
        let figure = format!(
            "interrupted copies of 30 files on {port}, {stopped} in time, {between} with some \
             files done: 0 half files, 0 left over"
        );
        report("C4", round, &figure);
    });
}

#[test]
fn c4_a_copy_that_is_killed_outright_leaves_no_half_file_either() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let whole = source(&folder.path().join("source"));
        for round in 0..8u32 {
            let target = folder.path().join("target");
            fs::create_dir(&target).unwrap();
            let mut command = copy_command(port, folder.path(), &["source", "target"]);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            thread::sleep(Duration::from_millis(5 + 7 * u64::from(round)));
            let _ = child.kill();
            child.wait().unwrap();
            // This file system supports files without names, so nothing is left here, either.
            check(&target.join("source"), &whole, None);
            fs::remove_dir_all(&target).unwrap();
        }
    });
}
