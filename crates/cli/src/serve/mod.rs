//! `overlapped serve`: servers, by crate `overlapped-serve`.
//!
//! ```text
//! flags ────────────┐
//!                   ├─▶ ServerPlan ─▶ PreparedServer ─▶ Server ─▶ totals
//! file ─────────────┘     │ prepare          │ listen  run
//!                         └ opens folders and certificates before anything listens, and reports
//!                           all faults at once
//! ```
//!
//! | file | contents |
//! |---|---|
//! | `options` | options, as flags and as keys of the configuration file |
//! | `config` | the configuration file, and the location of each value in it |
//! | `plan` | what to serve, and the checks of its options |
//! | `site` | the folders and scripts of an HTTP server |
//! | `layers` | the layers around a site |
//! | `listen` | listening, and the addresses in use |
//! | `faults` | faults and warnings, collected |
//! | `check` | `--check`: what a start would report |
//!
//! A new protocol is a variant of [`Protocol`] here, of `ProtocolName` and of `Handler` in `plan`.
//!
//! On each thread one more tasklet dumps the thread's tasklets at SIGQUIT; the watchdog names
//! sessions that hold their thread.

mod check;
mod config;
mod faults;
mod layers;
mod listen;
mod options;
mod plan;
mod site;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use clap::Subcommand;
use overlapped::port::PortChoice;
use overlapped::time::Duration;
use overlapped::{Config, task};
use overlapped_serve::{Address, Server};

use crate::signals::{self, StopCounter};
use crate::stdout::print;
use config::Source;
use faults::Faults;
use listen::{BoundAddresses, Endpoint};
use options::http::HttpOptions;
use options::server::{Limits, Listening, Process};
pub(crate) use options::values::Size;
use plan::{PreparedServer, ProtocolName, ServerPlan};

const AFTER_HELP: &str = r"Examples:
  overlapped serve http . --list                 this folder, at http://127.0.0.1:8080/
  overlapped serve echo --listen 0.0.0.0:7007    for the whole network
  overlapped serve http site --listen 0.0.0.0:443 --tls-cert site.pem --tls-key site.key
  overlapped serve --example-config >serve.toml  a file to begin with
  overlapped serve --config serve.toml           several servers in one process

`overlapped serve http --help` shows a server's flags.

Signals:
  SIGTERM, Ctrl-C  Accepts no more clients, finishes the requests that are being answered, within
                   the time of --drain, and prints totals. The exit code is 0. A second signal
                   ends the server, and its scripts, at once.
                   With --lame-duck, that time comes first: clients are still served, while
                   /readyz (--metrics) answers 503. The second signal ends that time, and a third
                   one the server.
  SIGHUP           Reads certificates again, and opens the access log again.
  SIGUSR2          Starts this command anew and hands the listening sockets to the new process.
                   When that one serves, this one finishes. No client is refused.
  SIGQUIT, Ctrl-\  Shows every tasklet on standard error: what it waits for, and where.";

/// Runs servers until Ctrl-C or SIGTERM, then prints totals.
///
/// Prints the addresses as soon as clients can connect. One tasklet serves each connection.
#[derive(clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = AFTER_HELP
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    protocol: Option<Protocol>,
    /// Runs the servers that this file (TOML) describes, instead of one that flags describe
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Prints an annotated file for --config, with every key
    #[arg(long, exclusive = true)]
    example_config: bool,
    /// Only checks whether a start would succeed, and reports every fault: of files, folders,
    /// certificates, logs, addresses
    #[arg(long, global = true)]
    check: bool,
}

/// The time after which a session that holds its thread is reported: every other client waits.
const STALL_LIMIT: Duration = Duration::from_secs(1);

#[derive(Subcommand)]
enum Protocol {
    /// Sends every byte back to its sender (RFC 862)
    ///
    /// Listens on 127.0.0.1:7007. Try it:  overlapped serve echo &   then   nc 127.0.0.1 7007
    Echo(Common),
    /// Sends each piece back in brackets: hello is answered with `[hello]`
    ///
    /// A piece is the result of one read of the socket, so the brackets show how the bytes arrived.
    /// Listens on 127.0.0.1:7008. Try it:  printf hello | nc -N 127.0.0.1 7008
    Bracket(Common),
    /// Answers messages that are preceded by their length
    ///
    /// A message is a length in decimal digits, a line feed, and as many bytes, which are sent
    /// back. Listens on 127.0.0.1:7009. Try it:  printf '5\nhello' | nc -N 127.0.0.1 7009
    Length(Common),
    /// Answers each line with itself
    ///
    /// Listens on 127.0.0.1:7010. Try it:  echo hello | nc -N 127.0.0.1 7010
    Line(Common),
    /// Plays the Zen game: What is better than what?
    ///
    /// Listens on 127.0.0.1:1060. Try it:  overlapped serve zen &   then   overlapped zen localhost
    Zen(Common),
    Http(Box<Http>),
}

/// Options that every server has.
#[derive(clap::Args)]
struct Common {
    #[command(flatten)]
    listening: Listening,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    process: Process,
}

