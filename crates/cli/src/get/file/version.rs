//! Decides whether the bytes of two responses may be combined in one file.
//!
//! `If-Range` asks the server to continue only if its file is unchanged. Some servers ignore it, so
//! everything that identifies a version is compared here, too: the entity tag, the modification
//! date, the encoding, and every length that a header states. All that both responses state must be
//! equal, and at least one such value is needed.

use std::time::{Duration, SystemTime};

use ureq::http::{HeaderMap, HeaderName, header};

use super::key::Key;

/// The version of a resource, as far as a response identifies it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Version {
    /// The entity tag, strong or weak.
    tag: Option<String>,
    modified: Option<String>,
    /// True if the modification date is strong enough for `If-Range`: a file that was modified in
    /// the second of the response may be modified again in the same second (RFC 9110, 8.8.2.2).
    is_date_strong: bool,
    encoding: Option<String>,
    /// The length of the complete file.
    pub(crate) length: Option<u64>,
}

impl Version {
    /// Reads the version in a complete response whose body has `length` bytes.
    pub(crate) fn from_headers(headers: &HeaderMap, length: Option<u64>) -> Version {
        let modified = text(headers, header::LAST_MODIFIED);
        let age = || {
            let date = |text: &str| httpdate::parse_http_date(text).ok();
            let now: SystemTime = date(&text(headers, header::DATE)?)?;
            now.duration_since(date(modified.as_deref()?)?).ok()
        };
        Version {
            tag: text(headers, header::ETAG),
            is_date_strong: age().is_some_and(|age| age >= Duration::from_secs(1)),
            modified,
            encoding: encoding(headers),
            length,
        }
    }

    /// Returns the value of `If-Range` (RFC 9110, 13.1.5): a strong entity tag, or else a date.
    /// `None`: no server can continue this version.
    pub(crate) fn if_range(&self) -> Option<&str> {
        let tag = self.tag.as_deref().filter(|tag| tag.starts_with('"'));
        tag.or(self.modified.as_deref().filter(|_| self.is_date_strong))
    }

    /// Checks that a partial response continues `length` bytes of this version.
    pub(crate) fn check_continues(&self, headers: &HeaderMap, length: u64) -> Result<(), String> {
        let range = ContentRange::from_headers(headers);
        let Some((range, (first, last))) = range.and_then(|range| Some((range, range.bytes?)))
        else {
            return Err("the server sends a part without stating its range".to_owned());
        };
        if first != length {
            return Err(format!("the server continues at byte {first} instead of {length}"));
        }
        let body = text(headers, header::CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
        let is_of_range = |body: u64| body.checked_sub(1) == last.checked_sub(first);
        let whole = range.whole.or(self.length);
        let is_empty = last < first;
        if is_empty
            || body.is_some_and(|body| !is_of_range(body))
            || whole.is_some_and(|whole| last >= whole)
        {
            return Err("the lengths that the server states contradict each other".to_owned());
        }
        match self.compare(headers, range.whole)? {
            true => Ok(()),
            false => Err("the server does not state which version it continues".to_owned()),
        }
    }

    /// Tells whether a `416 Range Not Satisfiable` confirms that `length` bytes are all of this
    /// version.
    pub(crate) fn is_all(&self, headers: &HeaderMap, length: u64) -> bool {
        let whole = ContentRange::from_headers(headers).and_then(|range| range.whole);
        whole == Some(length) && self.compare(headers, whole).is_ok()
    }

    /// Tells whether a response, of a file of `whole` bytes, has another version than this one.
    pub(crate) fn has_changed(&self, headers: &HeaderMap, whole: Option<u64>) -> bool {
        self.compare(headers, whole).is_err()
    }

    /// Compares what a response states with what this version has stated, and returns whether
    /// anything is equal. A difference is an error.
    fn compare(&self, headers: &HeaderMap, whole: Option<u64>) -> Result<bool, String> {
        let mut is_confirmed = false;
        for (what, ours, theirs) in [
            ("entity tag", &self.tag, text(headers, header::ETAG)),
            ("date of modification", &self.modified, text(headers, header::LAST_MODIFIED)),
            ("length", &self.length.map(|n| n.to_string()), whole.map(|n| n.to_string())),
        ] {
            if let (Some(ours), Some(theirs)) = (ours, &theirs) {
                if ours != theirs {
                    return Err(format!("the {what} of the server's file has changed"));
                }
                is_confirmed = true;
            }
        }
        if self.encoding != encoding(headers) {
            return Err("the encoding of the server's file has changed".to_owned());
        }
        Ok(is_confirmed)
    }

    /// Makes the text of a note about a partial file.
    pub(crate) fn to_note(&self, key: Key) -> String {
        let mut note = format!("url {key}\n");
        let fields = [
            ("tag", &self.tag),
            ("modified", &self.modified),
            ("encoding", &self.encoding),
            ("length", &self.length.map(|length| length.to_string())),
            ("strong", &self.is_date_strong.then(|| "date".to_owned())),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                note += &format!("{name} {value}\n");
            }
        }
        // The last line, by which a reader detects a truncated note.
        note + "end .\n"
    }

