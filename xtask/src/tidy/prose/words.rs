//! No path of one machine, and no host of a registry or a mirror.

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

/// Tells whether `path` stands in `line` as the beginning of an absolute path, not inside of a
/// longer one or of an address.
fn begins_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| c.is_whitespace() || "\"'`([<=:,;|>".contains(c))
    })
}
