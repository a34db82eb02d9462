//! From a resource and what a client asks about it to an answer: preconditions (RFC 9110, section
//! 13), then ranges.

mod multipart;
mod range;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{
    CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use overlapped_wire::http::{Answer, Content};

use super::resource::{Body, Resource};
use crate::web::page;
use multipart::Multipart;
use range::Ranges;

/// Answers `request`, a `GET` or `HEAD`, from `resource`.
pub(crate) fn answer(request: &http::Request<()>, resource: &Resource) -> Answer {
    let headers = request.headers();
    match verdict(headers, resource) {
        Verdict::Failed => return page::refusal(request, StatusCode::PRECONDITION_FAILED),
        Verdict::NotModified => return not_modified(resource),
        Verdict::Passed => {}
    }
    if request.method() == Method::GET
        && !resource.coding.is_packed()
        && let Some(field) = headers.get(RANGE).and_then(|field| field.to_str().ok())
        && headers.get(IF_RANGE).is_none_or(|field| is_same(field, resource, SystemTime::now()))
    {
        match range::parse(field, resource.len()) {
            Ranges::Whole => {}
            Ranges::Unsatisfiable => return unsatisfiable(request, resource),
            Ranges::Parts(parts) => return partial(request, resource, &parts),
        }
    }
    let mut answer = Response::new(resource.content());
    *answer.headers_mut() = resource.headers.clone();
    answer
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Passed,
    NotModified,
    Failed,
}

/// The steps of section 13.2.2, for methods that only read.
fn verdict(headers: &HeaderMap, resource: &Resource) -> Verdict {
    let tag = resource.headers.get(ETAG).map_or(&b""[..], HeaderValue::as_bytes);
    if headers.contains_key(IF_MATCH) {
        if !any_tag(headers, IF_MATCH, |asked| asked == tag && !is_weak(asked)) {
            return Verdict::Failed;
        }
    } else if let Some(since) = date(headers, IF_UNMODIFIED_SINCE)
        && resource.modified.is_none_or(|modified| modified > since)
    {
        return Verdict::Failed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        if any_tag(headers, IF_NONE_MATCH, |asked| opaque(asked) == opaque(tag)) {
            return Verdict::NotModified;
        }
    } else if let Some(since) = date(headers, IF_MODIFIED_SINCE)
        && resource.modified.is_some_and(|modified| modified <= since)
    {
        return Verdict::NotModified;
    }
    Verdict::Passed
}

fn is_weak(tag: &[u8]) -> bool {
    tag.starts_with(b"W/")
}

fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

/// Whether one of the tags in the fields called `name` fits, or `*` is there. A field's tags are
/// read as far as they are understood.
fn any_tag(headers: &HeaderMap, name: HeaderName, mut fits: impl FnMut(&[u8]) -> bool) -> bool {
    headers.get_all(name).iter().any(|field| {
        let mut rest = field.as_bytes().trim_ascii();
        if rest == b"*" {
            return true;
        }
        loop {
            while let [b',' | b' ' | b'\t', after @ ..] = rest {
                rest = after;
            }
            let begin = if is_weak(rest) { 2 } else { 0 };
            if rest.get(begin) != Some(&b'"') {
                return false;
            }
            let Some(end) = rest[begin + 1..].iter().position(|&byte| byte == b'"') else {
                return false;
            };
            let (tag, after) = rest.split_at(begin + end + 2);
            if fits(tag) {
                return true;
            }
            rest = after;
        }
    })
}

/// What `If-Range` asks: whether it is surely the same, byte for byte.
fn is_same(field: &HeaderValue, resource: &Resource, now: SystemTime) -> bool {
    let bytes = field.as_bytes();
    if bytes.ends_with(b"\"") {
        return !is_weak(bytes) && resource.headers.get(ETAG) == Some(field);
    }
    // A date tells versions apart only if it is older than its own step (section 8.8.2.2).
    let asked = field.to_str().ok().and_then(|date| httpdate::parse_http_date(date).ok());
    resource.modified.is_some_and(|modified| {
        let age = now.duration_since(modified).unwrap_or_default();
        asked == Some(modified) && age >= Duration::from_secs(2)
    })
}

fn not_modified(resource: &Resource) -> Answer {
    let mut answer = Response::new(Content::EMPTY);
    *answer.status_mut() = StatusCode::NOT_MODIFIED;
    for name in [ETAG, VARY, CACHE_CONTROL] {
        if let Some(value) = resource.headers.get(&name) {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    answer
}

fn unsatisfiable(request: &http::Request<()>, resource: &Resource) -> Answer {
    let mut answer = page::refusal(request, StatusCode::RANGE_NOT_SATISFIABLE);
    insert(&mut answer, CONTENT_RANGE, format!("bytes */{}", resource.len()));
    answer
}

fn partial(
    request: &http::Request<()>,
    resource: &Resource,
    parts: &[std::ops::Range<u64>],
) -> Answer {
    let len = resource.len();
    let (content, several) = match parts {
        [part] => {
            let content = match &resource.body {
                // A range is within the content, so it fits.
                Body::Kept(bytes) => {
                    Content::Bytes(bytes[part.start as usize..part.end as usize].to_vec().into())
                }
                Body::Open(file) => Content::File {
                    file: Arc::clone(file),
                    offset: part.start,
                    len: part.end - part.start,
                },
            };
            (content, None)
        }
        _ => match Multipart::new(resource, parts) {
            Ok(multipart) => {
                let (kind, len) = (multipart.kind(), multipart.len());
                let content = Content::Reader { reader: Box::new(multipart), len: Some(len) };
                (content, Some(kind))
            }
            Err(error) => {
                tracing::warn!(%error, "a file cannot be opened once more for its parts");
                return page::busy(request);
            }
        },
    };
    let mut answer = Response::new(content);
    *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
    *answer.headers_mut() = resource.headers.clone();
    match several {
        Some(kind) => insert(&mut answer, CONTENT_TYPE, kind),
        None => {
            let (first, last) = (parts[0].start, parts[0].end - 1);
            insert(&mut answer, CONTENT_RANGE, format!("bytes {first}-{last}/{len}"));
        }
    }
    answer
}

fn insert(answer: &mut Answer, name: HeaderName, value: String) {
    let value = HeaderValue::try_from(value).expect("digits and visible characters");
    answer.headers_mut().insert(name, value);
}
