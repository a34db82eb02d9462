//! Many connections that have made one request each and now say nothing: what the server's process
//! holds for each, and whether the others notice.
//!
//! The others are wrk on 32 connections and a probe beside it, which asks every millisecond. Both
//! are on one core, where the probe goes first, so that it waits for the server and not for wrk.
//! Its p99 is taken without the idle ones, with them, and without them again, so that what
//! drifts does not pass for a difference.

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
const PROBE_PAUSE: Duration = Duration::from_millis(1);

const FILE: &str = "1k";

pub(super) fn measure(server: &Server, site: &Site, quick: bool) -> Result<Report, String> {
    let (port, body) = (server.port()?, site.body(FILE)?);
    let target = site::target(FILE);
    client::ready(port)?.expect_body(&target, &body)?;
    let seconds = if quick { 3 } else { 6 };
    let (connections, yields) = (LOAD_CONNECTIONS, true);
    let load = Wrk { port, target: target.clone(), connections, yields };
    load.run(1)?;
    let alone_before = probe(&load, &body, seconds)?;

    let mut clients = Vec::with_capacity(IDLE);
    let connect_until = |clients: &mut Vec<Client>, count| {
        while clients.len() < count {
            let mut client = Client::connect(port)?;
            client.expect_body(&target, &body)?;
            clients.push(client);
        }
        Ok::<_, String>(())
    };
    connect_until(&mut clients, FIRST)?;
    let before = Memory::of(server.id());
    connect_until(&mut clients, IDLE)?;
    let added = Memory::of(server.id()).since(before);

    let among_idle = probe(&load, &body, seconds)?;
    // They are still there, all of them.
    for client in &mut clients {
        client.expect_body(&target, &body)?;
    }
    drop(clients);
    std::thread::sleep(Duration::from_millis(500));
    let alone_after = probe(&load, &body, seconds)?;

    let mut report = Report::default();
    let each = (added.rss_kib + added.page_tables_kib) / (IDLE - FIRST) as f64;
    let alone = (alone_before + alone_after) / 2.0;
    report.push("idle_10000_memory", "KiB", each);
    report.push("idle_10000_p99_alone_us", "us", alone);
    report.push("idle_10000_p99_us", "us", among_idle);
    report.push("idle_10000_p99_ratio", "x", among_idle / alone);
    Ok(report)
}

/// The p99 of a probe beside wrk, in microseconds.
fn probe(load: &Wrk, body: &[u8], seconds: u32) -> Result<f64, String> {
    std::thread::scope(|scope| {
        let running = scope.spawn(|| load.run(seconds));
        let mut client = Client::connect(load.port)?;
        let mut latencies = Vec::new();
        while !running.is_finished() {
            let asked = Instant::now();
            client.expect_body(&load.target, body)?;
            latencies.push(asked.elapsed());
            std::thread::sleep(PROBE_PAUSE);
        }
        running.join().map_err(|_| "the load panicked")??;
        latencies.sort();
        let p99 = latencies.get(latencies.len() * 99 / 100).ok_or("the probe got no answer")?;
        Ok(p99.as_nanos() as f64 / 1000.0)
    })
}
