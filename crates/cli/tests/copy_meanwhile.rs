//! `overlapped copy`, and what others do to its target meanwhile; what it says after a stop.

mod common;
mod trees;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use common::{PROGRAM, Signal, on_each_port, send, text};
use trees::{bytes, copy_command, names};

/// Starts a copy of `tree` to `into` with one job, stops it in the middle, and lets it go on after
/// `meanwhile`. What it said; `None` where it was too quick each time.
fn interrupted(
    port: &str,
    folder: &Path,
    arguments: &[&str],
    meanwhile: impl Fn(),
) -> Option<(Option<i32>, String, String)> {
    for _ in 0..50 {
        for place in ["into", "away"] {
            let _ = fs::remove_dir_all(folder.join(place));
        }
        fs::create_dir(folder.join("into")).unwrap();
        let arguments = [arguments, &["--jobs", "1", "tree", "last", "into"]].concat();
        let mut command = copy_command(port, folder, &arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let has_begun = || folder.join("into/tree/d/0").exists();
        while !has_begun() && child.try_wait().unwrap().is_none() {
            thread::yield_now();
        }
        let ended = child.try_wait().unwrap().is_some();
        if !ended {
            send(&child, Signal::STOP);
        }
        // The last source is copied when the tree is.
        let is_done = ended || folder.join("into/last").exists();
        if !is_done {
            meanwhile();
        }
        if !ended {
            send(&child, Signal::CONT);
        }
        let output = child.wait_with_output().unwrap();
        if !is_done {
            let (stdout, stderr) = text(&output);
            return Some((output.status.code(), stdout, stderr));
        }
    }
    println!("SKIPPED: a copy in the middle: it was too quick 50 times");
    None
}

fn many_files(folder: &Path) {
    fs::create_dir_all(folder.join("tree/d")).unwrap();
    for i in 0..300 {
        fs::write(folder.join("tree/d").join(i.to_string()), bytes(i, 30_000)).unwrap();
    }
    fs::write(folder.join("last"), "last").unwrap();
}

#[test]
fn a_target_that_is_moved_away_meanwhile_is_said_with_its_new_place() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        many_files(folder.path());
        let moved = |of: &str, to: &str| {
            let to = at(to).canonicalize().unwrap();
            let to = to.display();
            format!("failed: {of}: was moved to {to} while it was copied into, and the copies with")
        };
        // The target itself, with another folder in its place or none; a folder of the copy.
        for (from, is_replaced) in [("into", false), ("into", true), ("into/tree/d", true)] {
            let meanwhile = || {
                fs::rename(at(from), at("away")).unwrap();
                if is_replaced {
                    fs::create_dir(at(from)).unwrap();
                }
            };
            let Some((code, stdout, stderr)) = interrupted(port, folder.path(), &[], meanwhile)
            else {
                return;
            };
            assert_eq!(code, Some(1), "{stdout}{stderr}");
            assert!(stderr.contains(&moved(from, "away")), "{stderr}");
            let files = if from == "into" { at("away/tree/d") } else { at("away") };
            assert_eq!(names(&files).len(), 300, "none is elsewhere");
            if from == "into" {
                assert!(at("away/last").exists(), "{stdout}{stderr}");
            }
        }
        let there_and_back = || {
            fs::rename(at("into"), at("away")).unwrap();
            fs::rename(at("away"), at("into")).unwrap();
        };
        if let Some((code, _, stderr)) = interrupted(port, folder.path(), &[], there_and_back) {
            assert_eq!((code, &*stderr), (Some(0), ""));
        }
    });
}

#[test]
fn what_is_said_after_a_stop_copies_the_rest() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        many_files(folder.path());
        let stop = |arguments: &[&str]| {
            for _ in 0..100 {
                let _ = fs::remove_dir_all(folder.path().join("into"));
                fs::create_dir(folder.path().join("into")).unwrap();
                let arguments =
                    [arguments, &["--jobs", "1", "--", "tree", "last", "into"]].concat();
                let mut command = copy_command(port, folder.path(), &arguments);
                let mut child =
                    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
                let has_begun = || folder.path().join("into/tree/d/0").exists();
                while !has_begun() && child.try_wait().unwrap().is_none() {
                    thread::yield_now();
                }
                if child.try_wait().unwrap().is_none() {
                    send(&child, Signal::INT);
                }
                let output = child.wait_with_output().unwrap();
                if output.status.code() == Some(130) {
                    return Some(text(&output).1);
                }
            }
            println!("SKIPPED: a stop in the middle: the copy was too quick 100 times");
            None
        };
        for arguments in [&[][..], &["-n"]] {
            let Some(said) = stop(arguments) else { return };
            let again = said.lines().last().unwrap().trim().replacen("overlapped", PROGRAM, 1);
            let mut shell = Command::new("sh");
            let output = shell.args(["-c", &again]).current_dir(folder.path()).output().unwrap();
            let (stdout, stderr) = text(&output);
            assert_eq!(output.status.code(), Some(0), "{said}{stdout}{stderr}");
            assert_eq!(names(&folder.path().join("into/tree/d")).len(), 300);
            assert!(stdout.contains(" there"), "what is whole is not copied again: {stdout}");
        }
        let Some(said) = stop(&["--force"]) else { return };
        assert!(said.contains("The same command copies everything anew"), "{said}");
    });
}
