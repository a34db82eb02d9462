//! `overlapped copy`: the copies, the rules for their names, and the messages.

mod common;
mod trees;

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{on_each_port, text};
use trees::{as_nobody, bytes, copy, copy_command, describe, names, tree};

#[test]
fn a_tree_arrives_with_everything_that_is_kept() {
    on_each_port(|port| {
        for named in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            tree(&folder.path().join("tree"));
            let mut command = copy_command(port, folder.path(), &["tree", "copy"]);
            if named {
                command.env("OVERLAPPED_COPY_NAMED", "1");
            }
            let output = command.output().unwrap();
            let (stdout, stderr) = text(&output);
            assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
            let (before, after) =
                (describe(&folder.path().join("tree")), describe(&folder.path().join("copy")));
            assert_eq!(before, after);
            assert_eq!(stderr, "");
            assert!(stdout.starts_with("17 files, "), "{stdout}");
            assert!(
                stdout.contains("; 6 folders; 3 symbolic links; hard links of 2 files not kept"),
                "{stdout}"
            );
        }
    });
}

#[test]
fn holes_stay_holes() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        for (name, length) in [("small", 600_000), ("large", 40 << 20)] {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_len(length).unwrap();
            file.write_all_at(b"in the middle", length / 2).unwrap();
        }
        let output = copy(port, folder.path(), &["--verify", "small", "large", "into"]);
        assert_eq!(output.status.code(), Some(1), "several need a folder");
        fs::create_dir(folder.path().join("into")).unwrap();
        let output = copy(port, folder.path(), &["--verify", "small", "large", "into"]);
        assert_eq!(output.status.code(), Some(0), "{:?}", text(&output));
        for name in ["small", "large"] {
            let (from, to) = (folder.path().join(name), folder.path().join("into").join(name));
            assert!(fs::read(&from).unwrap() == fs::read(&to).unwrap());
            let blocks = fs::metadata(&to).unwrap().blocks();
            assert!(blocks <= fs::metadata(&from).unwrap().blocks(), "{name}: {blocks} blocks");
        }
    });
}

#[test]
fn the_target_is_chosen_as_cp_does() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("tree/sub")).unwrap();
        fs::create_dir(at("into")).unwrap();
        fs::write(at("tree/sub/file"), "1").unwrap();
        fs::write(at("one"), "one").unwrap();
        fs::write(at("two"), "two").unwrap();
        symlink("into", at("link")).unwrap();
        let done = |arguments: &[&str]| {
            let output = copy(port, folder.path(), arguments);
            assert_eq!(output.status.code(), Some(0), "{arguments:?}: {:?}", text(&output));
        };
        done(&["one", "new"]);
        done(&["one", "into"]);
        done(&["two", "into/three"]);
        done(&["tree", "into"]);
        done(&["tree", "made"]);
        done(&["tree/.", "contents"]);
        done(&["one", "two", "tree", "link"]);
        done(&["tree/.", "into"]);
        done(&["-r", "-a", "two", "one"]);
        for (name, contents) in [
            ("new", "one"),
            ("into/one", "one"),
            ("into/three", "two"),
            ("into/tree/sub/file", "1"),
            ("made/sub/file", "1"),
            ("contents/sub/file", "1"),
            ("into/two", "two"),
            ("into/sub/file", "1"),
            ("one", "two"),
        ] {
            assert_eq!(fs::read_to_string(at(name)).unwrap(), contents, "{name}");
        }
        for (arguments, message) in [
            (&["tree", "tree/sub/new"][..], "into itself"),
            (&["tree", "."], "the same folder"),
            (&["one", "two", "three"], "mkdir -p three"),
            (&["one", "no/where"], "mkdir -p no"),
        ] {
            let output = copy(port, folder.path(), arguments);
            let (stdout, stderr) = text(&output);
            assert_eq!((output.status.code(), &*stdout), (Some(1), ""), "{arguments:?}");
            assert!(stderr.contains(message), "{arguments:?}: {stderr}");
        }
        let before = names(folder.path());
        assert_eq!(copy(port, folder.path(), &["one"]).status.code(), Some(2));
        assert_eq!(names(folder.path()), before);
    });
}

