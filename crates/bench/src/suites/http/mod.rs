//! Suite `http`: a static file over connections that are kept, the server on one core, wrk on
//! another.
//!
//! Cases are named `SIZE_CONNECTIONS`. wrk is Debian's, with one thread. It does not compare
//! bodies, so a client of our own compares one before and one after each measurement; the errors
//! that wrk counts are a figure of their own. `idle_10000` is in [`idle`].
//!
//! wrk copies each answer out of the kernel, and with large answers its core is busy before the
//! server's is. So there is also `SIZE_discarded_CONNECTIONS`, with the load of the echo suite: it
//! counts the bytes, and the kernel discards them.

pub(super) mod client;
mod idle;
mod wrk;

use crate::harness::child::Report;
use crate::harness::load::{Load, Script};
use crate::harness::server::Server;
use crate::harness::syscalls::{cpu_time, cpu_time_of_ended_children};
use crate::material::site::{self, Site};
use crate::names::{Name, ServerKind};
use client::{Client, ready};
use std::process::Command;
use std::time::Duration;
use wrk::Wrk;

/// The names of the cases, in their order.
pub(crate) const CASES: [&str; 8] =
    ["1k_32", "1k_256", "1k_1000", "64k_32", "64k_256", "64k_1000", "64k_discarded_256", IDLE];

/// The case of many idle connections.
const IDLE: &str = "idle_10000";

/// Gives the reason if the suite cannot run here.
pub(crate) fn obstacle() -> Option<String> {
    let found = Command::new("wrk").arg("--version").output();
    found.is_err().then(|| "wrk is missing; Debian and Ubuntu have it: apt install wrk".into())
}

/// Measures a case of a subject. This process starts the load.
pub(crate) fn measure(name: Name, case: &str, quick: bool) -> Result<Report, String> {
    let site = Site::made()?;
    let start = || Server::start(name, ServerKind::Http, &["--folder", &site.path()]);
    let server = start()?;
    if case == IDLE {
        return idle::measure([&server, &start()?], &site, quick);
    }
    let (file, connections) = case.split_once('_').ok_or("no such case")?;
    let (connections, discards) = match connections.strip_prefix("discarded_") {
        Some(connections) => (connections, true),
        None => (connections, false),
    };
    let connections = connections.parse().map_err(|_| "the case names no number of connections")?;
    if discards {
        return measure_discarding(&server, &site, case, file, connections, quick);
    }
    let (port, body) = (server.port()?, site.body(file)?);
    ready(port)?.expect_body(&site::target(file), &body)?;

    let load = Wrk { port, target: site::target(file), connections, yields: false };
    // wrk runs for whole seconds only.
    load.run(1)?;
    let cpu_before = cpu_time(server.id())?;
    let load_before = cpu_time_of_ended_children();
    let figures = load.run(if quick { 1 } else { 3 })?;
    let server_cpu = cpu_time(server.id())? - cpu_before;
    let load_cpu = cpu_time_of_ended_children() - load_before;
    Client::connect(port)?.expect_body(&site::target(file), &body)?;

    let mut report = Report::default();
    let each_us = |time: Duration| time.as_nanos() as f64 / 1000.0 / figures.requests;
    report.push(format!("{case}_requests_per_s"), "1/s", figures.per_second);
    report.push(format!("{case}_p50_us"), "us", figures.p50_us);
    report.push(format!("{case}_p99_us"), "us", figures.p99_us);
    report.push(format!("{case}_server_cpu_us"), "us", each_us(server_cpu));
    report.push(format!("{case}_load_cpu_us"), "us", each_us(load_cpu));
    report.push(format!("{case}_errors"), "errors", figures.errors);
    if figures.errors > 0.0 {
        report.notes.push(format!("!!! {case}: {} errors", figures.errors));
    }
    Ok(report)
}

/// Measures a case whose load does not compare answers. One answer is compared before, and one
/// after.
fn measure_discarding(
    server: &Server,
    site: &Site,
    case: &str,
    file: &str,
    connections: usize,
    quick: bool,
) -> Result<Report, String> {
    let (port, body, target) = (server.port()?, site.body(file)?, site::target(file));
    let answer_bytes = ready(port)?.expect_body(&target, &body)?;
    let question = client::request(&target).into_bytes().into();
    let script = Script::Discarded { question, answer_bytes };
    let mut load = Load::connect_with(port, connections, script)?;
    let [warm_up, timed] = if quick { [300, 1000] } else { [500, 3000] }.map(Duration::from_millis);
    load.run(warm_up)?;

    let cpu_before = cpu_time(server.id())?;
    let phase = load.run(timed)?;
    let server_cpu = cpu_time(server.id())? - cpu_before;
    Client::connect(port)?.expect_body(&target, &body)?;

    let mut report = Report::default();
    let requests = phase.round_trips as f64;
    let each_us = |time: Duration| time.as_nanos() as f64 / 1000.0 / requests;
    let quantile_us = |quantile| phase.latencies.value_at_quantile(quantile) as f64 / 1000.0;
    report.push(format!("{case}_requests_per_s"), "1/s", requests / phase.took.as_secs_f64());
    report.push(format!("{case}_p50_us"), "us", quantile_us(0.5));
    report.push(format!("{case}_p99_us"), "us", quantile_us(0.99));
    report.push(format!("{case}_server_cpu_us"), "us", each_us(server_cpu));
    report.push(format!("{case}_load_cpu_us"), "us", each_us(phase.load_cpu));
    Ok(report)
}
