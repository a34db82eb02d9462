//! Runs the danger tests with their full figures and writes what they measured to RELIABILITY.md.
//!
//! A danger test's name begins with its case (`p1_…`), in any test program of the library, the
//! protocols, the servers or the program; only those that have one of it are built (`programs`). It
//! runs few rounds normally and all of them under `OVERLAPPED_TORTURE=1`, and says what it measured
//! in a line `RELIABILITY <case> <checks> <figure in words>`. No line, or no check, is a failure.

mod cases;
mod checked;
mod emulated;
mod fuzz;
mod programs;
mod table;

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::ValueEnum;

use crate::ci::{self, Refused};
use crate::exec;
use crate::std_tests::{self, Outcome};
use crate::suites;
use cases::{Answer, CASES, Case};
use table::{Figure, Figures};

/// A backend that a case runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Port {
    /// Completions by io_uring.
    Uring,
    /// Readiness.
    Poll,
}

impl Port {
    /// As `OVERLAPPED_PORT` has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Port::Uring => "uring",
            Port::Poll => "poll",
        }
    }
}

/// For one case on one port.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// The cases, one per line.
pub fn list() -> String {
    let line = |case: &Case| {
        let ports: Vec<&str> = case.ports.iter().map(|port| port.name()).collect();
        format!("{:<4} {:<11} {}\n", case.id, ports.join(" "), case.promise)
    };
    CASES.iter().map(line).collect()
}

/// Runs the cases named in `wanted` (all where it is empty) on `port` (all where it is `None`);
/// whether all passed. The table is written after each, so that an interrupted run keeps its part.
pub fn run(root: &Path, wanted: &[String], port: Option<Port>) -> anyhow::Result<bool> {
    let chosen = choose(wanted)?;
    let path = root.join("RELIABILITY.md");
    let mut document = match std::fs::read_to_string(&path) {
        Ok(document) => document,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => table::empty(),
        Err(error) => return Err(error).context("reading RELIABILITY.md"),
    };
    let mut figures = table::read(&document).context("RELIABILITY.md")?;
    for case in chosen.iter().filter(|case| case.answer == Answer::Tests) {
        let tests = programs::of(root, &filter(case))?;
        let built = exec::run(root, &tests.arg("--no-run"), LIMIT)?;
        if let Some(reason) = built.failure {
            anyhow::bail!("the tests of {} do not compile: {reason}", case.id);
        }
    }
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for case in chosen {
        for &on in case.ports.iter().filter(|on| port.is_none_or(|port| port == **on)) {
            println!("\n== {} on {}: {} ==", case.id, on.name(), case.promise);
            let result = perform(root, case, on)?;
            let text = match &result {
                Ok(text) => text.clone(),
                Err(reason) => format!("FAILED: {reason}"),
            };
            println!("{} on {}: {text}", case.id, on.name());
            if matches!(&result, Err(reason) if reason.starts_with("SKIPPED")) {
                skipped += 1;
                continue;
            }
            if result.is_ok() {
                passed += 1
            } else {
                failed += 1
            }
            record(&mut figures, case, on, text);
            document = table::write(&document, CASES, &figures)?;
            std::fs::write(&path, &document).context("writing RELIABILITY.md")?;
        }
    }
    println!("\ntorture: {passed} passed, {failed} failed, {skipped} skipped");
    Ok(failed == 0 && passed > 0)
}

fn choose(wanted: &[String]) -> anyhow::Result<Vec<&'static Case>> {
    if wanted.is_empty() {
        return Ok(CASES.iter().collect());
    }
    let find = |id: &String| {
        let found = CASES.iter().find(|case| case.id.eq_ignore_ascii_case(id));
        found.with_context(|| format!("no case {id}; `cargo xtask torture --list` names them"))
    };
    wanted.iter().map(find).collect()
}

fn record(figures: &mut Figures, case: &Case, port: Port, text: String) {
    let figure = Figure { text, date: date(SystemTime::now()) };
    figures.insert((case.id.to_owned(), port.name().to_owned()), figure);
}

/// The beginning of the names of a case's tests.
fn filter(case: &Case) -> String {
    format!("{}_", case.id.to_lowercase())
}

