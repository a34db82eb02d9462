//! Answers for paths that lead nowhere: a page of one's own, or a file that stands for them.

use std::io;

use http::{Method, StatusCode, Uri, header};
use overlapped_wire::http::Answer;

use super::{invalid, is_challenge};
use crate::peer::Peer;
use crate::web::internal_redirect::without_conditions;
use crate::web::target::{self, Empty};
use crate::web::{Call, Handler};

/// Asks for another path where the handler inside has nothing: for a page that says so
/// ([`page`](Missing::page)), or for the page of an application that makes sense of all paths
/// ([`fallback`](Missing::fallback)). Both are paths as the handler inside has them. It goes around
/// [`Files`](crate::web::Files), not around scripts, which know better what to say.
///
/// ```
/// use overlapped_serve::web::{Files, Missing, Site};
///
/// # let folder = tempfile::tempdir()?;
/// # std::fs::write(folder.path().join("404.html"), "gone")?;
/// let site = Missing::new(Files::new(folder.path())?).page("/404.html")?;
/// let site = Site::new().at("/", site);
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug, Clone)]
pub struct Missing<H> {
    inner: H,
    page: Option<Uri>,
    fallback: Option<Uri>,
}

impl<H: Handler> Missing<H> {
    /// Without either.
    pub fn new(inner: H) -> Missing<H> {
        Missing { inner, page: None, fallback: None }
    }

    /// The path of the page that is sent with `404`.
    ///
    /// # Errors
    /// `InvalidInput` for what is not a path.
    pub fn page(mut self, path: &str) -> io::Result<Missing<H>> {
        self.page = Some(parse(path)?);
        Ok(self)
    }

    /// The path that is asked for, as if the client had, by a `GET` or `HEAD` of a path that leads
    /// nowhere and whose last name has no dot. With a dot it is a file's: a script that is missing
    /// must not become a page, and neither must the token of a certificate's authority.
    ///
    /// # Errors
    /// `InvalidInput` for what is not a path.
    pub fn fallback(mut self, path: &str) -> io::Result<Missing<H>> {
        self.fallback = Some(parse(path)?);
        Ok(self)
    }

    /// Those of both paths that lead nowhere now.
    pub fn absent(&self) -> Vec<String> {
        let paths = self.page.iter().chain(&self.fallback);
        let is_absent =
            |path: &&Uri| self.other(http::Request::new(()), Peer::default(), path).is_none();
        paths.filter(is_absent).map(Uri::to_string).collect()
    }

    /// The answer of `inner` to the same request for another path, if that is there.
    fn other(&self, request: http::Request<()>, peer: Peer, path: &Uri) -> Option<Answer> {
        let mut request = request;
        *request.uri_mut() = path.clone();
        let answer = self.inner.handle(Call::new(request, &mut io::empty(), peer));
        let is_there = answer.status().is_success() || answer.status() == StatusCode::NOT_MODIFIED;
        is_there.then_some(answer)
    }
}

fn parse(path: &str) -> io::Result<Uri> {
    let is_path = path.starts_with('/') && !path.starts_with("//") && !path.contains(['?', '#']);
    let uri = path.parse().ok().filter(|_| is_path && target::decode(path, Empty::Skip).is_ok());
    uri.ok_or_else(|| invalid(format!("{path:?} is not a path of the site: write it as /404.html")))
}

/// Tells whether the last name of a path has a dot.
fn names_a_file(path: &str) -> bool {
    let Ok(target) = target::decode(path, Empty::Skip) else { return true };
    let last = target.path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    !target.is_folder && last.contains(&b'.') || target::is_hidden(&target.path)
}

impl<H: Handler> Handler for Missing<H> {
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
            && let Some(answer) = self.other(request.clone(), peer.clone(), path)
        {
            return answer;
        }
        let Some(path) = &self.page else { return answer };
        without_conditions(request.headers_mut());
        let Some(mut page) = self.other(request, peer, path) else { return answer };
        *page.status_mut() = StatusCode::NOT_FOUND;
        for name in [header::ACCEPT_RANGES, header::ETAG, header::LAST_MODIFIED] {
            page.headers_mut().remove(name);
        }
        page
    }
}