    /// Parses a note; `None` if it is about another URL, or damaged.
    pub(crate) fn from_note(note: &str, key: Key) -> Option<Version> {
        let field = |name| {
            let mut fields = note.lines().filter_map(|line| line.split_once(' '));
            fields.find(|(found, _)| *found == name).map(|(_, value)| value.to_owned())
        };
        field("end")?;
        if field("url")? != key.to_string() {
            return None;
        }
        let length = match field("length") {
            Some(length) => Some(length.parse().ok()?),
            None => None,
        };
        let version = Version {
            tag: field("tag"),
            modified: field("modified"),
            is_date_strong: field("strong").is_some(),
            encoding: field("encoding"),
            length,
        };
        version.if_range()?;
        Some(version)
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// Reads the encoding; `identity` counts as none.
fn encoding(headers: &HeaderMap) -> Option<String> {
    let encoding = text(headers, header::CONTENT_ENCODING)?.trim().to_ascii_lowercase();
    Some(encoding).filter(|encoding| encoding != "identity")
}

/// The value of the field `Content-Range`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContentRange {
    /// The first and the last byte; `None` if no byte of the requested range exists.
    pub(crate) bytes: Option<(u64, u64)>,
    pub(crate) whole: Option<u64>,
}

impl ContentRange {
    pub(crate) fn from_headers(headers: &HeaderMap) -> Option<ContentRange> {
        let value = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
        let (range, whole) = value.strip_prefix("bytes ")?.split_once('/')?;
        let bytes = match range.trim() {
            "*" => None,
            range => {
                let (first, last) = range.split_once('-')?;
                Some((first.parse().ok()?, last.parse().ok()?))
            }
        };
        let whole = match whole.trim() {
            "*" => None,
            whole => Some(whole.parse().ok()?),
        };
        Some(ContentRange { bytes, whole })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: HeaderName = name.parse().unwrap();
            headers.insert(name, value.parse().unwrap());
        }
        headers
    }

    const OLD: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const NEW: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    #[test]
    fn only_a_reliable_validator_is_used() {
        for (fields, validator) in [
            (&[("etag", "\"a\""), ("last-modified", OLD)][..], Some("\"a\"")),
            (&[("etag", "W/\"a\"")], None),
            (&[("etag", "W/\"a\""), ("last-modified", OLD), ("date", NEW)], Some(OLD)),
            (&[("last-modified", OLD)], None),
            (&[("last-modified", OLD), ("date", OLD)], None),
            (&[("last-modified", NEW), ("date", OLD)], None),
            (&[("last-modified", "yesterday"), ("date", OLD)], None),
            (&[], None),
        ] {
            let version = Version::from_headers(&headers(fields), Some(1));
            assert_eq!(version.if_range(), validator, "{fields:?}");
        }
    }

    #[test]
    fn a_partial_file_is_continued_only_at_its_end_and_by_its_own_version() {
        let first = [("etag", "\"a\""), ("last-modified", OLD), ("date", NEW)];
        let version = Version::from_headers(&headers(&first), Some(10));
        for (range, fields, fits) in [
            ("bytes 5-9/10", &[][..], true),
            ("bytes 5-9/10", &[("etag", "\"a\"")], true),
            ("bytes 5-9/*", &[("etag", "\"a\"")], true),
            ("bytes 5-9/*", &[("last-modified", OLD)], true),
            ("bytes 5-7/10", &[], true),
            ("bytes 5-9/10", &[("content-length", "5")], true),
            ("bytes 5-9/10", &[("content-encoding", "identity")], true),
            // Nothing confirms that the version is the same.
            ("bytes 5-9/*", &[], false),
            ("bytes 5-9/10", &[("etag", "\"b\"")], false),
            ("bytes 5-9/10", &[("etag", "W/\"a\"")], false),
            ("bytes 5-9/10", &[("last-modified", NEW)], false),
            ("bytes 5-9/10", &[("etag", "\"a\""), ("last-modified", NEW)], false),
            ("bytes 5-9/10", &[("content-encoding", "gzip")], false),
            ("bytes 5-9/10", &[("content-length", "6")], false),
            ("bytes 5-10/*", &[("etag", "\"a\"")], false),
            ("bytes 5-9/11", &[("etag", "\"a\"")], false),
            ("bytes 5-9/9", &[("etag", "\"a\"")], false),
            ("bytes 4-9/10", &[], false),
            ("bytes 5-4/10", &[], false),
            ("bytes */10", &[], false),
            ("lines 5-9/10", &[], false),
            ("bytes 5/10", &[], false),
            ("bytes 99999999999999999999-9/10", &[], false),
        ] {
            let mut fields = headers(fields);
            fields.insert(header::CONTENT_RANGE, range.parse().unwrap());
            let continues = version.check_continues(&fields, 5);
            assert_eq!(continues.is_ok(), fits, "{range} {fields:?}: {continues:?}");
        }
        assert!(version.check_continues(&HeaderMap::new(), 5).is_err());
    }

    #[test]
    fn a_note_that_does_not_fit_is_ignored() {
        let first = [("etag", "\"a\""), ("content-encoding", "gzip")];
        let version = Version::from_headers(&headers(&first), Some(10));
        let key = Key::from_url("http://host/name");
        let note = version.to_note(key);
        assert_eq!(Version::from_note(&note, key), Some(version));
        assert_eq!(Version::from_note(&note, Key::from_url("http://other/name")), None);
        for damaged in ["", &note[..note.len() / 2], &note.replace("10", "many"), "tag \"a\""] {
            assert_eq!(Version::from_note(damaged, key), None, "{damaged}");
        }
    }
}
