//! `overlapped serve`: servers, by crate `overlapped-serve`.
//!
//! ```text
//! flags ────────────┐
//!                   ├─▶ Wanted ─▶ Ready ─▶ Server ─▶ totals
//! file ─────────────┘     │ prepare │ listen  run
//!                         └ folders, certificates: looked at before anybody listens; all faults
//!                           are said at once
//! ```
//!
//! | file | one job |
//! |---|---|
//! | `values` | durations, sizes, limits, as flags and as keys of the file |
//! | `site` | what an HTTP server serves, as flags and as keys of the file |
//! | `open` | from that to what answers |
//! | `layers` | what is around that |
//! | `rights` | mode and owner of Unix sockets |
//! | `plan` | from what is wanted to a server that listens |
//! | `file` | the file, and places in it |
//! | `faults` | what is wrong |
//! | `check` | `--check`: what a start would find |
//!
//! On each thread a tasklet more shows all of that thread at SIGQUIT; the watchdog names sessions
//! that do not let others run.

mod check;
mod faults;
mod file;
mod layers;
mod open;
mod plan;
mod rights;
mod site;
mod values;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use clap::Subcommand;
use overlapped::port::PortChoice;
use overlapped::time::Duration;
use overlapped::{Config, task};
use overlapped_serve::{Address, Server};

use crate::say;
use crate::signals::{self, LastStop};
use faults::Faults;
use file::Source;
use plan::{Listening, Name, Place, Ready, Taken, Wanted};
use site::Content;
pub(crate) use values::Size;
use values::{Limits, Process};

const AFTER_HELP: &str = r"Examples:
  overlapped serve http . --list                 this folder, at http://127.0.0.1:8080/
  overlapped serve echo --listen 0.0.0.0:7007    for the whole network
  overlapped serve http site --listen 0.0.0.0:443 --tls-cert site.pem --tls-key site.key
  overlapped serve --example-config >serve.toml  a file to begin with
  overlapped serve --config serve.toml           several servers in one process

`overlapped serve http --help` shows a server's flags.

Signals:
  SIGTERM, Ctrl-C  Accepts nobody any more, finishes requests that are being answered, for at
                   most as long as --drain says, and prints totals. The exit code is 0. A second
                   signal ends the server, and its scripts, at once.
                   With --lame-duck, that time comes first: clients are still served, while
                   /readyz (--metrics) answers 503. The second signal ends that time, and a third
                   one the server.
  SIGHUP           Reads certificates again, and opens the access log again.
  SIGUSR2          Starts this command anew and hands it the listening sockets. When the new
                   process serves, this one finishes. No client is refused.
  SIGQUIT, Ctrl-\  Shows every tasklet on standard error: what it waits for, and where.";

/// Runs servers until Ctrl-C or SIGTERM, then prints totals.
///
/// Prints where it listens as soon as clients may come. One tasklet serves each connection.
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
    /// Only checks whether a start would succeed, and says everything that is wrong: files,
    /// folders, certificates, logs, addresses
    #[arg(long, global = true)]
    check: bool,
}

/// A session that holds the thread for so long is a bug, and every other client notices.
const STALL_LIMIT: Duration = Duration::from_secs(1);

#[derive(Subcommand)]
enum Protocol {
    /// Sends every byte back to whoever sent it (RFC 862)
    ///
    /// Listens on 127.0.0.1:7007. Try it:  overlapped serve echo &   then   nc 127.0.0.1 7007
    Echo(Simple),
    /// Sends each piece back in brackets: hello is answered with `[hello]`
    ///
    /// A piece is what one read of the socket gives, so the brackets show how the bytes arrived.
    /// Listens on 127.0.0.1:7008. Try it:  printf hello | nc -N 127.0.0.1 7008
    Bracket(Simple),
    /// Answers messages with their length in front
    ///
    /// A message is a length in decimal digits, a line feed, and as many bytes, which are the
    /// answer. Listens on 127.0.0.1:7009. Try it:  printf '5\nhello' | nc -N 127.0.0.1 7009
    Length(Simple),
    /// Answers each line with itself
    ///
    /// Listens on 127.0.0.1:7010. Try it:  echo hello | nc -N 127.0.0.1 7010
    Line(Simple),
    /// Plays the Zen game: what is better than what?
    ///
    /// Listens on 127.0.0.1:1060. Try it:  overlapped serve zen &   then   overlapped zen localhost
    Zen(Simple),
    Http(Box<Http>),
}

/// A server of a small protocol.
#[derive(clap::Args)]
struct Simple {
    #[command(flatten)]
    listening: Listening,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    process: Process,
}

