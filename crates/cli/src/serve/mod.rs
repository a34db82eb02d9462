//! `overlapped serve`: servers.
//!
//! ```text
//! main tasklet     binds, spawns those below, waits for the acceptor's end
//! ├ acceptor       accepts for ever (accept.rs); ends by being killed
//! │ └ sessions     one tasklet per connection (echo.rs)
//! ├ stopper        waits for a signal, then kills the acceptor
//! └ a tasklet that shows all of them at SIGQUIT
//! ```
//!
//! Shutdown: when the acceptor has ended, the main tasklet returns, and `run_until` kills the
//! sessions. Each of them unwinds where it waits, after its pending operation has been cancelled
//! and reaped; its stream closes and its [`Seat`](accept::Seat) counts it out. Then the totals are
//! printed, with how many sessions are left: 0, or something is wrong.

mod accept;
mod bind;
mod echo;
mod totals;

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::Context;
use clap::Subcommand;
use overlapped::net::TcpListener;
use overlapped::port::PortChoice;
use overlapped::time::Duration;
use overlapped::{Config, JoinError, spawn, task};

use crate::say;
use crate::signals::{self, StopSignals};
use totals::Totals;

/// Runs a server until Ctrl-C or SIGTERM, then prints totals.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    protocol: Protocol,
}

/// A session that holds the thread for so long is a bug, and every other client notices.
const STALL_LIMIT: Duration = Duration::from_secs(1);

#[derive(Subcommand)]
enum Protocol {
    Echo(Echo),
}

/// Sends every byte back to whoever sent it (RFC 862).
///
/// One tasklet per connection, all on one thread. Prints `listening on ADDR (port uring)` as soon
/// as clients may come. Ctrl-C or SIGTERM: closes all connections, prints totals, exit code 0. A
/// second signal ends it at once. SIGQUIT (Ctrl-\): shows every tasklet, what it waits for and
/// where, on standard error, and goes on.
///
/// Try it:  overlapped serve echo &   then   nc 127.0.0.1 7007
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
struct Echo {
    /// Where to listen: host:port; port 0 lets the system choose, 0.0.0.0 is every interface
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7007")]
    listen: String,
    /// The most connections at a time; further clients wait in the listen queue, none is refused.
    /// Without it, the limit on open files is the limit
    #[arg(long, value_name = "N")]
    max_connections: Option<NonZeroUsize>,
    /// Closes a connection on which nothing could be read or written for so long, such as 30s or
    /// 5m. Without it, connections may idle for ever
    #[arg(long, value_name = "DURATION", value_parser = idle_timeout)]
    idle_timeout: Option<Duration>,
}

fn idle_timeout(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => {
            Err("zero would close every connection at once; leave it out for no limit".to_owned())
        }
        Ok(duration) => Ok(duration),
        Err(error) => Err(format!("{error}; write it as 500ms, 30s or 5m")),
    }
}

pub(crate) fn main(port: PortChoice, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Protocol::Echo(echo) = &arguments.protocol;
    match overlapped::port::raise_fd_limit() {
        Ok((limit, _)) => tracing::debug!(limit, "open files: as many as the hard limit allows"),
        Err(error) => tracing::info!("the limit on open files stays as it is: {error}"),
    }
    let signals = StopSignals::register().context("cannot handle Ctrl-C and SIGTERM")?;
    let totals = Rc::new(Totals::new());
    let serve = || serve(echo, signals, &totals);
    let stopped = Config::new().port(port).stall_limit(STALL_LIMIT).run_until(serve)??;
    say(format_args!("stopped by {stopped}\n{totals}"))?;
    Ok(ExitCode::SUCCESS)
}

/// Serves until a signal comes, and gives the signal's name.
fn serve(
    echo: &Echo,
    mut signals: StopSignals,
    totals: &Rc<Totals>,
) -> anyhow::Result<&'static str> {
    signals::dump_on_quit().context("cannot handle SIGQUIT")?;
    let listener =
        TcpListener::bind(&*echo.listen).map_err(|error| bind::explain(&echo.listen, &error))?;
    let port = task::stats().map_or("none", |stats| stats.port);
    say(format_args!("listening on {} (port {port})\n", listener.local_addr()?))?;
    let limits = accept::Limits {
        connections: echo.max_connections.map_or(usize::MAX, NonZeroUsize::get),
        idle: echo.idle_timeout,
    };
    let acceptor = spawn({
        let totals = totals.clone();
        move || accept::accept_for_ever(&listener, &limits, &totals)
    });
    let stop = acceptor.remote();
    let stopper = spawn(move || {
        let signal = signals.wait();
        stop.kill();
        // From here on a second signal ends the process; see signals.rs.
        signal
    });
    match acceptor.join() {
        Err(JoinError::Killed) => {}
        Err(error) => return Err(anyhow::Error::new(error).context("the acceptor ended")),
        Ok(never) => match never {},
    }
    totals.note_stop();
    tracing::debug!(connections = totals.open_at_stop(), "stopping; once more stops at once");
    stopper.join()?.context("cannot wait for signals")
}
