//! The table in RELIABILITY.md: one row per case and port. Rows of cases that have not run stay.

use std::collections::HashMap;

use anyhow::{Context as _, bail};

use super::cases::Case;
use crate::port::Port;

/// The line before the table.
pub(crate) const BEGIN: &str = "<!-- torture: begin; written by `cargo xtask torture` -->";
/// The line after the table.
pub(crate) const END: &str = "<!-- torture: end -->";

const HEAD: &str =
    "| # | promise | command | port | last figure | date |\n|---|---|---|---|---|---|\n";
const NEVER: &str = "not run yet";

/// Writes a document with an empty table.
pub(crate) fn empty() -> String {
    format!(
        "# Reliability\n\nEach row is a danger, and what a test of it measured last. The command \
         measures it again.\n\n{BEGIN}\n{END}\n"
    )
}

/// The figure of one case on one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Figure {
    /// The figure in words, with the number of checks.
    pub(crate) text: String,
    /// The day of the run, as in `2026-01-31`.
    pub(crate) date: String,
}

/// Figures by case and port.
pub(crate) type Figures = HashMap<(String, String), Figure>;

/// Reads the figures of `document`.
pub(crate) fn read(document: &str) -> anyhow::Result<Figures> {
    let (_, table, _) = parts(document)?;
    let mut figures = Figures::new();
    for line in table.lines() {
        // A bar inside of a cell is written `\|`.
        let hidden = line.replace("\\|", "\u{0}");
        let cells: Vec<&str> = hidden.split('|').map(str::trim).collect();
        if let ["", id, _, _, port, text, date, ""] = cells.as_slice()
            && !date.is_empty()
            && !date.starts_with('-')
            && *id != "#"
        {
            let figure = Figure { text: text.replace('\u{0}', "|"), date: (*date).to_owned() };
            figures.insert(((*id).to_owned(), (*port).to_owned()), figure);
        }
    }
    Ok(figures)
}

/// Writes `document` with a new table.
pub(crate) fn write(document: &str, cases: &[Case], figures: &Figures) -> anyhow::Result<String> {
    let (before, _, after) = parts(document)?;
    let mut table = HEAD.to_owned();
    for case in cases {
        for port in case.ports {
            table.push_str(&row(case, *port, figures));
        }
    }
    Ok(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

fn row(case: &Case, port: Port, figures: &Figures) -> String {
    let Case { id, promise, .. } = case;
    let figure = figures.get(&((*id).to_owned(), port.name().to_owned()));
    let (text, date) = figure.map_or((NEVER, ""), |figure| (&figure.text, &figure.date));
    let text = text.replace('|', "\\|");
    format!(
        "| {id} | {promise} | `cargo xtask torture {id}` | {} | {text} | {date} |\n",
        port.name()
    )
}

fn parts(document: &str) -> anyhow::Result<(&str, &str, &str)> {
    let (before, rest) = document.split_once(BEGIN).context("the table's first marker is gone")?;
    let (table, after) = rest.split_once(END).context("the table's last marker is gone")?;
    if after.contains(BEGIN) {
        bail!("there are two tables");
    }
    Ok((before, table, after))
}

#[cfg(test)]
mod tests {
    use super::super::cases::CASES;
    use super::*;

    #[test]
    fn a_row_that_did_not_run_stays_and_the_text_around_the_table_too() {
        let old = Figure { text: "100 checks: a|b".into(), date: "2026-01-31".into() };
        let key = |id: &str, port: &str| (id.to_owned(), port.to_owned());
        let mut figures = Figures::from([(key("P1", "poll"), old.clone())]);
        let first = write(&format!("{}after\n", empty()), CASES, &figures).unwrap();

        figures = read(&first).unwrap();
        assert_eq!(figures, Figures::from([(key("P1", "poll"), old)]), "rows never run are none");
        let new = Figure { text: "FAILED: x".into(), date: "2026-02-01".into() };
        figures.insert(key("S1", "uring"), new);
        let second = write(&first, CASES, &figures).unwrap();

        assert_eq!(read(&second).unwrap(), figures);
        assert!(second.starts_with("# Reliability\n") && second.ends_with("after\n"));
        let rows = CASES.iter().map(|case| case.ports.len()).sum::<usize>();
        assert_eq!(second.lines().filter(|line| line.contains("xtask torture ")).count(), rows);
    }

    #[test]
    fn a_document_without_markers_is_refused() {
        assert!(write("# Reliability\n", CASES, &Figures::new()).is_err());
    }
}
