//! H8: no path leads out of the root.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::{Got, ask, get, with_every_lookup};
use crate::peer::Peer;
use crate::web::files::Files;
use crate::web::{Call, Handler};
use testkit::Rng;

const CANARY: &str = "the canary outside of the root";

/// A tree with links in and out, and canaries outside, hidden, and behind a FIFO.
fn plant(temp: &Path) -> std::path::PathBuf {
    let root = temp.join("root");
    fs::create_dir_all(root.join("sub/deep")).unwrap();
    fs::create_dir_all(root.join(".git")).unwrap();
    fs::create_dir_all(temp.join("canary-folder")).unwrap();
    for outside in ["canary", "canary-folder/canary", "root-canary", "root/.env", "root/.git/x"] {
        fs::write(temp.join(outside), CANARY).unwrap();
    }
    for inside in ["a.txt", "sub/b.txt", "sub/deep/c.txt", "back\\slash", "%2e%2e", "sub/.."] {
        if inside != "sub/.." {
            fs::write(root.join(inside), "inside").unwrap();
        }
    }
    for (target, link) in [
        ("../canary", "out"),
        ("../canary-folder", "outs"),
        ("../../canary", "sub/out"),
        ("../root-canary", "near"),
        ("sub/b.txt", "in"),
        ("sub", "ins"),
        ("../../root/a.txt", "sub/round"),
        ("..", "up"),
        ("../..", "sub/upup"),
    ] {
        symlink(target, root.join(link)).unwrap();
    }
    symlink(temp.join("canary"), root.join("absolute")).unwrap();
    symlink("/proc/self/root", root.join("magic")).unwrap();
    root
}

const NAMES: &[&str] = &[
    "a.txt",
    "sub",
    "deep",
    "b.txt",
    "c.txt",
    "out",
    "outs",
    "near",
    "in",
    "ins",
    "round",
    "up",
    "upup",
    "absolute",
    "magic",
    "canary",
    "canary-folder",
    "root",
    "root-canary",
    ".git",
    ".env",
    "x",
    "back\\slash",
    "%252e%252e",
    "etc",
    "passwd",
    "tmp",
];

const STEPS: &[&str] = &[
    "..",
    ".",
    "%2e%2e",
    "%2E.",
    ".%2e",
    "%252e%252e",
    "..%2f",
    "%2e%2e%2f",
    "..%5c",
    "..\\",
    "...",
    "....//",
    "%c0%ae%c0%ae",
    "%e0%80%ae",
    "%uff0e",
    "..%00",
    "%00",
    "..;",
    ";..",
    "..%20",
    "%",
    "%2",
    "~",
    "%2f",
    "%5c",
    "",
];

const SEPARATORS: &[&str] = &["//", "/./", "\\", "%2f", "%5c", ";/", "%2F"];

/// Paths of existing files, to mutate.
const BASES: &[&str] =
    &["/a.txt", "/sub/deep/c.txt", "/ins/b.txt", "/sub/b.txt", "/in", "/back%5Cslash", "//sub//in"];

fn path(rng: &mut Rng, temp: &str) -> String {
    let mut path = "/".to_owned();
    if rng.below(3) == 0 {
        path = (*rng.pick(BASES)).to_owned();
        let slashes: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
        if rng.below(2) == 0 {
            let step = format!("/{}", rng.pick(STEPS));
            path.insert_str(slashes[rng.below(slashes.len())], &step);
        }
    } else {
        for _ in 0..=rng.below(6) {
            match rng.below(20) {
                0 => path += temp,
                1..=8 => path += *rng.pick(STEPS),
                _ => path += *rng.pick(NAMES),
            }
            path += if rng.below(4) == 0 { *rng.pick(SEPARATORS) } else { "/" };
        }
    }
    if rng.below(3) > 0 {
        path.truncate(path.trim_end_matches('/').len());
    }
    // The letters of a name as escapes.
    if rng.below(4) == 0 {
        path = path.replace('a', "%61").replace("..", "%2e%2E");
    }
    path
}

fn try_path(files: &Files, path: &str) -> Option<Got> {
    // A malformed request target does not reach the handler.
    let request = http::Request::get(path).body(()).ok()?;
    Some(Got::from_answer(files.handle(Call::new(request, &mut std::io::empty(), Peer::default()))))
}

