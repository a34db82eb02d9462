//! `overlapped get`: lists with names and checksums.

mod common;
mod site;

use std::fs;

use common::{on_each_port, text};
use site::{Site, Then, answer, answer_cut, answer_range, bytes, get, get_with_input, names};

const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const WHOLE: usize = 300_000;

fn results(output: &std::process::Output) -> (Option<i32>, String, String) {
    let (stdout, stderr) = text(output);
    (output.status.code(), stdout, stderr)
}

fn checksum(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_list_gives_names_and_checksums_to_its_urls() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let site = Site::start(|request, out| {
            let fields = "Content-Disposition: attachment; filename=proposed\r\n";
            answer(out, "200 OK", fields, request.path.as_bytes())
        });
        let sum = checksum(b"/sum");
        let lines = [
            format!("{}\tgiven name.txt", site.url("/named")),
            // The name in its URL belongs to the line below.
            site.url("/taken"),
            format!("{}\tproposed\t{}", site.url("/both"), checksum(b"/both").to_uppercase()),
            format!("{}\t\t{sum}", site.url("/sum")),
            format!("{}\t../escaped", site.url("/escaped")),
            format!("{}\tgiven name.txt", site.url("/again")),
            format!("{}\tother", site.url("/named")),
            format!("{}\tbroken\t{}", site.url("/broken"), &sum[1..]),
            format!("{}\twrong\t{sum}", site.url("/wrong")),
            site.url("/both"),
        ];
        let arguments = ["-o", "into/", "-j1", "-i", "-"];
        let output = get_with_input(port, folder.path(), &arguments, &lines.join("\n"));
        let (code, stdout, stderr) = results(&output);
        assert_eq!(code, Some(1), "{stdout}{stderr}");
        let into = folder.path().join("into");
        assert_eq!(names(&into), ["given name.txt", "proposed", "proposed-1", "proposed-2"]);
        for (name, contents) in [("given name.txt", "/named"), ("proposed", "/both")] {
            assert_eq!(fs::read_to_string(into.join(name)).unwrap(), contents);
        }
        let failed: Vec<_> = stderr.lines().filter(|line| line.starts_with("failed")).collect();
        for (line, message) in failed.iter().zip([
            "/escaped: its name in line 5 of the list is not a plain file name",
            "/again: the list gives the name given name.txt to two URLs",
            "/named: the list has this URL twice, and gives it a name or a checksum",
            "/broken: its checksum in line 8 of the list is malformed: a SHA-256 has 64 hexa",
            "/wrong: the SHA-256 is ",
            "/both: the list has this URL twice, and gives it a name or a checksum",
        ]) {
            assert!(line.contains(message), "{line}");
        }
        assert_eq!(failed.len(), 6, "{stderr}");
    });
}

#[test]
fn two_urls_on_one_line_are_reported_with_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(|_, out| answer(out, "200 OK", "", b"x"));
    let (a, b) = (site.url("/a"), site.url("/b"));
    for between in [" ", "\t", "  ", "\t\t"] {
        let list = format!("# a comment\n\n{}\n{a}{between}{b}\n", site.url("/c"));
        let arguments = ["--overwrite", "-o", "into/", "-i", "-"];
        let (code, _, stderr) = results(&get_with_input("poll", folder.path(), &arguments, &list));
        assert_eq!(code, Some(1), "{between:?}: {stderr}");
        assert_eq!(names(&folder.path().join("into")), ["c"]);
        let message = match between {
            "\t\t" => "its checksum in line 4 of the list is malformed",
            _ => "line 4 of the list has more than one URL: write each on its own line",
        };
        assert!(stderr.contains(message), "{between:?}: {stderr}");
    }
    let (_, _, stderr) = results(&get("poll", folder.path(), &[&format!("{a} {b}")]));
    assert!(
        stderr.contains("more than one URL in one argument: give each as an argument"),
        "{stderr}"
    );
    assert!(site.requests().iter().all(|request| request.path == "/c"), "the others cost nothing");
}

