//! `overlapped` and its peers, measured in one run.
//!
//! ```text
//! main            reads the arguments
//!  → harness::rounds   for each round, case and subject (order rotated): one fresh child process
//!    → harness::child  re-executes this program as `measure SUITE SUBJECT CASE`
//!      → tasklets | echo | http | …   what a case does, in terms of a trait; pinned to a core
//!        → subjects::*     one file per library: the code its user would write
//!    ← one line of JSON: the metrics of that child
//!  → harness::report   medians, spreads and paired ratios, as a table or as JSON lines
//! ```
//!
//! A subject never shares a process with another one, and an echo server never shares a core with
//! the load. Only ratios taken in the same run say something: the machine's mood changes within
//! minutes, and alternating rounds let it change for all subjects alike.

mod echo;
mod files;
mod harness;
mod http;
mod install;
mod protocols;
mod subjects;
mod tasklets;
mod tls;
mod tools;
mod wake;

use clap::{Args, Parser, Subcommand, ValueEnum};
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
    /// The same over two threads of a server, which the load shares two cores with.
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
        subject: subjects::Name,
        case: String,
        #[arg(long)]
        quick: bool,
    },
    /// A server, in a child process of a measurement.
    #[command(hide = true)]
    Serve {
        subject: subjects::Name,
        kind: subjects::Server,
        /// How many, where there is no listener.
        #[arg(default_value_t = 1)]
        sockets: usize,
        /// The files that are served, or the certificate.
        #[arg(long, default_value = ".")]
        folder: PathBuf,
    },
}

/// What to run and how to print it.
#[derive(Args, Clone)]
struct Options {
    /// Shorter measurements, fewer rounds, without the million parked tasks.
    #[arg(long)]
    quick: bool,
    /// One JSON object per line on stdout instead of the table.
    #[arg(long)]
    json: bool,
    /// Only these subjects.
    #[arg(long = "subject", num_args = 1..)]
    subjects: Vec<subjects::Name>,
    /// Only these cases (for echo: the number of connections).
    #[arg(long = "case", num_args = 1..)]
    cases: Vec<String>,
    /// Rounds; 3 when quick, else 7.
    #[arg(long)]
    rounds: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Suite {
    Tasklets,
    Echo,
    Files,
    Threads,
    Unix,
    Datagrams,
    Wake,
    Http,
    Tls,
    Protocols,
    Tools,
    Install,
}

impl Suite {
    fn name(self) -> &'static str {
        match self {
            Suite::Tasklets => "tasklets",
            Suite::Echo => "echo",
            Suite::Files => "files",
            Suite::Threads => "threads",
            Suite::Unix => "unix",
            Suite::Datagrams => "datagrams",
            Suite::Wake => "wake",
            Suite::Http => "http",
            Suite::Tls => "tls",
            Suite::Protocols => "protocols",
            Suite::Tools => "tools",
            Suite::Install => "install",
        }
    }

