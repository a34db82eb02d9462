//! `overlapped copy` on file systems that fail late, report false values, or lack attributes.

mod common;
mod mounts;
mod trees;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use testkit::{report, wait_until};

use common::{PROGRAM, has_client, on_each_port, text};
use mounts::{Faulty, in_a_namespace};
use trees::{as_nobody, bytes, copy, copy_command, describe, names};

/// Creates four files. Those of 65,536 bytes and of 3 MiB end at page boundaries.
fn tree(folder: &Path) {
    fs::create_dir_all(folder.join("sub")).unwrap();
    for (i, length) in (0..).zip([1, 65_536, 100_000, 3 << 20]) {
        fs::write(folder.join("sub").join(format!("of {length}")), bytes(i, length)).unwrap();
    }
}

#[test]
fn t1_errors_of_closing_or_syncing_a_copy_are_failures() {
    on_each_port(|port| {
        let mut checked = 0;
        for (fault, options, message) in [
            (
                "close=ENOSPC",
                &[][..],
                "the copy cannot be written completely: No space left on device",
            ),
            ("close=EIO", &[], "the copy cannot be written completely: Input/output error"),
            ("close=EDQUOT", &["-a"], "the copy cannot be written completely: Disk quota exceeded"),
            (
                "fsync=EIO",
                &["--sync"],
                "the copy cannot be written to the disk: Input/output error",
            ),
            (
                "fsync=ENOSPC",
                &["--verify"],
                "the copy cannot be written to the disk: No space left",
            ),
            ("write=ENOSPC", &[], "the copy cannot be written: No space left on device"),
            ("one-name rename=EIO", &[], "the copy cannot be given its name: Input/output error"),
            (
                "chmod=EIO",
                &[],
                "the copy cannot be given its permissions and times: Input/output error",
            ),
            (
                "utimens=ENOSPC",
                &["-a"],
                "the copy cannot be given its permissions and times: No space left",
            ),
        ] {
            let folder = tempfile::tempdir().unwrap();
            tree(&folder.path().join("tree"));
            let faults: Vec<_> = fault.split(' ').collect();
            let Some(faulty) = Faulty::mount(folder.path(), &faults) else { return };
            let output = copy(port, folder.path(), &[options, &["tree", "mount"]].concat());
            let (stdout, stderr) = text(&output);
            assert_eq!(output.status.code(), Some(1), "{fault}: {stdout}{stderr}");
            // Some calls also fail for the two folders.
            let failed = stderr.matches(message).count();
            assert!(failed == 4 || failed == 6, "{fault}: {stdout}{stderr}");
            assert!(stdout.starts_with("0 files"), "{stdout}");
            assert_eq!(names(&faulty.back.join("tree/sub")), [""; 0], "none has a name");
            checked += 4;
        }
        let figure = format!("late errors of writing on {port}, each reported, no copy named");
        report("T1", checked, &figure);
    });
}

#[test]
fn t1_a_failing_close_of_an_unnamed_file_is_a_failure() {
    if !has_client("strace") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("tree")).unwrap();
    for i in 0..64 {
        fs::write(folder.path().join(format!("tree/{i}")), "x").unwrap();
    }
    // Counted per thread: the copying thread closes more than fifty files, others fewer.
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "trace", "-e", "trace=close"]);
    command.args(["-e", "inject=close:error=EIO:when=50+", PROGRAM, "--port", "poll", "copy"]);
    let output = command.args(["tree", "copy"]).current_dir(folder.path()).output().unwrap();
    let (stdout, stderr) = text(&output);
    if stderr.contains("ptrace") {
        println!("SKIPPED: errors of close by strace: {stderr}");
        return;
    }
    assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
    let failed =
        stderr.matches("the copy cannot be written completely: Input/output error").count();
    assert!(failed > 0, "{stdout}{stderr}");
    assert_eq!(names(&folder.path().join("copy")).len(), 64 - failed, "{stdout}{stderr}");
}

