//! `overlapped copy` while other processes change its target, and its messages after a stop.

mod common;
mod trees;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use common::{PROGRAM, Signal, on_each_port, send, text, wait_for_standstill};
use trees::{bytes, copy_command, names};

const FILES: usize = 300;

/// Starts a copy into `target` with one job, stops it in the middle, runs `meanwhile`, and resumes
/// it. Returns its output; `None` if it was too quick each time.
fn interrupted(
    port: &str,
    folder: &Path,
    target: &str,
    meanwhile: impl Fn(),
) -> Option<(Option<i32>, String, String)> {
    for _ in 0..50 {
        for place in ["into", "away"] {
            let _ = fs::remove_file(folder.join(place));
            let _ = fs::remove_dir_all(folder.join(place));
        }
        fs::create_dir(folder.join("into")).unwrap();
        let arguments = ["--jobs", "1", "first", "tree", "last", target];
        let mut command = copy_command(port, folder, &arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let has_begun = || folder.join("into/tree/d/0").exists();
        while !has_begun() && child.try_wait().unwrap().is_none() {
            thread::yield_now();
        }
        let ended = child.try_wait().unwrap().is_some();
        if !ended {
            send(&child, Signal::STOP);
            wait_for_standstill(&child);
        }
        let is_done = ended || names(&folder.join("into/tree/d")).len() == FILES;
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
    for i in 0..FILES as u32 {
        fs::write(folder.join("tree/d").join(i.to_string()), bytes(i, 30_000)).unwrap();
    }
    fs::create_dir_all(folder.join("first/below")).unwrap();
    fs::write(folder.join("first/below/file"), "first").unwrap();
    fs::write(folder.join("last"), "last").unwrap();
}

#[test]
fn a_target_moved_during_the_copy_is_reported_with_its_new_place() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        many_files(folder.path());
        let moved = |of: &str, to: &str| {
            let to = at(to).canonicalize().unwrap();
            let to = to.display();
            format!(
                "failed: {of}: no longer names the folder that was copied into, which is now {to}"
            )
        };
        // The target itself, replaced by another folder or removed; a folder of the copy.
        for (from, is_replaced) in [("into", false), ("into", true), ("into/tree/d", true)] {
            let meanwhile = || {
                fs::rename(at(from), at("away")).unwrap();
                if is_replaced {
                    fs::create_dir(at(from)).unwrap();
                }
            };
            let Some((code, stdout, stderr)) = interrupted(port, folder.path(), "into", meanwhile)
            else {
                return;
            };
            assert_eq!(code, Some(1), "{stdout}{stderr}");
            assert!(stderr.contains(&moved(from, "away")), "{stderr}");
            let files = if from == "into" { at("away/tree/d") } else { at("away") };
            assert_eq!(names(&files).len(), FILES, "none is elsewhere");
            if from == "into" {
                assert!(at("away/last").exists(), "{stdout}{stderr}");
            }
        }
        // The target is a link, which leads elsewhere meanwhile.
        let _ = fs::remove_file(at("link"));
        symlink("into", at("link")).unwrap();
        fs::create_dir_all(at("elsewhere")).unwrap();
        let led_away = || {
            fs::remove_file(at("link")).unwrap();
            symlink("elsewhere", at("link")).unwrap();
        };
        if let Some((code, _, stderr)) = interrupted(port, folder.path(), "link", led_away) {
            assert_eq!(code, Some(1), "{stderr}");
            assert!(stderr.contains(&moved("link", "into")), "{stderr}");
            assert_eq!(names(&at("elsewhere")), [""; 0]);
        }
        let there_and_back = || {
            fs::rename(at("into"), at("away")).unwrap();
            fs::rename(at("away"), at("into")).unwrap();
        };
        if let Some((code, _, stderr)) = interrupted(port, folder.path(), "into", there_and_back) {
            assert_eq!((code, &*stderr), (Some(0), ""));
        }
    });
}

