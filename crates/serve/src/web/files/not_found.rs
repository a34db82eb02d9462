//! The reasons why a path has no file, and the answers.

use std::os::fd::OwnedFd;

use http::header::{CACHE_CONTROL, LOCATION};
use http::{HeaderValue, StatusCode};
use overlapped_wire::http::Answer;
use rustix::io::Errno;

use super::config::FilesConfig;
use super::listing;
use crate::web::target::{self, TargetError};
use crate::web::{Call, page};

/// The reason why a path has no file.
#[derive(Debug)]
pub(super) enum NotFound {
    BadTarget(TargetError),
    Errno(Errno),
    /// The path is a folder's, but does not end in a slash.
    NoSlash(Vec<u8>),
    /// The folder, which is open, has no index file.
    NoIndex(Vec<u8>, OwnedFd),
}

impl From<TargetError> for NotFound {
    fn from(error: TargetError) -> NotFound {
        NotFound::BadTarget(error)
    }
}

impl From<Errno> for NotFound {
    fn from(errno: Errno) -> NotFound {
        NotFound::Errno(errno)
    }
}

impl NotFound {
    /// Returns the answer: a redirect, a listing, or a refusal.
    pub(super) fn answer(self, call: &Call<'_>, config: &FilesConfig) -> Answer {
        let request = &call.request;
        let status = match self {
            NotFound::BadTarget(TargetError::Malformed) => StatusCode::BAD_REQUEST,
            NotFound::BadTarget(TargetError::NotFound) => StatusCode::NOT_FOUND,
            NotFound::NoSlash(path) => return redirect_to_folder(call, &path),
            NotFound::NoIndex(path, fd) if config.listing => {
                return listing::answer(call, config, path, fd);
            }
            NotFound::NoIndex(..) => StatusCode::FORBIDDEN,
            NotFound::Errno(errno) => match errno {
                // Files outside the root (EXDEV) do not exist for clients.
                Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP | Errno::NAMETOOLONG => {
                    StatusCode::NOT_FOUND
                }
                // The file is a Unix socket.
                Errno::NXIO => StatusCode::NOT_FOUND,
                Errno::ACCESS | Errno::PERM => StatusCode::FORBIDDEN,
                errno => {
                    let path = call.rest();
                    tracing::error!(%errno, ?path, "cannot open a file");
                    match errno {
                        Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::TIMEDOUT => {
                            return page::busy(request);
                        }
                        _ => StatusCode::INTERNAL_SERVER_ERROR,
                    }
                }
            },
        };
        page::refusal(request, status)
    }
}

/// Redirects to the same path with a slash at its end. The location consists of decoded names, so
/// it is an absolute path of this site, whatever was sent.
fn redirect_to_folder(call: &Call<'_>, path: &[u8]) -> Answer {
    let mut location = String::new();
    if let Some(prefix) = call.prefix.strip_prefix('/') {
        location += &target::encode(prefix.as_bytes());
    }
    if !path.is_empty() {
        location += &target::encode(path);
    }
    location.push('/');
    if let Some(query) = call.request.uri().query() {
        location.push('?');
        location += query;
    }
    let mut answer = page::refusal(&call.request, StatusCode::MOVED_PERMANENTLY);
    match HeaderValue::try_from(location) {
        Ok(location) => _ = answer.headers_mut().insert(LOCATION, location),
        Err(_) => *answer.status_mut() = StatusCode::BAD_REQUEST,
    }
    // The folder may become a file, which a cached redirect would hide.
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}
