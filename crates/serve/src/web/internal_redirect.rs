//! Internal redirects: an answer that makes the site answer another request instead.

use http::{HeaderMap, header};

use super::User;

/// Beside an answer: the site is to answer this request instead. Whoever does not know of it has a
/// redirect that says the same.
#[derive(Clone)]
pub(crate) struct InternalRedirect(pub(super) http::Request<()>);

impl InternalRedirect {
    /// A `GET` of `path`, from whoever has sent `request`; `None` where that is no path.
    pub(crate) fn new(request: &http::Request<()>, path: &str) -> Option<InternalRedirect> {
        let mut other = http::Request::new(());
        *other.uri_mut() = path.parse().ok()?;
        *other.version_mut() = request.version();
        *other.headers_mut() = request.headers().clone();
        other.headers_mut().remove(header::CONTENT_LENGTH);
        other.headers_mut().remove(header::CONTENT_TYPE);
        other.headers_mut().remove(header::TRANSFER_ENCODING);
        without_conditions(other.headers_mut());
        if let Some(user) = request.extensions().get::<User>() {
            other.extensions_mut().insert(user.clone());
        }
        Some(InternalRedirect(other))
    }
}

/// Removes what is about a form of the content that another path does not have.
pub(super) fn without_conditions(headers: &mut HeaderMap) {
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
