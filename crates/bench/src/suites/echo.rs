//! Suite `echo`: TCP echo of 64 bytes over loopback, the server on one core, the load on another.
//!
//! This process is the load; the server is its child. After a warm-up the same connections run
//! two phases: one with clocks only, then a short one that counts the system calls of the server,
//! because counting slows it down.
//!
//! The case `parked_connection` opens many connections instead. Each makes one round trip and is
//! then idle: the figure is the memory of the server's process for each. Suite `threads` is the
//! same with a server on two threads, and nothing is pinned. Suite `unix` is the same over streams
//! of the Unix family, and `datagrams` over UDP, with one socket at either end for each connection.

use crate::harness::child::Report;
use crate::harness::load::{Load, MESSAGE_BYTES};
use crate::harness::memory::Memory;
use crate::harness::server::Server;
use crate::harness::syscalls::{Syscalls, cpu_time};
use crate::names::{Name, ServerKind};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

/// The numbers of connections.
pub(crate) const CASES: [&str; 4] = ["1", "50", "1000", "parked_connection"];

/// The numbers of connections to a server on two threads.
pub(crate) const CASES_ON_TWO: [&str; 2] = ["50", "1000"];

/// The numbers of connections over streams of the Unix family.
pub(crate) const CASES_UNIX: [&str; 2] = ["1", "50"];

/// The numbers of UDP sockets.
pub(crate) const CASES_DATAGRAMS: [&str; 2] = ["1", "50"];

/// The connections that are open and idle when memory is read.
const PARKED: usize = 10_000;

/// Opens the load's side of the connections.
fn connect(server: &Server, kind: ServerKind, connections: usize) -> Result<Load, String> {
    match kind {
        ServerKind::Datagrams => Load::connect_datagrams(&server.ports()?),
        ServerKind::Unix => {
            let path = Path::new(server.endpoint());
            let load = Load::connect_unix(path, connections);
            // Nothing else connects, and the server, which is killed, does not remove it.
            let _ = std::fs::remove_file(path);
            load
        }
        _ => Load::connect(server.port()?, connections),
    }
}

/// Measures a case of a subject. This process is the load.
pub(crate) fn measure(name: Name, case: &str, quick: bool) -> Result<Report, String> {
    match case {
        "parked_connection" => parked(name),
        _ => round_trips(name, ServerKind::Echo, case, quick),
    }
}

/// Measures a case of a subject on two threads.
pub(crate) fn measure_on_two(name: Name, case: &str, quick: bool) -> Result<Report, String> {
    round_trips(name, ServerKind::OnTwo, case, quick)
}

/// Measures a case of a subject over streams of the Unix family.
pub(crate) fn measure_unix(name: Name, case: &str, quick: bool) -> Result<Report, String> {
    round_trips(name, ServerKind::Unix, case, quick)
}

/// Measures a case of a subject over UDP.
pub(crate) fn measure_datagrams(name: Name, case: &str, quick: bool) -> Result<Report, String> {
    round_trips(name, ServerKind::Datagrams, case, quick)
}

/// Measures the memory of the server's process for each idle connection.
fn parked(name: Name) -> Result<Report, String> {
    let server = Server::start(name, ServerKind::Parked, &[])?;
    let port = server.port()?;
    let connect = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut echo = [0; MESSAGE_BYTES];
        stream.write_all(&[1; MESSAGE_BYTES])?;
        stream.read_exact(&mut echo)?;
        Ok(stream)
    };
    let failed = |error: std::io::Error| format!("a connection: {error}");
    // The first connections also create pools, slabs and rings, so they are not counted.
    let mut connections = Vec::with_capacity(2 * PARKED);
    for _ in 0..PARKED / 10 {
        connections.push(connect().map_err(failed)?);
    }
    let before = Memory::of(server.id());
    let more = PARKED - connections.len();
    for _ in 0..more {
        connections.push(connect().map_err(failed)?);
    }
    let added = Memory::of(server.id()).since(before);
    let mut report = Report::default();
    let each = (added.rss_kib + added.page_tables_kib) / more as f64;
    report.push("parked_connection", "KiB", each);
    Ok(report)
}

fn round_trips(name: Name, kind: ServerKind, case: &str, quick: bool) -> Result<Report, String> {
    let connections: usize = case.parse().map_err(|_| "the case is no number of connections")?;
    let [warm_up, timed, counted] =
        if quick { [100, 500, 150] } else { [250, 2000, 300] }.map(Duration::from_millis);
    let server = Server::start(name, kind, &[&connections.to_string()])?;
    let mut load = connect(&server, kind, connections)?;
    load.run(warm_up)?;

    let cpu_before = cpu_time(server.id())?;
    let phase = load.run(timed)?;
    let server_cpu = cpu_time(server.id())? - cpu_before;
    let each_us = |time: Duration| time.as_nanos() as f64 / 1000.0 / phase.round_trips as f64;
    let latency_us = |quantile| phase.latencies.value_at_quantile(quantile) as f64 / 1000.0;
    let mut report = Report::default();
    let per_second = phase.round_trips as f64 / phase.took.as_secs_f64();
    report.push(format!("{case}_round_trips_per_s"), "1/s", per_second);
    report.push(format!("{case}_p50_us"), "us", latency_us(0.5));
    report.push(format!("{case}_p99_us"), "us", latency_us(0.99));
    report.push(format!("{case}_server_cpu_us"), "us", each_us(server_cpu));
    report.push(format!("{case}_load_cpu_us"), "us", each_us(phase.load_cpu));

    match syscalls(&server, &mut load, counted) {
        Ok(each) => report.push(format!("{case}_server_syscalls"), "calls", each),
        Err(why) => report.notes.push(format!("!!! server_syscalls SKIPPED: {why}")),
    }
    Ok(report)
}

/// Counts the system calls of the server per round trip. The server is idle when counting begins
/// and when it ends.
fn syscalls(server: &Server, load: &mut Load, time: Duration) -> Result<f64, String> {
    let mut counters = Syscalls::of(server.id())?;
    let phase = load.run(time)?;
    Ok(counters.count()? as f64 / phase.round_trips as f64)
}
