//! Signal handlers that are left without a return.
#![allow(missing_docs)]
mod support;

use support::{Folder, Ran, compiled, refused, run, run_as_is, with};

/// Runs a case of `jumps.c`, first on threads, where it must succeed.
fn jumps(case: &str) -> Option<Ran> {
    if refused() {
        return None;
    }
    let folder = Folder::new(&format!("jumps-{case}"));
    let mut last = None;
    for flags in [&[][..], &["-O2", "-D_FORTIFY_SOURCE=2"][..]] {
        let program = compiled(&folder, "jumps.c", flags)?;
        let on_threads = run_as_is(&folder, with(&program, case));
        assert_eq!(on_threads.code, Some(0), "{on_threads:?}");
        let ran = run(&folder, with(&program, case));
        if ran.code != Some(0) {
            return Some(ran);
        }
        last = Some(ran);
    }
    last
}

fn ends_well(case: &str) {
    let Some(ran) = jumps(case) else { return };
    assert_eq!((ran.code, ran.said.as_str()), (Some(0), "ok none\n"), "{ran:?}");
}

#[test]
fn after_a_jump_out_of_a_handler_calls_block_the_tasklet_alone() {
    ends_well("left");
}

#[test]
fn a_handlers_own_calls_do_not_wait_whatever_it_jumps_over() {
    ends_well("inside");
}

#[test]
fn a_handler_of_a_handler_jumps_to_that_one_or_out_of_both() {
    ends_well("nested");
}

#[test]
fn handlers_on_the_alternate_stack_jump_too() {
    ends_well("alternate");
}

#[test]
fn pthread_exit_leaves_a_handler() {
    ends_well("exit");
}

#[test]
fn a_jump_out_of_a_call_that_waits_ends_the_process() {
    let Some(ran) = jumps("waiting") else { return };
    assert_eq!(ran.signal, Some(libc::SIGABRT), "{ran:?}");
    assert!(ran.said.contains("a signal handler was left by a jump"), "{ran:?}");
}

#[test]
fn after_an_exception_out_of_a_handler_calls_block_the_tasklet_alone() {
    if refused() {
        return;
    }
    let folder = Folder::new("throws");
    let flags = ["-fnon-call-exceptions"];
    let Some(program) = compiled(&folder, "throws.cpp", &flags) else { return };
    for ran in
        [run_as_is(&folder, support::program(&program)), run(&folder, support::program(&program))]
    {
        assert_eq!((ran.code, ran.said.as_str()), (Some(0), "ok\n"), "{ran:?}");
    }
}
