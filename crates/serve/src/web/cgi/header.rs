//! The header that a script writes before its content (RFC 3875, section 6).
//!
//! The parser is strict, because accepted fields are sent to a client. A malformed line, a value
//! with a control character, a repeated field that must be unique, or a folded line is an error of
//! the script: `502`.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// The maximum length of the header.
pub(crate) const BYTES_MAX: usize = 32 << 10;

/// The maximum number of fields in the header.
const FIELDS_MAX: usize = 100;

/// Fields that only the server may write: they belong to the connection or its framing.
const SERVER_HEADERS: &[&str] = &[
    "connection",
    "date",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A complete, valid header.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) fields: HeaderMap,
    /// A path of this site to answer instead (section 6.2.2).
    pub(crate) internal_redirect: Option<String>,
    /// The length of the content, if the script announces it.
    pub(crate) length: Option<u64>,
}

/// Returns the end of the header, which is behind its first empty line.
pub(crate) fn end(bytes: &[u8]) -> Option<usize> {
    let mut begin = 0;
    while let Some(length) = bytes[begin..].iter().position(|&byte| byte == b'\n') {
        let line = &bytes[begin..begin + length];
        begin += length + 1;
        if line.is_empty() || line == b"\r" {
            return Some(begin);
        }
    }
    None
}

impl Head {
    /// Parses a header, including its empty line.
    ///
    /// # Errors
    /// The text describes the fault.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Head, &'static str> {
        if bytes.len() > BYTES_MAX {
            return Err("the header is too long");
        }
        let mut fields = HeaderMap::new();
        let (mut status, mut location, mut length) = (None, None, None);
        let mut count = 0;
        for line in bytes.split(|&byte| byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                break;
            }
            count += 1;
            if count > FIELDS_MAX {
                return Err("the header has too many fields");
            }
            let (name, value) = field(line)?;
            if name == "status" {
                once(&mut status, self::status(&value)?)?;
            } else if name == LOCATION {
                once(&mut location, value)?;
            } else if name == CONTENT_LENGTH {
                once(&mut length, self::length(&value)?)?;
            } else if name == CONTENT_TYPE && fields.contains_key(CONTENT_TYPE) {
                return Err("the header has two content types");
            } else if !SERVER_HEADERS.contains(&name.as_str()) {
                fields.append(name, value);
            }
        }
        let mut head = Head { status: StatusCode::OK, fields, internal_redirect: None, length };
        head.set_kind(status, location)?;
        Ok(head)
    }

    /// Determines which of the four kinds of response it is (section 6.2).
    fn set_kind(
        &mut self,
        status: Option<StatusCode>,
        location: Option<HeaderValue>,
    ) -> Result<(), &'static str> {
        let has_type = self.fields.contains_key(CONTENT_TYPE);
        if let Some(location) = location {
            if location.as_bytes().starts_with(b"/") && status.is_none() && !has_type {
                // `to_str` accepts tabs.
                let path = location.to_str().ok().filter(|path| !path.contains('\t'));
                let path = path.ok_or("invalid location")?;
                self.internal_redirect = Some(path.to_owned());
                return Ok(());
            }
            if location.is_empty() {
                return Err("the location is empty");
            }
            self.status = status.unwrap_or(StatusCode::FOUND);
            self.fields.insert(LOCATION, location);
            return Ok(());
        }
        self.status = status.unwrap_or(StatusCode::OK);
        // One of the headers of CGI is required; a response without content has no type.
        if status.is_none() && !has_type {
            return Err("all of Content-Type, Status and Location are missing");
        }
        Ok(())
    }
}

/// Checks the properties that hold for any output of a script: the end of its header does not
/// depend on the pieces in which the bytes arrive, and the fields of an accepted header include
/// none of [`SERVER_HEADERS`] and no line break.
#[cfg(any(test, fuzzing))]
pub(crate) fn check(bytes: &[u8]) {
    let mut known = None;
    for cut in 0..=bytes.len() {
        let found = end(&bytes[..cut]);
        assert!(known.is_none() || found == known, "after {cut} bytes");
        assert!(known.is_some() || found.is_none_or(|end| end == cut), "found late");
        known = found;
    }
    let Some(Ok(head)) = known.map(|end| Head::parse(&bytes[..end])) else { return };
    assert!((200..600).contains(&head.status.as_u16()));
    assert!(SERVER_HEADERS.iter().all(|name| !head.fields.contains_key(*name)));
    for value in head.fields.values() {
        assert!(value.as_bytes().iter().all(|byte| !matches!(byte, b'\r' | b'\n' | 0)));
    }
    if let Some(path) = head.internal_redirect {
        assert!(path.starts_with('/') && path.bytes().all(|byte| (b' '..0x7f).contains(&byte)));
    }
}

fn field(line: &[u8]) -> Result<(HeaderName, HeaderValue), &'static str> {
    let colon = line.iter().position(|&byte| byte == b':');
    let (name, value) = line.split_at(colon.ok_or("a line of the header has no colon")?);
    let name = HeaderName::from_bytes(name).map_err(|_| "invalid header name")?;
    let value = HeaderValue::from_bytes(trimmed(&value[1..]));
    Ok((name, value.map_err(|_| "a header value has control characters")?))
}

/// Removes spaces and tabs at both ends.
fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Sets a value that may be set once.
fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), &'static str> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err("a header that must be unique is repeated"),
    }
}

