//! Suite `install`: unmodified std code in tasklets (overlapped-install), beside this library's own
//! types, threads, Go and Java.
//!
//! - Costs of calls: `spawn_join` … `semaphore` in nanoseconds each, `parked` in KiB. `more_…` is
//!   the extra cost of a call over libc's own, where overlapped-install is linked: outside tasklets
//!   (subject `threads`) and inside.
//! - `downloads`: twenty downloads by an HTTP client that knows nothing of tasklets, first one
//!   after the other, then all together, from a server that takes 100 ms for each.
//! - `clients_N`: that many clients of the server in `crates/install/examples/server.rs`,
//!   unmodified (subject `install-…`), or the same in other worlds. Each sends a word, and waits
//!   for its count. This process is the load. `clients_memory` is the memory of the server for each
//!   of 10,000 of them.

use crate::harness::child::Report;
use crate::harness::load::{Load, Script};
use crate::harness::memory::Memory;
use crate::harness::passes::ns_each;
use crate::harness::server::Server;
use crate::harness::syscalls::cpu_time;
use crate::names::{Name, ServerKind};
use crate::subjects::{self, install};
use crate::traits::install::Install;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// The names of the cases, in their order.
pub(crate) const CASES: [&str; 16] = [
    "more_recv",
    "more_mutex",
    "more_recursive",
    "spawn_join",
    "yield",
    "channel",
    "sleep",
    "pair_ready",
    "pair_waits",
    "lock",
    "semaphore",
    "parked",
    "downloads",
    "clients_1000",
    "clients_10000",
    "clients_memory",
];

/// The word that each client sends.
const WORD: &[u8] = b"word\n";
/// The longest answer.
const ANSWER_BYTES: usize = 64;

/// The tasks that wait when memory is read.
const PARKED: u64 = 10_000;

/// Checks that a subject can run here, and builds what it needs.
pub(crate) fn prepare(name: Name) -> Result<(), String> {
    match name {
        Name::InstallUring | Name::InstallPoll | Name::Threads => install::prepare_program(),
        Name::Java => install::prepare_java(),
        _ => subjects::by_name(name).prepare(),
    }
}

/// Tells whether a subject has anything to measure in a case.
pub(crate) fn takes_part(name: Name, case: &str) -> bool {
    let is_std = matches!(name, Name::InstallUring | Name::InstallPoll);
    match case {
        "downloads" => is_std,
        "semaphore" => is_std || name == Name::Threads,
        _ if case.starts_with("more") => is_std || name == Name::Threads,
        _ if is_load(case) => true,
        _ => !matches!(name, Name::Go | Name::Java),
    }
}

/// Tells whether a case is a server's, so that this process is a load on a core of its own.
pub(crate) fn is_load(case: &str) -> bool {
    case.starts_with("clients")
}

/// Measures a case of a subject.
pub(crate) fn measure(name: Name, case: &str, quick: bool) -> Result<Report, String> {
    let subject = install::by_name(name)?;
    let mut report = Report::default();
    match case.strip_prefix("clients_") {
        Some("memory") => memory(name, quick, &mut report)?,
        Some(clients) => {
            let clients = clients.parse().map_err(|_| "the case names no number of clients")?;
            round_trips(name, case, clients, quick, &mut report)?;
        }
        None => cost(&*subject, case, quick, &mut report)?,
    }
    Ok(report)
}

fn cost(subject: &dyn Install, case: &str, quick: bool, report: &mut Report) -> Result<(), String> {
    let budget = Duration::from_millis(if quick { 100 } else { 400 });
    match case {
        "more_recv" | "more_mutex" | "more_recursive" => {
            let n = if quick { 200_000 } else { 2_000_000 };
            let what = case.trim_start_matches("more_");
            report.push(case, "ns", subject.figure(what, n)? / n as f64);
        }
        "parked" => {
            let n = if quick { PARKED / 10 } else { PARKED };
            report.push(case, "KiB", subject.figure(case, n)?);
        }
        "downloads" => {
            let [serial, at_once] = subject.downloads()?;
            report.push("downloads_serial", "ms", serial.as_secs_f64() * 1e3);
            report.push("downloads_at_once", "ms", at_once.as_secs_f64() * 1e3);
            let times = serial.as_secs_f64() / at_once.as_secs_f64();
            report.push("downloads_times_serial", "x", times);
        }
        _ => {
            let first = if case == "sleep" { 100 } else { 1_000 };
            let pass = |n| subject.figure(case, n).map(|ns| Duration::from_nanos(ns as u64));
            report.push(case, "ns", ns_each(budget, first, pass)?);
        }
    }
    Ok(())
}

fn port(server: &Server) -> Result<u16, String> {
    let port = server.endpoint().rsplit(':').next().and_then(|port| port.parse().ok());
    port.ok_or_else(|| "the server gave no port".into())
}

/// Connects a client, and lets it ask once. More at a time would overflow the server's queue of
/// connections that it has not accepted yet, and the kernel forgets the others for seconds.
fn connect(port: u16) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(WORD)?;
    BufReader::new(&stream).read_line(&mut String::new())?;
    Ok(stream)
}

fn round_trips(
    name: Name,
    case: &str,
    clients: usize,
    quick: bool,
    report: &mut Report,
) -> Result<(), String> {
    let [warm_up, timed] = if quick { [200, 1_000] } else { [500, 3_000] };
    let server = Server::start(name, ServerKind::Words, &[])?;
    let port = port(&server)?;
    let script = Script::Line { question: WORD.into(), answer_bytes_max: ANSWER_BYTES };
    let sockets = (0..clients).map(|_| Ok(connect(port)?.into()));
    let mut load = Load::over(sockets, script)?;
    load.run(Duration::from_millis(warm_up))?;
    let cpu_before = cpu_time(server.id())?;
    let phase = load.run(Duration::from_millis(timed))?;
    let server_cpu = cpu_time(server.id())? - cpu_before;
    let latency_us = |quantile| phase.latencies.value_at_quantile(quantile) as f64 / 1000.0;
    let count = phase.round_trips as f64;
    report.push(format!("{case}_round_trips_per_s"), "1/s", count / phase.took.as_secs_f64());
    report.push(format!("{case}_p50_us"), "us", latency_us(0.5));
    report.push(format!("{case}_p99_us"), "us", latency_us(0.99));
    report.push(format!("{case}_server_cpu_us"), "us", server_cpu.as_nanos() as f64 / 1e3 / count);
    Ok(())
}

/// Measures the memory of the server's process for each client that has asked once.
fn memory(name: Name, quick: bool, report: &mut Report) -> Result<(), String> {
    let server = Server::start(name, ServerKind::Words, &[])?;
    let port = port(&server)?;
    let failed = |error: std::io::Error| format!("a client: {error}");
    let most = if quick { 2_000 } else { 10_000 };
    // The first clients also create pools, slabs and rings, so they are not counted.
    let mut clients = Vec::with_capacity(most);
    for _ in 0..most / 10 {
        clients.push(connect(port).map_err(failed)?);
    }
    let before = Memory::of(server.id());
    let more = most - clients.len();
    for _ in 0..more {
        clients.push(connect(port).map_err(failed)?);
    }
    let added = Memory::of(server.id()).since(before);
    let each = (added.rss_kib + added.page_tables_kib) / more as f64;
    report.push("clients_memory", "KiB", each);
    Ok(())
}
