//! Runs the danger tests with all their rounds, and writes their figures to RELIABILITY.md.
//!
//! A danger test's name begins with its case (`p1_…`). It may be in any test program of the
//! library, the protocols, the servers or the program; only programs with a test of the case are
//! built (`programs`). A danger test runs few rounds normally and all of them under
//! `OVERLAPPED_TORTURE=1`, and prints its figure in a line `RELIABILITY <case> <checks> <figure in
//! words>`. A case without a line, or without a check, fails.

mod cases;
mod checked;
mod elsewhere;
mod figure;
mod fuzz;
mod programs;
mod table;

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

use crate::ci::{self, Refused};
use crate::exec;
use crate::port::Port;
use crate::std_tests::{self, Outcome};
use crate::suites;

use cases::{Answer, CASES, Case};
use figure::{measured, parted};
use table::{Figure, Figures};

/// The limit of one case on one port.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// Lists the cases, one per line.
pub fn list() -> String {
    let line = |case: &Case| {
        let ports: Vec<&str> = case.ports.iter().map(|port| port.name()).collect();
        format!("{:<4} {:<11} {}\n", case.id, ports.join(" "), case.promise)
    };
    CASES.iter().map(line).collect()
}

/// Runs the cases named in `wanted` (all if it is empty) on `port` (all if it is `None`), and tells
/// whether all passed. The table is written after each case, so that an interrupted run keeps its
/// part.
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
        let tests = programs::invocation(root, &filter(case))?;
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
    // A cell of a table has one line; the reasons of a failure have been printed.
    let text = text.lines().next().unwrap_or_default().to_owned();
    let figure = Figure { text, date: date(SystemTime::now()) };
    figures.insert((case.id.to_owned(), port.name().to_owned()), figure);
}

/// Returns the prefix of the names of a case's tests.
fn filter(case: &Case) -> String {
    format!("{}_", case.id.to_lowercase())
}

/// Runs a case, and returns its figure, or the reason why there is none.
fn perform(root: &Path, case: &Case, port: Port) -> anyhow::Result<Result<String, String>> {
    match case.answer {
        Answer::Tests => {
            let filter = filter(case);
            let tests = programs::invocation(root, &filter)?
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
        Answer::Emulated => elsewhere::emulated::run(root, port),
        Answer::Wine => elsewhere::wine::run(root, port),
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
                    Refused::Held { tests, unsteady, .. } if unsteady.count() == 0 => {
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

/// Writes the day of `time` in UTC, by the civil calendar (Howard Hinnant, "chrono-compatible
/// low-level date algorithms", `civil_from_days`; years from 1970 on).
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

    #[test]
    fn days_become_dates() {
        let day = |days: u64| date(UNIX_EPOCH + Duration::from_secs(days * 86_400));
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(19_782), "2024-02-29");
        assert_eq!(day(20_819), "2027-01-01");
    }

    #[test]
    fn a_recorded_figure_has_one_line() {
        let mut figures = Figures::default();
        record(&mut figures, &CASES[0], Port::Poll, "FAILED: why\n---- more".to_owned());
        let recorded = figures.values().next().unwrap();
        assert_eq!(recorded.text, "FAILED: why");
    }

    #[test]
    fn cases_are_found_by_their_numbers() {
        assert_eq!(choose(&["s10".to_owned()]).unwrap()[0].id, "S10");
        assert!(choose(&["P99".to_owned()]).is_err());
        assert_eq!(choose(&[]).unwrap().len(), CASES.len());
    }
}