    fn cases(self, quick: bool) -> Vec<&'static str> {
        match self {
            Suite::Tasklets => tasklets::cases(quick),
            Suite::Echo => echo::CASES.to_vec(),
            Suite::Files => files::CASES.to_vec(),
            Suite::Threads => echo::CASES_ON_TWO.to_vec(),
            Suite::Unix => echo::CASES_UNIX.to_vec(),
            Suite::Datagrams => echo::CASES_DATAGRAMS.to_vec(),
            Suite::Wake => wake::CASES.to_vec(),
            Suite::Http => http::CASES.to_vec(),
            Suite::Tls => tls::CASES.to_vec(),
            Suite::Protocols => protocols::CASES.to_vec(),
            Suite::Tools => tools::CASES.to_vec(),
            Suite::Install => install::CASES.to_vec(),
        }
    }

    /// Who takes part, when nobody is named.
    fn subjects(self) -> Vec<subjects::Name> {
        use subjects::Name::{self, *};
        let all = Name::value_variants().iter().copied();
        match self {
            Suite::Unix | Suite::Datagrams => {
                vec![OverlappedUring, OverlappedPoll, Tokio, Compio, Monoio, Go]
            }
            Suite::Threads => vec![OverlappedUring, OverlappedPoll, Tokio, May, Go],
            Suite::Wake => vec![OverlappedUring, OverlappedPoll, Tokio, Raw, Go],
            Suite::Http => vec![
                OverlappedUring,
                OverlappedPoll,
                Nginx,
                NginxCached,
                Hyper,
                HyperInline,
                HyperMemory,
                Go,
            ],
            Suite::Tls => vec![OverlappedUring, OverlappedPoll, Hyper, Nginx, Go],
            Suite::Protocols => vec![OverlappedUring, OverlappedPoll, Tokio, Go],
            Suite::Tools => vec![OverlappedUring, OverlappedPoll, Cp, Rsync, Curl, Wget2, Aria2],
            Suite::Install => vec![
                InstallUring,
                InstallPoll,
                OwnUring,
                OverlappedUring,
                OverlappedPoll,
                Threads,
                Go,
                Java,
            ],
            Suite::Files => all.filter(|name| *name != May && *name <= Cp).collect(),
            Suite::Tasklets | Suite::Echo => all.filter(|name| *name < Pread).collect(),
        }
    }

    /// Tells whether a subject has anything to measure in a case.
    fn takes_part(self, subject: subjects::Name, case: &str) -> bool {
        match self {
            Suite::Install => install::takes_part(subject, case),
            _ => true,
        }
    }

    /// Why it cannot run here at all.
    fn obstacle(self) -> Option<String> {
        match self {
            Suite::Http => http::obstacle(),
            _ => None,
        }
    }
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Tasklets(options) => harness::rounds::run(Suite::Tasklets, &options),
        Command::Echo(options) => harness::rounds::run(Suite::Echo, &options),
        Command::Threads(options) => harness::rounds::run(Suite::Threads, &options),
        Command::Unix(options) => harness::rounds::run(Suite::Unix, &options),
        Command::Datagrams(options) => harness::rounds::run(Suite::Datagrams, &options),
        Command::Wake(options) => harness::rounds::run(Suite::Wake, &options),
        Command::Http(options) => harness::rounds::run(Suite::Http, &options),
        Command::Tls(options) => harness::rounds::run(Suite::Tls, &options),
        Command::Protocols(options) => harness::rounds::run(Suite::Protocols, &options),
        Command::Tools(options) => harness::rounds::run(Suite::Tools, &options),
        Command::Install(options) => harness::rounds::run(Suite::Install, &options),
        Command::Files(options) => harness::rounds::run(Suite::Files, &options),
        Command::Measure { suite, subject, case, quick } => measure(suite, subject, &case, quick),
        Command::Serve { subject, kind, sockets, folder } => {
            if kind != subjects::Server::OnTwo {
                harness::child::pin(harness::child::SERVER_CORE);
            }
            harness::child::die_with_parent();
            harness::child::raise_descriptor_limit();
            kind.run(subject, sockets, &folder)
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

fn measure(suite: Suite, subject: subjects::Name, case: &str, quick: bool) -> Result<(), String> {
    harness::child::die_with_parent();
    harness::child::raise_descriptor_limit();
    let core = match suite {
        Suite::Tasklets => Some(harness::child::SERVER_CORE),
        Suite::Files => (case != files::ON_ALL_CORES).then_some(harness::child::SERVER_CORE),
        Suite::Threads | Suite::Wake | Suite::Tools => None,
        Suite::Install if !install::is_load(case) => Some(harness::child::SERVER_CORE),
        // This process is the load.
        _ => Some(harness::child::LOAD_CORE),
    };
    if let Some(core) = core {
        harness::child::pin(core);
    }
    let report = match suite {
        Suite::Tasklets => tasklets::measure(subject, case, quick)?,
        Suite::Files => files::measure(subject, case, quick)?,
        Suite::Echo => echo::measure(subject, case, quick)?,
        Suite::Threads => echo::measure_on_two(subject, case, quick)?,
        Suite::Unix => echo::measure_unix(subject, case, quick)?,
        Suite::Datagrams => echo::measure_datagrams(subject, case, quick)?,
        Suite::Wake => wake::measure(subject, case, quick)?,
        Suite::Http => http::measure(subject, case, quick)?,
        Suite::Tls => tls::measure(subject, case, quick)?,
        Suite::Protocols => protocols::measure(subject, case, quick)?,
        Suite::Tools => tools::measure(subject, case, quick)?,
        Suite::Install => install::measure(subject, case, quick)?,
    };
    println!("{}", report.to_json());
    Ok(())
}
