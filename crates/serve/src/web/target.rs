//! The path of a request, decoded once.
//!
//! | in the path | result |
//! |---|---|
//! | `%2F` inside a name | not found: no file has such a name |
//! | `%00`, `%zz`, a `%` at the end | malformed |
//! | `.` and `..`, in any spelling | malformed: clients resolve them before they send |
//! | empty names (`//`) | skipped |
//! | `\`, control characters, bytes that are not UTF-8 | bytes of a name, like any other |
//! | a second layer of escapes (`%252e`) | the bytes `%2e` in a name |

/// A decoded path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The names, separated by slashes; no slash at either end.
    pub(crate) path: Vec<u8>,
    /// True if the path ended with a slash, or was empty.
    pub(crate) is_folder: bool,
}

/// The reason why a path cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TargetError {
    /// The path is malformed: 400.
    Malformed,
    /// No file can have this path: 404.
    NotFound,
}

/// The treatment of empty names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EmptyNames {
    /// Skip them, as a file system does.
    Skip,
    /// Keep them: the path is not only a file's.
    Keep,
}

/// Decodes `raw`, a path that begins with a slash or is empty.
pub(crate) fn decode(raw: &str, empty: EmptyNames) -> Result<Target, TargetError> {
    let mut path = Vec::with_capacity(raw.len());
    let mut is_folder = true;
    let mut first = true;
    for segment in raw.strip_prefix('/').unwrap_or(raw).split('/') {
        is_folder = segment.is_empty();
        if is_folder && empty == EmptyNames::Skip {
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

/// Appends the decoded `segment` to `out`.
pub(crate) fn unescape(segment: &str, out: &mut Vec<u8>) -> Result<(), TargetError> {
    let mut rest = segment.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let [high, low, after @ ..] = rest else { return Err(TargetError::Malformed) };
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(TargetError::Malformed);
        // Two digits of four bits each.
        out.push((digit(*high)? << 4 | digit(*low)?) as u8);
        rest = after;
    }
    Ok(())
}

fn check(name: &[u8]) -> Result<(), TargetError> {
    if name == b"." || name == b".." || name.contains(&0) {
        return Err(TargetError::Malformed);
    }
    if name.contains(&b'/') { Err(TargetError::NotFound) } else { Ok(()) }
}

/// Tells whether one of the names begins with a dot. `.well-known` as the first name does not
/// count: it is meant to be visible (RFC 8615).
pub(crate) fn is_hidden(path: &[u8]) -> bool {
    let mut names = path.split(|&byte| byte == b'/');
    let first = names.next().unwrap_or_default();
    (first.starts_with(b".") && first != b".well-known") || names.any(|name| name.starts_with(b"."))
}

/// Encodes `path` for a request target: a slash, and the names.
pub(crate) fn encode(path: &[u8]) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
    /// All but the unreserved characters (RFC 3986, section 2.3) and the separator.
    const ESCAPED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    format!("/{}", percent_encode(path, ESCAPED))
}

/// Returns what follows `prefix` (names separated by slashes) in `raw`. Names are compared as
/// [`decode`] reads them, so that no other spelling of a prefix leads past it.
pub(crate) fn strip_prefix<'a>(raw: &'a str, prefix: &str) -> Option<&'a str> {
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
    fn decodes_to(raw: &str, path: &str, is_folder: bool) {
        let target = Target { path: path.into(), is_folder };
        assert_eq!(decode(raw, EmptyNames::Skip), Ok(target), "{raw}");
    }

    #[test]
    fn names_are_decoded_once() {
        decodes_to("/", "", true);
        decodes_to("", "", true);
        decodes_to("/a", "a", false);
        decodes_to("/a/b/", "a/b", true);
        decodes_to("//a///b", "a/b", false);
        decodes_to("/a%20b%25/%E2%82%ac", "a b%/€", false);
        decodes_to("/%252e%252e/%255c", "%2e%2e/%5c", false);
        decodes_to("/..a/b..", "..a/b..", false);
        decodes_to("/..%5c..%5cx", "..\\..\\x", false);
    }

    #[test]
    fn empty_names_may_be_kept() {
        let kept = decode("/a//b/", EmptyNames::Keep).unwrap();
        assert_eq!(kept, Target { path: b"a//b/".to_vec(), is_folder: true });
        assert_eq!(decode("/", EmptyNames::Keep).unwrap().path, b"");
    }

    #[test]
    fn dot_names_nul_and_broken_escapes_are_malformed() {
        for raw in
            ["/%", "/%a", "/%zz", "/%+1", "/a%00", "/..", "/a/../b", "/%2e%2e/x", "/%2E", "/."]
        {
            assert_eq!(decode(raw, EmptyNames::Skip), Err(TargetError::Malformed), "{raw}");
        }
        for raw in ["/a%2fb", "/..%2fx", "/%2F"] {
            assert_eq!(decode(raw, EmptyNames::Skip), Err(TargetError::NotFound), "{raw}");
        }
    }

    #[test]
    fn dot_files_are_hidden_except_well_known() {
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
            assert_eq!(strip_prefix(raw, "/cgi"), Some("/x"), "{raw}");
        }
        assert_eq!(strip_prefix("/cgi", "/cgi"), Some(""));
        assert_eq!(strip_prefix("/a//b/c", "/a/b"), Some("/c"));
        assert_eq!(strip_prefix("/anything", ""), Some("/anything"));
        for raw in ["/cgix", "/cg", "/", "", "*", "cgi/x", "/Cgi/x", "/cgi%2fx"] {
            assert_eq!(strip_prefix(raw, "/cgi"), None, "{raw}");
        }
    }

    #[test]
    fn an_encoded_path_has_no_special_bytes() {
        assert_eq!(encode(b"a b/%\r\n\xff?#"), "/a%20b/%25%0D%0A%FF%3F%23");
        assert_eq!(encode(b""), "/");
    }
}