#[test]
fn names_that_begin_with_a_dash_follow_a_double_dash() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("a"), "x").unwrap();
    for arguments in [&["--", "a", "-n2"][..], &["--", "-n2", "-x"], &["-n", "--", "-x", "a", "-d"]]
    {
        fs::create_dir_all(at("-d")).unwrap();
        let output = copy_command("auto", folder.path(), arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {:?}", text(&output));
    }
    assert_eq!(names(folder.path()), ["-d", "-n2", "-x", "a"]);
    assert_eq!(names(&at("-d")), ["-x", "a"]);
}

#[test]
fn failures_are_listed_and_the_rest_is_copied() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("tree/inside")).unwrap();
        fs::create_dir_all(at("into/tree/taken-by-a-folder")).unwrap();
        for name in ["fine", "inside/fine", "taken-by-a-folder", "taken-by-a-fifo"] {
            fs::write(at("tree").join(name), name).unwrap();
        }
        fs::create_dir(at("tree/taken-by-a-file")).unwrap();
        fs::write(at("into/tree/taken-by-a-file"), "old").unwrap();
        let fifo =
            |path: &Path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
        fifo(&at("tree/inside/fifo"));
        fifo(&at("into/tree/taken-by-a-fifo"));
        let _listener = UnixListener::bind(at("tree/socket")).unwrap();
        let output = copy(port, folder.path(), &["missing", "tree", "/dev/null", "into"]);
        let (stdout, stderr) = text(&output);
        assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
        assert!(stdout.starts_with("2 files, "), "{stdout}");
        assert!(stdout.contains("; 7 failures"), "{stdout}");
        for line in [
            "failed: missing: cannot be opened: No such file or directory",
            "failed: tree/inside/fifo: is a FIFO, which is not copied",
            "failed: tree/socket: is a socket, which is not copied",
            "failed: /dev/null: is a device, which is not copied",
            "failed: tree/taken-by-a-folder: into/tree/taken-by-a-folder exists and is a folder",
            "failed: tree/taken-by-a-file: into/tree/taken-by-a-file exists and is not a folder",
            "failed: tree/taken-by-a-fifo: into/tree/taken-by-a-fifo exists and is a FIFO, a",
            "  FIFOs, sockets and devices are created anew with --archive.",
        ] {
            assert!(stderr.contains(line), "{line} is missing in\n{stderr}");
        }
        for name in ["fine", "inside/fine"] {
            assert_eq!(fs::read_to_string(at("into/tree").join(name)).unwrap(), name);
        }
        assert_eq!(fs::read_to_string(at("into/tree/taken-by-a-file")).unwrap(), "old");
    });
}

#[test]
fn existing_files_are_replaced_kept_or_protected() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("into")).unwrap();
        for name in ["one", "two"] {
            fs::write(at(name), "new").unwrap();
        }
        fs::write(at("into/one"), "old").unwrap();
        fs::write(at("elsewhere"), "untouched").unwrap();
        symlink("../elsewhere", at("into/two")).unwrap();
        let output = copy(port, folder.path(), &["--no-clobber", "one", "two", "into"]);
        assert_eq!(output.status.code(), Some(0));
        assert!(
            text(&output).0.contains("0 files") && text(&output).0.contains("; 2 existed already")
        );
        assert_eq!(fs::read_to_string(at("into/one")).unwrap(), "old");
        let output = copy(port, folder.path(), &["one", "two", "into"]);
        assert_eq!(output.status.code(), Some(0));
        for name in ["into/one", "into/two"] {
            assert_eq!(fs::read_to_string(at(name)).unwrap(), "new");
        }
        assert_eq!(fs::read_to_string(at("elsewhere")).unwrap(), "untouched", "not through a link");
        assert_eq!(names(&at("into")), ["one", "two"]);
        let output = copy(port, folder.path(), &["--force", "--no-clobber", "one", "into"]);
        assert_eq!(output.status.code(), Some(2));
    });
}

