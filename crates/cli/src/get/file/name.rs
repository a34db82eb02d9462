//! The name of a downloaded file: a plain file name, whatever a server proposes.
//!
//! A server may propose anything: `../../.ssh/authorized_keys`, a name with escape sequences for
//! the terminal, one of a megabyte. [`clean`] turns it into one visible name of moderate length
//! that no program takes for an option and that is never one of our own partial files.

use std::collections::{HashMap, HashSet};

use percent_encoding::percent_decode_str;
use ureq::http::Uri;

use super::key::Key;

/// The suffix of partial files.
pub(crate) const UNFINISHED: &str = ".part";
/// The suffix of notes about partial files.
pub(crate) const NOTE: &str = ".note";
/// The most bytes of a name. File systems accept 255, and the names of partial files are longer.
const LENGTH_MAX: usize = 200;
/// The most bytes of an extension that is kept when a name is cut.
const EXTENSION_MAX: usize = 20;

/// Makes a name of the last part of the URL's path.
pub(crate) fn from_url(uri: &Uri) -> String {
    let path = uri.path();
    // Decoded last, so that an encoded slash is part of the name, and is removed with what precedes
    // it.
    let last = path.rsplit('/').next().unwrap_or(path);
    clean(&percent_decode_str(last).decode_utf8_lossy()).unwrap_or_else(|| "index.html".to_owned())
}

/// Makes a name of the file name in a `Content-Disposition` (RFC 6266), if it has one.
pub(crate) fn from_disposition(header: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(header);
    let (mut plain, mut extended) = (None, None);
    for (key, value) in parameters(&text) {
        match key.as_str() {
            "filename" if plain.is_none() => plain = Some(value),
            "filename*" if extended.is_none() => extended = decode_extended(&value),
            _ => {}
        }
    }
    clean(&extended.or(plain)?)
}

