//! Layers: handlers around other handlers.
//!
//! ```text
//! request ─▶ Forwarded ─▶ Headers ─▶ Cors ─▶ RequestLimit ─▶ Https ─▶ BasicAuth ─▶ Redirects
//!                                                                 ─▶ Missing ─▶ Hosts ─▶ Site
//! ```
//!
//! Each is a [`Handler`](super::Handler) that has another one inside, so any of them may be left
//! out, and the order is that in which they are put around each other. In the order above, every
//! answer has the extra fields, clients are told apart by the address that a trusted proxy names,
//! and who has no password learns nothing of what is there.
//!
//! | file | layer |
//! |---|---|
//! | `forwarded` | the client and its scheme, as a trusted proxy tells them |
//! | `fields` | extra fields in every answer |
//! | `cors` | scripts of other sites may read the answers |
//! | `limit` | so many requests of each client |
//! | `buckets` | (the limits of each client, in bounded memory) |
//! | `auth` | only those who know a password |
//! | `redirects` | paths that have moved, and http → https |
//! | `missing` | a page, or another file, for paths that lead nowhere |
//! | `hosts` | a handler per name of the site |

mod auth;
mod buckets;
mod cors;
mod fields;
mod forwarded;
mod hosts;
mod limit;
mod missing;
mod redirects;
#[cfg(test)]
mod tests;

use std::io;

use http::uri::Authority;
use http::{HeaderValue, StatusCode, header};
use overlapped_wire::http::Answer;

pub use auth::BasicAuth;
pub use cors::Cors;
pub use fields::Headers;
pub use forwarded::{Forwarded, Network};
pub use hosts::Hosts;
pub use limit::RequestLimit;
pub use missing::Missing;
pub use redirects::{Https, Redirects};

use super::{page, target};

/// The host that a request is for: that of its target, else that of its `Host` field.
fn authority(request: &http::Request<()>) -> Option<Authority> {
    let authority = match request.uri().authority() {
        Some(authority) => authority.clone(),
        None => Authority::try_from(request.headers().get(header::HOST)?.as_bytes()).ok()?,
    };
    // A name in front of the host would send a client elsewhere than it seems.
    (!authority.as_str().contains('@') && !authority.host().is_empty()).then_some(authority)
}

/// `308`: the method stays what it was.
fn moved(request: &http::Request<()>, location: String) -> Answer {
    let mut answer = page::refusal(request, StatusCode::PERMANENT_REDIRECT);
    match HeaderValue::try_from(location) {
        Ok(location) => _ = answer.headers_mut().insert(header::LOCATION, location),
        Err(_) => return page::refusal(request, StatusCode::BAD_REQUEST),
    }
    answer
}

/// The folder of the tokens by which a certificate's authority sees whose a name is (RFC 8555); it
/// asks for them by http, and without a password.
const CHALLENGES: &str = "/.well-known/acme-challenge";

/// Tells whether a path is beneath that folder, however it is written.
fn is_challenge(path: &str) -> bool {
    target::after(path, CHALLENGES).is_some()
}

/// Tells whether a path is that of a token, as an authority writes it.
fn is_token(path: &str) -> bool {
    let token = path.strip_prefix(CHALLENGES).and_then(|rest| rest.strip_prefix('/'));
    let is_byte_of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    token.is_some_and(|token| !token.is_empty() && token.bytes().all(is_byte_of_token))
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