/// Serves a folder over HTTP/1.1, and CGI scripts
///
/// Listens on 127.0.0.1:8080. Ranges, conditional requests, compression; nothing outside of the
/// folder, no hidden files.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    overlapped serve http . --list\n  \
    overlapped serve http public --listen 0.0.0.0:8080 --cgi scripts --access-log -\n  \
    overlapped serve http public --listen unix:/run/site.socket --proxy-protocol")]
struct Http {
    #[command(flatten)]
    content: Content,
    #[command(flatten)]
    listening: Listening,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    process: Process,
}

impl Protocol {
    fn plan(self) -> (Process, Wanted) {
        let simple = |name, simple: Simple| {
            let Simple { listening, limits, process } = simple;
            (process, Wanted { name, listening, limits, content: None, source: Source::Flags })
        };
        match self {
            Protocol::Echo(echo) => simple(Name::Echo, echo),
            Protocol::Bracket(bracket) => simple(Name::Bracket, bracket),
            Protocol::Length(length) => simple(Name::Length, length),
            Protocol::Line(line) => simple(Name::Line, line),
            Protocol::Zen(zen) => simple(Name::Zen, zen),
            Protocol::Http(http) => {
                let Http { content, listening, limits, process } = *http;
                let content = Some(content);
                let name = Name::Http;
                let source = Source::Flags;
                (process, Wanted { name, listening, limits, content, source })
            }
        }
    }
}

pub(crate) fn main(port: PortChoice, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let check = arguments.check;
    let mut faults = Faults::default();
    let (process, source, wanted) = match arguments {
        Arguments { example_config: true, .. } => {
            say(file::EXAMPLE)?;
            return Ok(ExitCode::SUCCESS);
        }
        Arguments { protocol: Some(_), config: Some(_), .. } => {
            bail!("give either a protocol or --config: the file says what is spoken")
        }
        Arguments { protocol: Some(protocol), .. } => {
            let (process, wanted) = protocol.plan();
            (process, Source::Flags, vec![wanted])
        }
        Arguments { config: Some(path), .. } => file::read(&path, &mut faults)?,
        Arguments { .. } => bail!(
            "what is to be served? Give a protocol (`overlapped serve http DIR`) or --config FILE; \
             `overlapped serve --help` lists them"
        ),
    };
    if check {
        return check::check(&process, &source, wanted, faults);
    }
    let ready: Vec<Ready> =
        wanted.into_iter().filter_map(|wanted| wanted.prepare(&mut faults)).collect();
    faults.end()?;
    serve(port, &process, &source, &ready)
}

fn serve(
    port: PortChoice,
    process: &Process,
    source: &Source,
    ready: &[Ready],
) -> anyhow::Result<ExitCode> {
    let stages = if process.has_lame_duck() { 3 } else { 2 };
    // Scripts have groups of their own: no signal of ours, and no end of this process, ends them.
    let signals = LastStop::register(stages, overlapped_serve::web::kill_scripts)
        .context("cannot handle Ctrl-C and SIGTERM")?;
    let config = Config::new().port(port).stall_limit(STALL_LIMIT);
    let mut server = process.server().config(config);
    let (mut places, mut taken) = (Vec::new(), Taken::default());
    for ready in ready {
        places.extend(ready.listen(&mut server, &mut taken)?);
    }
    let metrics = match &process.metrics {
        Some(on) => {
            let listened = server.observe(&**on).map(Some);
            taken.enter(on, source.place("metrics", None), listened)?
        }
        None => None,
    };
    let (server, greeting) = greet(server, places, metrics);
    let totals = server.run()?;
    if let Some(failed) = greeting.lock().unwrap_or_else(PoisonError::into_inner).take() {
        failed?;
    }
    let stopped = signals.name().unwrap_or("its successor");
    say(format_args!("stopped by {stopped}\n{totals}"))?;
    Ok(ExitCode::SUCCESS)
}

type Greeting = Arc<Mutex<Option<anyhow::Result<()>>>>;

/// Has it say where it listens when it serves, and show its tasklets at SIGQUIT. Where saying
/// fails, it stops.
fn greet(server: Server, places: Vec<Place>, metrics: Option<Address>) -> (Server, Greeting) {
    let said = Greeting::default();
    let (mine, handle) = (Arc::clone(&said), server.handle());
    let begin = move || {
        if let Err(error) = signals::dump_on_quit() {
            tracing::warn!("cannot handle SIGQUIT: {error}");
        }
        let port = task::stats().map_or("none", |stats| stats.port);
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_none() {
            let mut lines: String =
                places.iter().map(|place| place.line(port, places.len() == 1)).collect();
            if let Some(address) = &metrics {
                lines += &format!("metrics at {address}: /metrics, /healthz, /readyz\n");
            }
            let done = say(lines);
            if done.is_err() {
                handle.stop();
            }
            *said = Some(done);
        }
    };
    (server.on_thread_start(begin), mine)
}
