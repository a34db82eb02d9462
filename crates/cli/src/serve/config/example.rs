//! The annotated file with every key, and the search for a key's line in it.

/// The annotated file. (A symbolic link, since the file is one of the documents, too.)
pub(in crate::serve) const EXAMPLE: &str = include_str!("../example.toml");

/// Finds the line of the annotated file that shows a key, without its remark, and the table of the
/// key.
pub(super) fn example(key: &str) -> Option<(String, &'static str)> {
    let mut table = "it belongs before the first [[server]]".to_owned();
    for line in EXAMPLE.lines() {
        let line = line.trim_start_matches(['#', ' ']);
        if line.starts_with('[') {
            table = format!("it belongs to {line}");
        }
        let rest = line.strip_prefix(key).map(str::trim_start);
        if rest.is_some_and(|rest| rest.starts_with('=')) {
            return Some((table, line.split("  #").next().unwrap_or(line).trim_end()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_lines_without_their_remarks() {
        let line = |key| example(key).map(|(_, line)| line);
        assert_eq!(line("cgi-timeout"), Some("cgi-timeout = \"5m\""));
        assert_eq!(line("log-format"), Some("log-format = \"combined\""));
        assert_eq!(line("nothing"), None);
    }
}