#[test]
fn a_file_with_another_checksum_does_not_get_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(|_, out| answer(out, "200 OK", "ETag: \"a\"\r\n", b"abc"));
    let url = site.url("/file");
    let (code, _, stderr) = results(&get("poll", folder.path(), &["--sha256", ABC, &url]));
    assert_eq!(code, Some(0), "{stderr}");
    // An existing file is checked, too.
    let output = get("poll", folder.path(), &["--resume", "--sha256", ABC, &url]);
    assert!(text(&output).0.contains("exists"));
    fs::write(folder.path().join("file"), b"abd").unwrap();
    let (code, _, stderr) = results(&get("poll", folder.path(), &["-c", "--sha256", ABC, &url]));
    assert_eq!(code, Some(1));
    assert!(stderr.contains(&format!("instead of {ABC}; --overwrite replaces it")), "{stderr}");
    let other = ABC.replace('b', "c");
    for output in ["new", "-"] {
        let arguments = ["--sha256", &other, "-o", output, &url];
        let (code, _, stderr) = results(&get("poll", folder.path(), &arguments));
        assert_eq!(code, Some(1));
        assert!(stderr.contains(&format!("the SHA-256 is {ABC} instead of {other}")), "{stderr}");
        assert_eq!(names(folder.path()), ["file"]);
    }
    let (code, _, stderr) = results(&get("poll", folder.path(), &["--sha256", ABC, &url, &url]));
    assert_eq!(code, Some(1), "the name exists: {stderr}");
    let (code, _, stderr) =
        results(&get("poll", folder.path(), &["--sha256", ABC, &url, &site.url("/b")]));
    assert_ne!(code, Some(0));
    assert!(stderr.contains("--sha256 is for one URL, not 2"), "{stderr}");
}

/// The bytes of earlier attempts and runs count; those of an abandoned version do not.
#[test]
fn a_checksum_covers_the_whole_file_in_all_cases() {
    on_each_port(|port| {
        let sum = checksum(&bytes(WHOLE));
        // In one run; another version; in two runs.
        for (versions, retries) in
            [(["\"a\""; 2], "2"), (["\"a\"", "\"b\""], "2"), (["\"a\""; 2], "0")]
        {
            let folder = tempfile::tempdir().unwrap();
            let site = Site::start(move |request, out| {
                let fields = |version| format!("ETag: {version}\r\n");
                match request.range() {
                    Some(start) if versions[0] == versions[1] => {
                        answer_range(out, &fields(versions[1]), &bytes(WHOLE), start)
                    }
                    Some(_) => answer(out, "200 OK", &fields(versions[1]), &bytes(WHOLE)),
                    None => {
                        let fields = fields(versions[0]);
                        answer_cut(out, &fields, &bytes(WHOLE), WHOLE / 2, Then::Close)
                    }
                }
            });
            let url = site.url("/file");
            let mut code = None;
            for _ in 0..2 {
                let arguments = ["--resume", "--retries", retries, "--sha256", &sum, &url];
                let (ended, stdout, stderr) = results(&get(port, folder.path(), &arguments));
                assert!(!stderr.contains("SHA-256"), "{stdout}{stderr}");
                code = ended;
            }
            assert_eq!(code, Some(0));
            assert!(fs::read(folder.path().join("file")).unwrap() == bytes(WHOLE));
        }
    });
}

#[test]
fn remote_time_gives_a_file_the_servers_date() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(|request, out| {
        let fields = match request.path.as_str() {
            "/none" => "Last-Modified: yesterday\r\n",
            _ => "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
        };
        answer(out, "200 OK", fields, b"abc")
    });
    let (dated, none, plain) = (site.url("/dated"), site.url("/none"), site.url("/plain"));
    let begin = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    assert_eq!(get("auto", folder.path(), &["-R", &dated, &none]).status.code(), Some(0));
    assert_eq!(get("poll", folder.path(), &[&plain]).status.code(), Some(0));
    let modified = |name| fs::metadata(folder.path().join(name)).unwrap().modified().unwrap();
    let date = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
    assert_eq!(modified("dated"), date);
    assert!(modified("none") > begin && modified("plain") > begin);
}
