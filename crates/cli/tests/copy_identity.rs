//! `overlapped copy` with ambiguous names: neither a source nor another copy of the run is lost,
//! whatever leads to it.

mod common;
mod mounts;
mod trees;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use testkit::{report, rounds};

use common::{PROGRAM, on_each_port, text};
use mounts::{Faulty, in_a_namespace};
use trees::{copy, describe, names};

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn t1_a_source_is_never_lost_to_its_own_copy() {
    on_each_port(|port| {
        let mut checked = 0;
        for links in 0..3 {
            let folder = tempfile::tempdir().unwrap();
            let at = |name: &str| folder.path().join(name);
            fs::create_dir(at("sub")).unwrap();
            fs::write(at("a"), "precious").unwrap();
            symlink("a", at("link")).unwrap();
            symlink("link", at("chain")).unwrap();
            symlink("../a", at("sub/a")).unwrap();
            fs::hard_link(at("a"), at("hard")).unwrap();
            fs::hard_link(at("a"), at("sub/hard")).unwrap();
            let before = describe(folder.path());
            for arguments in [
                ["link", "a"],
                ["chain", "a"],
                ["sub/a", "a"],
                ["sub/a", "."],
                ["a", "link"],
                ["a", "chain"],
                ["a", "sub"],
                ["a", "a"],
                ["a", "hard"],
                ["hard", "sub"],
            ] {
                let options = [&[][..], &["--force"], &["-a"]][links];
                let output = copy(port, folder.path(), &[options, &arguments].concat());
                let (stdout, stderr) = text(&output);
                assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stdout}{stderr}");
                assert!(stderr.contains("source and target are the same file"), "{stderr}");
                assert!(describe(folder.path()) == before, "{arguments:?} changed something");
                checked += 1;
            }
        }
        report("T1", checked, &format!("copies onto their sources on {port}, all refused"));
    });
}

#[test]
fn a_merged_tree_is_not_copied_into_its_own_source() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("x/x")).unwrap();
        fs::write(at("x/f"), "outer").unwrap();
        fs::write(at("x/x/f"), "inner").unwrap();
        fs::write(at("x/g"), "other").unwrap();
        let output = copy(port, folder.path(), &["x/.", "."]);
        let (stdout, stderr) = text(&output);
        assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
        assert!(
            stderr.contains("failed: x/x: x is another source, which is not replaced"),
            "{stderr}"
        );
        assert_eq!((read(at("x/f")), read(at("x/x/f"))), ("outer".into(), "inner".into()));
        assert_eq!((read(at("f")), read(at("g"))), ("outer".into(), "other".into()));
        // A link inside the target leads into the source.
        fs::create_dir_all(at("tree/sub")).unwrap();
        fs::create_dir_all(at("into/tree")).unwrap();
        fs::write(at("tree/sub/f"), "precious").unwrap();
        symlink("../../tree/sub", at("into/tree/sub")).unwrap();
        let output = copy(port, folder.path(), &["tree", "into"]);
        assert_eq!(output.status.code(), Some(1), "{:?}", text(&output));
        assert_eq!(read(at("tree/sub/f")), "precious");
    });
}

#[test]
fn a_bind_mount_of_a_source_is_the_source() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let copy = format!("{PROGRAM} --port {port} copy");
        for name in ["tree/one", "tree/two", "into/tree/one", "whole", "part", "at/two"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        fs::write(at("tree/one/f"), "1").unwrap();
        fs::write(at("tree/two/f"), "2").unwrap();
        fs::write(at("file"), "file").unwrap();
        fs::write(at("bound"), "").unwrap();
        // The whole source; a part of it, under its own and under another name; a file.
        let script = format!(
            "mount --bind tree whole && mount --bind tree/one into/tree/one || exit
             mount --bind tree/one at/two && mount --bind tree/two part && mount --bind file bound
             {copy} tree/. whole; echo exit $?
             {copy} tree whole; echo exit $?
             {copy} tree into; echo exit $?
             {copy} tree/. at; echo exit $?
             {copy} tree/. part; echo exit $?
             {copy} file bound; echo exit $?"
        );
        let Some((stdout, stderr)) = in_a_namespace(folder.path(), &script) else { return };
        assert_eq!(stdout.matches("exit 1").count(), 6, "{stdout}{stderr}");
        assert!(stderr.contains("cannot copy tree into itself"), "{stderr}");
        assert_eq!((read(at("tree/one/f")), read(at("tree/two/f"))), ("1".into(), "2".into()));
        assert_eq!((names(&at("tree")).len(), names(&at("tree/two")).len()), (2, 1));
        assert_eq!(names(&at("tree/one")), ["f"]);
        assert_eq!(read(at("into/tree/two/f")), "2", "the rest goes on");
        assert_eq!(read(at("file")), "file");
    });
}

