//! The command line that continues after a stop, quoted for a shell.

use std::ffi::OsString;
use std::path::Path;

use crate::display::Escaped;

/// Rebuilds the command line, with `flag` inserted after the name of the subcommand. `changed`
/// returns a replacement for an argument, to hide a secret or to use its final value. Returns
/// `None` if an argument cannot be displayed unchanged.
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
        // Not at the end, where the flag could stand after `--`.
        if argument == subcommand
            && let Some(flag) = flag.take()
        {
            command += " ";
            command += flag;
        }
    }
    Some(command)
}

/// Quotes an argument for a shell.
fn quoted(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', "'\\''"))
}

/// Quotes a path as an operand, never taken for an option. Characters that a terminal cannot
/// display are escaped, so a user must find such a file by hand.
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
    fn a_flag_stands_after_its_subcommand_and_only_once() {
        let again = |words: &[&str], flag| {
            command(words.iter().map(OsString::from), "copy", flag, |_| None).unwrap()
        };
        let words = ["overlapped", "--port", "poll", "copy", "--", "-a", "copy"];
        assert_eq!(again(&words, Some("-n")), "overlapped --port poll copy -n -- -a copy");
        assert_eq!(again(&words, None), "overlapped --port poll copy -- -a copy");
    }

    #[test]
    fn an_argument_that_cannot_be_shown_gives_no_command() {
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
