//! Layers: handlers around other handlers.
//!
//! ```text
//! request ─▶ Forwarded ─▶ Headers ─▶ Cors ─▶ RequestLimit ─▶ Https ─▶ BasicAuth ─▶ Redirects
//!                                                        ─▶ NotFoundResponse ─▶ Hosts ─▶ Site
//! ```
//!
//! Each is a [`Handler`](super::Handler) around another one, so any of them may be left out, and
//! the order is that of the nesting. In the order above, every answer has the extra headers,
//! clients are told apart by the address that a trusted proxy sends, and clients without a password
//! learn nothing of what exists.
//!
//! | file | layer |
//! |---|---|
//! | `forwarded` | takes the client's address and scheme from a trusted proxy |
//! | `headers` | adds headers to every answer |
//! | `cors` | lets scripts of other sites read the answers |
//! | `limit` | limits the requests of each client |
//! | `buckets` | (the token buckets of all clients, in bounded memory) |
//! | `auth` | requires a password |
//! | `redirects` | redirects paths that have moved, and http to https |
//! | `not_found` | a page, or another file, for paths that do not exist |
//! | `hosts` | selects a handler by the host name |

mod auth;
mod buckets;
mod cors;
mod forwarded;
mod headers;
mod hosts;
mod limit;
mod not_found;
mod redirects;
#[cfg(test)]
mod tests;

use std::io;

use http::uri::Authority;
use http::{HeaderValue, StatusCode, header};
use overlapped_wire::http::Answer;

pub use auth::BasicAuth;
pub use cors::Cors;
pub use forwarded::{Forwarded, Network};
pub use headers::Headers;
pub use hosts::Hosts;
pub use limit::RequestLimit;
pub use not_found::NotFoundResponse;
pub use redirects::{Https, Redirects};

use super::{page, target};

/// Returns the host of a request: that of its target, else that of its `Host` field.
fn authority(request: &http::Request<()>) -> Option<Authority> {
    let authority = match request.uri().authority() {
        Some(authority) => authority.clone(),
        None => Authority::try_from(request.headers().get(header::HOST)?.as_bytes()).ok()?,
    };
    // User information in front of the host would make a redirect misleading.
    (!authority.as_str().contains('@') && !authority.host().is_empty()).then_some(authority)
}

/// Returns a redirect by `308`, which keeps the method.
fn permanent_redirect(request: &http::Request<()>, location: String) -> Answer {
    let mut answer = page::refusal(request, StatusCode::PERMANENT_REDIRECT);
    match HeaderValue::try_from(location) {
        Ok(location) => _ = answer.headers_mut().insert(header::LOCATION, location),
        Err(_) => return page::refusal(request, StatusCode::BAD_REQUEST),
    }
    answer
}

/// The folder of the tokens by which a certificate authority validates a name (RFC 8555). It
/// requests them by http and without a password.
const CHALLENGES: &str = "/.well-known/acme-challenge";

/// Tells whether a path is below that folder, in any spelling.
fn is_challenge(path: &str) -> bool {
    target::strip_prefix(path, CHALLENGES).is_some()
}

/// Tells whether a path is that of a token, in the spelling of an authority.
fn is_token(path: &str) -> bool {
    let token = path.strip_prefix(CHALLENGES).and_then(|rest| rest.strip_prefix('/'));
    let is_byte_of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    token.is_some_and(|token| !token.is_empty() && token.bytes().all(is_byte_of_token))
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
