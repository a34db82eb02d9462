//! Tests on another processor, emulated by qemu-user.
//!
//! They check code that depends on the processor: switches, thread pointers, registers of functions
//! with variable arguments, numbers of system calls. Tests that need something that the emulator
//! lacks are left out by name, and printed with the reason.

use std::path::Path;
use std::time::Duration;

use super::{print, skip};
use crate::counted::Counted;
use crate::exec::{self, Invocation};
use crate::port::Port;
use crate::torture::figure::parted;

const TARGET: &str = "aarch64-unknown-linux-gnu";
const LINKER: &str = "aarch64-linux-gnu-gcc";
const RUNNER: &str = "qemu-aarch64 -L /usr/aarch64-linux-gnu";

/// The tests that are run: those of the library that depend on the processor, and all of install's
/// and preload's.
const TESTS: [&str; 2] = [
    "-p overlapped --test own_thread_locals --test own_thread_locals_calls \
     --test own_thread_locals_libc --test raw_calls --test kill_as_error --test switches",
    "-p overlapped-install -p overlapped-preload --lib --tests",
];

/// The tests that qemu-user, or Debian's cross compiler, cannot run, each with the feature that is
/// missing.
const LEFT_OUT: [(&str, &str); 16] = [
    ("a_kill_ends_a_wait_with_an_error_and_unwinds_after_the_scope", "pwritev2(2)"),
    ("a_child_of_fork_is_outside_and_may_begin_a_run_of_its_own", "threads in a child of fork(2)"),
    ("a_child_of_fork_has_a_proxy_of_its_own", "threads in a child of fork(2)"),
    (
        "a_process_that_is_killed_while_a_tasklet_has_a_mutex_leaves_it_to_others",
        "threads in a child of fork(2)",
    ),
    ("owners_are_told_of_each_other_as_threads_are", "lists of robust mutexes"),
    ("arguments_that_the_kernel_refuses_are_an_error_at_once", "preadv2(2)"),
    ("a_killed_owner_is_a_dead_one", "lists of robust mutexes"),
    ("memory_is_read_where_there_is_some", "process_vm_readv(2)"),
    ("a_call_that_pins_its_thread_is_counted_with_its_name_and_a_backtrace", "/proc/*/syscall"),
    ("a_handler_ends_calls_with_eintr", "SIGRTMAX"),
    ("the_flags_of_a_socket_stay_as_they_are_while_it_connects", "SIGRTMAX"),
    ("a_kill_ends_an_accept_and_a_connect_and_loses_no_connection", "SIGRTMAX"),
    ("every_case_ends_in_a_tasklet_as_in_a_thread", "an error for connect(2) to nowhere"),
    ("a_stack_that_is_not_to_be_had_is_an_error", "a limit on the memory of the program alone"),
    ("pthread_exit_passes_exceptions_handlers", "C++ for the processor"),
    ("after_an_exception_out_of_a_handler_calls_block_the_tasklet_alone", "C++ for the processor"),
];

/// The limit of one run, which builds everything again.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// Runs the tests, and returns the number that passed, or the reason why there is no figure.
pub(in crate::torture) fn run(root: &Path, port: Port) -> anyhow::Result<Result<String, String>> {
    for (probe, remedy) in [
        (Invocation::new(LINKER, "--version"), "apt install gcc-aarch64-linux-gnu"),
        (Invocation::new("qemu-aarch64", "--version"), "apt install qemu-user"),
    ] {
        if !probe.probe() {
            return Ok(Err(format!("SKIPPED: a program for the emulator is missing: `{remedy}`")));
        }
    }
    let mut passed = 0;
    for tests in TESTS {
        let tests = Invocation::cargo(&format!("test --no-fail-fast --target {TARGET} {tests}"))
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER)
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", RUNNER)
            .env("OVERLAPPED_PORT", port.name())
            .arg("--")
            .arg("--show-output");
        let tests = skip(tests, &LEFT_OUT);
        println!("$ {tests}");
        let ran = exec::run(root, &tests, LIMIT)?;
        let counted = Counted::parse(&ran.lines);
        if let Some(reason) = ran.failure {
            let remedy = format!("the compiler needs `rustup target add {TARGET}`");
            return Ok(Err(format!("{reason}; {counted}; {remedy}")));
        }
        passed += counted.passed;
    }
    print(&LEFT_OUT);
    let figure = format!(
        "{} checks: tests passed on 64-bit Arm, emulated; {} left out for what is missing there",
        parted(passed),
        LEFT_OUT.len()
    );
    Ok(Ok(figure))
}
