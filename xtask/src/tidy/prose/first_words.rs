//! Checks that a doc comment begins with a verb or a noun, and not with a word that begins a
//! clause, whose reader has to wait for the verb.

use crate::tidy::report::Report;
use crate::tidy::source::Source;
use crate::tidy::source::comments::{self, Kind};
use crate::tidy::table::{FIRST_WORDS, NOT_FIRST};

pub(crate) fn check(sources: &[Source<'_>], report: &mut Report) {
    for source in sources {
        let mut before = None;
        for comment in comments::collect(source.text) {
            let follows = before == Some((comment.kind, comment.line - 1));
            before = Some((comment.kind, comment.line));
            if comment.kind == Kind::Plain || follows {
                continue;
            }
            let word = first_word(comment.text);
            let what = format!("a doc comment begins with `{word}`");
            let place = (source.path, comment.line);
            report.check(!NOT_FIRST.contains(&word), place, &FIRST_WORDS, what);
        }
    }
}

/// Reads the first word of a comment.
fn first_word(text: &str) -> &str {
    let text = text.trim_start().trim_start_matches(['*', '_', '"']);
    text.split(|sign: char| !sign.is_alphanumeric() && sign != '\'').next().unwrap_or("")
}