#[test]
fn t1_a_device_that_corrupts_what_is_written_does_not_pass_verify() {
    on_each_port(|port| {
        let mut found = 0;
        for options in [&["--verify"][..], &["--verify", "--sync"]] {
            let folder = tempfile::tempdir().unwrap();
            let at = |name: &str| folder.path().join(name);
            fs::create_dir(at("tree")).unwrap();
            for (i, length) in (0..).zip([4_096, 65_536, 8 << 20]) {
                fs::write(at("tree").join(length.to_string()), bytes(i, length)).unwrap();
            }
            let Some(faulty) = Faulty::mount(folder.path(), &["corrupt"]) else { return };
            let output = copy(port, folder.path(), &[options, &["tree", "mount"]].concat());
            let (stdout, stderr) = text(&output);
            assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
            assert_eq!(stderr.matches("the copy differs at byte").count(), 3, "{stdout}{stderr}");
            assert_eq!(names(&faulty.back.join("tree")), [""; 0]);
            found += 3;
        }
        let figure = format!("copies corrupted below the page cache on {port}, all found");
        report("T1", found, &figure);
    });
}

/// Files whose stated length is false: 0 in /proc, 4096 in /sys. They rarely change, unlike
/// `/proc/cpuinfo` (the clock rates) and `/sys/kernel/uevent_seqnum` (which each mount increments).
const FALSE_LENGTHS: [&str; 5] = [
    "/proc/version",
    "/proc/filesystems",
    "/proc/kallsyms",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/kernel/fscaps",
];

/// Runs a copy of `path`, again if the file has changed meanwhile: such a copy proves nothing.
/// Returns the contents, too.
fn copy_unchanged(port: &str, folder: &Path, path: &str, arguments: &[&str]) -> (Vec<u8>, Output) {
    for _ in 0..20 {
        let before = fs::read(path).unwrap();
        let output = copy(port, folder, arguments);
        if fs::read(path).unwrap() == before {
            return (before, output);
        }
    }
    panic!("void: {path} changes all the time")
}

#[test]
fn t1_files_are_read_to_their_end_whatever_they_claim() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let mut checked = 0;
        for path in FALSE_LENGTHS {
            if !Path::new(path).exists() {
                println!("SKIPPED: {path}, which is not there");
                continue;
            }
            for options in [&["--force"][..], &["--force", "--verify"]] {
                let arguments = [options, &[path, "copy of it"]].concat();
                let (before, output) = copy_unchanged(port, folder.path(), path, &arguments);
                let (stdout, stderr) = text(&output);
                assert_eq!(output.status.code(), Some(0), "{path}: {stdout}{stderr}");
                let copied = fs::read(folder.path().join("copy of it")).unwrap();
                assert!(!copied.is_empty(), "{path}");
                assert!(copied == before, "{path}: {} of {}", copied.len(), before.len());
                checked += 1;
            }
        }
        let Some(faulty) = Faulty::mount(folder.path(), &["hidden-size"]) else { return };
        tree(&faulty.back.join("tree"));
        let output = copy(port, folder.path(), &["mount/tree", "copy"]);
        assert_eq!(output.status.code(), Some(0), "{:?}", text(&output));
        for length in [1, 65_536, 100_000, 3 << 20] {
            let name = format!("sub/of {length}");
            let contents = fs::read(folder.path().join("copy").join(&name)).unwrap();
            assert!(contents == fs::read(faulty.back.join("tree").join(&name)).unwrap());
            checked += 1;
        }
        report("T1", checked, &format!("files of a false length on {port}, all complete"));
    });
}

#[test]
fn a_copy_ends_if_links_are_not_counted() {
    on_each_port(|port| {
        for options in [&[][..], &["-a"]] {
            let folder = tempfile::tempdir().unwrap();
            let sub = folder.path().join("tree/sub");
            tree(&folder.path().join("tree"));
            fs::hard_link(sub.join("of 1"), sub.join("twin")).unwrap();
            let Some(faulty) = Faulty::mount(folder.path(), &["no-links"]) else { return };
            // The second time they are replaced.
            for round in 0..2 {
                let mut command =
                    copy_command(port, folder.path(), &[options, &["tree", "mount"]].concat());
                command.stdout(Stdio::piped()).stderr(Stdio::piped());
                let mut child = command.spawn().unwrap();
                let ended = format!("the copy of round {round} ends");
                wait_until(&ended, || child.try_wait().unwrap().is_some());
                let output = child.wait_with_output().unwrap();
                assert_eq!(output.status.code(), Some(0), "{:?}", text(&output));
                assert_eq!(
                    names(&faulty.back.join("tree/sub")).len(),
                    5,
                    "no temporary file is left"
                );
            }
        }
    });
}

