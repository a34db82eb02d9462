//! No circle of files: in a crate, no file imports one that leads back to it. `graph.rs` says how
//! an import is followed.

use std::collections::BTreeSet;

use super::graph::{Graph, Import, Member};
use crate::tidy::report::Report;
use crate::tidy::source::Source;
use crate::tidy::table::CIRCLES;

pub(crate) fn check(sources: &[Source<'_>], report: &mut Report) {
    for folder in folders(sources) {
        let circles = Graph::new(folder, sources).circles();
        report.check(true, (folder, 1), &CIRCLES, String::new());
        for circle in circles {
            let files = circle.len();
            for Member { path, imports } in circle {
                let shown = imports
                    .iter()
                    .map(|Import { to, line, text }| format!("{to} ({line}: {text})"));
                let shown: Vec<String> = shown.collect();
                let line = imports.first().map_or(1, |import| import.line);
                let what = format!("is in a circle of {files} files: {}", shown.join(", "));
                report.check(false, (path, line), &CIRCLES, what);
            }
        }
    }
}

/// Lists the folders of sources that have a crate's root.
fn folders<'a>(sources: &[Source<'a>]) -> BTreeSet<&'a str> {
    let root = |path: &'a str| path.strip_suffix("lib.rs").or(path.strip_suffix("main.rs"));
    sources.iter().filter_map(|source| root(source.path)).collect()
}
