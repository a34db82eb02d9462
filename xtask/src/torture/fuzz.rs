//! Fuzzers (`fuzz/`). Each target runs for a while, and begins with its seeds and with the inputs
//! that earlier runs have found interesting.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use super::figure::parted;
use crate::exec::{self, Invocation};

/// The seconds of each target, which go on from earlier runs. A night of fuzzing finds more than
/// any number here.
const SECONDS: u64 = 30;

/// The limit of one target, with its build.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// Fuzzes all targets, and returns their figure, or the reason why there is none.
pub(super) fn all(root: &Path, targets: &[&str]) -> anyhow::Result<Result<String, String>> {
    if !Invocation::new("rustup", "run nightly cargo fuzz --version").probe() {
        let remedy = "cargo-fuzz or a nightly compiler is missing: `cargo install cargo-fuzz`, \
                      `rustup toolchain install nightly`";
        return Ok(Err(remedy.to_owned()));
    }
    let mut executions = 0;
    let mut figures = Vec::new();
    for target in targets {
        // Below `target`, because neither is part of the repository.
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
            return Ok(Err(format!("{target}: {reason}; the input is in {found}")));
        }
        match Ended::parse(&ran.lines) {
            Some(ended) => {
                executions += ended.executions;
                figures.push(format!("{target} {}", parted(ended.coverage)));
            }
            None => return Ok(Err(format!("{target}: it has printed no figure"))),
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

/// The figures at the end of libFuzzer's output.
#[derive(Debug, PartialEq, Eq)]
struct Ended {
    executions: u64,
    /// The edges of the program's graph that were covered.
    coverage: u64,
}

impl Ended {
    /// Reads the output. `None`: nothing was executed.
    fn parse(lines: &[String]) -> Option<Ended> {
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
    fn executions_and_coverage_are_read_from_the_output_of_a_fuzzer() {
        let lines = [
            "#2\tINITED cov: 87 ft: 88 corp: 1/1b exec/s: 0 rss: 44Mb",
            "#1000\tDONE   cov: 312 ft: 900 corp: 70/2Kb lim: 4096 exec/s: 500 rss: 50Mb",
            "stat::number_of_executed_units: 1000",
        ];
        let ended = Ended::parse(&lines.map(str::to_owned));
        assert_eq!(ended, Some(Ended { executions: 1000, coverage: 312 }));
        assert_eq!(Ended::parse(&[]), None);
    }
}
