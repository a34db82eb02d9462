//! H10: whatever scripts and clients do, no process and no descriptor is left. This test has a
//! program of its own, so that every child of the process belongs to it.

use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use overlapped::time::sleep;
use overlapped::{run, spawn};
use overlapped_serve::web::Cgi;
use overlapped_wire::http::{Content, Service};
use testkit::{open_descriptors, rounds, wait_until_with};

mod rig;

use rig::{get, post, request, script};

const MARK: &str = "OVERLAPPED_TEST_MARK";

/// Returns the child processes of this one, and other processes with `mark`.
fn left_over(mark: &str) -> Vec<String> {
    let me = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let mark = format!("{MARK}={mark}\0").into_bytes();
        if parent == Some(&me) || environment.windows(mark.len()).any(|window| window == mark) {
            found.push(stat);
        }
    }
    found
}

const SCRIPTS: &[(&str, &str)] = &[
    ("silent", "exit 3"),
    ("half", "printf 'Content-Type: text/plain'"),
    ("deaf", "printf 'Content-Type: text/plain\\n\\nfine'"),
    (
        "loud",
        "head -c $QUERY_STRING /dev/zero | tr '\\0' '\\n' >&2\n\
              printf 'Content-Type: text/plain\\n\\nfine'",
    ),
    ("wrong", "printf 'no header at all\\n\\n'; exec sleep 1000"),
    ("endless", "printf 'Content-Type: text/plain\\n\\n'; exec cat /dev/zero"),
    ("mute", "trap '' TERM HUP; sleep 1000"),
    ("stuck", "printf 'Content-Type: text/plain\\n\\nbegun'; exec sleep 1000"),
    ("parent", "sleep 1000 & sleep 1000 2>/dev/null & printf 'Content-Type: text/plain\\n\\nx'"),
    ("lazy", "sleep 1000 >/dev/null 2>&1 & printf 'Content-Type: text/plain\\n\\nfine'"),
    ("suicide", "printf 'Content-Type: text/plain\\n\\n'; kill -9 $$"),
    ("closed", "printf 'Content-Type: text/plain\\n\\nfine'; exec >&- 2>&-; sleep 0.2"),
];

/// Sends one request, and behaves as one of the clients.
fn once(case: usize, cgi: &Cgi, hasty: &Cgi) {
    let (mut cgi, mut hasty) = (cgi.clone(), hasty.clone());
    let name = SCRIPTS[case % SCRIPTS.len()].0;
    let path = format!("/{name}");
    let open = |cgi: &mut Cgi| {
        let answer = cgi.call(request("GET", &path, &[]), &mut io::empty());
        assert_eq!(answer.status(), 200, "{name}");
        let Content::Reader { reader, .. } = answer.into_body() else { panic!("{name}: a reader") };
        reader
    };
    match name {
        "silent" | "half" | "wrong" => assert_eq!(get(&mut cgi, &path).status, 502, "{name}"),
        "deaf" => {
            let got = post(&mut cgi, &path, io::repeat(b'x').take(10 << 20));
            assert_eq!(got.text(), "fine");
        }
        "loud" => {
            let bytes = rounds(4 << 20, 100 << 20);
            assert_eq!(get(&mut cgi, &format!("{path}?{bytes}")).text(), "fine");
        }
        // The client leaves.
        "endless" if case.is_multiple_of(2) => {
            let mut some = vec![0; 256 << 10];
            open(&mut cgi).read_exact(&mut some).unwrap();
        }
        "endless" => {
            let got = get(&mut cgi.clone().output_max(1 << 20), &path);
            assert_eq!(got.body.unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        }
        // The server is killed while it waits.
        "mute" if case.is_multiple_of(2) => {
            let waiting = spawn(move || get(&mut cgi, "/mute").status);
            sleep(Duration::from_millis(50));
            waiting.kill();
            assert!(waiting.join().is_err());
        }
        "mute" => assert_eq!(get(&mut hasty, &path).status, 504),
        "stuck" => {
            let got = get(&mut hasty, &path);
            // On a slow machine the deadline may come before the header.
            if got.status != 504 {
                assert_eq!(got.body.unwrap_err().kind(), io::ErrorKind::TimedOut);
            }
        }
        // A background process holds the output open.
        "parent" => open(&mut cgi).read_exact(&mut [0]).unwrap(),
        "suicide" => assert_eq!(get(&mut cgi, &path).text(), ""),
        _ => assert_eq!(get(&mut cgi, &path).text(), "fine", "{name}"),
    }
}

fn install(folder: &Path) {
    for (name, text) in SCRIPTS {
        script(folder, name, &format!("#!/bin/sh\n{text}\n"));
    }
}

#[test]
fn a_time_limit_may_be_longer_than_the_clock() {
    let temp = tempfile::tempdir().unwrap();
    script(temp.path(), "fine", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nfine'\n");
    let cgi = Cgi::new(temp.path()).unwrap();
    let cgi = cgi.time(Duration::MAX).header_time(Duration::MAX).queue_time(Duration::MAX);
    // One script at a time, so that one of the requests waits for a permit.
    let cgi = cgi.running_max(1);
    run(|| {
        let mut others = cgi.clone();
        let other = spawn(move || assert_eq!(get(&mut others, "/fine").text(), "fine"));
        assert_eq!(get(&mut cgi.clone(), "/fine").text(), "fine");
        other.join().unwrap();
    })
    .unwrap();
}

#[test]
fn h10_no_script_and_no_client_leaves_a_process_or_a_descriptor() {
    let temp = tempfile::tempdir().unwrap();
    install(temp.path());
    let mark = temp.path().to_str().unwrap();
    let count = rounds(60, 1_000);
    let cgi = Cgi::new(temp.path()).unwrap().env(MARK, mark);
    let hasty = cgi.clone().header_time(Duration::from_millis(600)).time(Duration::from_secs(1));
    let round = |count: usize| {
        run(|| {
            let cases = std::rc::Rc::new(std::cell::Cell::new(0));
            let clients: Vec<_> = (0..6)
                .map(|_| {
                    let (cases, cgi, hasty) = (cases.clone(), cgi.clone(), hasty.clone());
                    spawn(move || {
                        while cases.get() < count {
                            cases.set(cases.get() + 1);
                            // Each kind twice in a row, so that both of its endings happen.
                            let case = cases.get();
                            once(
                                case % SCRIPTS.len() + SCRIPTS.len() * (case / SCRIPTS.len() % 2),
                                &cgi,
                                &hasty,
                            );
                        }
                    })
                })
                .collect();
            clients.into_iter().for_each(|client| client.join().unwrap());
            let nap = |_| sleep(Duration::from_millis(20));
            wait_until_with(nap, "no process is left", || left_over(mark).is_empty());
        })
        .unwrap();
    };
    // Descriptors that the process opens once stay open.
    round(SCRIPTS.len());
    let before = open_descriptors();
    round(count);
    assert_eq!(open_descriptors(), before);
    println!("RELIABILITY H10 {count} scripts, 0 processes and 0 descriptors left");
}