#[test]
fn a_file_is_never_copied_onto_itself() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "precious").unwrap();
        fs::hard_link(at("file"), at("same")).unwrap();
        symlink("file", at("link")).unwrap();
        for arguments in [["file", "file"], ["file", "."], ["file", "same"], ["link", "link"]] {
            let output = copy(port, folder.path(), &arguments);
            assert_eq!(output.status.code(), Some(1), "{arguments:?}");
            assert!(text(&output).1.contains("the same file"), "{:?}", text(&output));
        }
        assert_eq!(fs::read_to_string(at("file")).unwrap(), "precious");
        assert_eq!(names(folder.path()), ["file", "link", "same"]);
    });
}

#[test]
fn set_id_bits_of_another_owner_are_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tool");
    fs::write(&path, "#!").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o6755)).unwrap();
    let output = copy("poll", folder.path(), &["tool", "copy"]);
    assert_eq!(output.status.code(), Some(0));
    let mode = fs::metadata(folder.path().join("copy")).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o755);
}

#[test]
fn permission_errors_are_reported_with_a_remedy() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(at("tree/locked")).unwrap();
        fs::create_dir(at("into")).unwrap();
        fs::write(at("tree/fine"), "fine").unwrap();
        fs::write(at("tree/protected"), "new").unwrap();
        fs::write(at("into/protected"), "old").unwrap();
        fs::write(at("tree/secret"), "secret").unwrap();
        fs::create_dir(at("closed")).unwrap();
        for (name, mode) in [
            ("tree/secret", 0o000),
            ("tree/locked", 0o000),
            ("into/protected", 0o444),
            ("into", 0o777),
            ("closed", 0o555),
        ] {
            fs::set_permissions(at(name), Permissions::from_mode(mode)).unwrap();
        }
        let Some(mut command) = as_nobody(port, folder.path(), &["tree/.", "into"]) else { return };
        let output = command.output().unwrap();
        let (stdout, stderr) = text(&output);
        assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
        for line in [
            "failed: tree/secret: cannot be opened: Permission denied",
            "failed: tree/locked: cannot be opened: Permission denied",
            "failed: tree/protected: into/protected exists and is write-protected",
            "  Ask its owner for `chmod +r`",
            "  --force also replaces write-protected files",
        ] {
            assert!(stderr.contains(line), "{line} is missing in\n{stderr}");
        }
        assert_eq!(fs::read_to_string(at("into/fine")).unwrap(), "fine");
        assert_eq!(fs::read_to_string(at("into/protected")).unwrap(), "old");
        let arguments = ["--force", "tree/protected", "into"];
        let output = as_nobody(port, folder.path(), &arguments).unwrap().output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{:?}", text(&output));
        assert_eq!(fs::read_to_string(at("into/protected")).unwrap(), "new");
        let output =
            as_nobody(port, folder.path(), &["tree/fine", "closed"]).unwrap().output().unwrap();
        assert!(text(&output).1.contains("Choose a DST that you may write to"));
        // So that a user who is not root can remove the temporary folder.
        fs::set_permissions(at("tree/locked"), Permissions::from_mode(0o755)).unwrap();
    });
}