#[test]
fn t1_two_sources_with_one_name_on_the_target_are_not_both_copied() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("tree")).unwrap();
        for i in 0..40 {
            fs::write(at("tree").join(format!("README-{i}")), "upper").unwrap();
            fs::write(at("tree").join(format!("readme-{i}")), "lower").unwrap();
        }
        symlink("upper", at("tree/LINK")).unwrap();
        symlink("lower", at("tree/link")).unwrap();
        let Some(faulty) = Faulty::mount(folder.path(), &["fold", "one-name"]) else { return };
        fs::write(at("back/file"), "precious").unwrap();
        let output = copy(port, folder.path(), &["mount/file", "mount/FILE"]);
        assert!(text(&output).1.contains("are the same file"), "{:?}", text(&output));
        assert_eq!(read(at("back/file")), "precious");
        let mut lost = 0;
        for options in [&[][..], &["--verify"], &["-a"], &["--no-clobber"]] {
            // Into a new folder, and over an existing one.
            for is_there in [false, true] {
                if is_there {
                    fs::create_dir(at("back/tree")).unwrap();
                    fs::write(at("back/tree/readme-3"), "old").unwrap();
                }
                let arguments = [options, &["tree", "mount"]].concat();
                let output = copy(port, folder.path(), &arguments);
                let (stdout, stderr) = text(&output);
                assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stdout}{stderr}");
                let message = stderr.matches("was created during this run").count();
                let kept = usize::from(is_there && options == ["--no-clobber"]);
                assert_eq!(message, 41 - kept, "{arguments:?}: {stdout}{stderr}");
                assert_eq!(names(&at("back/tree")).len(), 41, "and no temporary file");
                fs::remove_dir_all(at("back/tree")).unwrap();
                lost += message;
            }
        }
        drop(faulty);
        report("T1", lost, &format!("names that fold on {port}, each reported, none lost"));
    });
}

#[test]
fn sources_that_meet_in_one_folder_do_not_replace_each_other() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["a/sub", "b/sub", "old/sub"] {
            fs::create_dir_all(at(name)).unwrap();
            fs::write(at(name).join("both"), name).unwrap();
            fs::write(at(name).join(&name[..1]), name).unwrap();
        }
        fs::create_dir(at("new")).unwrap();
        for target in ["new", "old"] {
            let output = copy(port, folder.path(), &["a/.", "b/.", target]);
            let (stdout, stderr) = text(&output);
            assert_eq!(output.status.code(), Some(1), "{target}: {stdout}{stderr}");
            let line = format!("sub/both: {target}/sub/both was created during this run");
            assert_eq!(stderr.matches(&line).count(), 1, "{stderr}");
        }
        assert_eq!(names(&at("new/sub")), ["a", "b", "both"]);
        assert_eq!(names(&at("old/sub")), ["a", "b", "both", "o"]);
        // Two folders of the target are one.
        fs::create_dir_all(at("tree/one")).unwrap();
        fs::create_dir_all(at("tree/two")).unwrap();
        fs::create_dir_all(at("into/one")).unwrap();
        fs::create_dir_all(at("into/two")).unwrap();
        fs::write(at("tree/one/f"), "1").unwrap();
        fs::write(at("tree/two/f"), "2").unwrap();
        let script = format!(
            "mount --bind into/one into/two || exit
             {PROGRAM} --port {port} copy tree/. into; echo exit $?"
        );
        let Some((stdout, stderr)) = in_a_namespace(folder.path(), &script) else { return };
        assert!(stdout.contains("exit 1"), "{stdout}{stderr}");
        assert!(stderr.contains("was created during this run"), "{stderr}");
    });
}

#[test]
fn a_folder_made_by_one_source_is_known_to_the_next() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for source in 0..4 {
            for sub in 0..50 {
                let name = format!("{source}/sub-{sub}");
                fs::create_dir_all(at(&name)).unwrap();
                fs::write(at(&name).join("both"), &name).unwrap();
            }
        }
        for _ in 0..rounds(5, 100) {
            fs::create_dir(at("into")).unwrap();
            let output = copy(port, folder.path(), &["-j8", "0/.", "1/.", "2/.", "3/.", "into"]);
            let (stdout, stderr) = text(&output);
            assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
            assert!(stdout.starts_with("50 files"), "{stdout}");
            assert_eq!(stderr.matches("was created during this run").count(), 150);
            fs::remove_dir_all(at("into")).unwrap();
        }
    });
}
