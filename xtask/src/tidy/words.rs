//! No path or host of one machine, no talk about the work.

use super::source::{self, Source};
use super::table::{HOSTS, MACHINE_PATHS, TALK, WORDS, WORDS_EXEMPT};
use super::{File, Report};

pub(crate) fn check(files: &[File], sources: &[Source<'_>], report: &mut Report) {
    for file in files.iter().filter(|file| !WORDS_EXEMPT.contains(&file.path.as_str())) {
        let source = sources.iter().find(|source| source.path == file.path);
        for (index, line) in file.text.lines().enumerate() {
            let number = index + 1;
            let in_test = source::is_test_path(&file.path)
                || source.is_some_and(|source| source.in_test(number));
            let lower = line.to_lowercase();
            let found = MACHINE_PATHS
                .iter()
                .find(|path| !in_test && begins_path(&lower, path))
                .or_else(|| HOSTS.iter().find(|host| lower.contains(**host)))
                .or_else(|| TALK.iter().find(|talk| stands_alone(&lower, talk)));
            let what = format!("`{}`", found.unwrap_or(&""));
            report.check(found.is_none(), (&file.path, number), &WORDS, what);
        }
    }
}

/// Whether `path` stands in `line` as the beginning of an absolute path, not inside of a longer
/// one or of an address.
fn begins_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| c.is_whitespace() || "\"'`([<=:,;|>".contains(c))
    })
}

/// Whether `words` stand in `line` with no letter at either side.
fn stands_alone(line: &str, words: &str) -> bool {
    line.match_indices(words).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + words.len()..].chars().next();
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    })
}
