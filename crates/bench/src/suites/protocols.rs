//! Suite `protocols`: messages in either framing, sixteen at a time on each connection.
//!
//! The load is that of the echo suite, with a block of requests that is made beforehand, and the
//! right answer to it, with which all bytes are compared. Cases are named `FRAMING_CONNECTIONS`.

use crate::harness::child::Report;
use crate::harness::load::{Load, Script};
use crate::harness::server::Server;
use crate::harness::syscalls::cpu_time;
use crate::names::{Name, ServerKind};
use std::time::Duration;

/// The names of the cases, in their order.
pub(crate) const CASES: [&str; 4] = ["length_1", "length_50", "line_1", "line_50"];

/// The requests that are sent before their answers arrive.
const DEPTH: usize = 16;

/// Measures a case of a subject. This process is the load.
pub(crate) fn measure(name: Name, case: &str, quick: bool) -> Result<Report, String> {
    let (kind, script, connections) = match case.split_once('_') {
        Some(("length", connections)) => (ServerKind::Length, lengths(), connections),
        Some(("line", connections)) => (ServerKind::Line, lines(), connections),
        _ => return Err(format!("no case {case}")),
    };
    let connections: usize =
        connections.parse().map_err(|_| "the case names no number of connections")?;
    let [warm_up, timed] = if quick { [100, 500] } else { [250, 2000] }.map(Duration::from_millis);
    let server = Server::start(name, kind, &[])?;
    let mut load = Load::connect_with(server.port()?, connections, script)?;
    load.run(warm_up)?;

    let cpu_before = cpu_time(server.id())?;
    let phase = load.run(timed)?;
    let server_cpu = cpu_time(server.id())? - cpu_before;
    let requests = phase.round_trips as f64 * DEPTH as f64;
    let each_us = |time: Duration| time.as_nanos() as f64 / 1000.0 / requests;
    let block_us = |quantile| phase.latencies.value_at_quantile(quantile) as f64 / 1000.0;
    let mut report = Report::default();
    report.push(format!("{case}_requests_per_s"), "1/s", requests / phase.took.as_secs_f64());
    report.push(format!("{case}_block_p50_us"), "us", block_us(0.5));
    report.push(format!("{case}_block_p99_us"), "us", block_us(0.99));
    report.push(format!("{case}_server_cpu_us"), "us", each_us(server_cpu));
    report.push(format!("{case}_load_cpu_us"), "us", each_us(phase.load_cpu));
    Ok(report)
}

/// Lists the contents of the messages: of different lengths, 32 bytes on average.
fn texts() -> impl Iterator<Item = String> {
    (0..DEPTH).map(|n| format!("{n:02} {}", "abcdefghijklmno".repeat(4).split_at(13 + 2 * n).0))
}

fn lengths() -> Script {
    let question: String = texts().map(|text| format!("{}\n{text}", text.len())).collect();
    let answer: String = texts().collect();
    fixed(question, answer)
}

fn lines() -> Script {
    let question: String = texts().map(|text| format!("{text}\n")).collect();
    fixed(question.clone(), question)
}

fn fixed(question: String, answer: String) -> Script {
    let [question, answer] = [question, answer].map(|text| text.into_bytes().into());
    Script::Fixed { question, answer }
}
