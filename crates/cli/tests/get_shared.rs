//! `overlapped get` in folders that other processes write to.

mod common;
mod site;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use common::{on_each_port, text};
use site::{Site, Then, answer, bytes, get, names};

/// The length of a file that is on the disk while it is downloaded.
const LARGE: usize = 400_000;
const TAG: &str = "ETag: \"v1\"\r\n";

fn results(output: &std::process::Output) -> (Option<i32>, String, String) {
    let (stdout, stderr) = text(output);
    (output.status.code(), stdout, stderr)
}

#[test]
fn a_name_taken_by_another_program_meanwhile_is_a_failure() {
    on_each_port(|port| {
        for (length, resume) in [(100, false), (100, true), (LARGE, false), (LARGE, true)] {
            let folder = tempfile::tempdir().unwrap();
            let name = folder.path().join("x");
            let site = Site::start({
                let name = name.clone();
                move |_, out| {
                    fs::write(&name, "another's")?;
                    answer(out, "200 OK", TAG, &bytes(length))
                }
            });
            let url = site.url("/x");
            let arguments = if resume { vec!["--resume", &url] } else { vec![&*url] };
            let (code, stdout, stderr) = results(&get(port, folder.path(), &arguments));
            assert_eq!(code, Some(1), "{stdout}{stderr}");
            assert!(stderr.contains("x was created by another program during"), "{stderr}");
            assert_eq!(fs::read_to_string(&name).unwrap(), "another's");
        }
    });
}

#[test]
fn a_file_saved_meanwhile_from_the_same_url_counts_as_existing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let site = Site::start(move |request, out| {
        if request.header("x-second").is_none() {
            let url = format!("http://{}/x", request.header("host").unwrap());
            let second = get("poll", &path, &["-H", "X-Second: 1", &url]);
            assert!(second.status.success(), "{:?}", text(&second));
        }
        answer(out, "200 OK", TAG, b"contents")
    });
    let (code, stdout, stderr) =
        results(&get("poll", folder.path(), &["--resume", &site.url("/x")]));
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.contains("exists  x\n"), "{stdout}");
}

/// Creates a folder with an unfinished `big`, and returns the paths of its partial file and note.
fn unfinished(port: &str) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(|_, out| {
        write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n{TAG}\r\n")?;
        out.write_all(&bytes(LARGE)[..LARGE / 2])?;
        Ok(Then::Close)
    });
    // The server's port is part of the URL, and so of the name: the same port is used again.
    let url = site.url("/big");
    let (code, ..) = results(&get(port, folder.path(), &["--retries", "0", &url]));
    assert_eq!(code, Some(1));
    let of = |ending: &str| {
        let found = names(folder.path()).into_iter().find(|name| name.ends_with(ending));
        folder.path().join(found.unwrap())
    };
    let (part, note) = (of(".part"), of(".note"));
    (folder, part, note)
}

#[test]
fn a_note_is_never_written_through_a_foreign_link() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        let saved = folder.path().join("saved");
        fs::create_dir(&saved).unwrap();
        let site = Site::start({
            let (victim, saved) = (victim.clone(), saved.clone());
            move |_, out| {
                write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n{TAG}\r\n")?;
                out.flush()?;
                // At every path that the note may have.
                let key = |name: &String| name.ends_with(".part");
                if let Some(part) = names(&saved).into_iter().find(key) {
                    let _ = symlink(&victim, saved.join(part + ".note"));
                }
                out.write_all(&bytes(LARGE))?;
                Ok(Then::Close)
            }
        });
        let url = site.url("/big");
        // A stale partial file of this URL, so that the new one is on the disk at once.
        let (first, ..) = results(&get(port, &saved, &["-o", "big", &url]));
        assert_eq!(first, Some(0));
        let stale = format!("big.{}.part", key_of(&saved.join("big")));
        fs::remove_file(saved.join("big")).unwrap();
        fs::write(saved.join(&stale), "stale").unwrap();
        let (code, stdout, stderr) = results(&get(port, &saved, &["-o", "big", &url]));
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
        assert!(fs::read(saved.join("big")).unwrap() == bytes(LARGE));
    });
}

/// Returns the beginning of the key in a file's record.
fn key_of(file: &Path) -> String {
    let mut record = [0; 100];
    match rustix::fs::getxattr(file, "user.overlapped.source", &mut record[..]) {
        Ok(_) => String::from_utf8_lossy(&record[..8]).into_owned(),
        // Without attributes, the journal has it.
        Err(_) => fs::read_to_string(file.with_file_name(".overlapped-get")).unwrap()[..8].into(),
    }
}

#[test]
fn a_damaged_note_is_ignored() {
    on_each_port(|port| {
        let (folder, part, note) = unfinished(port);
        fs::write(&note, b"\xff\xfe").unwrap();
        let site = Site::start(|_, out| answer(out, "200 OK", TAG, &bytes(LARGE)));
        // The partial file now belongs to another URL, so it is renamed for this one.
        let url = site.url("/big");
        let probe = tempfile::tempdir().unwrap();
        assert_eq!(results(&get(port, probe.path(), &[&url])).0, Some(0));
        let key = key_of(&probe.path().join("big"));
        let renamed = folder.path().join(format!("big.{key}.part"));
        fs::rename(&part, &renamed).unwrap();
        fs::rename(&note, renamed.with_extension("part.note")).unwrap();
        let (code, stdout, stderr) = results(&get(port, folder.path(), &[&url]));
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        assert_eq!(names(folder.path()), ["big"]);
    });
}

#[test]
fn a_name_may_have_the_maximum_length() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(|_, out| answer(out, "200 OK", TAG, &bytes(LARGE)));
    let name = "n".repeat(255);
    for more in [&[][..], &["--overwrite"]] {
        let url = site.url("/x");
        let arguments = [more, &["-o", &name, &url]].concat();
        let (code, stdout, stderr) = results(&get("poll", folder.path(), &arguments));
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        assert_eq!(names(folder.path()), [&*name]);
    }
}
