//! wrk as a child, and the figures that it prints.

use std::process::Command;

/// A load: one thread, some connections, one target.
pub(crate) struct Wrk {
    pub(crate) port: u16,
    pub(crate) target: String,
    pub(crate) connections: usize,
    /// True if other tasks on its core go first.
    pub(crate) yields: bool,
}

/// The figures of one run.
#[derive(Debug, PartialEq)]
pub(crate) struct Figures {
    pub(crate) requests: f64,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Failed connects, reads and writes, timeouts, and answers other than 2xx and 3xx.
    pub(crate) errors: f64,
}

impl Wrk {
    fn command(&self, seconds: u32) -> Command {
        let mut command = Command::new("chrt");
        command
            .args([if self.yields { "--idle" } else { "--other" }, "0"])
            .args(["wrk", "-t1", "--latency", &format!("-c{}", self.connections)])
            .arg(format!("-d{seconds}s"))
            .arg(format!("http://127.0.0.1:{}{}", self.port, self.target));
        command
    }

    /// Runs wrk on this process's core until it has ended.
    pub(crate) fn run(&self, seconds: u32) -> Result<Figures, String> {
        let output = self.command(seconds).output().map_err(|error| format!("wrk: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        figures(&text).ok_or_else(|| {
            let complaint = String::from_utf8_lossy(&output.stderr);
            format!("wrk, {}: {text} {complaint}", output.status)
        })
    }
}

/// Reads the output of wrk.
fn figures(text: &str) -> Option<Figures> {
    let line = |name: &str| text.lines().map(str::trim).find_map(|line| line.strip_prefix(name));
    let quantile = |name: &str| microseconds(line(name)?.trim());
    let requests = text.lines().find_map(|line| line.split_once(" requests in "))?.0;
    let socket_errors: f64 = match line("Socket errors:") {
        Some(counts) => counts.split([' ', ',']).filter_map(|word| word.parse::<f64>().ok()).sum(),
        None => 0.0,
    };
    let refusals: f64 = match line("Non-2xx or 3xx responses:") {
        Some(count) => count.trim().parse().ok()?,
        None => 0.0,
    };
    Some(Figures {
        requests: requests.trim().parse().ok()?,
        per_second: line("Requests/sec:")?.trim().parse().ok()?,
        p50_us: quantile("50%")?,
        p99_us: quantile("99%")?,
        errors: socket_errors + refusals,
    })
}

/// Reads `1.25ms`, `310.00us`, `1.02s` or `1.50m`.
fn microseconds(text: &str) -> Option<f64> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let factor = match &text[unit..] {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 60e6,
        _ => return None,
    };
    text[..unit].parse::<f64>().ok().map(|value| value * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
Running 2s test @ http://127.0.0.1:8000/1k.html
  1 threads and 256 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     4.25ms    1.02ms  20.11ms   90.21%
    Req/Sec    60.12k     2.21k   63.32k    70.00%
  Latency Distribution
     50%    4.10ms
     75%  650.00us
     90%    5.01ms
     99%    1.02s 
  120240 requests in 2.00s, 150.12MB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 5
Requests/sec:  60120.55
Transfer/sec:     75.06MB
";

    #[test]
    fn what_wrk_prints_is_read() {
        let expected = Figures {
            requests: 120_240.0,
            per_second: 60_120.55,
            p50_us: 4100.0,
            p99_us: 1_020_000.0,
            errors: 15.0,
        };
        assert_eq!(figures(OUTPUT), Some(expected));
        let without = OUTPUT.replace("  Socket", "").replace("  Non", "");
        assert_eq!(figures(&without).map(|figures| figures.errors), Some(0.0));
        assert_eq!(figures("unable to connect"), None);
    }
}