#[test]
fn a_folder_moved_after_it_was_finished_is_reported() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        many_files(folder.path());
        for (from, replacement) in [
            ("into/first", None),
            ("into/first", Some("folder")),
            ("into/first", Some("link")),
            ("into/first/below", None),
        ] {
            let meanwhile = || {
                fs::rename(at(from), at("away")).unwrap();
                match replacement {
                    Some("folder") => fs::create_dir(at(from)).unwrap(),
                    Some(_) => symlink("../away", at(from)).unwrap(),
                    None => {}
                }
            };
            let Some((code, stdout, stderr)) = interrupted(port, folder.path(), "into", meanwhile)
            else {
                return;
            };
            assert_eq!(code, Some(1), "{from} {replacement:?}: {stdout}{stderr}");
            let message = format!(
                "failed: {from}: no longer names the folder that was copied into, which was moved \
                 or removed after it had been copied"
            );
            assert!(stderr.contains(&message), "{stderr}");
            assert_eq!(stderr.matches("failed: ").count(), 1, "once: {stderr}");
        }
        let there_and_back = || {
            fs::rename(at("into/first"), at("away")).unwrap();
            fs::rename(at("away"), at("into/first")).unwrap();
        };
        if let Some((code, _, stderr)) = interrupted(port, folder.path(), "into", there_and_back) {
            assert_eq!((code, &*stderr), (Some(0), ""));
        }
    });
}

#[test]
fn the_command_printed_after_a_stop_copies_the_rest() {
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
            let Some(message) = stop(arguments) else { return };
            let again = message.lines().last().unwrap().trim().replacen("overlapped", PROGRAM, 1);
            let mut shell = Command::new("sh");
            let output = shell.args(["-c", &again]).current_dir(folder.path()).output().unwrap();
            let (stdout, stderr) = text(&output);
            assert_eq!(output.status.code(), Some(0), "{message}{stdout}{stderr}");
            assert_eq!(names(&folder.path().join("into/tree/d")).len(), FILES);
            assert!(
                stdout.contains(" existed already"),
                "what is whole is not copied again: {stdout}"
            );
        }
        let Some(message) = stop(&["--force"]) else { return };
        assert!(message.contains("The same command copies everything again"), "{message}");
    });
}

/// The copy of `tree` is called `into`, which exists when the rest is copied.
#[test]
fn the_command_printed_after_a_stop_copies_the_rest_to_the_same_name() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        many_files(folder.path());
        let at = |name: &str| folder.path().join(name);
        fs::set_permissions(at("tree"), fs::Permissions::from_mode(0o750)).unwrap();
        for (arguments, message) in [
            (&["tree", "into"][..], "copy --no-clobber -j 1 tree/. into"),
            (&["-a", "tree/", "into/"], "copy --no-clobber -j 1 -a tree/. into/"),
            (&["--force", "--", "tree", "into"], "copy -j 1 --force -- tree/. into"),
            (&["tree/.", "into"], "copy --no-clobber -j 1 tree/. into"),
        ] {
            let stopped = (0..100).find_map(|_| {
                let _ = fs::remove_dir_all(at("into"));
                let arguments = [&["-j", "1"], arguments].concat();
                let mut command = copy_command(port, folder.path(), &arguments);
                let mut child =
                    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
                while !at("into/d/0").exists() && child.try_wait().unwrap().is_none() {
                    thread::yield_now();
                }
                if child.try_wait().unwrap().is_none() {
                    send(&child, Signal::INT);
                }
                let output = child.wait_with_output().unwrap();
                (output.status.code() == Some(130)).then(|| text(&output).1)
            });
            let Some(stopped) = stopped else {
                println!("SKIPPED: a stop in the middle: the copy was too quick 100 times");
                return;
            };
            let again = stopped.lines().last().unwrap().trim();
            assert!(again.ends_with(message), "{arguments:?}: {stopped}");
            let mut shell = Command::new("sh");
            let again = again.replacen("overlapped", PROGRAM, 1);
            let output = shell.args(["-c", &again]).current_dir(folder.path()).output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{stopped}{:?}", text(&output));
            assert_eq!(names(&at("into")), ["d"], "{arguments:?}");
            assert_eq!(names(&at("into/d")).len(), FILES);
            assert_eq!(at("into").metadata().unwrap().mode() & 0o777, 0o750, "{arguments:?}");
        }
    });
}
