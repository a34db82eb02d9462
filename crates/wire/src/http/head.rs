//! Parses the head of a request.
//!
//! httparse splits it; the types of `http` check every part again. This module refuses requests
//! that both accept and a server must not: targets with a fragment or with bytes that are not
//! UTF-8, and target forms that do not fit the method (RFC 9112, section 3.2).
//!
//! The head is copied once; the values of the fields and the target are slices of that copy.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::uri::Uri;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Version, header};

use super::framing::{Framing, FramingFields, is_host};
use super::refusal::{bad, refusal};
use super::scan::Found;
use super::{Limits, body};
use crate::{Decoded, Malformed};

/// The number of fields for which a small stack frame suffices; most requests have no more.
const FIELDS_INLINE: usize = 32;

/// A received request, to be answered by [`Http`](super::Http).
#[derive(Debug)]
pub struct Received<'a> {
    pub(super) request: Request<()>,
    /// The request line as the client wrote it.
    pub(super) line: &'a [u8],
    pub(super) framing: Framing,
}

impl Received<'_> {
    /// The request: method, target and fields.
    pub fn request(&self) -> &Request<()> {
        &self.request
    }
}

/// Parses the head at `found` in `input`, and makes the decoder of its body.
pub(crate) fn parse<'a>(
    input: &'a [u8],
    found: Found,
    limits: &Limits,
) -> Result<Decoded<Received<'a>>, Malformed> {
    if found.fields <= FIELDS_INLINE {
        parse_with::<FIELDS_INLINE>(input, found, limits)
    } else {
        parse_many_fields(input, found, limits)
    }
}

/// A function of its own, so that only requests with many fields pay for the large stack frame.
#[cold]
#[inline(never)]
fn parse_many_fields<'a>(
    input: &'a [u8],
    found: Found,
    limits: &Limits,
) -> Result<Decoded<Received<'a>>, Malformed> {
    parse_with::<{ Limits::FIELDS_MAX }>(input, found, limits)
}

#[inline(always)]
fn parse_with<'a, const FIELDS: usize>(
    input: &'a [u8],
    found: Found,
    limits: &Limits,
) -> Result<Decoded<Received<'a>>, Malformed> {
    let line = &input[found.begin..][..found.request_line_bytes];
    let head = Bytes::copy_from_slice(&input[found.begin..found.end]);
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    let mut split = httparse::Request::new(&mut []);
    match split.parse_with_uninit_headers(&head, &mut fields) {
        Ok(httparse::Status::Complete(bytes)) if bytes == head.len() => {}
        Ok(_) => return Err(bad("incomplete request head")),
        Err(error) => return Err(parse_error(error, line)),
    }
    let (Some(method), Some(target)) = (split.method, split.path) else {
        return Err(bad("incomplete request line"));
    };
    // Filled in place: the parts are large, and moving them costs as much as parsing.
    let mut request = Request::new(());
    if split.version == Some(0) {
        *request.version_mut() = Version::HTTP_10;
    }
    *request.method_mut() =
        Method::from_bytes(method.as_bytes()).map_err(|_| bad("invalid method"))?;
    *request.uri_mut() = uri(request.method(), &head, target)?;
    let mut framing_fields = FramingFields::default();
    let headers = request.headers_mut();
    headers.reserve(split.headers.len());
    for field in split.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes())
            .map_err(|_| bad("invalid header name"))?;
        let at = field.value.as_ptr() as usize - head.as_ptr() as usize;
        framing_fields.add(&name, field.value, &head[at..])?;
        let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value))
            .map_err(|_| bad("invalid header value"))?;
        headers.append(name, value);
    }
    if let Some(authority) = request.uri().authority() {
        // The target's host overrides the field (RFC 9112, section 3.2.2).
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| bad("invalid host"))?;
        request.headers_mut().insert(header::HOST, host);
    }
    let framing = framing_fields.framing(request.version(), limits)?;
    let taken = found.end;
    let body = body::decoder(&framing, limits);
    let request = Received { request, line, framing };
    Ok(match body {
        None => Decoded::Whole { request, taken },
        Some(body) => Decoded::Head { request, taken, body },
    })
}

