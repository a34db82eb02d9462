//! Derives the framing from the header fields: where the body ends, whether the client waits for
//! `100 Continue`, whether the connection is kept.
//!
//! Everything that two parsers could understand differently is refused, since a proxy in front of
//! this server could see other requests than the server does (RFC 9112, section 11.2): both kinds
//! of length, a length that is given twice or is not plain digits, any coding but `chunked` alone.
use http::{HeaderName, StatusCode, Version};

use super::Limits;
use super::refusal::{bad, refusal};
use super::scan::table;
use crate::Malformed;

/// The end of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyEnd {
    /// There is no body.
    Empty,
    /// After this number of bytes, at least one.
    Length(u64),
    /// At the last chunk.
    Chunked,
}

/// The framing of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Framing {
    pub(crate) end: BodyEnd,
    /// True if the client waits for `100 Continue`.
    pub(crate) expects: bool,
    /// True if the client may send another request on this connection.
    pub(crate) keep: bool,
}

/// The fields about framing that have been read so far.
#[derive(Debug, Default)]
pub(crate) struct FramingFields {
    host: bool,
    length: Option<Option<u64>>,
    chunked: bool,
    expects: bool,
    expects_other: bool,
    close: bool,
    keep_alive: bool,
}

impl FramingFields {
    /// Adds one field; `rest` is the head from the field's value on.
    pub(crate) fn add(
        &mut self,
        name: &HeaderName,
        value: &[u8],
        rest: &[u8],
    ) -> Result<(), Malformed> {
        match name.as_str() {
            "host" => {
                if std::mem::replace(&mut self.host, true) {
                    return Err(bad("duplicate Host field"));
                }
                if !is_host(value) {
                    return Err(bad("invalid Host field"));
                }
            }
            "content-length" => {
                if self.length.is_some() {
                    return Err(bad("duplicate Content-Length field"));
                }
                if has_tab(&rest[value.len()..]) {
                    return Err(bad("a tab follows the Content-Length value"));
                }
                self.length = Some(length(value)?);
            }
            "transfer-encoding" => {
                if self.chunked {
                    return Err(bad("duplicate Transfer-Encoding field"));
                }
                if has_tab(&rest[value.len()..]) {
                    return Err(bad("a tab follows the Transfer-Encoding value"));
                }
                self.chunked = chunked(value)?;
            }
            "connection" => {
                for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            "expect" => {
                let is_continue = value.eq_ignore_ascii_case(b"100-continue");
                self.expects |= is_continue;
                self.expects_other |= !is_continue;
            }
            _ => {}
        }
        Ok(())
    }

    /// Derives the framing from all fields.
    pub(crate) fn framing(&self, version: Version, limits: &Limits) -> Result<Framing, Malformed> {
        let is_old = version == Version::HTTP_10;
        if !self.host && !is_old {
            return Err(bad("missing Host field"));
        }
        if self.chunked && is_old {
            return Err(bad("HTTP/1.0 does not allow Transfer-Encoding"));
        }
        if self.chunked && self.length.is_some() {
            return Err(bad("both Content-Length and Transfer-Encoding are given"));
        }
        if self.expects_other && !is_old {
            let reason = "this expectation is not supported";
            return Err(refusal(StatusCode::EXPECTATION_FAILED, reason));
        }
        let end = match self.length {
            None if self.chunked => BodyEnd::Chunked,
            None | Some(Some(0)) => BodyEnd::Empty,
            Some(Some(length)) if length <= limits.body_bytes_max => BodyEnd::Length(length),
            Some(_) => return Err(body_too_large()),
        };
        Ok(Framing {
            end,
            expects: self.expects && !is_old && end != BodyEnd::Empty,
            keep: !self.close && (!is_old || self.keep_alive),
        })
    }
}

/// Makes the refusal of a body above the limit.
pub(crate) fn body_too_large() -> Malformed {
    refusal(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")
}

/// Tells whether a tab precedes the line's end. Not every parser takes it for a space.
fn has_tab(rest: &[u8]) -> bool {
    rest.iter().take_while(|&&byte| byte != b'\r').any(|&byte| byte == b'\t')
}

/// Parses the length; `None` for a number that does not fit into 64 bits.
fn length(value: &[u8]) -> Result<Option<u64>, Malformed> {
    let is_plain = !value.is_empty() && value.len() <= 20 && value.iter().all(u8::is_ascii_digit);
    if !is_plain {
        return Err(bad("the Content-Length field is not a number"));
    }
    Ok(value.iter().try_fold(0_u64, |length, byte| {
        length.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
    }))
}

/// Accepts the coding `chunked` and refuses all others.
fn chunked(value: &[u8]) -> Result<bool, Malformed> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(true);
    }
    // Another coding before a final `chunked` is well formed; it is only not supported.
    let mut codings = value.rsplit(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let is_framed = codings.next().is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
    let is_list = codings.all(|coding| {
        coding.first().is_some_and(u8::is_ascii_alphanumeric)
            && !coding.eq_ignore_ascii_case(b"chunked")
            && !coding.eq_ignore_ascii_case(b"identity")
    });
    Err(if is_framed && is_list {
        refusal(StatusCode::NOT_IMPLEMENTED, "the only supported transfer coding is chunked")
    } else {
        bad("invalid Transfer-Encoding field")
    })
}

/// Tells whether the value is `uri-host [ ":" port ]` or empty (RFC 9110, section 7.2; RFC 3986,
/// section 3.2.2).
pub(crate) fn is_host(value: &[u8]) -> bool {
    let (host, port) = match value.iter().rposition(|&byte| byte == b':' || byte == b']') {
        Some(at) if value[at] == b':' => (&value[..at], &value[at + 1..]),
        _ => (value, &[][..]),
    };
    let is_name = match host {
        [b'[', address @ .., b']'] => {
            address.iter().all(|&byte| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.')
        }
        name => name.iter().all(|&byte| is_host_byte(byte)),
    };
    is_name && port.iter().all(u8::is_ascii_digit)
}

fn is_host_byte(byte: u8) -> bool {
    const HOST: [bool; 256] = table(b"-._~%!$&'()*+;=");
    HOST[usize::from(byte)]
}
