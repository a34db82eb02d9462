//! The command that goes on after a stop, as a shell takes it.

use std::ffi::OsString;
use std::path::Path;

use crate::display::Escaped;

/// These arguments once more, behind the name of the subcommand with `flag`, if one is needed.
/// `changed` gives what stands in the place of an argument: without what others are not to read, or
/// as what it means from now on. `None`: an argument cannot be shown as it is.
pub(crate) fn command(
    arguments: impl IntoIterator<Item = OsString>,
    subcommand: &str,
    flag: Option<&str>,
    mut changed: impl FnMut(&str) -> Option<String>,
) -> Option<String> {
    let (mut command, mut flag) = ("overlapped".to_owned(), flag);
    for argument in arguments.into_iter().skip(1) {
        let argument = argument.to_str()?;
        let shown = changed(argument).unwrap_or_else(|| argument.to_owned());
        if Escaped::new(shown.as_ref()).to_string() != shown {
            return None;
        }
        command += " ";
        command += &quoted(&shown);
        // Not at the end, where it may stand behind `--`.
        if argument == subcommand
            && let Some(flag) = flag.take()
        {
            command += " ";
            command += flag;
        }
    }
    Some(command)
}

/// As a shell takes it.
fn quoted(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', "'\\''"))
}

/// A path in a command for the shell, never taken for an option. What a terminal cannot
/// show is escaped, and has to be found by hand.
pub(crate) fn operand(path: &Path) -> String {
    match path.to_str() {
        Some(text) if !text.contains(char::is_control) => {
            let here = if text.starts_with('-') { "./" } else { "" };
            quoted(&format!("{here}{text}"))
        }
        _ => Escaped::new(path).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn arguments_are_quoted_for_the_shell() {
        assert_eq!(quoted("http://host/a?b=c&d"), "'http://host/a?b=c&d'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted("http://host/a.iso"), "http://host/a.iso");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn a_flag_stands_behind_its_subcommand_and_only_once() {
        let again = |words: &[&str], flag| {
            command(words.iter().map(OsString::from), "copy", flag, |_| None).unwrap()
        };
        let words = ["overlapped", "--port", "poll", "copy", "--", "-a", "copy"];
        assert_eq!(again(&words, Some("-n")), "overlapped --port poll copy -n -- -a copy");
        assert_eq!(again(&words, None), "overlapped --port poll copy -- -a copy");
    }

    #[test]
    fn what_cannot_be_shown_is_no_command() {
        for name in [&b"\xff"[..], b"a\x1b[31m"] {
            let words = ["overlapped".into(), "copy".into(), OsString::from_vec(name.to_vec())];
            assert_eq!(command(words, "copy", None, |_| None), None);
        }
    }

    #[test]
    fn a_path_in_a_command_is_no_option_and_one_word() {
        for (path, text) in
            [("a/b", "a/b"), ("-x2", "./-x2"), ("two words", "'two words'"), ("-a b", "'./-a b'")]
        {
            assert_eq!(operand(Path::new(path)), text);
        }
    }
}
