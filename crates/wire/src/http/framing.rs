//! What the fields say about the message and the connection: where the body ends, whether the
//! client waits for an invitation, what becomes of the connection.
//!
//! Everything that two parsers could understand differently is refused, since whoever stands in
//! front of this server would see other requests than it does (RFC 9112, section 11.2): both kinds
//! of length, a length given twice or not as plain digits, any coding but `chunked` alone.

use http::{HeaderName, StatusCode, Version};

use super::Limits;
use super::refusal::{bad, refusal};
use super::scan::table;
use crate::Malformed;

/// Where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// There is none.
    Empty,
    /// After so many bytes, at least one.
    Length(u64),
    /// It says so itself.
    Chunked,
}

/// What the fields say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Framing {
    pub(crate) ending: Ending,
    /// The client waits for `100 Continue`.
    pub(crate) expects: bool,
    /// The client would send another request on this connection.
    pub(crate) keep: bool,
}

/// What has been seen so far.
#[derive(Debug, Default)]
pub(crate) struct Known {
    host: bool,
    length: Option<Option<u64>>,
    chunked: bool,
    expects: bool,
    expects_else: bool,
    close: bool,
    keep_alive: bool,
}

impl Known {
    /// Takes note of one field; `rest` is the head from its value on.
    pub(crate) fn take(
        &mut self,
        name: &HeaderName,
        value: &[u8],
        rest: &[u8],
    ) -> Result<(), Malformed> {
        match name.as_str() {
            "host" => {
                if std::mem::replace(&mut self.host, true) {
                    return Err(bad("there are two Host fields"));
                }
                if !is_host(value) {
                    return Err(bad("the Host field names no host"));
                }
            }
            "content-length" => {
                if self.length.is_some() {
                    return Err(bad("there are two Content-Length fields"));
                }
                if is_tabbed(&rest[value.len()..]) {
                    return Err(bad("a tab follows the length"));
                }
                self.length = Some(length(value)?);
            }
            "transfer-encoding" => {
                if self.chunked {
                    return Err(bad("there are two Transfer-Encoding fields"));
                }
                if is_tabbed(&rest[value.len()..]) {
                    return Err(bad("a tab follows the coding"));
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
                let is_known = value.eq_ignore_ascii_case(b"100-continue");
                self.expects |= is_known;
                self.expects_else |= !is_known;
            }
            _ => {}
        }
        Ok(())
    }

    /// What all of them say together.
    pub(crate) fn framing(&self, version: Version, limits: &Limits) -> Result<Framing, Malformed> {
        let is_old = version == Version::HTTP_10;
        if !self.host && !is_old {
            return Err(bad("there is no Host field"));
        }
        if self.chunked && is_old {
            return Err(bad("HTTP/1.0 has no Transfer-Encoding"));
        }
        if self.chunked && self.length.is_some() {
            return Err(bad("Content-Length stands beside Transfer-Encoding"));
        }
        if self.expects_else && !is_old {
            let reason = "this expectation is not supported";
            return Err(refusal(StatusCode::EXPECTATION_FAILED, reason));
        }
        let ending = match self.length {
            None if self.chunked => Ending::Chunked,
            None | Some(Some(0)) => Ending::Empty,
            Some(Some(length)) if length <= limits.body_bytes_max => Ending::Length(length),
            Some(_) => return Err(body_too_large()),
        };
        Ok(Framing {
            ending,
            expects: self.expects && !is_old && ending != Ending::Empty,
            keep: !self.close && (!is_old || self.keep_alive),
        })
    }
}

/// The body has more bytes than it may.
pub(crate) fn body_too_large() -> Malformed {
    refusal(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")
}

/// Whether a tab stands before the line's end. Not everybody takes it for a space.
fn is_tabbed(rest: &[u8]) -> bool {
    rest.iter().take_while(|&&byte| byte != b'\r').any(|&byte| byte == b'\t')
}

/// The number, or nothing where it is too large to be one.
fn length(value: &[u8]) -> Result<Option<u64>, Malformed> {
    let is_plain = !value.is_empty() && value.len() <= 20 && value.iter().all(u8::is_ascii_digit);
    if !is_plain {
        return Err(bad("the Content-Length field is not a number"));
    }
    Ok(value.iter().try_fold(0_u64, |length, byte| {
        length.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
    }))
}

/// Whether the body is chunked and nothing else.
fn chunked(value: &[u8]) -> Result<bool, Malformed> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(true);
    }
    // Another coding that `chunked` ends is well formed; there is just nobody to decode it.
    let mut codings = value.rsplit(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let is_framed = codings.next().is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
    let is_list = codings.all(|coding| {
        coding.first().is_some_and(u8::is_ascii_alphanumeric)
            && !coding.eq_ignore_ascii_case(b"chunked")
            && !coding.eq_ignore_ascii_case(b"identity")
    });
    Err(if is_framed && is_list {
        refusal(
            StatusCode::NOT_IMPLEMENTED,
            "chunked is the only transfer coding that is supported",
        )
    } else {
        bad("invalid Transfer-Encoding field")
    })
}

/// `uri-host [ ":" port ]`, or nothing (RFC 9110, section 7.2; RFC 3986, section 3.2.2).
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