#[test]
fn a_full_disk_fails_what_does_not_fit_and_leaves_no_part_of_it() {
    on_each_port(|port| {
        for named in ["", "1"] {
            let folder = tempfile::tempdir().unwrap();
            let at = |name: &str| folder.path().join(name);
            fs::create_dir(at("tree")).unwrap();
            fs::create_dir(at("into")).unwrap();
            for i in 0..6 {
                fs::write(at("tree").join(format!("small-{i}")), bytes(i, 1000)).unwrap();
                fs::write(at("tree").join(format!("medium-{i}")), bytes(i, 700_000)).unwrap();
                fs::write(at("tree").join(format!("large-{i}")), bytes(i, 3_000_000)).unwrap();
            }
            let script = format!(
                "mount -t tmpfs -o size=2m none into && {{ {} --port {port} copy tree into; \
                 echo \"exit $?\"; for f in into/tree/*; do cmp $f tree/${{f##*/}} || echo BAD $f; \
                 done; ls -A into/tree; }}",
                common::PROGRAM
            );
            let mut command = Command::new("unshare");
            command.args(["-rm", "sh", "-c", &script]).current_dir(folder.path());
            if !named.is_empty() {
                command.env("OVERLAPPED_COPY_NAMED", named);
            }
            let output = command.output().unwrap();
            let (stdout, stderr) = text(&output);
            if !stdout.contains("exit") {
                println!("SKIPPED: a full disk, which takes a mount: {stderr}");
                return;
            }
            assert!(stdout.contains("exit 1"), "{stdout}{stderr}");
            assert!(
                stderr.contains("the copy cannot be written: No space left on device"),
                "{stderr}"
            );
            assert!(stderr.contains("  The destination is full: free"), "{stderr}");
            assert!(!stdout.contains("BAD"), "{stdout}");
            assert!(!stdout.contains("overlapped-"), "{stdout}");
            assert!(stdout.contains("small-"), "{stdout}");
        }
    });
}

#[test]
fn a_file_that_grows_meanwhile_is_copied_as_it_was_and_named() {
    on_each_port(|port| {
        for options in [&[][..], &["--verify"]] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("growing");
            let length = 60 << 20;
            let contents = bytes(1, length);
            fs::write(&path, &contents).unwrap();
            fs::write(folder.path().join("calm"), "calm").unwrap();
            fs::create_dir(folder.path().join("into")).unwrap();
            let (enough, grown) = (AtomicBool::new(false), AtomicBool::new(false));
            thread::scope(|scope| {
                scope.spawn(|| {
                    let mut file = File::options().append(true).open(&path).unwrap();
                    while !enough.load(Ordering::Relaxed) {
                        file.write_all(&[7; 100]).unwrap();
                        grown.store(true, Ordering::Relaxed);
                        thread::sleep(std::time::Duration::from_micros(200));
                    }
                });
                while !grown.load(Ordering::Relaxed) {
                    thread::yield_now();
                }
                let arguments = [options, &["growing", "calm", "into"]].concat();
                let output = copy(port, folder.path(), &arguments);
                enough.store(true, Ordering::Relaxed);
                let (stdout, stderr) = text(&output);
                assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
                assert!(
                    stdout.contains("2 files") && stdout.contains("; 1 file changed"),
                    "{stdout}"
                );
                let message = "changed during the copy: growing: it had ";
                assert!(stderr.contains(message), "{stderr}");
                assert!(stderr.contains("it again when no program writes to it."), "{stderr}");
            });
            assert_eq!(names(&folder.path().join("into")), ["calm", "growing"]);
            let copy = fs::read(folder.path().join("into/growing")).unwrap();
            assert!(copy[..length] == contents && copy[length..].iter().all(|&byte| byte == 7));
            assert_eq!((copy.len() - length) % 100, 0, "an appended piece is cut");
        }
    });
}

#[test]
fn names_that_steer_a_terminal_are_escaped() {
    let folder = tempfile::tempdir().unwrap();
    let name = "\u{1b}[2J\u{1b}]0;owned\u{7}\nfailed: all";
    let option = format!("--{name}");
    fs::create_dir(folder.path().join("into")).unwrap();
    fs::create_dir_all(folder.path().join("into").join(name)).unwrap();
    fs::write(folder.path().join(name), "x").unwrap();
    for arguments in [
        &[name, "into"][..],
        &["into", name, name],
        &["into", &format!("{name}/x/y")],
        &[&option, "into"],
    ] {
        let output = copy("poll", folder.path(), arguments);
        let (stdout, stderr) = text(&output);
        assert!(matches!(output.status.code(), Some(1 | 2)), "{stdout}{stderr}");
        assert!(stderr.contains(r"\x1b[2J\x1b]0;owned\x07\x0afailed: all"), "{stderr}");
        let harmless = |text: &str| text.bytes().all(|byte| byte == b'\n' || byte >= b' ');
        assert!(harmless(&stdout) && harmless(&stderr), "{stdout:?}{stderr:?}");
    }
}

