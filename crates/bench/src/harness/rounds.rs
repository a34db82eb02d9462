//! Alternating rounds: every subject measured in each round, the order rotated by one.
//!
//! A subject that fails a case is named loudly with the reason and left out of it from then on.
//! Whatever is not a result goes to stderr, so that `--json` leaves stdout to the results.

use super::child::{self, Report};
use super::report::{self, Table};
use crate::subjects::Name;
use crate::{Options, Suite, install, tools};
use std::collections::HashSet;

/// Memory hardly varies, and a million parked tasks take long.
const PARKED_ROUNDS_MAX: usize = 3;

/// Runs a suite and prints its results.
///
/// # Errors
/// Unknown cases, or no subject with a result.
pub(crate) fn run(suite: Suite, options: &Options) -> Result<(), String> {
    if let Some(why) = suite.obstacle() {
        loud(&format!("{} SKIPPED: {why}", suite.name()));
        return Ok(());
    }
    let subjects = subjects(suite, options);
    let cases = cases(suite, options)?;
    let rounds = options.rounds.unwrap_or(if options.quick { 3 } else { 7 });
    if child::cores() < 2 {
        loud("fewer than two cores: nothing is pinned, and load and server share one core");
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
                if failed.contains(&(subject, *case)) || !suite.takes_part(subject, case) {
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
                        loud(&format!("{} {case}: {subject} SKIPPED: {why}", suite.name()));
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
        report::print_json(suite, &table);
    } else {
        report::print_table(suite, &table);
    }
    Ok(())
}

fn measure(suite: Suite, subject: Name, case: &str, quick: bool) -> Result<Report, String> {
    let name = subject.to_string();
    let mut arguments = vec!["measure", suite.name(), &name, case];
    if quick {
        arguments.push("--quick");
    }
    child::measure(&arguments)
}

/// The subjects asked for that can run here; preparing one may build it.
fn subjects(suite: Suite, options: &Options) -> Vec<Name> {
    let asked =
        if options.subjects.is_empty() { suite.subjects() } else { options.subjects.clone() };
    let mut able = Vec::new();
    for subject in asked {
        let prepared = match suite {
            Suite::Tools => tools::prepare(subject),
            Suite::Install => install::prepare(subject),
            _ => subject.subject().prepare(),
        };
        match prepared {
            Ok(()) => able.push(subject),
            Err(why) => loud(&format!("{}: {subject} SKIPPED: {why}", suite.name())),
        }
    }
    able
}

/// The cases asked for. `50_p50_us` asks for the case `50`: one run gives all its metrics.
fn cases(suite: Suite, options: &Options) -> Result<Vec<&'static str>, String> {
    let all = suite.cases(options.quick && options.cases.is_empty());
    if options.cases.is_empty() {
        return Ok(all);
    }
    let fits = |case: &str, asked: &str| {
        let by_number = !matches!(suite, Suite::Tasklets | Suite::Files | Suite::Wake);
        case == asked || (by_number && metric_of(case, asked))
    };
    for asked in &options.cases {
        if !all.iter().any(|case| fits(case, asked)) {
            return Err(format!("no case {asked} in {}; there are {all:?}", suite.name()));
        }
    }
    Ok(all.into_iter().filter(|case| options.cases.iter().any(|a| fits(case, a))).collect())
}

/// Whether `asked` is one of the metrics of `case`.
fn metric_of(case: &str, asked: &str) -> bool {
    asked.strip_prefix(case).is_some_and(|rest| rest.starts_with('_'))
}

fn progress(round: usize, rounds: usize, suite: Suite, subject: Name, report: &Report) {
    let figures: Vec<String> =
        report.metrics.iter().map(|m| format!("{} {:.4} {}", m.case, m.value, m.unit)).collect();
    eprintln!("[{}/{rounds}] {} {subject}: {}", round + 1, suite.name(), figures.join(", "));
}

fn loud(sentence: &str) {
    eprintln!("!!! {sentence}");
}
