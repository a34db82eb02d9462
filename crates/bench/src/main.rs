//! `overlapped` and its peers, measured in one run.
//!
//! ```text
//! main            reads the arguments
//!  → rounds          for each round, case and subject (order rotated): one fresh child process
//!    → harness::child  runs this program again, as `measure SUITE SUBJECT CASE`
//!      → suites::*       what a case does, in terms of a trait; pinned to a core
//!        → subjects::*     one file per library: the code its user would write
//!    ← one line of JSON: the metrics of that child
//!  → rounds::results medians, spreads and paired ratios, as a table or as JSON lines
//!
//! rooms, each above those that follow:
//! rounds → suites → subjects → traits → material, harness → options, names, error
//! ```
//!
//! A subject never shares a process with another one, and an echo server never shares a core with
//! the load. Only ratios of figures from the same run can be compared: the speed of the machine
//! changes within minutes, and alternating rounds let it change for all subjects alike.

mod error;
mod harness;
mod material;
mod names;
mod options;
mod rounds;
mod subjects;
mod suites;
mod traits;

use clap::{Parser, Subcommand};
use names::{Name, ServerKind, Suite};
use options::Options;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measures overlapped and its peers in one run, alternating rounds.
#[derive(Parser)]
#[command(name = "overlapped-bench")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Spawning, switching, channels, and the memory of parked tasks.
    Tasklets(Options),
    /// TCP echo of 64 bytes over loopback.
    Echo(Options),
    /// The same with a server on two threads, which shares two cores with the load.
    Threads(Options),
    /// Echo of 64 bytes over streams of the Unix family.
    Unix(Options),
    /// Echo of 64 bytes in UDP datagrams over loopback.
    Datagrams(Options),
    /// Values that go to a task on another thread, and back.
    Wake(Options),
    /// Reading and copying files in the page cache.
    Files(Options),
    /// Static files over HTTP, loaded by wrk; idle connections.
    Http(Options),
    /// Handshakes of TLS 1.3.
    Tls(Options),
    /// Lines and messages with their length in front, sixteen at a time.
    Protocols(Options),
    /// The program `overlapped` beside cp, rsync, curl, wget2 and aria2c.
    Tools(Options),
    /// Unmodified std code in tasklets, beside this library's own types, threads, Go and Java.
    Install(Options),
    /// One measurement, in a child process of a run.
    #[command(hide = true)]
    Measure {
        suite: Suite,
        subject: Name,
        case: String,
        #[arg(long)]
        quick: bool,
    },
    /// A server, in a child process of a measurement.
    #[command(hide = true)]
    Serve {
        subject: Name,
        kind: ServerKind,
        /// The number of sockets, for a server without a listener.
        #[arg(default_value_t = 1)]
        sockets: usize,
        /// The files that are served, or the certificate.
        #[arg(long, default_value = ".")]
        folder: PathBuf,
    },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Tasklets(options) => rounds::run(Suite::Tasklets, &options),
        Command::Echo(options) => rounds::run(Suite::Echo, &options),
        Command::Threads(options) => rounds::run(Suite::Threads, &options),
        Command::Unix(options) => rounds::run(Suite::Unix, &options),
        Command::Datagrams(options) => rounds::run(Suite::Datagrams, &options),
        Command::Wake(options) => rounds::run(Suite::Wake, &options),
        Command::Http(options) => rounds::run(Suite::Http, &options),
        Command::Tls(options) => rounds::run(Suite::Tls, &options),
        Command::Protocols(options) => rounds::run(Suite::Protocols, &options),
        Command::Tools(options) => rounds::run(Suite::Tools, &options),
        Command::Install(options) => rounds::run(Suite::Install, &options),
        Command::Files(options) => rounds::run(Suite::Files, &options),
        Command::Measure { suite, subject, case, quick } => measure(suite, subject, &case, quick),
        Command::Serve { subject, kind, sockets, folder } => {
            if kind != ServerKind::OnTwo {
                harness::process::pin(harness::process::SERVER_CORE);
            }
            harness::process::die_with_parent();
            harness::process::raise_descriptor_limit();
            subjects::serve(kind, subject, sockets, &folder)
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// Measures a case of a subject, and prints its report.
fn measure(suite: Suite, subject: Name, case: &str, quick: bool) -> Result<(), String> {
    harness::process::die_with_parent();
    harness::process::raise_descriptor_limit();
    if let Some(core) = suites::core(suite, case) {
        harness::process::pin(core);
    }
    let report = suites::measure(suite, subject, case, quick)?;
    println!("{}", report.to_json());
    Ok(())
}
