//! Ends of tasklets and of processes, and what is refused to a tasklet.
#![allow(missing_docs)]
mod support;

use support::{Folder, Ran, compiled, refused, run, run_after, run_as_is, with};

const ABORTED: Option<i32> = Some(libc::SIGABRT);

#[test]
fn a_process_ends_as_it_would_on_threads() {
    const CASES: &[(&str, i32)] = &[
        ("child-returns", 7),
        ("child-leaves", 8),
        ("child-returns-first", 0),
        ("child-exits", 3),
        ("child-with-thread", 10),
        ("child-of-thread", 7),
        ("child-of-thread-returns-first", 0),
        ("child-of-main", 4),
        ("child-of-main-leaves", 11),
        ("main-leaves", 12),
        ("main-leaves-last", 0),
        ("main-leaves-thread", 13),
        ("main-leaves-thread-returns", 0),
    ];
    if refused() {
        return;
    }
    let folder = Folder::new("ends");
    let Some(program) = compiled(&folder, "ends.c", &[]) else { return };
    let mut wrong = Vec::new();
    for &(case, code) in CASES {
        let on_threads = run_as_is(&folder, with(&program, case));
        let on_tasklets = run(&folder, with(&program, case));
        let is_right = |ran: &Ran| (ran.code, ran.said.as_str()) == (Some(code), "");
        if !(is_right(&on_threads) && is_right(&on_tasklets)) {
            wrong.push((case, code, on_threads, on_tasklets));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Runs `refusals.c`, compiled with `flags`.
fn refusal(case: &str, flags: &[&str]) -> Option<(Ran, Ran)> {
    if refused() {
        return None;
    }
    let folder = Folder::new(&format!("refusals-{case}"));
    let program = compiled(&folder, "refusals.c", flags)?;
    Some((run_as_is(&folder, with(&program, case)), run(&folder, with(&program, case))))
}

#[test]
fn pthread_exit_in_a_destructor_ends_the_process() {
    let Some((_, ran)) = refusal("destructor", &[]) else { return };
    assert_eq!(ran.signal, ABORTED, "{ran:?}");
    assert!(ran.said.contains("pthread_exit by a destructor, which POSIX leaves open"), "{ran:?}");
}

#[test]
fn pthread_exit_above_a_frame_that_cannot_be_unwound_ends_the_process() {
    let Some((on_threads, ran)) = refusal("above", &[]) else { return };
    assert_eq!((on_threads.signal, ran.signal), (ABORTED, ABORTED), "{ran:?}");
    assert!(ran.said.contains("pthread_exit above a frame that cannot be unwound"), "{ran:?}");
}

#[test]
fn pthread_exit_ends_at_a_frame_without_tables_as_at_the_stacks_end() {
    const FLAGS: &[&str] = &["-fno-asynchronous-unwind-tables", "-fno-unwind-tables"];
    let Some((on_threads, ran)) = refusal("tables", FLAGS) else { return };
    assert_eq!((on_threads.code, on_threads.said.as_str()), (Some(0), "ok\n"));
    assert_eq!((ran.code, ran.said.as_str()), (Some(0), "ok\n"), "{ran:?}");
}

#[test]
fn a_stack_that_is_not_to_be_had_is_an_error() {
    let Some((on_threads, ran)) = refusal("stack", &[]) else { return };
    assert_eq!((on_threads.code, on_threads.said.as_str()), (Some(0), "ok\n"));
    assert_eq!((ran.code, ran.said.as_str()), (Some(0), "ok\n"), "{ran:?}");
}

#[test]
fn without_a_key_threads_stay_threads() {
    if refused() {
        return;
    }
    let folder = Folder::new("keys");
    let Some(program) = compiled(&folder, "refusals.c", &[]) else { return };
    let with_keys = |left: usize| {
        let mut command = with(&program, "keys");
        command.arg(left.to_string());
        run(&folder, command)
    };
    // std takes some of the remaining keys, and ends the process if there is none.
    let ran: Vec<_> = (0..4).map(with_keys).collect();
    let is_refused = |ran: &Ran| {
        let says = |text| ran.said.contains(text);
        ran.code == Some(0) && says("threads stay threads: ") && says("no key") && says("ok\n")
    };
    assert!(ran.iter().any(is_refused), "{ran:?}");
}

#[test]
fn where_another_library_has_a_function_first_threads_stay_threads() {
    if refused() {
        return;
    }
    let folder = Folder::new("others");
    let Some(program) = compiled(&folder, "ends.c", &[]) else { return };
    let Some(other) = compiled(&folder, "other.c", &["-shared", "-fPIC"]) else { return };
    let ran = run_after(&folder, Some(&other), with(&program, "main-leaves"));
    assert_eq!(ran.code, Some(12));
    assert!(ran.said.starts_with("overlapped-preload: threads stay threads: "), "{ran:?}");
    assert!(ran.said.contains("flock"), "{ran:?}");
}

#[test]
fn pthread_exit_passes_exceptions_handlers() {
    if refused() {
        return;
    }
    let folder = Folder::new("exits");
    let Some(program) = compiled(&folder, "exits.cpp", &[]) else { return };
    let ran = run(&folder, support::program(&program));
    assert_eq!((ran.code, ran.said.as_str()), (Some(0), "ok\n"));
    for ran in [run_as_is(&folder, with(&program, "catch")), run(&folder, with(&program, "catch"))]
    {
        assert_eq!(ran.signal, ABORTED, "{ran:?}");
        assert!(ran.said.contains("FATAL: exception not rethrown"), "{ran:?}");
    }
}
