//! Responses for paths that do not exist: a page of one's own, or a fallback file.

use std::io;

use http::{Method, StatusCode, Uri, header};
use overlapped_wire::http::Answer;

use super::{invalid, is_challenge};
use crate::peer::Peer;
use crate::web::internal_redirect::remove_conditions;
use crate::web::target::{self, EmptyNames};
use crate::web::{Call, Handler};

/// A layer that requests another path if the inner handler answers `404`: a page that says so
/// ([`page`](NotFoundResponse::page)), or the page of an application that handles all paths
/// ([`fallback`](NotFoundResponse::fallback)). Both are paths of the inner handler. The layer is
/// for [`Files`](crate::web::Files), not for scripts, which have better answers of their own.
///
/// ```
/// use overlapped_serve::web::{Files, NotFoundResponse, Site};
///
/// # let folder = tempfile::tempdir()?;
/// # std::fs::write(folder.path().join("404.html"), "gone")?;
/// let site = NotFoundResponse::new(Files::new(folder.path())?).page("/404.html")?;
/// let site = Site::new().at("/", site);
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug, Clone)]
pub struct NotFoundResponse<H> {
    inner: H,
    page: Option<Uri>,
    fallback: Option<Uri>,
}

impl<H: Handler> NotFoundResponse<H> {
    /// Creates the layer without page and fallback.
    pub fn new(inner: H) -> NotFoundResponse<H> {
        NotFoundResponse { inner, page: None, fallback: None }
    }

    /// Sets the path of the page that is sent with `404`.
    ///
    /// # Errors
    /// `InvalidInput` if `path` is not a path.
    pub fn page(mut self, path: &str) -> io::Result<NotFoundResponse<H>> {
        self.page = Some(parse(path)?);
        Ok(self)
    }

    /// Sets the path whose page answers a `GET` or `HEAD` of a path that does not exist, if the
    /// last name of that path has no dot. A name with a dot is a file's: a page must not replace a
    /// missing script, nor the token of a certificate authority.
    ///
    /// # Errors
    /// `InvalidInput` if `path` is not a path.
    pub fn fallback(mut self, path: &str) -> io::Result<NotFoundResponse<H>> {
        self.fallback = Some(parse(path)?);
        Ok(self)
    }

    /// Returns those of the two paths that do not exist now.
    pub fn absent(&self) -> Vec<String> {
        let paths = self.page.iter().chain(&self.fallback);
        let is_absent =
            |path: &&Uri| self.request(http::Request::new(()), Peer::default(), path).is_none();
        paths.filter(is_absent).map(Uri::to_string).collect()
    }

    /// Returns the answer of `inner` to the same request for another path, if that exists.
    fn request(&self, request: http::Request<()>, peer: Peer, path: &Uri) -> Option<Answer> {
        let mut request = request;
        *request.uri_mut() = path.clone();
        let answer = self.inner.handle(Call::new(request, &mut io::empty(), peer));
        let is_there = answer.status().is_success() || answer.status() == StatusCode::NOT_MODIFIED;
        is_there.then_some(answer)
    }
}

fn parse(path: &str) -> io::Result<Uri> {
    let is_path = path.starts_with('/') && !path.starts_with("//") && !path.contains(['?', '#']);
    let uri =
        path.parse().ok().filter(|_| is_path && target::decode(path, EmptyNames::Skip).is_ok());
    uri.ok_or_else(|| invalid(format!("{path:?} is not a path of the site: write it as /404.html")))
}

/// Tells whether the last name of a path has a dot, or a name is hidden.
fn names_a_file(path: &str) -> bool {
    let Ok(target) = target::decode(path, EmptyNames::Skip) else { return true };
    let last = target.path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    !target.is_folder && last.contains(&b'.') || target::is_hidden(&target.path)
}

impl<H: Handler> Handler for NotFoundResponse<H> {
    fn handle(&self, call: Call<'_>) -> Answer {
        if !matches!(*call.request.method(), Method::GET | Method::HEAD) {
            return self.inner.handle(call);
        }
        let (mut request, peer) = (call.request.clone(), call.peer.clone());
        let answer = self.inner.handle(call);
        if answer.status() != StatusCode::NOT_FOUND {
            return answer;
        }
        if let Some(path) = &self.fallback
            && !names_a_file(request.uri().path())
            && !is_challenge(request.uri().path())
            && let Some(answer) = self.request(request.clone(), peer.clone(), path)
        {
            return answer;
        }
        let Some(path) = &self.page else { return answer };
        remove_conditions(request.headers_mut());
        let Some(mut page) = self.request(request, peer, path) else { return answer };
        *page.status_mut() = StatusCode::NOT_FOUND;
        for name in [header::ACCEPT_RANGES, header::ETAG, header::LAST_MODIFIED] {
            page.headers_mut().remove(name);
        }
        page
    }
}
