//! The path of a request, decoded once.
//!
//! | in the path | is |
//! |---|---|
//! | `%2F` inside of a name | not found: no file has such a name |
//! | `%00`, `%zz`, a `%` at the end | malformed |
//! | `.` and `..`, however they are written | malformed: clients resolve them before they send |
//! | empty names (`//`) | left out |
//! | `\`, control characters, bytes that are not UTF-8 | bytes of a name, like any other |
//! | a second layer of escapes (`%252e`) | the bytes `%2e` in a name |

/// A decoded path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The names with slashes between them, none at either end.
    pub(crate) path: Vec<u8>,
    /// A slash stood at the end, or there is nothing else.
    pub(crate) is_folder: bool,
}

/// Why a path leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadTarget {
    /// No client that means well sends it: 400.
    Malformed,
    /// Nothing can be there: 404.
    Nowhere,
}

/// What becomes of empty names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Empty {
    /// They are left out, as a file system does.
    Skip,
    /// They are kept: the path is not only a file's.
    Keep,
}

/// Decodes `raw`, a path that begins with a slash or is empty.
pub(crate) fn decode(raw: &str, empty: Empty) -> Result<Target, BadTarget> {
    let mut path = Vec::with_capacity(raw.len());
    let mut is_folder = true;
    let mut first = true;
    for segment in raw.strip_prefix('/').unwrap_or(raw).split('/') {
        is_folder = segment.is_empty();
        if is_folder && empty == Empty::Skip {
            continue;
        }
        if !first {
            path.push(b'/');
        }
        first = false;
        let begin = path.len();
        unescape(segment, &mut path)?;
        check(&path[begin..])?;
    }
    Ok(Target { path, is_folder })
}

/// Appends `segment`, decoded.
pub(crate) fn unescape(segment: &str, out: &mut Vec<u8>) -> Result<(), BadTarget> {
    let mut rest = segment.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let [high, low, after @ ..] = rest else { return Err(BadTarget::Malformed) };
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(BadTarget::Malformed);
        // Two digits of four bits each.
        out.push((digit(*high)? << 4 | digit(*low)?) as u8);
        rest = after;
    }
    Ok(())
}

fn check(name: &[u8]) -> Result<(), BadTarget> {
    if name == b"." || name == b".." || name.contains(&0) {
        return Err(BadTarget::Malformed);
    }
    if name.contains(&b'/') { Err(BadTarget::Nowhere) } else { Ok(()) }
}

/// Whether one of the names begins with a dot; `.well-known` at the beginning is meant to be seen
/// (RFC 8615).
pub(crate) fn is_hidden(path: &[u8]) -> bool {
    let mut names = path.split(|&byte| byte == b'/');
    let first = names.next().unwrap_or_default();
    (first.starts_with(b".") && first != b".well-known") || names.any(|name| name.starts_with(b"."))
}

/// `path` as it is written in a target: a slash, and the names.
pub(crate) fn encode(path: &[u8]) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
    /// Unreserved characters (RFC 3986, section 2.3), and the separator.
    const ESCAPED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    format!("/{}", percent_encode(path, ESCAPED))
}

/// What follows `prefix`, names with slashes between them, in `raw`: names are compared as
/// [`decode`] reads them, so that no other spelling of a prefix leads past it.
pub(crate) fn after<'a>(raw: &'a str, prefix: &str) -> Option<&'a str> {
    let mut rest = raw;
    let mut name = Vec::new();
    for wanted in prefix.split('/').filter(|wanted| !wanted.is_empty()) {
        let at = rest.find(|char| char != '/').filter(|&at| at > 0)?;
        let (segment, after) = rest[at..].split_at(rest[at..].find('/').unwrap_or(rest.len() - at));
        name.clear();
        unescape(segment, &mut name).ok()?;
        if name != wanted.as_bytes() {
            return None;
        }
        rest = after;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn leads(raw: &str, path: &str, is_folder: bool) {
        let target = Target { path: path.into(), is_folder };
        assert_eq!(decode(raw, Empty::Skip), Ok(target), "{raw}");
    }

    #[test]
    fn names_are_decoded_once() {
        leads("/", "", true);
        leads("", "", true);
        leads("/a", "a", false);
        leads("/a/b/", "a/b", true);
        leads("//a///b", "a/b", false);
        leads("/a%20b%25/%E2%82%ac", "a b%/€", false);
        leads("/%252e%252e/%255c", "%2e%2e/%5c", false);
        leads("/..a/b..", "..a/b..", false);
        leads("/..%5c..%5cx", "..\\..\\x", false);
    }

    #[test]
    fn empty_names_may_be_kept() {
        let kept = decode("/a//b/", Empty::Keep).unwrap();
        assert_eq!(kept, Target { path: b"a//b/".to_vec(), is_folder: true });
        assert_eq!(decode("/", Empty::Keep).unwrap().path, b"");
    }

    #[test]
    fn what_no_client_sends_is_malformed() {
        for raw in
            ["/%", "/%a", "/%zz", "/%+1", "/a%00", "/..", "/a/../b", "/%2e%2e/x", "/%2E", "/."]
        {
            assert_eq!(decode(raw, Empty::Skip), Err(BadTarget::Malformed), "{raw}");
        }
        for raw in ["/a%2fb", "/..%2fx", "/%2F"] {
            assert_eq!(decode(raw, Empty::Skip), Err(BadTarget::Nowhere), "{raw}");
        }
    }

    #[test]
    fn dotfiles_are_hidden_but_for_what_is_well_known() {
        for path in [".git", "a/.env", ".well-known/.x", "a/.well-known/x", ".well-knownx"] {
            assert!(is_hidden(path.as_bytes()), "{path}");
        }
        for path in ["", "a", "a.b/c", ".well-known/acme-challenge/x"] {
            assert!(!is_hidden(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn a_prefix_is_found_in_every_spelling() {
        for raw in ["/cgi/x", "//cgi/x", "/%63gi/x", "/c%67i/x"] {
            assert_eq!(after(raw, "/cgi"), Some("/x"), "{raw}");
        }
        assert_eq!(after("/cgi", "/cgi"), Some(""));
        assert_eq!(after("/a//b/c", "/a/b"), Some("/c"));
        assert_eq!(after("/anything", ""), Some("/anything"));
        for raw in ["/cgix", "/cg", "/", "", "*", "cgi/x", "/Cgi/x", "/cgi%2fx"] {
            assert_eq!(after(raw, "/cgi"), None, "{raw}");
        }
    }

    #[test]
    fn an_encoded_path_is_one_absolute_path() {
        assert_eq!(encode(b"a b/%\r\n\xff?#"), "/a%20b/%25%0D%0A%FF%3F%23");
        assert_eq!(encode(b""), "/");
    }
}
