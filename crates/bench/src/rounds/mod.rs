//! Alternating rounds: every subject is measured in each round, and the order is rotated by one.
//!
//! If a subject fails a case, the reason is printed, and the subject is left out of that case from
//! then on. Everything but results goes to stderr, so that `--json` leaves stdout to the results.

mod results;

use crate::harness::child::{self, Report};
use crate::harness::process;
use crate::names::{Name, Suite};
use crate::options::Options;
use crate::suites;
use results::Table;
use std::collections::HashSet;

/// The maximum number of rounds of the cases of parked tasks: memory hardly varies, and a million
/// tasks take long.
const PARKED_ROUNDS_MAX: usize = 3;

/// Runs a suite and prints its results.
///
/// # Errors
/// Unknown cases, or no subject with a result.
pub(crate) fn run(suite: Suite, options: &Options) -> Result<(), String> {
    if let Some(why) = suites::obstacle(suite) {
        warn(&format!("{suite} SKIPPED: {why}"));
        return Ok(());
    }
    let subjects = subjects(suite, options);
    let cases = cases(suite, options)?;
    let rounds = options.rounds.unwrap_or(if options.quick { 3 } else { 7 });
    if process::cores() < 2 {
        warn("fewer than two cores: nothing is pinned, and load and server share one core");
    }
    let mut table = Table::default();
    let mut failed = HashSet::new();
    let mut noted = HashSet::new();
    for round in 0..rounds {
        for case in &cases {
            if case.starts_with("parked") && round >= PARKED_ROUNDS_MAX {
                continue;
            }
            for turn in 0..subjects.len() {
                let subject = subjects[(turn + round) % subjects.len()];
                if failed.contains(&(subject, *case)) || !suites::takes_part(suite, subject, case) {
                    continue;
                }
                match measure(suite, subject, case, options.quick) {
                    Ok(report) => {
                        progress(round, rounds, suite, subject, &report);
                        if !report.notes.is_empty() && noted.insert((subject, *case)) {
                            eprintln!("note: {subject}: {}", report.notes.join("; "));
                        }
                        table.add(round, subject, report.metrics);
                    }
                    Err(why) => {
                        warn(&format!("{suite} {case}: {subject} SKIPPED: {why}"));
                        failed.insert((subject, *case));
                    }
                }
            }
        }
    }
    if table.is_empty() {
        return Err("nothing was measured".into());
    }
    if options.json {
        results::print_json(suite, &table);
    } else {
        results::print_table(suite, &table);
    }
    Ok(())
}

fn measure(suite: Suite, subject: Name, case: &str, quick: bool) -> Result<Report, String> {
    let (suite, subject) = (suite.to_string(), subject.to_string());
    let mut arguments = vec!["measure", &suite, &subject, case];
    if quick {
        arguments.push("--quick");
    }
    child::measure(&arguments)
}

/// Lists the subjects asked for that can run here. Preparing one may build it.
fn subjects(suite: Suite, options: &Options) -> Vec<Name> {
    let asked = if options.subjects.is_empty() {
        suites::subjects(suite)
    } else {
        options.subjects.clone()
    };
    let mut able = Vec::new();
    for subject in asked {
        match suites::prepare(suite, subject) {
            Ok(()) => able.push(subject),
            Err(why) => warn(&format!("{suite}: {subject} SKIPPED: {why}")),
        }
    }
    able
}

/// Lists the cases asked for. `50_p50_us` asks for the case `50`, whose run gives all its metrics.
fn cases(suite: Suite, options: &Options) -> Result<Vec<&'static str>, String> {
    let all = suites::cases(suite, options.quick && options.cases.is_empty());
    if options.cases.is_empty() {
        return Ok(all);
    }
    let fits = |case: &str, asked: &str| {
        case == asked || (suites::has_metrics(suite) && is_metric_of(case, asked))
    };
    for asked in &options.cases {
        if !all.iter().any(|case| fits(case, asked)) {
            return Err(format!("no case {asked} in {suite}; there are {all:?}"));
        }
    }
    Ok(all.into_iter().filter(|case| options.cases.iter().any(|a| fits(case, a))).collect())
}

/// Tells whether `asked` is one of the metrics of `case`.
fn is_metric_of(case: &str, asked: &str) -> bool {
    asked.strip_prefix(case).is_some_and(|rest| rest.starts_with('_'))
}

fn progress(round: usize, rounds: usize, suite: Suite, subject: Name, report: &Report) {
    let figures: Vec<String> =
        report.metrics.iter().map(|m| format!("{} {:.4} {}", m.case, m.value, m.unit)).collect();
    eprintln!("[{}/{rounds}] {suite} {subject}: {}", round + 1, figures.join(", "));
}

fn warn(sentence: &str) {
    eprintln!("!!! {sentence}");
}
