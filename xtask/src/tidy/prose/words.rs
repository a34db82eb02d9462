//! Checks that no text has a path of one machine, or the host of a registry or a mirror.

use crate::tidy::report::{File, Report};
use crate::tidy::source::{self, Source};
use crate::tidy::table::{HOSTS, MACHINE_PATHS, WORDS, WORDS_EXEMPT};

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
                .or_else(|| HOSTS.iter().find(|host| lower.contains(**host)));
            let what = format!("`{}`", found.unwrap_or(&""));
            report.check(found.is_none(), (&file.path, number), &WORDS, what);
        }
    }
}

/// Tells whether `line` has an absolute path that begins with `path`, and not only a longer path or
/// an address that contains it.
fn begins_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| c.is_whitespace() || "\"'`([<=:,;|>".contains(c))
    })
}
