//! Many connections that have made one request each and now say nothing: what the server's process
//! holds for each, and whether the others notice.
//!
//! The others are wrk on 32 connections and a probe beside it, which asks a few times every
//! millisecond. Both are on one core, where the probe goes first, so that it waits for the server
//! and not for wrk. Windows without the idle ones and with them alternate, and each kind's p99 is
//! that of all its windows together, so that what drifts does not pass for a difference.

use super::client::{self, Client};
use super::site::{self, Site};
use super::wrk::Wrk;
use crate::harness::child::Report;
use crate::harness::memory::Memory;
use crate::harness::server::Server;
use std::time::{Duration, Instant};

/// Connections that are idle.
const IDLE: usize = 10_000;
/// The first ones set up what is there once: pools, slabs, rings.
const FIRST: usize = IDLE / 10;
/// The connections of wrk meanwhile.
const LOAD_CONNECTIONS: usize = 32;
/// From one question of the probe to the next, if the answer has come.
const PROBE_PAUSE: Duration = Duration::from_micros(200);
/// Windows of either kind.
const WINDOWS: usize = 4;

/// After ten thousand connects or closes, before the next window.
const SETTLING: Duration = Duration::from_millis(500);

const FILE: &str = "1k";

pub(super) fn measure(server: &Server, site: &Site, quick: bool) -> Result<Report, String> {
    let (port, body) = (server.port()?, site.body(FILE)?);
    let target = site::target(FILE);
    client::ready(port)?.expect_body(&target, &body)?;
    let seconds = if quick { 1 } else { 3 };
    let (connections, yields) = (LOAD_CONNECTIONS, true);
    let load = Wrk { port, target: target.clone(), connections, yields };
    load.run(1)?;

    let connect_until = |clients: &mut Vec<Client>, count| {
        while clients.len() < count {
            let mut client = Client::connect(port)?;
            client.expect_body(&target, &body)?;
            clients.push(client);
        }
        Ok::<_, String>(())
    };
    let (mut alone, mut among_idle, mut each) = (Vec::new(), Vec::new(), None);
    for _ in 0..WINDOWS {
        probe(&load, &body, seconds, &mut alone)?;
        let mut clients = Vec::with_capacity(IDLE);
        connect_until(&mut clients, FIRST)?;
        let before = Memory::of(server.id());
        connect_until(&mut clients, IDLE)?;
        let added = Memory::of(server.id()).since(before);
        // Of the first windows: later ones find memory that these have used.
        each.get_or_insert((added.rss_kib + added.page_tables_kib) / (IDLE - FIRST) as f64);
        std::thread::sleep(SETTLING);
        probe(&load, &body, seconds, &mut among_idle)?;
        // They are still there, all of them.
        for client in &mut clients {
            client.expect_body(&target, &body)?;
        }
        drop(clients);
        std::thread::sleep(SETTLING);
    }
    let (alone, among_idle) = (p99_us(alone)?, p99_us(among_idle)?);

    let mut report = Report::default();
    report.push("idle_10000_memory", "KiB", each.unwrap_or(f64::NAN));
    report.push("idle_10000_p99_alone_us", "us", alone);
    report.push("idle_10000_p99_us", "us", among_idle);
    report.push("idle_10000_p99_ratio", "x", among_idle / alone);
    Ok(report)
}

/// How long a probe beside wrk waits for its answers.
fn probe(
    load: &Wrk,
    body: &[u8],
    seconds: u32,
    latencies: &mut Vec<Duration>,
) -> Result<(), String> {
    std::thread::scope(|scope| {
        let running = scope.spawn(|| load.run(seconds));
        let mut client = Client::connect(load.port)?;
        while !running.is_finished() {
            let asked = Instant::now();
            client.expect_body(&load.target, body)?;
            latencies.push(asked.elapsed());
            std::thread::sleep(PROBE_PAUSE);
        }
        running.join().map_err(|_| "the load panicked")??;
        Ok(())
    })
}

fn p99_us(mut latencies: Vec<Duration>) -> Result<f64, String> {
    latencies.sort();
    let p99 = latencies.get(latencies.len() * 99 / 100).ok_or("the probe got no answer")?;
    Ok(p99.as_nanos() as f64 / 1000.0)
}