/// Serves a folder over HTTP/1.1, and CGI scripts
///
/// Listens on 127.0.0.1:8080. Supports ranges, conditional requests and compression. Serves nothing
/// outside of the folder, and no hidden files.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    overlapped serve http . --list\n  \
    overlapped serve http public --listen 0.0.0.0:8080 --cgi scripts --access-log -\n  \
    overlapped serve http public --listen unix:/run/site.socket --proxy-protocol")]
struct Http {
    #[command(flatten)]
    http: HttpOptions,
    #[command(flatten)]
    common: Common,
}

impl Protocol {
    fn plan(self) -> (Process, ServerPlan) {
        let plan = |name, common: Common, http| {
            let Common { listening, limits, process } = common;
            (process, ServerPlan { name, listening, limits, http, source: Source::Flags })
        };
        match self {
            Protocol::Echo(echo) => plan(ProtocolName::Echo, echo, None),
            Protocol::Bracket(bracket) => plan(ProtocolName::Bracket, bracket, None),
            Protocol::Length(length) => plan(ProtocolName::Length, length, None),
            Protocol::Line(line) => plan(ProtocolName::Line, line, None),
            Protocol::Zen(zen) => plan(ProtocolName::Zen, zen, None),
            Protocol::Http(http) => {
                let Http { http, common } = *http;
                plan(ProtocolName::Http, common, Some(http))
            }
        }
    }
}

pub(crate) fn main(port: PortChoice, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let check = arguments.check;
    let mut faults = Faults::default();
    let (process, source, plans) = match arguments {
        Arguments { example_config: true, .. } => {
            print(config::EXAMPLE)?;
            return Ok(ExitCode::SUCCESS);
        }
        Arguments { protocol: Some(_), config: Some(_), .. } => {
            bail!("give either a protocol or --config, whose file names the protocols")
        }
        Arguments { protocol: Some(protocol), .. } => {
            let (process, plan) = protocol.plan();
            (process, Source::Flags, vec![plan])
        }
        Arguments { config: Some(path), .. } => config::read(&path, &mut faults)?,
        Arguments { .. } => bail!(
            "nothing to serve: give a protocol (`overlapped serve http DIR`) or --config FILE; \
             `overlapped serve --help` lists them"
        ),
    };
    if check {
        return check::check(&process, &source, plans, faults);
    }
    let prepared: Vec<PreparedServer> =
        plans.into_iter().filter_map(|plan| plan.prepare(&mut faults)).collect();
    faults.end()?;
    serve(port, &process, &source, &prepared)
}

fn serve(
    port: PortChoice,
    process: &Process,
    source: &Source,
    servers: &[PreparedServer],
) -> anyhow::Result<ExitCode> {
    let stages = if process.has_lame_duck() { 3 } else { 2 };
    // Scripts run in process groups of their own, so no signal to this process, and not its end,
    // ends them.
    let signals = StopCounter::register(stages, overlapped_serve::web::kill_scripts)
        .context("cannot handle Ctrl-C and SIGTERM")?;
    let config = Config::new().port(port).stall_limit(STALL_LIMIT);
    let mut server = process.server().config(config);
    let (mut endpoints, mut bound) = (Vec::new(), BoundAddresses::default());
    for prepared in servers {
        endpoints.extend(prepared.listen(&mut server, &mut bound)?);
    }
    let metrics = match &process.metrics {
        Some(on) => {
            let result = server.observe(&**on).map(Some);
            bound.enter(on, source.location("metrics", None), result)?
        }
        None => None,
    };
    let (server, greeting) = greet(server, endpoints, metrics);
    let totals = server.run()?;
    if let Some(failed) = greeting.lock().unwrap_or_else(PoisonError::into_inner).take() {
        failed?;
    }
    let stopped_by = signals.name().unwrap_or("the new process");
    print(format_args!("stopped by {stopped_by}\n{totals}"))?;
    Ok(ExitCode::SUCCESS)
}

type Greeting = Arc<Mutex<Option<anyhow::Result<()>>>>;

/// Makes the server print its addresses as soon as it serves, and dump its tasklets at SIGQUIT. If
/// printing fails, the server stops.
fn greet(server: Server, endpoints: Vec<Endpoint>, metrics: Option<Address>) -> (Server, Greeting) {
    let printed = Greeting::default();
    let (mine, handle) = (Arc::clone(&printed), server.handle());
    let begin = move || {
        if let Err(error) = signals::dump_on_quit() {
            tracing::warn!("cannot handle SIGQUIT: {error}");
        }
        let port = task::stats().map_or("none", |stats| stats.port);
        let mut printed = printed.lock().unwrap_or_else(PoisonError::into_inner);
        if printed.is_none() {
            let mut lines: String = endpoints
                .iter()
                .map(|endpoint| endpoint.line(port, endpoints.len() == 1))
                .collect();
            if let Some(address) = &metrics {
                lines += &format!("metrics at {address}: /metrics, /healthz, /readyz\n");
            }
            let done = print(lines);
            if done.is_err() {
                handle.stop();
            }
            *printed = Some(done);
        }
    };
    (server.on_thread_start(begin), mine)
}