/// Parses a status, such as `404 Not Found`.
fn status(value: &HeaderValue) -> Result<StatusCode, &'static str> {
    let bytes = value.as_bytes();
    let number = bytes.split(|&byte| byte == b' ').next().unwrap_or_default();
    let status = StatusCode::from_bytes(number).map_err(|_| "invalid status")?;
    // Informational statuses do not end an exchange.
    if (200..600).contains(&status.as_u16()) { Ok(status) } else { Err("invalid status") }
}

fn length(value: &HeaderValue) -> Result<u64, &'static str> {
    let digits = value.to_str().ok().filter(|value| value.bytes().all(|b| b.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).ok_or("invalid content length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn parse(text: &str) -> Result<Head, &'static str> {
        let end = end(text.as_bytes()).expect("a complete header");
        Head::parse(&text.as_bytes()[..end])
    }

    #[test]
    fn a_header_ends_at_its_first_empty_line() {
        for (text, expected) in [
            ("", None),
            ("A: b\n", None),
            ("A: b\r\n\r", None),
            ("A: b\n\nrest\n\n", Some(6)),
            ("A: b\r\n\r\nrest", Some(8)),
            ("A: b\r\n\nrest", Some(7)),
            ("\nrest", Some(1)),
        ] {
            assert_eq!(end(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn the_four_kinds_of_response_are_distinguished() {
        let head = parse("Content-Type: text/plain\r\nX-A: 1\nx-a: 2\nContent-Length: 12\n\n");
        let head = head.unwrap();
        assert_eq!((head.status.as_u16(), head.length), (200, Some(12)));
        assert_eq!(head.fields.get_all("x-a").iter().count(), 2);
        let head = parse("Status: 404 Not Found\nContent-Type:text/html\n\n").unwrap();
        assert_eq!(head.status, 404);
        let head = parse("Location: /a/b?c=d\n\n").unwrap();
        assert_eq!(head.internal_redirect.as_deref(), Some("/a/b?c=d"));
        let head = parse("Location: https://host/x\n\n").unwrap();
        assert_eq!(
            (head.status.as_u16(), &head.fields[LOCATION]),
            (302, &"https://host/x".parse().unwrap())
        );
        let head = parse("Status: 303 x\nLocation: /x\nContent-Type: text/html\n\n").unwrap();
        assert_eq!((head.status.as_u16(), head.internal_redirect), (303, None));
        assert_eq!(parse("Status: 204\n\n").unwrap().status, 204);
        let head = parse("Status: 404 Not Found\r\nPragma: no-cache\r\n\r\n").unwrap();
        assert_eq!((head.status.as_u16(), head.fields.contains_key(CONTENT_TYPE)), (404, false));
    }

    #[test]
    fn headers_of_the_connection_are_removed() {
        let text = "Content-Type: a/b\nConnection: x\nTransfer-Encoding: chunked\nDate: now\n\
                    Keep-Alive: 1\nUpgrade: h2c\nTrailer: x\nSet-Cookie: a\nContent-Length: 1\n\n";
        let fields = parse(text).unwrap().fields;
        let names: Vec<_> = fields.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["content-type", "set-cookie"]);
    }

    #[test]
    fn h11_no_script_can_split_a_response() {
        let fine = "Content-Type: text/plain\n";
        let many = "A: b\n".repeat(FIELDS_MAX);
        let wrong = [
            "\n",
            "A: b\n\n",
            "nonsense\n\n",
            "A b: c\n\n",
            ": c\n\n",
            "A : c\n\n",
            "A\0: c\n\n",
            "A: b\0\n\n",
            "A: b\rSet-Cookie: c\n\n",
            "A: b\x0bc\n\n",
            "A: b\x7f\n\n",
            "A: b\r\r\n\n",
            "A: b\n folded\n\n",
            "A: b\n\tfolded\n\n",
            "Status: 200\nStatus: 200\n\n",
            "Location: /a\nLocation: /b\n\n",
            "Content-Type: a/b\n\n",
            "Content-Length: 1\nContent-Length: 1\n\n",
            "Content-Length: -1\n\n",
            "Content-Length: 1, 1\n\n",
            "Content-Length: +1\n\n",
            "Content-Length: 99999999999999999999999\n\n",
            "Status: 100 Continue\n\n",
            "Status: 101 x\n\n",
            "Status: 600\n\n",
            "Status: 20\n\n",
            "Status: 2000\n\n",
            "Status: OK\n\n",
            "Status:\n\n",
            "HTTP/1.1 200 OK\n\n",
            "Location:\n\n",
            &many,
        ];
        for text in wrong {
            let needs_none = ["\n", "A: b\n\n"].contains(&text);
            let text = if needs_none { text.to_owned() } else { format!("{fine}{text}\n") };
            assert!(parse(&text).is_err(), "{text:?}");
        }
        let long = format!("A: {}\n\n", "x".repeat(BYTES_MAX));
        assert!(parse(&long).is_err());
        // A value that only looks like more fields is one value.
        let head = parse(&format!("{fine}A: b%0d%0aSet-Cookie: c\\r\\nd\n\n")).unwrap();
        assert_eq!(head.fields["a"], "b%0d%0aSet-Cookie: c\\r\\nd");
        println!("RELIABILITY H11 {} headers of scripts, refused", wrong.len() + 1);
    }
}
