//! Tests under tools that watch every access to memory. Both need a nightly compiler.
//!
//! Miri finds, in each step, references that break Rust's rules, races, and uses of freed memory.
//! It has no ring, no sockets and no assembly, so that a fiber is a thread under it.
//! AddressSanitizer finds uses of freed and foreign memory of the heap, in all tests and with the
//! real switches. It does not see the kernel's writes, and does not watch the stacks.

use std::path::Path;
use std::time::Duration;

use super::figure::{measured, parted};
use crate::counted::Counted;
use crate::exec::{self, Invocation};
use crate::port::Port;

/// The tool that runs the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    /// The tests of these programs (the library's, and install's table of waiters), except those
    /// with `cfg_attr(miri, ignore)`.
    Miri(&'static [&'static str]),
    /// All tests of the library.
    AddressSanitizer,
}

/// The limit of one run, which builds everything again.
const LIMIT: Duration = Duration::from_secs(60 * 60);

/// Runs the tests, and returns the number that passed, or the reason why there is no figure.
pub(super) fn run(root: &Path, tool: Tool, port: Port) -> anyhow::Result<Result<String, String>> {
    if !Invocation::new("rustup", "run nightly cargo --version").probe() {
        let remedy = "SKIPPED: a nightly compiler is missing: `rustup toolchain install nightly`";
        return Ok(Err(remedy.to_owned()));
    }
    let tests = match tool {
        Tool::Miri(programs) => {
            if !Invocation::new("rustup", "run nightly cargo miri --version").probe() {
                let remedy =
                    "SKIPPED: Miri is missing: `rustup component add miri --toolchain nightly`";
                return Ok(Err(remedy.to_owned()));
            }
            under_miri(programs)
        }
        Tool::AddressSanitizer => under_address_sanitizer(port),
    };
    println!("$ {tests}");
    let ran = exec::run(root, &tests, LIMIT)?;
    let counted = Counted::parse(&ran.lines);
    Ok(match ran.failure {
        Some(reason) => Err(format!("{reason}; {counted}")),
        None if counted.passed == 0 => Err("no test ran".to_owned()),
        None => Ok(format!("{} checks: tests passed, nothing found", parted(counted.passed))),
    })
}

fn under_miri(programs: &[&str]) -> Invocation {
    let packages = "-p overlapped -p overlapped-install";
    let mut tests = Invocation::new("rustup", &format!("run nightly cargo miri test {packages}"));
    for program in programs {
        tests = tests.arg("--test").arg(program);
    }
    // A tasklet that is parked for ever is a leak by intention.
    tests.env("MIRIFLAGS", "-Zmiri-ignore-leaks").env("CARGO_TARGET_DIR", "target/miri")
}

fn under_address_sanitizer(port: Port) -> Invocation {
    // The tool does not handle faults, since fault handlers are under test. It keeps little freed
    // memory, since tests compare the memory of a million tasklets.
    let options = "detect_leaks=0:use_sigaltstack=0:handle_segv=0:handle_abort=0:handle_sigbus=0:\
                   quarantine_size_mb=2:thread_local_quarantine_size_kb=64";
    const LEFT_OUT: &str = "a_block_that_ends_leaves_nothing_to_the_next_thread";
    println!("SKIPPED: {LEFT_OUT}: it defines pthread_create(3), in place of the tool's");
    sanitized("--tests", options, port).arg("--").arg("--skip").arg(LEFT_OUT)
}

/// Makes the invocation of tests under AddressSanitizer. With an explicit target, build scripts and
/// macros are built without it.
fn sanitized(tests: &str, options: &str, port: Port) -> Invocation {
    // Frames are not watched: when a tasklet unwinds, the tool does not know which frames are gone.
    let flags = "-Zsanitizer=address -Cllvm-args=-asan-stack=0 --cap-lints=allow";
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    Invocation::new("rustup", &format!("run nightly cargo test -p overlapped {tests} --target"))
        .arg(&target)
        .env("RUSTFLAGS", flags)
        .env("ASAN_OPTIONS", options)
        .env("CARGO_TARGET_DIR", "target/sanitized")
        .env("OVERLAPPED_PORT", port.name())
}

/// Runs the whole of a test program, in a build with debug assertions and in a build under
/// AddressSanitizer.
pub(super) fn watched(
    root: &Path,
    id: &str,
    program: &str,
    port: Port,
) -> anyhow::Result<Result<String, String>> {
    if !Invocation::new("rustup", "run nightly cargo --version").probe() {
        let remedy = "SKIPPED: a nightly compiler is missing: `rustup toolchain install nightly`";
        return Ok(Err(remedy.to_owned()));
    }
    let tests = format!("--test {program}");
    // A finding ends in a signal, so that the program can report what it was doing.
    let options = "detect_leaks=0:use_sigaltstack=0:handle_segv=0:handle_abort=0:handle_sigbus=0:\
                   abort_on_error=1";
    let asserting = Invocation::cargo(&format!("test -p overlapped {tests}"))
        .env("OVERLAPPED_PORT", port.name());
    let builds = [
        ("with debug assertions", asserting),
        ("under AddressSanitizer", sanitized(&tests, options, port)),
    ];
    let mut figures = Vec::new();
    for (build, run) in builds {
        let run = run.arg("--").arg("--nocapture").env("OVERLAPPED_TORTURE", "1");
        println!("$ {run}");
        let ran = exec::run(root, &run, LIMIT)?;
        match ran.failure.map_or_else(|| measured(id, &ran.lines), Err) {
            Ok(figure) => figures.push(format!("{build} {figure}")),
            Err(reason) => return Ok(Err(format!("{build}: {reason}"))),
        }
    }
    Ok(Ok(figures.join("; ")))
}
