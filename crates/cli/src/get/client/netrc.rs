//! Users and passwords of hosts, in a file format that ftp has introduced.
//!
//! ```text
//! machine example.com login me password secret
//! machine other.example.com
//!     login "with spaces" password "a \" quote"
//! default login anonymous password me@example.com
//! ```
//!
//! It is read as by curl, with quoted words, comments in lines of their own, and macros, which are
//! skipped.

use std::path::Path;

use anyhow::{Context, bail};
use overlapped::fs;
use ureq::http::Uri;

use super::url::basic_credentials;
use crate::display::Escaped;

/// The entries of the file, in order.
#[derive(Default)]
pub(crate) struct Netrc(Vec<Entry>);

#[derive(Default)]
struct Entry {
    /// `None` in the default entry.
    host: Option<String>,
    login: String,
    password: String,
}

// Without the passwords.
impl std::fmt::Debug for Netrc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Netrc({} entries)", self.0.len())
    }
}

impl Netrc {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Netrc> {
        let shown = Escaped::new(path);
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
        Netrc::parse(&text).with_context(|| format!("cannot use {shown}"))
    }

    fn parse(text: &str) -> anyhow::Result<Netrc> {
        let (mut entries, mut lines) = (Vec::<Entry>::new(), (1..).zip(text.lines()));
        let mut expected: Option<String> = None;
        while let Some((number, line)) = lines.next() {
            if line.trim_start().starts_with('#') {
                continue;
            }
            for word in words(line) {
                let entry = entries.last_mut();
                match (expected.take().as_deref(), entry) {
                    (Some("machine"), _) => {
                        entries.push(Entry { host: Some(word), ..Entry::default() });
                    }
                    (Some("login"), Some(entry)) => entry.login = word,
                    (Some("password"), Some(entry)) => entry.password = word,
                    (Some("macdef"), _) => {
                        // Up to an empty line.
                        lines.find(|(_, line)| line.trim().is_empty());
                        break;
                    }
                    (Some(_), _) => {}
                    (None, _) if word == "default" => entries.push(Entry::default()),
                    (None, None) if word != "machine" && word != "macdef" => {
                        bail!("line {number}: {} before the first machine", known(&word)?);
                    }
                    (None, _) => {
                        expected = Some(known(&word).with_context(|| format!("line {number}"))?);
                    }
                }
            }
        }
        match expected {
            Some(word) => bail!("the file ends after the word {word}"),
            None => Ok(Netrc(entries)),
        }
    }

    /// Returns the `Authorization` for a URL's host, by its first entry or the default one.
    pub(super) fn authorization(&self, uri: &Uri) -> Option<String> {
        let host = uri.host()?;
        let fits = |entry: &&Entry| match &entry.host {
            Some(name) => name.eq_ignore_ascii_case(host),
            None => true,
        };
        let entry = self.0.iter().find(fits)?;
        Some(basic_credentials(entry.login.as_bytes(), entry.password.as_bytes()))
    }
}

/// Checks that a word is a keyword. An unknown word may be a password, so no message repeats it.
fn known(word: &str) -> anyhow::Result<String> {
    const WORDS: [&str; 5] = ["machine", "login", "password", "account", "macdef"];
    match WORDS.contains(&word) {
        true => Ok(word.to_owned()),
        false => bail!("expected one of the words {} or default", WORDS.join(", ")),
    }
}

/// Splits a line into words; a quoted word may contain spaces.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut characters) = (Vec::new(), line.chars().peekable());
    while let Some(first) = characters.find(|c| !c.is_whitespace()) {
        let is_quoted = first == '"';
        let mut word = String::new();
        let mut next = if is_quoted { characters.next() } else { Some(first) };
        while let Some(c) = next {
            match c {
                '"' if is_quoted => break,
                c if c.is_whitespace() && !is_quoted => break,
                '\\' if is_quoted => word.extend(characters.next()),
                c => word.push(c),
            }
            next = characters.next();
        }
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, url: &str) -> Option<String> {
        Netrc::parse(text).unwrap().authorization(&url.parse().unwrap())
    }

    #[test]
    fn the_first_entry_of_a_host_counts_or_else_the_default() {
        let text = "# machine no login no\nmachine A.test\n login me\n\tpassword \"a \\\" b\"\n\
                    macdef init\ncd machine\nput x\n\n\
                    machine b.test login you account x password #\n\
                    machine a.test login second\ndefault login any password one\n";
        let basic = |user: &str, password: &str| {
            Some(basic_credentials(user.as_bytes(), password.as_bytes()))
        };
        assert_eq!(of(text, "http://a.test:81/x"), basic("me", "a \" b"));
        assert_eq!(of(text, "https://b.test/"), basic("you", "#"));
        assert_eq!(of(text, "https://sub.a.test/"), basic("any", "one"));
        assert_eq!(of("machine a.test login me", "http://b.test/"), None);
        assert_eq!(of("", "http://b.test/"), None);
    }

    #[test]
    fn malformed_lines_are_reported_by_number_and_without_their_words() {
        for (text, message) in [
            ("\nmachine a login b password c secret", "line 2"),
            ("login me", "line 1: login before the first machine"),
            ("machine a login", "the file ends after the word login"),
        ] {
            let error = format!("{:#}", Netrc::parse(text).unwrap_err());
            assert!(error.contains(message) && !error.contains("secret"), "{error}");
        }
    }
}
