//! The URLs to download, with their names and checksums, from arguments and lists.

use std::collections::HashSet;
use std::io::{self, Read};
use std::path::Path;

use anyhow::Context;
use overlapped::fs;

use super::arguments::Arguments;
use crate::display::Escaped;

/// One entry of a list, as written: a URL, and its further columns.
#[derive(Debug, Default, Clone)]
pub(super) struct Entry {
    pub(super) url: Vec<u8>,
    pub(super) name: Option<Vec<u8>>,
    pub(super) sha256: Option<Vec<u8>>,
    /// The line in the list; `None` for an argument.
    line: Option<usize>,
}

impl Entry {
    /// Refuses an entry with more than one URL.
    pub(super) fn check(&self) -> Result<(), String> {
        let is_url = |text: &[u8]| {
            [&b"http://"[..], b"https://"].iter().any(|scheme| {
                text.get(..scheme.len()).is_some_and(|text| text.eq_ignore_ascii_case(scheme))
            })
        };
        let words = self.url.split(u8::is_ascii_whitespace).skip(1);
        if !words.chain(self.name.as_deref()).any(is_url) {
            return Ok(());
        }
        Err(match self.line {
            Some(line) => {
                format!("line {line} of the list has more than one URL: write each on its own line")
            }
            None => "more than one URL in one argument: give each as an argument".to_owned(),
        })
    }

    /// Returns the location of the entry, for messages.
    pub(super) fn location(&self) -> String {
        self.line.map_or_else(String::new, |line| format!(" in line {line} of the list"))
    }
}

/// Reads every entry once; also returns whether some came from standard input.
pub(super) fn read(arguments: &Arguments) -> anyhow::Result<(Vec<Entry>, bool)> {
    let (mut urls, mut from_stdin) = (Vec::new(), false);
    let mut read = |urls: &mut Vec<Entry>| {
        from_stdin = true;
        let mut text = Vec::new();
        io::stdin().read_to_end(&mut text).context("cannot read URLs from standard input")?;
        urls.extend(lines(&text));
        anyhow::Ok(())
    };
    for url in &arguments.urls {
        match url.as_str() {
            "-" => read(&mut urls)?,
            url => urls.push(Entry { url: url.as_bytes().to_vec(), ..Entry::default() }),
        }
    }
    match arguments.input.as_deref() {
        None => {}
        Some(path) if path == Path::new("-") => read(&mut urls)?,
        Some(path) => {
            let name = Escaped::new(path);
            let text = fs::read(path).with_context(|| format!("cannot read {name}"))?;
            urls.extend(lines(&text));
        }
    }
    let mut seen = HashSet::new();
    urls.retain(|Entry { url, name, sha256, .. }| {
        seen.insert((url.clone(), name.clone(), sha256.clone()))
    });
    Ok((urls, from_stdin))
}

/// Splits a list into entries. It works on bytes, because a list may have any encoding, and skips a
/// byte order mark.
fn lines(text: &[u8]) -> impl Iterator<Item = Entry> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let lines = lines.zip(1..).filter(|(line, _)| !line.is_empty() && !line.starts_with(b"#"));
    lines.map(|(line, number)| Entry { line: Some(number), ..entry(line) })
}

/// Parses `URL<Tab>NAME<Tab>SHA256`; either column may be empty or missing.
pub(super) fn entry(line: &[u8]) -> Entry {
    let mut columns = line.splitn(3, |byte| *byte == b'\t').map(<[u8]>::trim_ascii);
    let url = columns.next().unwrap_or_default().to_vec();
    let mut next = || columns.next().filter(|text| !text.is_empty()).map(<[u8]>::to_vec);
    Entry { url, name: next(), sha256: next(), line: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_comments_empty_lines_and_any_encoding() {
        let text = b"\xef\xbb\xbfhttp://a\n\n# not this\n  http://b/\xe9  \r\n#http://c";
        let urls: Vec<_> = lines(text).map(|entry| entry.url).collect();
        assert_eq!(urls, [&b"http://a"[..], b"http://b/\xe9"]);
        let columns = |line| {
            let Entry { url, name, sha256, .. } = entry(line);
            [Some(url), name, sha256]
                .map(|column| column.map(|text| text.escape_ascii().to_string()))
        };
        for (line, expected) in [
            (&b"http://a\tx y\tab"[..], [Some("http://a"), Some("x y"), Some("ab")]),
            (b"http://a b\t\tab", [Some("http://a b"), None, Some("ab")]),
            (b"http://a\tx", [Some("http://a"), Some("x"), None]),
        ] {
            assert_eq!(columns(line), expected.map(|text| text.map(str::to_owned)));
        }
    }
}
