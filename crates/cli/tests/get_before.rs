//! `overlapped get`: failures before the first byte, and files that may be replaced.

mod common;
mod site;

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use common::{PROGRAM, on_each_port, text};
use site::{Site, answer, get, names};

fn results(output: &std::process::Output) -> (Option<i32>, String, String) {
    let (stdout, stderr) = text(output);
    (output.status.code(), stdout, stderr)
}

#[test]
fn an_existing_file_costs_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(|_, out| answer(out, "200 OK", "", b"new"));
    let (a, b) = (site.url("/a"), site.url("/b"));
    for name in ["mine", "a"] {
        fs::write(folder.path().join(name), "old").unwrap();
    }
    let (code, _, stderr) = results(&get("poll", folder.path(), &["-o", "mine", &a]));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("mine exists; --overwrite replaces it"), "{stderr}");
    // Otherwise everything would be downloaded once before the failure.
    let (code, _, stderr) = results(&get("poll", folder.path(), &["--compare", &b, &a]));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("a exists; --overwrite replaces it"), "{stderr}");
    assert_eq!(site.requests().len(), 0);
    assert_eq!(names(folder.path()), ["a", "mine"]);
    let (code, _, stderr) = results(&get("poll", folder.path(), &["--compare", "--overwrite", &a]));
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"new");
    let output = get("poll", folder.path(), &["--compare", "--resume", &b]);
    assert_eq!(output.status.code(), Some(2), "there would be nothing to compare");
}

#[test]
fn an_unwritable_folder_is_reported_before_a_request() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("closed")).unwrap();
    fs::write(folder.path().join("closed/there"), "x").unwrap();
    let site = Site::start(|_, out| answer(out, "200 OK", "", b"new"));
    let (file, there) = (site.url("/file"), site.url("/there"));
    let run = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", PROGRAM]);
        command.args(["get", "-o", "/proc/self/cwd/closed/"]).args(arguments);
        results(&command.current_dir(folder.path()).output().unwrap())
    };
    // Other users may list it.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(folder.path(), mode).unwrap();
    let works = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", PROGRAM, "--version"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !works {
        println!("SKIPPED: the check as another user, for want of setpriv or of access");
        return;
    }
    let (code, _, stderr) = run(&[&file]);
    assert_eq!(code, Some(1), "{stderr}");
    let message = "cannot write to the folder /proc/self/cwd/closed/: Permission denied; --output";
    assert!(stderr.contains(message), "{stderr}");
    assert_eq!(site.requests().len(), 0);
    // Nothing has to be written.
    let (code, stdout, stderr) = run(&["--resume", &there]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
}

/// Like `curl -o` and `wget -O`; names from a server or a URL do not follow links.
#[test]
fn a_link_that_the_user_names_stays_and_its_file_is_replaced() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let site = Site::start(|_, out| answer(out, "200 OK", "", b"new"));
        fs::create_dir(at("data")).unwrap();
        let reset = || {
            fs::write(at("data/file"), "old").unwrap();
            let _ = fs::remove_file(at("link"));
            symlink("data/file", at("link")).unwrap();
        };
        let url = site.url("/link");
        reset();
        let (code, _, stderr) = results(&get(port, folder.path(), &["-o", "link", &url]));
        assert_eq!(code, Some(1));
        assert!(stderr.contains("link exists; --overwrite replaces it"), "{stderr}");
        let (code, _, stderr) =
            results(&get(port, folder.path(), &["--overwrite", "-o", "link", &url]));
        assert_eq!(code, Some(0), "{stderr}");
        assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink(), "it stays");
        assert_eq!(fs::read(at("data/file")).unwrap(), b"new");
        assert_eq!((names(&at("data")), names(folder.path()).len()), (vec!["file".into()], 2));
        // A name that the user did not give.
        reset();
        assert_eq!(get(port, folder.path(), &["--overwrite", &url]).status.code(), Some(0));
        assert!(fs::symlink_metadata(at("link")).unwrap().is_file());
        assert_eq!(fs::read(at("data/file")).unwrap(), b"old");
        // A dangling link.
        fs::remove_file(at("link")).unwrap();
        symlink("nowhere", at("link")).unwrap();
        let output = get(port, folder.path(), &["--overwrite", "-o", "link", &url]);
        assert_eq!(output.status.code(), Some(0));
        assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink(), "it stays");
        assert_eq!(fs::read(at("nowhere")).unwrap(), b"new");
        // Over several links, into another folder, which may be missing.
        for (end, code) in [("data/made", 0), ("missing/made", 1)] {
            let _ = fs::remove_file(at("data/next"));
            let _ = fs::remove_file(at("link"));
            symlink(at(end), at("data/next")).unwrap();
            symlink("data/next", at("link")).unwrap();
            let output = get(port, folder.path(), &["--overwrite", "-o", "link", &url]);
            assert_eq!(output.status.code(), Some(code), "{end}: {:?}", results(&output));
            assert_eq!(at(end).exists(), code == 0);
            assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink(), "it stays");
        }
    });
}
