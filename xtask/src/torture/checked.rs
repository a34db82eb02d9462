//! Tests under tools that watch every access to memory. Both need a nightly compiler.
//!
//! Miri sees, in each step, references that break Rust's rules, races, and memory that was freed.
//! It has no ring, no sockets and no assembly: there a fiber is a thread. AddressSanitizer sees
//! freed and foreign memory of the heap, in all tests and with the true switches; not what the
//! kernel writes, and not the stacks.

use std::path::Path;
use std::time::Duration;

use super::figure::{measured, parted};
use super::port::Port;
use crate::counted::Counted;
use crate::exec::{self, Invocation};

/// The tool that runs the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    /// The tests that say so (`cfg_attr(miri, ignore)` says which do not), of these programs: the
    /// library's, and install's table of waiters.
    Miri(&'static [&'static str]),
    /// All of the library's.
    AddressSanitizer,
}

/// Everything is built anew.
const LIMIT: Duration = Duration::from_secs(60 * 60);

/// The number of tests that passed, or why there is no figure.
pub(super) fn run(root: &Path, tool: Tool, port: Port) -> anyhow::Result<Result<String, String>> {
    if !Invocation::new("rustup", "run nightly cargo --version").probe() {
        let remedy = "a nightly compiler is missing: `rustup toolchain install nightly`";
        return Ok(Err(remedy.to_owned()));
    }
    let tests = match tool {
        Tool::Miri(programs) => {
            if !Invocation::new("rustup", "run nightly cargo miri --version").probe() {
                let remedy = "Miri is missing: `rustup component add miri --toolchain nightly`";
                return Ok(Err(remedy.to_owned()));
            }
            under_miri(programs)
        }
        Tool::AddressSanitizer => under_address_sanitizer(port),
    };
    println!("$ {tests}");
    let ran = exec::run(root, &tests, LIMIT)?;
    let counted = Counted::of(&ran.lines);
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
    // Who is parked for good is a leak, and meant to be one.
    tests.env("MIRIFLAGS", "-Zmiri-ignore-leaks").env("CARGO_TARGET_DIR", "target/miri")
}

fn under_address_sanitizer(port: Port) -> Invocation {
    // Fault handlers are under test; what was freed is kept for a while only, as the memory of a
    // million tasklets is compared.
    let options = "detect_leaks=0:use_sigaltstack=0:handle_segv=0:handle_abort=0:handle_sigbus=0:\
                   quarantine_size_mb=2:thread_local_quarantine_size_kb=64";
    sanitized("--tests", options, port)
}

/// A build under AddressSanitizer; a target that is named keeps build scripts and macros without.
fn sanitized(tests: &str, options: &str, port: Port) -> Invocation {
    // Frames are not watched: where a tasklet unwinds, the tool does not know whose frames have
    // gone.
    let flags = "-Zsanitizer=address -Cllvm-args=-asan-stack=0 --cap-lints=allow";
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    Invocation::new("rustup", &format!("run nightly cargo test -p overlapped {tests} --target"))
        .arg(&target)
        .env("RUSTFLAGS", flags)
        .env("ASAN_OPTIONS", options)
        .env("CARGO_TARGET_DIR", "target/sanitized")
        .env("OVERLAPPED_PORT", port.name())
}

/// Runs a test program of its own in full, in a build with debug assertions and in one under
/// AddressSanitizer.
pub(super) fn watched(
    root: &Path,
    id: &str,
    program: &str,
    port: Port,
) -> anyhow::Result<Result<String, String>> {
    if !Invocation::new("rustup", "run nightly cargo --version").probe() {
        let remedy = "a nightly compiler is missing: `rustup toolchain install nightly`";
        return Ok(Err(remedy.to_owned()));
    }
    let tests = format!("--test {program}");
    // Whatever is found is to end in a signal, so that the program can say what it was doing.
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