/// Parses the target, in one of the forms that the method allows.
fn uri(method: &Method, head: &Bytes, target: &str) -> Result<Uri, Malformed> {
    // This server is no tunnel, and TRACE would reveal fields that proxies have added.
    if *method == Method::CONNECT || *method == Method::TRACE {
        return Err(refusal(StatusCode::NOT_IMPLEMENTED, "this method is not supported"));
    }
    let mut is_encoded = true;
    for (at, &byte) in target.as_bytes().iter().enumerate() {
        match byte {
            // In the query, the service decides what an encoding is.
            b'?' => break,
            b'%' => is_encoded &= begins_with_hex_pair(&target.as_bytes()[at + 1..]),
            _ => {}
        }
    }
    if !is_encoded {
        return Err(bad("invalid percent-encoding in the request target"));
    }
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    if !target.bytes().all(|byte| is_plain(byte) || !byte.is_ascii()) {
        return Err(bad("the request target has characters that must be percent-encoded"));
    }
    let form = match target.as_bytes() {
        b"*" => *method == Method::OPTIONS,
        [b'/', ..] => true,
        _ => has_http_scheme(target),
    };
    if !form {
        return Err(bad("invalid request target for this method"));
    }
    let target = match target.is_ascii() {
        true => head.slice_ref(target.as_bytes()),
        false => percent_encode(target)?,
    };
    let uri = Uri::from_maybe_shared(target).map_err(|_| bad("invalid request target"))?;
    // The type accepts user names, and ports that are not numbers.
    if let Some(authority) = uri.authority()
        && (authority.host().is_empty() || !is_host(authority.as_str().as_bytes()))
    {
        return Err(bad("the request target has no host"));
    }
    Ok(uri)
}

/// Percent-encodes a target that contains plain UTF-8, as many clients send it, so that services
/// see one form.
#[cold]
fn percent_encode(target: &str) -> Result<Bytes, Malformed> {
    if !target.starts_with('/') {
        return Err(bad("the request target has characters that must be percent-encoded"));
    }
    let mut ascii = Vec::with_capacity(3 * target.len());
    for &byte in target.as_bytes() {
        if byte.is_ascii() {
            ascii.push(byte);
        } else {
            let digit = |value: u8| b"0123456789ABCDEF"[usize::from(value)];
            ascii.extend([b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    Ok(ascii.into())
}

/// Tells whether `rest` begins with two hexadecimal digits.
fn begins_with_hex_pair(rest: &[u8]) -> bool {
    matches!(rest, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
}

fn has_http_scheme(target: &str) -> bool {
    let Some((scheme, _)) = target.split_once("://") else { return false };
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

/// Translates an error of httparse.
#[cold]
fn parse_error(error: httparse::Error, line: &[u8]) -> Malformed {
    match error {
        httparse::Error::HeaderName => bad("invalid header name"),
        httparse::Error::HeaderValue => bad("invalid header value"),
        httparse::Error::NewLine => bad("invalid line ending"),
        httparse::Error::Token => bad("malformed request line"),
        httparse::Error::Version if has_version_form(line) => {
            let reason = "this HTTP version is not supported";
            refusal(StatusCode::HTTP_VERSION_NOT_SUPPORTED, reason)
        }
        httparse::Error::Version => bad("the request line has no HTTP version"),
        httparse::Error::Status | httparse::Error::TooManyHeaders => bad("malformed request head"),
    }
}

/// Tells whether the line is a well-formed request line apart from its version number.
fn has_version_form(line: &[u8]) -> bool {
    let mut words = line.split(|&byte| byte == b' ');
    let (Some(_), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return false;
    };
    !target.is_empty()
        && matches!(version, [b'H', b'T', b'T', b'P', b'/', a, b'.', b]
            if a.is_ascii_digit() && b.is_ascii_digit())
}
