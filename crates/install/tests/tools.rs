//! Debuggers and memory checkers, with programs that have this crate.
#![allow(missing_docs)]
mod support;

use std::process::{Command, Output};

use overlapped_install::{WhyNot, spawn};

const CHILD: &str = "OVERLAPPED_TEST_CHILD";

/// Runs a test of this program again, as the last arguments of a tool. Prints a line and returns
/// `None` if the tool is missing, or if this program is emulated.
fn under(tool: &str, arguments: &[&str], test: &str) -> Option<(Output, String)> {
    if support::is_emulated() || Command::new(tool).arg("--version").output().is_err() {
        println!("SKIPPED: {tool} is missing, or this program is emulated");
        return None;
    }
    let mut command = Command::new(tool);
    command.args(arguments).arg(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env(CHILD, "1").env("OVERLAPPED_PORT", "poll").env_remove("DEBUGINFOD_URLS");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into();
    Some((output, said))
}

#[inline(never)]
fn stops_here() {
    // SAFETY: a signal that the debugger takes.
    std::hint::black_box(unsafe { libc::raise(libc::SIGTRAP) });
}

#[test]
fn a_debugger_shows_the_frames_of_a_tasklet() {
    const NAME: &str = "a_debugger_shows_the_frames_of_a_tasklet";
    if std::env::var_os(CHILD).is_some() {
        return support::run_in_tasklet(|| spawn(stops_here).join().unwrap());
    }
    let commands = ["-q", "-batch", "-ex", "run", "-ex", "bt", "-ex", "continue", "--args"];
    let Some((_, said)) = under("gdb", &commands, NAME) else { return };
    if said.contains("SKIPPED") || said.contains("ptrace: ") {
        println!("SKIPPED: gdb, or thread-locals of a tasklet's own, cannot be had here");
        return;
    }
    // From the innermost frame to this crate's.
    let frames: Vec<_> = said.lines().filter(|line| line.starts_with('#')).collect();
    let has = |name: &str| frames.iter().any(|line| line.contains(name));
    assert!(has("stops_here") && has("overlapped_install"), "{said}");
    assert!(said.contains("test result: ok"), "{said}");
}

/// Runs valgrind, which may lack an instruction that sets the thread pointer; `install` then gives
/// this reason.
#[test]
fn a_checker_of_memory_finds_nothing_in_the_library_and_install_says_why_it_is_refused() {
    const NAME: &str =
        "a_checker_of_memory_finds_nothing_in_the_library_and_install_says_why_it_is_refused";
    if std::env::var_os(CHILD).is_some() {
        let total = overlapped::run(|| {
            let channel = overlapped::Channel::new();
            let theirs = channel.clone();
            overlapped::spawn(move || (0..10).for_each(|number| theirs.send(number).unwrap()));
            (0..10).map(|_| channel.recv().unwrap()).sum::<u32>()
        });
        assert_eq!(total.unwrap(), 45);
        // SAFETY: nothing here takes gettid for its own identity.
        return match unsafe { overlapped_install::install() } {
            Ok(_) => println!("INSTALLED"),
            Err(WhyNot::ThreadLocals(why)) => println!("REFUSED: {why}"),
            Err(other) => panic!("{other}"),
        };
    }
    // valgrind has to distinguish a switch of stacks from a large frame.
    let options = ["-q", "--max-stackframe=20000", "--error-exitcode=9"];
    let Some((output, said)) = under("valgrind", &options, NAME) else { return };
    assert!(output.status.success(), "{said}");
    assert!(said.contains("INSTALLED") || said.contains("REFUSED"), "{said}");
}
