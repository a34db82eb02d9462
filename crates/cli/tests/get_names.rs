//! `overlapped get`: a name belongs to a URL, in later runs, too.

mod common;
mod site;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use common::{on_each_port, text};
use site::{Site, answer, get, names};

fn results(output: &std::process::Output) -> (Option<i32>, String, String) {
    let (stdout, stderr) = text(output);
    (output.status.code(), stdout, stderr)
}

const REPORT: &str = "Content-Disposition: attachment; filename=report.pdf\r\n";

/// Starts a server that answers with the path, under the name report.pdf; `/a` fails on demand.
fn site_of_reports() -> (Site, Arc<AtomicBool>) {
    let is_broken = Arc::new(AtomicBool::new(false));
    let fails = is_broken.clone();
    let site = Site::start(move |request, out| match request.path.as_str() {
        "/a" if fails.load(SeqCst) => answer(out, "500 Internal Server Error", "", b"sorry"),
        path => answer(out, "200 OK", REPORT, path.as_bytes()),
    });
    (site, is_broken)
}

/// Returns the names and contents of the folder's files, sorted.
fn contents(folder: &Path) -> Vec<(String, String)> {
    let read = |name: String| (name.clone(), fs::read_to_string(folder.join(name)).unwrap());
    names(folder).into_iter().map(read).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn the_file_of_one_url_is_never_taken_for_that_of_another() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let (site, is_broken) = site_of_reports();
        let (a, b) = (site.url("/a"), site.url("/b"));
        is_broken.store(true, SeqCst);
        let (code, ..) = results(&get(port, folder.path(), &["--retries", "0", &a, &b]));
        assert_eq!(code, Some(1));
        assert_eq!(contents(folder.path()), pairs(&[("report.pdf", "/b")]));

        is_broken.store(false, SeqCst);
        let (code, stdout, stderr) =
            results(&get(port, folder.path(), &["--resume", "-j1", &a, &b]));
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        let both = pairs(&[("report-1.pdf", "/a"), ("report.pdf", "/b")]);
        assert_eq!(contents(folder.path()), both, "{stdout}{stderr}");
        assert_eq!(site.requests_for("/b").len(), 1, "it was there");
        assert!(stdout.contains("exists  report.pdf\n"), "{stdout}");

        // In another order, and one by one.
        for urls in [&[&b, &a][..], &[&a], &[&b]] {
            let mut arguments = vec!["--resume"];
            arguments.extend(urls.iter().map(|url| url.as_str()));
            let (code, stdout, stderr) = results(&get(port, folder.path(), &arguments));
            assert_eq!(code, Some(0), "{stdout}{stderr}");
            assert_eq!(contents(folder.path()), both, "{stdout}{stderr}");
        }
        assert_eq!(site.requests().len(), 3, "neither was asked for again");
    });
}

#[test]
fn names_from_urls_belong_to_them_whatever_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(|request, out| answer(out, "200 OK", "", request.path.as_bytes()));
    let (a, b) = (site.url("/a/x"), site.url("/b/x"));
    assert_eq!(get("poll", folder.path(), &[&a]).status.code(), Some(0));
    let (code, stdout, stderr) = results(&get("poll", folder.path(), &["--resume", &b, &a]));
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert_eq!(contents(folder.path()), pairs(&[("x", "/a/x"), ("x-1", "/b/x")]));
    // A name given by the user is not replaced by another one.
    let (code, _, stderr) = results(&get("poll", folder.path(), &["--resume", "-o", "x", &b]));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("x was saved from another URL; --overwrite"), "{stderr}");
    // A removed file is downloaded again, under its name.
    fs::remove_file(folder.path().join("x-1")).unwrap();
    assert_eq!(get("poll", folder.path(), &["--resume", &a, &b]).status.code(), Some(0));
    assert_eq!(contents(folder.path()), pairs(&[("x", "/a/x"), ("x-1", "/b/x")]));
}

