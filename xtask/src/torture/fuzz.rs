//! Fuzzers (`fuzz/`): each target for a while, beginning with its seeds and with what earlier runs
//! have found to be of interest.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use super::figure::parted;
use crate::exec::{self, Invocation};

/// For each target, with what earlier runs have found before it. A night finds more than any
/// number that could stand here.
const SECONDS: u64 = 30;

/// Building takes its time, too.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// The figure of all targets, or why there is none.
pub(super) fn all(root: &Path, targets: &[&str]) -> anyhow::Result<Result<String, String>> {
    if !Invocation::new("rustup", "run nightly cargo fuzz --version").probe() {
        let remedy = "cargo-fuzz or a nightly compiler is missing: `cargo install cargo-fuzz`, \
                      `rustup toolchain install nightly`";
        return Ok(Err(remedy.to_owned()));
    }
    let mut executions = 0;
    let mut figures = Vec::new();
    for target in targets {
        // Below `target`: nothing here is part of the repository.
        let corpus = format!("fuzz/target/corpus/{target}");
        let found = format!("fuzz/target/found/{target}/");
        for folder in [&corpus, &found] {
            std::fs::create_dir_all(root.join(folder)).with_context(|| folder.clone())?;
        }
        let fuzz = Invocation::new("rustup", "run nightly cargo fuzz run")
            .arg(target)
            .arg(&corpus)
            .arg(&format!("fuzz/seeds/{target}"))
            .arg("--")
            .arg(&format!("-max_total_time={SECONDS}"))
            .arg(&format!("-artifact_prefix={found}"))
            .arg("-print_final_stats=1");
        println!("$ {fuzz}");
        let ran = exec::run(root, &fuzz, LIMIT)?;
        if let Some(reason) = ran.failure {
            return Ok(Err(format!("{target}: {reason}; what it found is in {found}")));
        }
        match Ended::of(&ran.lines) {
            Some(ended) => {
                executions += ended.executions;
                figures.push(format!("{target} {}", parted(ended.coverage)));
            }
            None => return Ok(Err(format!("{target}: it has not said what it did"))),
        }
    }
    let figures = figures.join(", ");
    Ok(Ok(format!(
        "{} checks: executions in {SECONDS} s on each of {} targets, 0 crashes; edges covered: \
         {figures}",
        parted(executions),
        targets.len(),
    )))
}

/// The last words of libFuzzer.
#[derive(Debug, PartialEq, Eq)]
struct Ended {
    executions: u64,
    /// Edges of the program's graph.
    coverage: u64,
}

impl Ended {
    /// `None` where it has executed nothing.
    fn of(lines: &[String]) -> Option<Ended> {
        let mut ended = Ended { executions: 0, coverage: 0 };
        for line in lines {
            if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
                ended.executions = count.trim().parse().ok()?;
            }
            if let Some((_, rest)) = line.split_once(" cov: ") {
                let count = rest.split(' ').next()?;
                ended.coverage = count.parse().ok()?;
            }
        }
        (ended.executions > 0).then_some(ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executions_and_coverage_are_read_from_what_a_fuzzer_says() {
        let lines = [
            "#2\tINITED cov: 87 ft: 88 corp: 1/1b exec/s: 0 rss: 44Mb",
            "#1000\tDONE   cov: 312 ft: 900 corp: 70/2Kb lim: 4096 exec/s: 500 rss: 50Mb",
            "stat::number_of_executed_units: 1000",
        ];
        let ended = Ended::of(&lines.map(str::to_owned));
        assert_eq!(ended, Some(Ended { executions: 1000, coverage: 312 }));
        assert_eq!(Ended::of(&[]), None);
    }
}
