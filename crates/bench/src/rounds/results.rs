//! Results: one JSON object per line, or a table with paired ratios.

use crate::harness::child::Metric;
use crate::harness::stats::{bootstrap, median};
use crate::names::{Name, Suite};
use serde_json::json;
use std::collections::BTreeMap;

/// The figures of a run, in the order of its cases.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

/// The figures of one case, one per round for each subject.
struct Row {
    case: String,
    unit: String,
    /// Subject → round → value; rounds are kept so that ratios can be paired.
    values: BTreeMap<Name, BTreeMap<usize, f64>>,
}

impl Table {
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn add(&mut self, round: usize, subject: Name, metrics: Vec<Metric>) {
        for metric in metrics {
            let known = self.rows.iter().position(|row| row.case == metric.case);
            let row = known.unwrap_or_else(|| {
                let (case, unit) = (metric.case, metric.unit);
                self.rows.push(Row { case, unit, values: BTreeMap::new() });
                self.rows.len() - 1
            });
            self.rows[row].values.entry(subject).or_default().insert(round, metric.value);
        }
    }
}

/// Returns the median, the least and the greatest value.
fn figures(rounds: &BTreeMap<usize, f64>) -> (f64, f64, f64) {
    let values: Vec<f64> = rounds.values().copied().collect();
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (median(&values), low, high)
}

/// Prints `{suite, case, subject, unit, median, min, max, runs}` for each result, and nothing else.
pub(crate) fn print_json(suite: Suite, table: &Table) {
    for row in &table.rows {
        for (subject, rounds) in &row.values {
            let (median, min, max) = figures(rounds);
            let line = json!({
                "suite": suite.to_string(),
                "case": row.case,
                "subject": subject.to_string(),
                "unit": row.unit,
                "median": median,
                "min": min,
                "max": max,
                "runs": rounds.len(),
            });
            println!("{line}");
        }
    }
}

/// Prints a block for each case: the figures, then the ratios of our subjects to each peer.
pub(crate) fn print_table(suite: Suite, table: &Table) {
    for row in &table.rows {
        println!("\n{suite} {} ({})", row.case, row.unit);
        println!("  {:<18} {:>12} {:>12} {:>12} {:>5}", "subject", "median", "min", "max", "runs");
        for (subject, rounds) in &row.values {
            let (median, min, max) = figures(rounds);
            println!(
                "  {:<18} {:>12} {:>12} {:>12} {:>5}",
                subject.to_string(),
                short(median),
                short(min),
                short(max),
                rounds.len()
            );
        }
        for (ours, rounds) in row.values.iter().filter(|(subject, _)| subject.is_ours(suite)) {
            for (peer, theirs) in row.values.iter().filter(|(subject, _)| !subject.is_ours(suite)) {
                print_ratio(*ours, rounds, *peer, theirs);
            }
        }
    }
}

/// Prints the median ratio, paired by rounds, with its interval.
fn print_ratio(
    ours: Name,
    rounds: &BTreeMap<usize, f64>,
    peer: Name,
    theirs: &BTreeMap<usize, f64>,
) {
    let ratios: Vec<f64> = rounds
        .iter()
        .filter_map(|(round, value)| theirs.get(round).map(|their| value / their))
        .filter(|ratio| ratio.is_finite())
        .collect();
    if ratios.is_empty() {
        return;
    }
    let estimate = bootstrap(&ratios);
    println!(
        "  {ours} / {peer}: {:.3} [{:.3}, {:.3}]",
        estimate.median, estimate.low, estimate.high
    );
}

/// Writes a figure with the digits that matter.
fn short(value: f64) -> String {
    match value.abs() {
        big if big >= 1000.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
