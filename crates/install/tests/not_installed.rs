//! Tasklets of this crate in processes that have not called install(), and outside a run.
#![allow(missing_docs)]
mod support;

use std::panic::catch_unwind;
use std::process::Stdio;

use overlapped_install::{Builder, place, run, run_until, spawn};

const ROLE: &str = "OVERLAPPED_TEST_ROLE";

/// Plays a part in a process of its own, and returns the lines that this crate has written to its
/// standard error. The test with the name `test` must call `play`.
fn lines_of(test: &str, role: &str) -> Vec<String> {
    let mut command = support::again();
    command.args(["--exact", test, "--nocapture"]).env(ROLE, role).stdout(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{role}: {output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    text.lines().filter(|line| line.contains("overlapped-install")).map(str::to_owned).collect()
}

fn play(role: &str) {
    match role {
        "run" => run(|| spawn(|| ()).join().unwrap()).unwrap(),
        "run_until" => run_until(|| ()).unwrap(),
        "spawn" => overlapped::run(|| {
            drop(spawn(|| ()));
            Builder::new().spawn(|| ()).unwrap().join().unwrap();
        })
        .unwrap(),
        "place" => overlapped::run(|| place(|| ()).join().unwrap()).unwrap(),
        "installed" => support::run_in_tasklet(|| spawn(|| ()).join().unwrap()),
        "linked" => overlapped::run(|| std::thread::sleep(support::ms(1))).unwrap(),
        _ => panic!("no such part: {role}"),
    }
}

#[test]
fn a_tasklet_without_install_is_told_of_once() {
    if let Ok(role) = std::env::var(ROLE) {
        return play(&role);
    }
    support::install(); // Skips the test if there can be no such tasklets.
    let lines_of = |role| lines_of("a_tasklet_without_install_is_told_of_once", role);
    for role in ["run", "run_until", "spawn", "place"] {
        let lines = lines_of(role);
        assert_eq!(lines.len(), 1, "{role}: {lines:?}");
        assert!(lines[0].contains("call overlapped_install::install()"), "{lines:?}");
    }
    for role in ["installed", "linked"] {
        assert_eq!(lines_of(role), [""; 0], "{role}");
    }
}

#[test]
fn a_panic_outside_a_run_names_this_crates_run() {
    let outside: [(&str, fn()); 3] = [
        ("spawn", || drop(spawn(|| ()))),
        ("place", || drop(place(|| ()))),
        ("Scope::spawn", || overlapped_install::scope(|s| drop(s.spawn(|| ())))),
    ];
    for (name, call) in outside {
        let payload = catch_unwind(call).unwrap_err();
        let text = payload.downcast_ref::<String>().unwrap();
        assert!(text.contains("inside overlapped_install::run"), "{name}: {text}");
        assert!(text.starts_with(&format!("overlapped_install::{name}: ")), "{text}");
    }
}
