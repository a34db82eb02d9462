//! Suite `echo`: TCP echo of 64 bytes over loopback, the server on one core, the load on another.
//!
//! This process is the load; the server is its child. After a warm-up the same connections run
//! two phases: one with clocks only, then a short one with the system calls of the server
//! counted, as counting slows it down.

use crate::harness::child::{Report, this_program};
use crate::harness::load::Load;
use crate::harness::syscalls::{Syscalls, cpu_time};
use crate::subjects::Name;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

/// The numbers of connections.
pub(crate) const CASES: [&str; 3] = ["1", "50", "1000"];

/// A server under test, killed when dropped.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start(name: Name) -> Result<Server, String> {
        let mut process = this_program()
            .args(["serve", &name.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start the server: {error}"))?;
        let stdout = process.stdout.take();
        let mut server = Server { process, port: 0 };
        let mut line = String::new();
        if let Some(stdout) = stdout {
            // A server that fails prints nothing, and its reason is on stderr, which is ours.
            let _ = BufReader::new(stdout).read_line(&mut line);
        }
        server.port = line.trim().parse().map_err(|_| "the server gave no port")?;
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It serves for ever; if it has died already, both are errors of no interest.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One case of one subject; this process is the load.
pub(crate) fn measure(name: Name, case: &str, quick: bool) -> Result<Report, String> {
    let connections: usize = case.parse().map_err(|_| "no number of connections")?;
    let [warm_up, timed, counted] =
        if quick { [100, 500, 150] } else { [250, 2000, 300] }.map(Duration::from_millis);
    let server = Server::start(name)?;
    let mut load = Load::connect(server.port, connections)?;
    load.run(warm_up)?;

    let cpu_before = cpu_time(server.process.id())?;
    let phase = load.run(timed)?;
    let server_cpu = cpu_time(server.process.id())? - cpu_before;
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

/// System calls of the server per round trip. It is idle when counting begins and when it ends.
fn syscalls(server: &Server, load: &mut Load, time: Duration) -> Result<f64, String> {
    let mut counters = Syscalls::of(server.process.id())?;
    let phase = load.run(time)?;
    Ok(counters.count()? as f64 / phase.round_trips as f64)
}