/// Parses the parameters after the first semicolon, with lower-case keys and unquoted values.
fn parameters(header: &str) -> Vec<(String, String)> {
    let (mut found, mut part) = (Vec::new(), String::new());
    let (mut quoted, mut escaped) = (false, false);
    let mut parts = Vec::new();
    for c in header.chars() {
        match c {
            _ if escaped => {
                part.push(c);
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ';' if !quoted => parts.push(std::mem::take(&mut part)),
            _ => part.push(c),
        }
    }
    parts.push(part);
    for part in parts.iter().skip(1) {
        if let Some((key, value)) = part.split_once('=') {
            found.push((key.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    found
}

/// Decodes an extended parameter (RFC 8187): `UTF-8'en'%e2%82%ac.txt`.
fn decode_extended(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_, encoded) = rest.split_once('\'')?;
    let bytes = percent_decode_str(encoded);
    match charset.to_ascii_lowercase().as_str() {
        "utf-8" => bytes.decode_utf8().ok().map(Into::into),
        "iso-8859-1" => Some(bytes.map(char::from).collect()),
        _ => None,
    }
}

/// Makes a file name of a proposed one; `None` if nothing is left of it.
pub(crate) fn clean(proposed: &str) -> Option<String> {
    let last = proposed.rsplit(['/', '\\']).next()?;
    let plain: String = last.chars().map(|c| if is_harmful(c) { '_' } else { c }).collect();
    // A name is neither hidden, nor `.`, nor `..`.
    let hides = |c: char| c == '.' || c.is_whitespace();
    let visible = plain.trim_start_matches(hides).trim_end_matches(hides);
    if visible.is_empty() {
        return None;
    }
    let mut name =
        if visible.starts_with('-') { format!("_{visible}") } else { visible.to_owned() };
    if name.len() > LENGTH_MAX {
        name = cut(&name);
    }
    if [UNFINISHED, NOTE].iter().any(|ending| name.ends_with(ending)) {
        name.push('_');
    }
    Some(name)
}

/// Tells whether it is a control character, which a terminal would interpret, or a direction mark,
/// which makes a name look like another one.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}')
}

/// Cuts the name between its beginning and its extension.
fn cut(name: &str) -> String {
    let extension = match name.rsplit_once('.') {
        Some((_, extension)) if extension.len() <= EXTENSION_MAX => {
            &name[name.len() - extension.len() - 1..]
        }
        _ => "",
    };
    let mut end = LENGTH_MAX - extension.len();
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{extension}", &name[..end])
}

/// The names of the downloads of one run. No two downloads get the same one, and none gets the name
/// of a file that was saved from another URL.
///
/// Names that differ only in case count as the same: on some file systems they are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    taken: HashSet<String>,
    owners: HashMap<String, Key>,
}

impl Names {
    /// Reserves a name for the URL that its file was saved from.
    pub(crate) fn reserve(&mut self, name: &str, owner: Key) {
        self.owners.insert(name.to_lowercase(), owner);
    }

    /// Takes a name that the user gives; false if another download has it.
    pub(crate) fn take(&mut self, name: &str) -> bool {
        self.taken.insert(name.to_lowercase())
    }

    /// Takes the name, or, if another download has it, one with a number before the extension.
    pub(crate) fn claim(&mut self, name: &str, key: Key) -> String {
        let (stem, extension) = match name.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => (stem, format!(".{extension}")),
            _ => (name, String::new()),
        };
        let numbered = (1_u64..).map(|number| format!("{stem}-{number}{extension}"));
        let mut candidates = std::iter::once(name.to_owned()).chain(numbered);
        candidates
            .find(|name| {
                let folded = name.to_lowercase();
                let is_free = self.owners.get(&folded).is_none_or(|owner| *owner == key);
                is_free && self.taken.insert(folded)
            })
            .expect("there are more numbers than downloads")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_named_by_the_last_part_of_its_path() {
        for (url, name) in [
            ("http://host/a/b/file.tar.gz?query=1/2", "file.tar.gz"),
            ("http://host/a%20b.txt", "a b.txt"),
            ("http://host", "index.html"),
            ("http://host/folder/", "index.html"),
            ("http://host/..", "index.html"),
            ("http://host/%2e%2e", "index.html"),
            ("http://host/..%2f..%2fetc%2fpasswd", "passwd"),
            ("http://host/..%5c..%5cboot.ini", "boot.ini"),
            ("http://host/%2Ebashrc", "bashrc"),
            ("http://host/%E2%82%AC.txt", "€.txt"),
            ("http://host/%FF", "\u{fffd}"),
        ] {
            assert_eq!(from_url(&url.parse().unwrap()), name, "{url}");
        }
    }

    #[test]
    fn a_server_proposes_a_name_by_content_disposition() {
        for (header, name) in [
            ("attachment; filename=plain.txt", Some("plain.txt")),
            ("attachment; filename=\"two words.txt\"", Some("two words.txt")),
            ("inline;FileName=\"a;b.txt\"; size=3", Some("a;b.txt")),
            ("attachment; filename=\"say \\\"hi\\\".txt\"", Some("say \"hi\".txt")),
            ("attachment; filename=\"x\"; filename*=UTF-8''%e2%82%ac.txt", Some("€.txt")),
            ("attachment; filename*=iso-8859-1'en'%A3.txt", Some("£.txt")),
            ("attachment; filename*=klingon''x; filename=\"fallback\"", Some("fallback")),
            ("attachment; filename=\"../../.ssh/authorized_keys\"", Some("authorized_keys")),
            ("attachment; filename=\"C:\\\\boot.ini\"", Some("boot.ini")),
            ("attachment; filename*=UTF-8''..%2f..%2fx", Some("x")),
            ("attachment; filename=\"..\"", None),
            ("attachment; filename=\"\"", None),
            ("attachment; filename", None),
            ("attachment", None),
            ("", None),
            ("attachment; filename=\"unclosed.txt", Some("unclosed.txt")),
        ] {
            assert_eq!(from_disposition(header.as_bytes()).as_deref(), name, "{header}");
        }
    }

    #[test]
    fn no_name_is_hidden_an_option_or_one_of_our_own() {
        for (proposed, name) in [
            ("...hidden", "hidden"),
            (" . .x", "x"),
            ("-rf", "_-rf"),
            ("a\u{1b}[31mb\r\n", "a_[31mb__"),
            ("annexe\u{202e}txt.exe", "annexe_txt.exe"),
            ("film.part", "film.part_"),
            ("film.part.note", "film.part.note_"),
            ("name.. ", "name"),
        ] {
            let cleaned = clean(proposed).unwrap();
            assert_eq!(cleaned, name, "{proposed:?}");
        }
    }

    #[test]
    fn a_long_name_is_cut_before_its_extension() {
        let name = clean(&format!("{}.tar.gz", "ä".repeat(500))).unwrap();
        assert!(name.len() <= LENGTH_MAX && name.ends_with("ä.gz"), "{name}");
        assert!(clean(&"x".repeat(5000)).unwrap().len() <= LENGTH_MAX);
        assert!(clean(&format!("x.{}", "y".repeat(5000))).unwrap().len() <= LENGTH_MAX);
    }

    #[test]
    fn the_same_name_twice_gets_a_number() {
        let (mut names, key) = (Names::default(), Key::from_url("http://host/"));
        for expected in ["a.txt", "a-1.txt", "a-2.txt"] {
            assert_eq!(names.claim("a.txt", key), expected);
        }
        assert_eq!(names.claim("a-1.txt", key), "a-1-1.txt");
        assert_eq!([names.claim("x", key), names.claim("X", key)], ["x", "X-1"]);
    }

    #[test]
    fn a_name_of_another_url_is_not_given_away() {
        let (mut names, first, second) =
            (Names::default(), Key::from_url("http://host/1"), Key::from_url("http://host/2"));
        names.reserve("a.txt", second);
        assert_eq!(names.claim("a.txt", first), "a-1.txt");
        assert_eq!(names.claim("a.txt", second), "a.txt");
    }
}
