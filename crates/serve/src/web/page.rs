//! The server's own pages: refusals, redirects, and their style.

use std::borrow::Cow;
use std::fmt::{self, Write};

use http::{HeaderValue, Method, Response, StatusCode, header};
use overlapped_wire::http::{Answer, Content, text};

/// The style of all pages: refusals and the listing.
pub(crate) const STYLE: &str = include_str!("page.css");

/// The content security policy: pages run and load nothing; their style and pictures are inline.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/// Returns an answer that tells the reason for `status`: a page for a browser, text for others.
pub(crate) fn refusal(request: &http::Request<()>, status: StatusCode) -> Answer {
    refusal_saying(request, status, hint(status))
}

/// Returns a refusal with a reason of its own, which is plain text without markup.
pub(crate) fn refusal_saying(
    request: &http::Request<()>,
    status: StatusCode,
    hint: &str,
) -> Answer {
    let accepts = request.headers().get(header::ACCEPT);
    let is_browser = accepts.and_then(|value| value.to_str().ok()).is_some_and(|value| {
        value.split(',').any(|kind| kind.trim_start().starts_with("text/html"))
    });
    let name = status.canonical_reason().unwrap_or("Error");
    if !is_browser {
        return text(status, format!("{} {name}: {hint}\n", status.as_str()));
    }
    let number = status.as_str();
    html(
        status,
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{number} {name}</title>\n<style>{STYLE}</style></head>\n\
             <body class=\"refusal\"><main><p class=\"number\">{number}</p>\n\
             <h1>{name}</h1>\n<p>{hint}</p></main></body></html>\n"
        ),
    )
}

/// Returns a page with the headers that all pages of the server have.
pub(crate) fn html(status: StatusCode, page: String) -> Answer {
    let mut answer = Response::new(Content::Bytes(Cow::Owned(page.into_bytes())));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, html);
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "The server does not understand this address.",
        StatusCode::FORBIDDEN => "The server may not show what is here.",
        StatusCode::UNAUTHORIZED => "A password is required.",
        StatusCode::NOT_FOUND => "There is nothing under this address.",
        StatusCode::METHOD_NOT_ALLOWED => "Only reading is allowed here.",
        StatusCode::PRECONDITION_FAILED => "The file is not the version that you asked for.",
        StatusCode::RANGE_NOT_SATISFIABLE => "The file has no such range.",
        StatusCode::TOO_MANY_REQUESTS => "Too many requests. Try again in a moment.",
        StatusCode::MOVED_PERMANENTLY
        | StatusCode::FOUND
        | StatusCode::TEMPORARY_REDIRECT
        | StatusCode::PERMANENT_REDIRECT => "This has moved to another address.",
        StatusCode::PAYLOAD_TOO_LARGE => "The request is larger than the server accepts.",
        StatusCode::BAD_GATEWAY => "The program behind this address has failed.",
        StatusCode::SERVICE_UNAVAILABLE => "The server is busy. Try again in a moment.",
        StatusCode::INSUFFICIENT_STORAGE => "The server has no room to store the request.",
        StatusCode::GATEWAY_TIMEOUT => "The program behind this address took too long.",
        _ => "Something went wrong.",
    }
}

/// Returns `405`, or the answer to `OPTIONS`.
pub(crate) fn other_method(request: &http::Request<()>, allow: &'static str) -> Answer {
    let mut answer = if request.method() == Method::OPTIONS {
        let mut answer = Response::new(Content::EMPTY);
        *answer.status_mut() = StatusCode::NO_CONTENT;
        answer
    } else {
        refusal(request, StatusCode::METHOD_NOT_ALLOWED)
    };
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    answer
}

/// Returns `503` with `Retry-After`.
pub(crate) fn busy(request: &http::Request<()>) -> Answer {
    let mut answer = refusal(request, StatusCode::SERVICE_UNAVAILABLE);
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

/// Text that is displayed escaped for HTML and for attributes in double quotes.
pub(crate) struct HtmlEscaped<'a>(pub(crate) &'a str);

impl fmt::Display for HtmlEscaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            match char {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // Also characters that reorder their neighbours: they could make a name look like
                // another one.
                char if char.is_control() || is_direction(char) => f.write_char('\u{fffd}')?,
                char => f.write_char(char)?,
            }
        }
        Ok(())
    }
}

fn is_direction(char: char) -> bool {
    matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
