//! No circle of files: in a crate, no file imports one that leads back to it. `graph.rs` says how
//! an import is followed.

use std::collections::BTreeSet;

use super::graph::{Graph, Import, Member};
use crate::tidy::report::Report;
use crate::tidy::source::Source;
use crate::tidy::table::{CIRCLES, IN_CIRCLES};

pub(crate) fn check(sources: &[Source<'_>], report: &mut Report) {
    let mut found = Vec::new();
    let mut circles = 0;
    for folder in folders(sources) {
        for circle in Graph::new(folder, sources).circles() {
            circles += 1;
            let files = circle.len();
            for Member { path, imports } in circle {
                let shown = imports
                    .iter()
                    .map(|Import { to, line, text }| format!("{to} ({line}: {text})"));
                let shown: Vec<String> = shown.collect();
                let line = imports.first().map_or(1, |import| import.line);
                let what = format!("is in a circle of {files} files: {}", shown.join(", "));
                found.push((path, line, what));
            }
        }
    }
    if circles > 0 {
        report.note(format!("circles: {circles}, of {} files", found.len()));
    }
    for (row, allowed) in IN_CIRCLES {
        let inside = found.iter().filter(|(path, ..)| path.starts_with(row)).count();
        let what = format!("{inside} files are in circles, IN_CIRCLES has {allowed}");
        report.check_table(inside >= *allowed, &CIRCLES, row, what);
    }
    for (path, line, what) in &found {
        let row = IN_CIRCLES.iter().find(|(row, _)| path.starts_with(row));
        let holds = row.is_some_and(|(row, allowed)| {
            let inside = found.iter().filter(|(path, ..)| path.starts_with(row)).count();
            inside <= *allowed
        });
        report.check(holds, (path, *line), &CIRCLES, what.clone());
    }
}

/// Lists the folders of sources that have a crate's root.
fn folders<'a>(sources: &[Source<'a>]) -> BTreeSet<&'a str> {
    let root = |path: &'a str| path.strip_suffix("lib.rs").or(path.strip_suffix("main.rs"));
    sources.iter().filter_map(|source| root(source.path)).collect()
}
