//! Finds the comments of a Rust file. Tokens do not have them, so the text is searched by hand:
//! strings and characters are skipped, and a comment begins with any other `//` or `/*`.

/// A comment, or one line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Comment<'a> {
    pub(crate) kind: Kind,
    /// The text after `//`, `///` or `//!`.
    pub(crate) text: &'a str,
    pub(crate) line: usize,
}

/// The kind of a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An ordinary comment.
    Plain,
    /// A doc comment of the item that follows (`///`).
    Outer,
    /// A doc comment of the module around it (`//!`).
    Inner,
}

/// Collects the comments of `text`, each line of a comment separately.
pub(crate) fn collect(text: &str) -> Vec<Comment<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '/' if rest.starts_with("//") => {
                let end = rest.find('\n').unwrap_or(rest.len());
                found.push(comment(&rest[..end], line));
                end
            }
            '/' if rest.starts_with("/*") => block(rest, line, &mut found),
            '"' => 1 + string(&rest[1..]),
            'r' => raw_string(rest).unwrap_or(1),
            '\'' => character(rest),
            other => other.len_utf8(),
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    found
}

fn comment(text: &str, line: usize) -> Comment<'_> {
    let (kind, text) = match text.strip_prefix("///") {
        Some(text) if !text.starts_with('/') => (Kind::Outer, text),
        _ => match text.strip_prefix("//!") {
            Some(text) => (Kind::Inner, text),
            None => (Kind::Plain, text.trim_start_matches('/')),
        },
    };
    Comment { kind, text, line }
}

/// Reads a comment between `/*` and `*/`, which may contain others, and returns its length.
fn block<'a>(text: &'a str, line: usize, found: &mut Vec<Comment<'a>>) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let two = text.as_bytes().get(at..at + 2);
        match two {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    // The slice ends after an ASCII character, or at the end of the text.
    let lines = text[..at].lines().enumerate();
    found.extend(lines.map(|(index, text)| Comment {
        kind: Kind::Plain,
        text,
        line: line + index,
    }));
    at
}

/// Measures a string after its first quote, with its last quote.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, sign) in text.char_indices() {
        match sign {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Measures a raw string, `r#"…"#`.
fn raw_string(text: &str) -> Option<usize> {
    let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    let begin = 1 + hashes;
    if text.as_bytes().get(begin) != Some(&b'"') {
        return None;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let length = text[begin + 1..].find(&end).map(|at| begin + 1 + at + end.len());
    Some(length.unwrap_or(text.len()))
}

/// Measures a character, `'a'`. The result for a lifetime, `'a`, is 1.
fn character(text: &str) -> usize {
    let mut signs = text.char_indices().skip(1);
    match (signs.next(), signs.next()) {
        (Some((_, '\\')), Some((at, sign))) => {
            let after = at + sign.len_utf8();
            text[after..].find('\'').map_or(text.len(), |end| after + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_distinguished_from_strings_characters_and_lifetimes() {
        let text = r##"//! Inner.
fn f<'a>(x: &'a str) -> char { // Plain.
    let a = "// no \" // no";
    let b = r#"// no " // no"#;
    let (c, d) = ('"', '\''); /// Outer.
    /* one
       two /* three */ */ '/' // end
}"##;
        let found: Vec<_> =
            collect(text).into_iter().map(|c| (c.kind, c.text.trim(), c.line)).collect();
        let wanted = [
            (Kind::Inner, "Inner.", 1),
            (Kind::Plain, "Plain.", 2),
            (Kind::Outer, "Outer.", 5),
            (Kind::Plain, "/* one", 6),
            (Kind::Plain, "two /* three */ */", 7),
            (Kind::Plain, "end", 7),
        ];
        assert_eq!(found, wanted);
    }
}
