//! A doc comment begins with a verb or a noun: not with a word that begins a clause, whose reader
//! has to wait for the verb. Held in the rooms of [`CLEAN`]; of the others the number is told.

use std::collections::BTreeMap;

use crate::tidy::report::Report;
use crate::tidy::source::Source;
use crate::tidy::source::comments::{self, Kind};
use crate::tidy::table::{BROKEN, CLEAN, FIRST_WORDS, NOT_FIRST};

/// Rooms that are named when they could be entered in the table.
const NAMED_MAX: usize = 12;

pub(crate) fn check(sources: &[Source<'_>], report: &mut Report) {
    let mut others: BTreeMap<String, usize> = BTreeMap::new();
    for source in sources {
        let is_held = CLEAN.iter().any(|prefix| source.path.starts_with(prefix));
        if !is_held {
            others.entry(room(source.path)).or_default();
        }
        let mut before = None;
        for comment in comments::collect(source.text) {
            let follows = before == Some((comment.kind, comment.line - 1));
            before = Some((comment.kind, comment.line));
            if comment.kind == Kind::Plain || follows {
                continue;
            }
            let word = first_word(comment.text);
            let holds = !NOT_FIRST.contains(&word);
            if is_held {
                let what = format!("a doc comment begins with `{word}`");
                report.check(holds, (source.path, comment.line), &FIRST_WORDS, what);
            } else if !holds {
                *others.entry(room(source.path)).or_default() += 1;
            }
        }
    }
    for row in CLEAN {
        let is_there = sources.iter().any(|source| source.path.starts_with(row));
        report.check_table(is_there, &BROKEN, row, format!("`{row}` of CLEAN is not there"));
    }
    note(&others, report);
}

fn note(others: &BTreeMap<String, usize>, report: &mut Report) {
    let left: usize = others.values().sum();
    let rooms = others.values().filter(|count| **count > 0).count();
    if left > 0 {
        report.note(format!("first-words: {left} left, in {rooms} rooms that CLEAN does not hold"));
    }
    let clean: Vec<&str> =
        others.iter().filter(|(_, count)| **count == 0).map(|(room, _)| room.as_str()).collect();
    if !clean.is_empty() {
        let shown = clean[..clean.len().min(NAMED_MAX)].join(", ");
        report.note(format!("first-words: {} rooms are clean, too: {shown}", clean.len()));
    }
}

/// Names the room of a file: `crates/a/src/b/`, a file beside it, or the folder of a crate's
/// tests.
fn room(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    let below = parts.iter().position(|part| *part == "src").map_or(2, |at| at + 2);
    let end = match parts.get(2) {
        Some(&"tests" | &"examples") => 3,
        _ => below.min(parts.len()),
    };
    let room = parts[..end.min(parts.len())].join("/");
    if end < parts.len() { room + "/" } else { room }
}

/// Reads the first word of a comment.
fn first_word(text: &str) -> &str {
    let text = text.trim_start().trim_start_matches(['*', '_', '"']);
    text.split(|sign: char| !sign.is_alphanumeric() && sign != '\'').next().unwrap_or("")
}