/// The figure, or why there is none.
fn perform(root: &Path, case: &Case, port: Port) -> anyhow::Result<Result<String, String>> {
    match case.answer {
        Answer::Tests => {
            let filter = filter(case);
            let tests = programs::of(root, &filter)?
                .arg(&filter)
                .arg("--")
                .arg("--nocapture")
                .arg("--test-threads=1")
                .arg("--include-ignored")
                .env("OVERLAPPED_TORTURE", "1")
                .env("OVERLAPPED_PORT", port.name());
            println!("$ {tests}");
            let ran = exec::run(root, &tests, LIMIT)?;
            Ok(ran.failure.map_or_else(|| measured(case.id, &ran.lines), Err))
        }
        Answer::Fuzzers(targets) => fuzz::all(root, targets),
        Answer::Under(tool) => checked::run(root, tool, port),
        Answer::Emulated => emulated::run(root, port),
        Answer::Watched(program) => checked::watched(root, case.id, program, port),
        Answer::StdTests => Ok(match std_tests::run(root, None, Some(port))? {
            Outcome::Missing(remedy) => Err(format!("SKIPPED: {remedy}")),
            Outcome::Passed(figures) => Ok(figures.to_string()),
            Outcome::Failed(figures) => Err(figures.to_string()),
        }),
        Answer::Suites => {
            let report = suites::run(root, &[], Some(port))?;
            Ok(if report.passed() { Ok(report.summary()) } else { Err(report.summary()) })
        }
        Answer::SuiteWithout(errors) => {
            let mut checks = 0;
            for errno in errors {
                match ci::refused(root, errno)? {
                    Refused::Held { tests, unsteady, .. } if unsteady.names.is_empty() => {
                        checks += tests;
                    }
                    Refused::Held { unsteady, .. } => {
                        return Ok(Err(format!("{errno}: unsteady\n{unsteady}")));
                    }
                    Refused::Failed(reason, failures) => {
                        return Ok(Err(format!("{errno}: {reason}\n{failures}")));
                    }
                    Refused::Impossible(reason) => return Ok(Err(reason)),
                }
            }
            let errors = errors.join(" and ");
            let figure = format!("{} tests passed, io_uring refused with {errors}", parted(checks));
            Ok(Ok(figure))
        }
    }
}

/// What the lines of `id` say together.
fn measured(id: &str, lines: &[String]) -> Result<String, String> {
    let mut checks = 0_u64;
    let mut figures = Vec::new();
    for line in lines {
        // The test program writes `test name ... ` before what the test writes.
        let Some((_, said)) = line.split_once("RELIABILITY ") else {
            continue;
        };
        let mut words = said.splitn(3, ' ');
        if words.next() != Some(id) {
            continue;
        }
        let count = words.next().and_then(|count| count.replace(['_', ','], "").parse().ok());
        let count: u64 = count.ok_or_else(|| format!("no number of checks in `{said}`"))?;
        if count == 0 {
            return Err(format!("0 checks in `{said}`"));
        }
        checks += count;
        figures.extend(words.next().map(str::trim).filter(|figure| !figure.is_empty()));
    }
    match checks {
        0 => Err("no test said what it measured".to_owned()),
        _ => Ok(format!("{} checks: {}", parted(checks), figures.join("; "))),
    }
}

/// 1234567 as `1,234,567`.
fn parted(number: u64) -> String {
    let digits = number.to_string();
    let parts: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|part| std::str::from_utf8(part).ok())
        .collect();
    parts.join(",")
}

/// The day of `time` in UTC, by the civil calendar (Howard Hinnant, "chrono-compatible low-level
/// date algorithms", `civil_from_days`; years from 1970 on).
fn date(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let days = seconds / 86_400 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_the_tests_of_a_case_say_is_put_together() {
        let said = lines(
            "test p1_a ... RELIABILITY P1 100000 no byte lost\nok\n\
             RELIABILITY P10 7 not ours\nRELIABILITY P1 5 other",
        );
        assert_eq!(measured("P1", &said).unwrap(), "100,005 checks: no byte lost; other");
    }

    #[test]
    fn a_case_without_a_line_or_without_a_check_fails() {
        assert!(measured("P1", &lines("test p1_a ... ok")).is_err());
        assert!(measured("P1", &lines("RELIABILITY P1 0 nothing")).is_err());
        assert!(measured("P1", &lines("RELIABILITY P1 5 x\nRELIABILITY P1 0 y")).is_err());
        assert!(measured("P1", &lines("RELIABILITY P1 many x")).is_err());
    }

    #[test]
    fn days_become_dates() {
        let day = |days: u64| date(UNIX_EPOCH + Duration::from_secs(days * 86_400));
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(19_782), "2024-02-29");
        assert_eq!(day(20_819), "2027-01-01");
    }

    #[test]
    fn cases_are_found_by_their_numbers() {
        assert_eq!(choose(&["s10".to_owned()]).unwrap()[0].id, "S10");
        assert!(choose(&["P99".to_owned()]).is_err());
        assert_eq!(choose(&[]).unwrap().len(), CASES.len());
    }
}
