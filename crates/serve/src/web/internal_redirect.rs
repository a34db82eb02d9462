//! Internal redirects: an answer that makes the site answer another request instead.

use http::{HeaderMap, header};

use super::User;

/// An extension of an answer: the request that the site must answer instead. The answer itself is a
/// redirect to the same path, for callers that ignore the extension.
#[derive(Clone)]
pub(crate) struct InternalRedirect(pub(super) http::Request<()>);

impl InternalRedirect {
    /// Creates a `GET` of `path` by the client of `request`; returns `None` if `path` is not a
    /// valid path.
    pub(crate) fn new(request: &http::Request<()>, path: &str) -> Option<InternalRedirect> {
        let mut other = http::Request::new(());
        *other.uri_mut() = path.parse().ok()?;
        *other.version_mut() = request.version();
        *other.headers_mut() = request.headers().clone();
        other.headers_mut().remove(header::CONTENT_LENGTH);
        other.headers_mut().remove(header::CONTENT_TYPE);
        other.headers_mut().remove(header::TRANSFER_ENCODING);
        remove_conditions(other.headers_mut());
        if let Some(user) = request.extensions().get::<User>() {
            other.extensions_mut().insert(user.clone());
        }
        Some(InternalRedirect(other))
    }
}

/// Removes ranges and conditions, which are about another path's content.
pub(super) fn remove_conditions(headers: &mut HeaderMap) {
    for name in [
        header::RANGE,
        header::IF_RANGE,
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
    ] {
        headers.remove(name);
    }
}
