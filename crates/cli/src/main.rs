//! The `overlapped` program: one module per subcommand; without a subcommand, the tour.
//!
//! Results go to standard output, logs to standard error (`RUST_LOG` sets the level). An error
//! message says what failed and what to do.

#![forbid(unsafe_code)]

mod close;
mod copy;
mod display;
mod doctor;
mod foreign_flags;
mod get;
mod manual;
mod resume_command;
mod serve;
mod signals;
mod stdout;
mod tour;
mod zen;

use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use overlapped::port::PortChoice;
use tracing_subscriber::EnvFilter;

/// Blocking Rust with overlapped I/O: tasklets and servers over a completion port.
///
/// Without a subcommand it shows what the library does on this machine, measured now, in less than
/// half a minute.
#[derive(Parser)]
#[command(
    name = "overlapped",
    version,
    after_help = "Environment:\n  \
    OVERLAPPED_PORT  uring or poll, like --port, for every program that uses the library\n  \
    RUST_LOG         error, warn, info (default), debug, trace: the level of logs on standard error"
)]
struct Arguments {
    /// The completion port, by which this program uses the kernel. (Not a TCP port, which is part
    /// of `--listen`)
    #[arg(long, global = true, value_enum, default_value_t = PortName::Auto)]
    port: PortName,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    Copy(copy::Arguments),
    Get(Box<get::Arguments>),
    Serve(Box<serve::Arguments>),
    Zen(zen::Arguments),
    Doctor(doctor::Arguments),
    Tour(tour::Arguments),
    Completions(manual::Completions),
    Man(manual::Man),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PortName {
    /// OVERLAPPED_PORT, or else the best port that works here
    Auto,
    /// io_uring: the kernel performs operations and reports their completion
    Uring,
    /// readiness (epoll): the kernel reports when to try; more system calls, works everywhere
    Poll,
}

impl From<PortName> for PortChoice {
    fn from(name: PortName) -> PortChoice {
        match name {
            PortName::Auto => PortChoice::Auto,
            PortName::Uring => PortChoice::Uring,
            PortName::Poll => PortChoice::Poll,
        }
    }
}

fn main() -> ExitCode {
    let typed = foreign_flags::for_clap(std::env::args_os());
    if let Some(option) = typed.iter().skip(1).find(|argument| is_option_with_controls(argument)) {
        let option = display::Escaped::new(option.as_ref());
        eprintln!("overlapped: unknown option {option}; for a file of this name write ./{option}");
        return ExitCode::from(2);
    }
    let arguments = Arguments::try_parse_from(&typed)
        .unwrap_or_else(|error| foreign_flags::explain(error, typed).exit());
    // The doctor itself reports what the library would warn of.
    let level =
        if matches!(arguments.command, Some(Command::Doctor(_))) { "error" } else { "info" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    // At lower levels the HTTP client logs whole requests, with passwords and tokens.
    let filter = ["ureq=warn", "ureq_proto=warn"]
        .into_iter()
        .filter_map(|directive| directive.parse().ok())
        .fold(filter, EnvFilter::add_directive);
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    let port = arguments.port.into();
    let done = match arguments.command {
        Some(Command::Copy(copy)) => copy::main(port, &copy),
        Some(Command::Get(get)) => get::main(port, &get),
        Some(Command::Serve(serve)) => serve::main(port, *serve),
        Some(Command::Zen(zen)) => zen::main(port, &zen),
        Some(Command::Doctor(doctor)) => doctor::main(port, &doctor),
        Some(Command::Tour(tour)) => tour::main(port, &tour),
        Some(Command::Completions(completions)) => {
            manual::completions(&completions, Arguments::command())
        }
        Some(Command::Man(man)) => manual::man(&man, Arguments::command()),
        None => tour::main(port, &tour::Arguments::default()),
    };
    signals::finish_dumps();
    match done {
        Ok(code) => code,
        // The reader of our output has read enough, as in `overlapped doctor | head -1`.
        Err(error) if stdout::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("overlapped: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Tells whether an argument looks like an option and contains control characters, which clap's
/// message would repeat: perhaps the name of a file that a pattern has matched, chosen by an
/// attacker.
fn is_option_with_controls(argument: &OsStr) -> bool {
    let bytes = argument.as_encoded_bytes();
    let name = bytes.split(|&byte| byte == b'=').next().unwrap_or(bytes);
    name.starts_with(b"-") && name.iter().any(u8::is_ascii_control)
}
