//! `overlapped doctor`: what this machine offers, and how to get what is missing.
//!
//! The exit code is 0 if a port works, be it io_uring or readiness: a missing feature is a warning
//! in the text, not a failure, because every program still runs. It is 1 if no port works, or if
//! the port requested by `--port` is refused.

mod elf;
mod install;

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use overlapped::port::{self, Port, PortChoice};

use crate::stdout::print;

/// Reports which completion port is used here, what the kernel supports, and how to get what is
/// missing.
///
/// Changes nothing. Lines that begin with an arrow say what to do. Exit code: 0 if programs run
/// here (on io_uring or, with a warning, on readiness), 1 if they do not.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Reports what unmodified code can do in tasklets (the crate overlapped-install) on this
    /// machine, or what in a program's file is out of its reach: static or musl binaries, system
    /// calls made directly. Exit code 1 if nothing can be taken over.
    #[arg(long, value_name = "PROGRAM", num_args = 0..=1)]
    install: Option<Option<PathBuf>>,
}

pub(crate) fn main(choice: PortChoice, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match &arguments.install {
        None => {}
        Some(None) => return install::machine(),
        Some(Some(program)) => return install::program(program),
    }
    let report = port::report();
    let mut text = String::new();
    for finding in &report.findings {
        writeln!(text, "{:<25} {}", finding.subject, finding.value)?;
        if let Some(remedy) = &finding.remedy {
            writeln!(text, "{:<25} → {remedy}", "")?;
        }
    }
    let (verdict, code) = verdict(choice, report.port);
    print(format_args!("{text}\n{verdict}\n"))?;
    Ok(code)
}

/// Makes one sentence and the exit code. `used` is the port that `Auto` chooses.
fn verdict(choice: PortChoice, used: &str) -> (String, ExitCode) {
    if choice != PortChoice::Auto {
        return match Port::open_with(choice) {
            Ok(port) => (format!("--port {}: works here.", port.name()), ExitCode::SUCCESS),
            Err(error) => (format!("--port: refused. {error}"), ExitCode::FAILURE),
        };
    }
    let uring = Port::open_with(PortChoice::Uring).is_ok();
    let text = match (used, uring) {
        ("uring", _) => "Good: programs use io_uring here.",
        ("poll", true) => {
            "Warning: OVERLAPPED_PORT=poll is set, so programs use readiness. io_uring would work; \
             unset the variable to use it."
        }
        ("poll", false) => {
            "Warning: io_uring does not work here, so programs use readiness: the same results, \
             more system calls. The arrows above say what to do."
        }
        _ => {
            let text = "Bad: no completion port works here. The lines above say why.";
            return (text.to_owned(), ExitCode::FAILURE);
        }
    };
    (text.to_owned(), ExitCode::SUCCESS)
}