#[test]
fn a_reader_of_the_name_sees_the_old_file_or_the_new_one() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let contents = [bytes(1, 5_000_000), bytes(2, 5_000_000)];
        for (i, contents) in contents.iter().enumerate() {
            fs::write(folder.path().join(i.to_string()), contents).unwrap();
        }
        fs::copy(folder.path().join("0"), folder.path().join("name")).unwrap();
        let enough = AtomicBool::new(false);
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut looks = 0;
                while !enough.load(Ordering::Relaxed) {
                    let seen = fs::read(folder.path().join("name")).unwrap();
                    assert!(contents.contains(&seen), "{} bytes", seen.len());
                    looks += 1;
                }
                looks
            });
            for i in 0..10 {
                let from = (i % 2).to_string();
                let output = copy(port, folder.path(), &[&from, "name"]);
                assert_eq!(output.status.code(), Some(0));
            }
            enough.store(true, Ordering::Relaxed);
            assert!(reader.join().unwrap() > 3);
        });
        assert_eq!(names(folder.path()), ["0", "1", "name"]);
    });
}

#[test]
fn any_number_of_jobs_copies_all_of_many() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let mut deep = folder.path().join("tree");
        fs::create_dir(&deep).unwrap();
        for i in 0..700 {
            fs::write(deep.join(format!("file-{i}")), bytes(i, i as usize)).unwrap();
        }
        for i in 0..150 {
            deep.push("d");
            fs::create_dir(&deep).unwrap();
            fs::write(deep.join("file"), [i]).unwrap();
        }
        for jobs in ["1", "2", "40"] {
            let target = format!("copy-{jobs}");
            let output = copy(port, folder.path(), &["--jobs", jobs, "tree", &target]);
            let (stdout, stderr) = text(&output);
            assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
            assert!(stdout.starts_with("850 files, ") && stdout.contains("; 151 folders"));
            let (before, after) =
                (describe(&folder.path().join("tree")), describe(&folder.path().join(target)));
            assert!(before == after);
        }
    });
}

#[test]
fn few_descriptors_are_enough_for_a_wide_tree() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..300 {
        let path = folder.path().join(format!("tree/a{i}/b/c"));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("file"), [7; 100]).unwrap();
    }
    let script = format!("ulimit -n 64 && exec {} copy --jobs 4 tree copy", common::PROGRAM);
    let output =
        Command::new("sh").args(["-c", &script]).current_dir(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{:?}", text(&output));
    assert!(text(&output).0.starts_with("300 files"), "{:?}", text(&output));
}

#[test]
fn data_and_holes_are_counted_apart() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        for (name, length) in [("small", 600_000_u64), ("large", 64 << 20)] {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_len(length).unwrap();
            file.write_all_at(b"data", 0).unwrap();
            if file.metadata().unwrap().blocks() > 100 {
                println!("SKIPPED: holes: this file system has none");
                return;
            }
        }
        for (name, message) in [("small", " of holes\n"), ("large", "; 64.00 MiB of holes\n")] {
            let output = copy(port, folder.path(), &[name, &format!("{name} copy")]);
            let (stdout, stderr) = text(&output);
            assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
            let bytes = stdout.split(" in ").next().unwrap().to_owned();
            assert!(bytes.starts_with("1 file, ") && bytes.ends_with("KiB"), "{stdout}");
            assert!(stdout.ends_with(message), "{stdout}");
        }
    });
}
