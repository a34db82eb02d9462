//! Many connections that have made one request each and are now idle: the memory of the server's
//! process for each, and the effect on the others.
//!
//! Two servers share the server's core, and only one of them has idle connections. Windows with the
//! one and with the other alternate, so that a drift of the machine is not taken for a difference.
//! In each, wrk loads 32 connections, and a probe beside it asks a few times every millisecond.
//! Both run on one core, where the probe goes first, so that it waits for the server and not for
//! wrk: wrk is of the class `SCHED_IDLE`. (With niceness alone the probe waited for wrk, for
//! different times in different windows.) A figure is the median of its windows, and a ratio the
//! median of the ratios of neighbouring windows, so that a single disturbed window does not decide.

use super::client::{self, Client};
use super::wrk::Wrk;
use crate::harness::child::Report;
use crate::harness::memory::Memory;
use crate::harness::server::Server;
use crate::harness::stats::median;
use crate::harness::syscalls::cpu_time;
use crate::material::site::{self, Site};
use std::time::{Duration, Instant};

/// The connections that are idle.
const IDLE: usize = 10_000;
/// The first of them. They also create pools, slabs and rings, so they are not counted.
const FIRST: usize = IDLE / 10;
/// The connections of wrk in the meantime.
const LOAD_CONNECTIONS: usize = 32;
/// The pause of the probe between an answer and its next request.
const PROBE_PAUSE: Duration = Duration::from_micros(200);
/// The windows of either kind, of a second each.
const WINDOWS: usize = 16;
/// The same in a quick run.
const WINDOWS_QUICK: usize = 6;

const FILE: &str = "1k";

pub(super) fn measure(
    [crowded, empty]: [&Server; 2],
    site: &Site,
    quick: bool,
) -> Result<Report, String> {
    let (body, target) = (site.body(FILE)?, site::target(FILE));
    let load = |server: &Server| -> Result<Wrk, String> {
        let (connections, yields) = (LOAD_CONNECTIONS, true);
        Ok(Wrk { port: server.port()?, target: target.clone(), connections, yields })
    };
    for server in [crowded, empty] {
        client::ready(server.port()?)?.expect_body(&target, &body)?;
        load(server)?.run(1)?;
    }

    let mut clients = Vec::with_capacity(IDLE);
    let mut connect_until = |count| {
        while clients.len() < count {
            let mut client = Client::connect(crowded.port()?)?;
            client.expect_body(&target, &body)?;
            clients.push(client);
        }
        Ok::<_, String>(())
    };
    connect_until(FIRST)?;
    let before = Memory::of(crowded.id());
    connect_until(IDLE)?;
    let added = Memory::of(crowded.id()).since(before);
    let each = (added.rss_kib + added.page_tables_kib) / (IDLE - FIRST) as f64;

    let (mut alone, mut among_idle) = (Vec::new(), Vec::new());
    for window in 0..2 * if quick { WINDOWS_QUICK } else { WINDOWS } {
        // One of each in turn; either kind is first equally often.
        let (server, windows) = match window % 4 {
            0 | 3 => (crowded, &mut among_idle),
            _ => (empty, &mut alone),
        };
        windows.push(probe(server, &load(server)?, &body)?);
    }
    // All idle connections must still work.
    for client in &mut clients {
        client.expect_body(&target, &body)?;
    }

    let mut report = Report::default();
    report.push("idle_10000_memory", "KiB", each);
    let p99_us = |windows: &[Window]| median(&windows.iter().map(|w| w.p99_us).collect::<Vec<_>>());
    report.push("idle_10000_p99_alone_us", "us", p99_us(&alone));
    report.push("idle_10000_p99_us", "us", p99_us(&among_idle));
    let ratio = |of: fn(&Window) -> f64| {
        let pairs = among_idle.iter().zip(&alone);
        median(&pairs.map(|(among, alone)| of(among) / of(alone)).collect::<Vec<_>>())
    };
    report.push("idle_10000_p99_ratio", "x", ratio(|window| window.p99_us));
    report.push("idle_10000_server_cpu_ratio", "x", ratio(|window| window.cpu_us));
    Ok(report)
}

/// The figures of one window.
struct Window {
    /// The 99th percentile of the probe's waits.
    p99_us: f64,
    /// The server's processor time for one of wrk's requests.
    cpu_us: f64,
}

/// Times the answers to a probe beside wrk, for one window.
fn probe(server: &Server, load: &Wrk, body: &[u8]) -> Result<Window, String> {
    let before = cpu_time(server.id())?;
    let mut latencies = Vec::new();
    let figures = std::thread::scope(|scope| {
        let running = scope.spawn(|| load.run(1));
        let mut client = Client::connect(load.port)?;
        while !running.is_finished() {
            let asked = Instant::now();
            client.expect_body(&load.target, body)?;
            latencies.push(asked.elapsed());
            std::thread::sleep(PROBE_PAUSE);
        }
        running.join().map_err(|_| "the load panicked")?
    })?;
    let cpu = cpu_time(server.id())? - before;
    let cpu_us = cpu.as_nanos() as f64 / 1000.0 / figures.requests;
    Ok(Window { p99_us: p99_us(latencies)?, cpu_us })
}

fn p99_us(mut latencies: Vec<Duration>) -> Result<f64, String> {
    latencies.sort();
    let p99 = latencies.get(latencies.len() * 99 / 100).ok_or("the probe got no answer")?;
    Ok(p99.as_nanos() as f64 / 1000.0)
}