#[test]
fn only_own_files_are_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let (site, is_broken) = site_of_reports();
    let (a, b) = (site.url("/a"), site.url("/b"));
    assert_eq!(get("poll", folder.path(), &[&b]).status.code(), Some(0));
    let (code, stdout, stderr) =
        results(&get("poll", folder.path(), &["--overwrite", "-j1", &a, &b]));
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let both = pairs(&[("report-1.pdf", "/a"), ("report.pdf", "/b")]);
    assert_eq!(contents(folder.path()), both);
    is_broken.store(true, SeqCst);
    assert_eq!(get("poll", folder.path(), &["--overwrite", &a, &b]).status.code(), Some(1));
    assert_eq!(contents(folder.path()), both);
}

#[test]
fn a_file_shorter_than_recorded_is_incomplete() {
    let folder = tempfile::tempdir().unwrap();
    let (site, _) = site_of_reports();
    let b = site.url("/b");
    assert_eq!(get("poll", folder.path(), &[&b]).status.code(), Some(0));
    fs::OpenOptions::new()
        .write(true)
        .open(folder.path().join("report.pdf"))
        .unwrap()
        .set_len(1)
        .unwrap();
    let (code, _, stderr) = results(&get("poll", folder.path(), &["--resume", &b]));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("report.pdf has 1 byte, and had 2 when it was saved"), "{stderr}");
    assert_eq!(get("poll", folder.path(), &["--overwrite", &b]).status.code(), Some(0));
    assert_eq!(contents(folder.path()), pairs(&[("report.pdf", "/b")]));
}

#[test]
fn only_a_file_counts_as_existing() {
    let folder = tempfile::tempdir().unwrap();
    let (site, _) = site_of_reports();
    let b = site.url("/b");
    fs::create_dir(folder.path().join("report.pdf")).unwrap();
    for flags in [&[][..], &["--resume"], &["--overwrite"]] {
        let (code, _, stderr) = results(&get("poll", folder.path(), &[flags, &[&b]].concat()));
        assert_eq!(code, Some(1), "{flags:?}");
        assert!(stderr.contains("report.pdf is a folder"), "{flags:?} {stderr}");
    }
    fs::remove_dir(folder.path().join("report.pdf")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("report.pdf")).unwrap();
    let (code, _, stderr) = results(&get("poll", folder.path(), &["--resume", &b]));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("report.pdf is a dangling link"), "{stderr}");
}

#[test]
fn names_that_differ_in_case_only_are_one() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(|request, out| answer(out, "200 OK", "", request.path.as_bytes()));
    let (a, b) = (site.url("/README"), site.url("/readme"));
    assert_eq!(get("poll", folder.path(), &["--overwrite", &a, &b]).status.code(), Some(0));
    assert_eq!(contents(folder.path()), pairs(&[("README", "/README"), ("readme-1", "/readme")]));
}

/// ramfs has no extended attributes; a mount namespace needs no privileges.
#[test]
fn a_file_system_without_attributes_gets_a_list_of_its_files() {
    const RUN: &str = "mount -t ramfs none mounted && cd mounted && \
        \"$0\" get -j1 --retries 0 $1 $2; \"$0\" get -j1 --resume $1 $2 && cp -r . ../copied";
    let may_unshare = common::has_client("unshare")
        && std::process::Command::new("unshare")
            .args(["-rm", "mount", "-t", "ramfs", "none", "/mnt"])
            .status()
            .is_ok_and(|status| status.success());
    if !may_unshare {
        println!("SKIPPED: a file system without attributes: no mount namespace for this user");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("mounted")).unwrap();
    let failed = AtomicBool::new(false);
    let site = Site::start(move |request, out| match request.path.as_str() {
        "/a" if !failed.swap(true, SeqCst) => {
            answer(out, "500 Internal Server Error", "", b"sorry")
        }
        path => answer(out, "200 OK", REPORT, path.as_bytes()),
    });
    let mut command = std::process::Command::new("unshare");
    command.args(["-rm", "sh", "-c", RUN, common::PROGRAM, &site.url("/a"), &site.url("/b")]);
    let output = command.current_dir(folder.path()).output().unwrap();
    let (code, stdout, stderr) = results(&output);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let copied = folder.path().join("copied");
    assert_eq!(names(&copied), [".overlapped-get", "report-1.pdf", "report.pdf"]);
    assert_eq!(fs::read(copied.join("report.pdf")).unwrap(), b"/b");
    assert_eq!(fs::read(copied.join("report-1.pdf")).unwrap(), b"/a");
    assert_eq!(site.requests_for("/b").len(), 1);
}