#[test]
fn h8_no_path_leads_out_of_the_root() {
    let paths = testkit::rounds(1_500, 10_000);
    let (checks, found) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    with_every_lookup(|temp, files| {
        let root = plant(temp);
        let (strict, open) = (files(&root).listing(true), files(&root).listing(true).hidden(true));
        let place = temp.to_str().unwrap();
        let mut rng = Rng(8);
        for _ in 0..paths {
            let path = path(&mut rng, place);
            let Some(got) = try_path(&strict, &path) else { continue };
            let leaked = got.body.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
            assert!(!leaked, "{path}");
            assert!(matches!(got.status.as_u16(), 200 | 301 | 400 | 404), "{path}: {}", got.status);
            checks.set(checks.get() + 1);
            found.set(found.get() + usize::from(got.status == 200));
            // Hidden files are served only if that is enabled, files outside never.
            let got = try_path(&open, &path).unwrap();
            let leaked = got.body.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
            assert!(!leaked || path.contains(".env") || path.contains(".git"), "{path}");
        }
    });
    assert!(found.get() > checks.get() / 100, "the paths are all nonsense: {}", found.get());
    let (checks, found) = (checks.get(), found.get());
    println!("RELIABILITY H8 {checks} hostile paths, {found} led to files, none out of the root");
}

#[test]
fn h8_a_file_replaced_by_a_link_out_of_the_root_is_not_served() {
    with_every_lookup(|temp, files| {
        let root = plant(temp);
        super::wait_for_clock_step();
        let files = files(&root);
        for _ in 0..2 {
            assert_eq!(get(&files, "/sub/deep/c.txt").text(), "inside");
        }
        // The same name now leads out of the root.
        fs::write(temp.join("canary-folder/c.txt"), CANARY).unwrap();
        fs::rename(root.join("sub/deep"), root.join("was")).unwrap();
        symlink("../../canary-folder", root.join("sub/deep")).unwrap();
        assert_eq!(get(&files, "/sub/deep/c.txt").status, 404);
        fs::remove_file(root.join("a.txt")).unwrap();
        symlink("../canary", root.join("a.txt")).unwrap();
        assert_eq!(get(&files, "/a.txt").status, 404);
    });
    println!("RELIABILITY H8 6 names that led in and then out");
}

#[test]
fn h8_neither_fifos_nor_devices_nor_sockets_are_served() {
    with_every_lookup(|temp, files| {
        let made = std::process::Command::new("mkfifo").arg(temp.join("fifo")).status().unwrap();
        assert!(made.success());
        let _socket = std::os::unix::net::UnixListener::bind(temp.join("socket")).unwrap();
        let files = files(temp).listing(true);
        for path in ["/fifo", "/socket"] {
            assert_eq!(get(&files, path).status, 404, "{path}");
        }
        assert!(!get(&files, "/").text().contains("fifo"));
    });
    println!("RELIABILITY H8 6 names of FIFOs and sockets");
}

/// See docs/serve.md: such a link gives the file a name that is not hidden.
#[test]
fn a_hidden_file_is_served_under_the_visible_name_of_a_link_to_it() {
    with_every_lookup(|temp, files| {
        let root = plant(temp);
        symlink(".env", root.join("shown")).unwrap();
        symlink(".git", root.join("folder")).unwrap();
        symlink("a.txt", root.join(".link")).unwrap();
        let files = files(&root);
        assert_eq!(get(&files, "/shown").text(), CANARY);
        assert_eq!(get(&files, "/folder/x").text(), CANARY);
        assert_eq!(get(&files, "/.link").status, 404);
    });
}

#[test]
fn h8_hidden_files_are_not_found() {
    with_every_lookup(|temp, files| {
        let root = plant(temp);
        fs::create_dir_all(root.join(".well-known/acme-challenge")).unwrap();
        fs::write(root.join(".well-known/acme-challenge/token"), "token").unwrap();
        let files = files(&root);
        for path in ["/.env", "/%2eenv", "/.git/x", "/.git/", "/.git", "//.env", "/sub/..%2f.env"] {
            assert_eq!(get(&files, path).status, 404, "{path}");
        }
        assert_eq!(get(&files, "/.well-known/acme-challenge/token").text(), "token");
        assert_eq!(get(&files.hidden(true), "/.env").text(), CANARY);
    });
    println!("RELIABILITY H8 21 spellings of hidden files");
}

#[test]
fn h11_a_redirect_stays_on_its_site_and_in_its_header() {
    let checks = std::cell::Cell::new(0);
    with_every_lookup(|temp, files| {
        let root = plant(temp);
        for name in ["evil.com", "a\r\nSet-Cookie: x", "back\\evil", "@host", "x?y#z"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        let files = files(&root);
        for (path, location) in [
            ("//evil.com", "/evil.com/"),
            ("///evil.com", "/evil.com/"),
            ("/a%0d%0aSet-Cookie:%20x", "/a%0D%0ASet-Cookie%3A%20x/"),
            ("/back%5Cevil", "/back%5Cevil/"),
            ("/%40host", "/%40host/"),
            ("/x%3Fy%23z", "/x%3Fy%23z/"),
            ("//evil.com?//evil.com", "/evil.com/?//evil.com"),
        ] {
            let got = ask(&files, "GET", path, &[]);
            assert_eq!((got.status.as_u16(), got.field("location")), (301, location), "{path}");
            checks.set(checks.get() + 1);
        }
    });
    println!("RELIABILITY H11 {} redirects to a folder's slash", checks.get());
}
