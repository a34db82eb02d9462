//! Checks that the files that comments and documents name exist.
//!
//! A name ends with the extension of Rust files or documents. It may be a path from the root, a
//! path from the folder of the text, or the end of a path (`sched/mod.rs`), with which the path of
//! some file of the project has to end. Web addresses are skipped; files of other projects are rows
//! of [`ELSEWHERE`].

use std::collections::HashSet;

use crate::tidy::report::{File, Report};
use crate::tidy::source::Source;
use crate::tidy::source::comments;
use crate::tidy::table::{ELSEWHERE, PLACES};

/// A web site whose name looks like that of a file.
const HOST: &str = "docs.rs";

pub(crate) fn check(files: &[File], sources: &[Source<'_>], report: &mut Report) {
    let ends: HashSet<&str> = files.iter().flat_map(|file| ends(&file.path)).collect();
    for source in sources {
        for comment in comments::collect(source.text) {
            check_line(source.path, comment.line, comment.text, &ends, report);
        }
    }
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        for (index, line) in file.text.lines().enumerate() {
            check_line(&file.path, index + 1, line, &ends, report);
        }
    }
}

/// Lists all ends of a path that begin at a name.
fn ends(path: &str) -> impl Iterator<Item = &str> {
    let after = path.match_indices('/').map(|(at, _)| &path[at + 1..]);
    std::iter::once(path).chain(after)
}

fn check_line(path: &str, line: usize, text: &str, ends: &HashSet<&str>, report: &mut Report) {
    let part = |sign: char| sign.is_ascii_alphanumeric() || "_-./:…*{}<>$".contains(sign);
    for word in text.split(|sign: char| !part(sign)) {
        let word = word.trim_end_matches(['.', ':']);
        let is_name = word.ends_with(".rs") || word.ends_with(".md");
        // Addresses and patterns are no names.
        if !is_name || word.contains("://") || word.contains(['…', '*', '{', '}', '<', '>', '$'])
        {
            continue;
        }
        let name = word.rsplit(':').next().unwrap_or(word);
        if name == HOST {
            continue;
        }
        if let Some(row) = ELSEWHERE.iter().find(|(row, _)| *row == name) {
            report.uses("ELSEWHERE", row.0);
            continue;
        }
        let holds = ends.contains(name) || ends.contains(resolved(path, name).as_str());
        report.check(holds, (path, line), &PLACES, format!("names `{name}`"));
    }
}

/// Follows `./` and `../` from the folder of the file `from`.
fn resolved(from: &str, name: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in name.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
