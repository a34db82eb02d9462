//! Answers a request from a resource: evaluates preconditions (RFC 9110, section 13), then ranges.

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

use super::resource::{FileContent, Resource};
use crate::web::page;
use multipart::Multipart;
use range::Ranges;

/// Answers `request`, a `GET` or `HEAD`, from `resource`.
pub(crate) fn answer(request: &http::Request<()>, resource: &Resource) -> Answer {
    let headers = request.headers();
    match precondition(headers, resource) {
        Precondition::Failed => return page::refusal(request, StatusCode::PRECONDITION_FAILED),
        Precondition::NotModified => return not_modified(resource),
        Precondition::Passed => {}
    }
    if request.method() == Method::GET
        && !resource.coding.is_compressed_here()
        && let Some(field) = headers.get(RANGE).and_then(|field| field.to_str().ok())
        && headers
            .get(IF_RANGE)
            .is_none_or(|field| matches_if_range(field, resource, SystemTime::now()))
    {
        match range::parse(field, resource.len()) {
            Ranges::Whole => {}
            Ranges::Unsatisfiable => return unsatisfiable(request, resource),
            Ranges::Satisfiable(ranges) => return partial(request, resource, &ranges),
        }
    }
    let mut answer = Response::new(resource.content());
    *answer.headers_mut() = resource.headers.clone();
    answer
}

/// The result of a request's preconditions.
#[derive(Debug, PartialEq, Eq)]
enum Precondition {
    Passed,
    NotModified,
    Failed,
}

/// Evaluates the preconditions in the order of section 13.2.2, for methods that only read.
fn precondition(headers: &HeaderMap, resource: &Resource) -> Precondition {
    let tag = resource.headers.get(ETAG).map_or(&b""[..], HeaderValue::as_bytes);
    if headers.contains_key(IF_MATCH) {
        if !any_tag(headers, IF_MATCH, |wanted| wanted == tag && !is_weak(wanted)) {
            return Precondition::Failed;
        }
    } else if let Some(since) = date(headers, IF_UNMODIFIED_SINCE)
        && resource.modified.is_none_or(|modified| modified > since)
    {
        return Precondition::Failed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        if any_tag(headers, IF_NONE_MATCH, |wanted| opaque(wanted) == opaque(tag)) {
            return Precondition::NotModified;
        }
    } else if let Some(since) = date(headers, IF_MODIFIED_SINCE)
        && resource.modified.is_some_and(|modified| modified <= since)
    {
        return Precondition::NotModified;
    }
    Precondition::Passed
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

/// Tells whether one of the tags in the fields `name` matches, or one is `*`. The rest of a field
/// behind a malformed tag is ignored.
fn any_tag(headers: &HeaderMap, name: HeaderName, mut matches: impl FnMut(&[u8]) -> bool) -> bool {
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
            if matches(tag) {
                return true;
            }
            rest = after;
        }
    })
}

/// Evaluates `If-Range`: tells whether the content is certainly the same, byte for byte.
fn matches_if_range(field: &HeaderValue, resource: &Resource, now: SystemTime) -> bool {
    let bytes = field.as_bytes();
    if bytes.ends_with(b"\"") {
        return !is_weak(bytes) && resource.headers.get(ETAG) == Some(field);
    }
    // A date is a strong validator only if it is older than its resolution (section 8.8.2.2).
    let wanted = field.to_str().ok().and_then(|date| httpdate::parse_http_date(date).ok());
    resource.modified.is_some_and(|modified| {
        let age = now.duration_since(modified).unwrap_or_default();
        wanted == Some(modified) && age >= Duration::from_secs(2)
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
    ranges: &[std::ops::Range<u64>],
) -> Answer {
    let len = resource.len();
    let (content, multipart_type) = match ranges {
        [range] => {
            let content = match &resource.body {
                // A range is within the content, so its bounds fit into usize.
                FileContent::Memory(bytes) => {
                    Content::Bytes(bytes[range.start as usize..range.end as usize].to_vec().into())
                }
                FileContent::File(file) => Content::File {
                    file: Arc::clone(file),
                    offset: range.start,
                    len: range.end - range.start,
                },
            };
            (content, None)
        }
        _ => match Multipart::new(resource, ranges) {
            Ok(multipart) => {
                let (kind, len) = (multipart.kind(), multipart.len());
                let content = Content::Reader { reader: Box::new(multipart), len: Some(len) };
                (content, Some(kind))
            }
            Err(error) => {
                tracing::warn!(%error, "cannot duplicate a file's descriptor for several ranges");
                return page::busy(request);
            }
        },
    };
    let mut answer = Response::new(content);
    *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
    *answer.headers_mut() = resource.headers.clone();
    match multipart_type {
        Some(kind) => insert(&mut answer, CONTENT_TYPE, kind),
        None => {
            let (first, last) = (ranges[0].start, ranges[0].end - 1);
            insert(&mut answer, CONTENT_RANGE, format!("bytes {first}-{last}/{len}"));
        }
    }
    answer
}

fn insert(answer: &mut Answer, name: HeaderName, value: String) {
    let value = HeaderValue::try_from(value).expect("digits and visible characters");
    answer.headers_mut().insert(name, value);
}