#[test]
fn attributes_that_the_destination_cannot_keep_are_reported_once() {
    on_each_port(|port| {
        for options in [&[][..], &["-a"]] {
            let folder = tempfile::tempdir().unwrap();
            tree(&folder.path().join("tree"));
            let Some(faulty) = Faulty::mount(folder.path(), &["plain"]) else { return };
            let output = copy(port, folder.path(), &[options, &["tree", "mount"]].concat());
            let (stdout, stderr) = text(&output);
            assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
            for what in ["the permissions, of 6 copies", "the times, of 6 copies"] {
                assert_eq!(stderr.matches(&format!("not kept: {what}: ")).count(), 1, "{stderr}");
            }
            assert_eq!(stderr.lines().count(), 2, "{stderr}");
            assert_eq!(names(&faulty.back.join("tree/sub")).len(), 4);
        }
    });
}

#[test]
fn a_file_that_is_a_mount_point_is_written_to() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, length) in [("small", 1000), ("large", 3_000_000)] {
            fs::write(at(name), bytes(1, length)).unwrap();
            fs::write(at("bound"), vec![7; 2_000_000]).unwrap();
            fs::write(at("point"), "").unwrap();
            let inode = fs::metadata(at("bound")).unwrap().ino();
            for options in ["", "--verify", "-a", "--sync"] {
                let script = format!(
                    "mount --bind bound point || exit
                     {PROGRAM} --port {port} copy {options} {name} point; echo exit $?"
                );
                let Some((stdout, stderr)) = in_a_namespace(folder.path(), &script) else { return };
                assert!(stdout.contains("exit 0"), "{stdout}{stderr}");
                assert!(fs::read(at("bound")).unwrap() == fs::read(at(name)).unwrap());
                assert_eq!(fs::metadata(at("bound")).unwrap().ino(), inode);
            }
            assert!(names(folder.path()).iter().all(|name| !name.contains("overlapped-")));
        }
    });
}

#[test]
fn a_tree_with_protected_folders_is_copied_again_by_an_ordinary_user() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(at("tree/closed/inner")).unwrap();
        fs::create_dir(at("into")).unwrap();
        fs::write(at("tree/closed/f"), "1").unwrap();
        fs::write(at("tree/closed/inner/f"), "1").unwrap();
        let modes = [("tree/closed/inner", 0o500), ("tree/closed", 0o555), ("into", 0o777)];
        for (name, mode) in modes {
            fs::set_permissions(at(name), Permissions::from_mode(mode)).unwrap();
        }
        fs::set_permissions(at("tree/closed/inner"), Permissions::from_mode(0o555)).unwrap();
        for round in ["1", "2", "3"] {
            let arguments = ["tree", "into"];
            let Some(mut command) = as_nobody(port, folder.path(), &arguments) else { return };
            let output = command.output().unwrap();
            assert_eq!(output.status.code(), Some(0), "round {round}: {:?}", text(&output));
            let (from, to) = (describe(&at("tree")), describe(&at("into/tree")));
            assert!(from == to, "round {round}: {from:?}\n{to:?}");
        }
        for name in
            ["tree/closed", "tree/closed/inner", "into/tree/closed", "into/tree/closed/inner"]
        {
            fs::set_permissions(at(name), Permissions::from_mode(0o755)).unwrap();
        }
    });
}

#[test]
fn copies_are_the_same_without_unnamed_files() {
    let folder = tempfile::tempdir().unwrap();
    tree(&folder.path().join("tree"));
    let mut command = copy_command("poll", folder.path(), &["-a", "tree", "copy"]);
    let output = command.env("OVERLAPPED_COPY_NAMED", "1").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{:?}", text(&output));
    assert!(describe(&folder.path().join("tree")) == describe(&folder.path().join("copy")));
}

#[test]
fn a_source_that_cannot_be_read_to_its_end_gets_no_copy() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let Some(faulty) = Faulty::mount(folder.path(), &["read=EIO"]) else { return };
        tree(&faulty.back.join("tree"));
        let output = copy(port, folder.path(), &["mount/tree", "copy"]);
        let (stdout, stderr) = text(&output);
        assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
        let message = "of 3145728: cannot be read: Input/output error";
        assert!(stderr.contains(message), "{stderr}");
        assert!(!folder.path().join("copy/sub/of 3145728").exists());
        assert!(folder.path().join("copy/sub/of 1").exists(), "the rest goes on");
    });
}
