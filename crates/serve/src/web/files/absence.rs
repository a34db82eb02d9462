//! Why there is no file, and what is said then.

use std::os::fd::OwnedFd;

use http::header::{CACHE_CONTROL, LOCATION};
use http::{HeaderValue, StatusCode};
use overlapped_wire::http::Answer;
use rustix::io::Errno;

use super::{Config, listing};
use crate::web::target::{self, BadTarget};
use crate::web::{Call, page};

/// Why there is no file.
#[derive(Debug)]
pub(super) enum Absence {
    Bad(BadTarget),
    Refused(Errno),
    /// A folder, but the path does not end in a slash.
    NoSlash(Vec<u8>),
    /// A folder without an index, this one.
    NoIndex(Vec<u8>, OwnedFd),
}

impl From<BadTarget> for Absence {
    fn from(bad: BadTarget) -> Absence {
        Absence::Bad(bad)
    }
}

impl From<Errno> for Absence {
    fn from(errno: Errno) -> Absence {
        Absence::Refused(errno)
    }
}

impl Absence {
    /// The answer where there is no file.
    pub(super) fn explain(self, call: &Call<'_>, config: &Config) -> Answer {
        let request = &call.request;
        let status = match self {
            Absence::Bad(BadTarget::Malformed) => StatusCode::BAD_REQUEST,
            Absence::Bad(BadTarget::Nowhere) => StatusCode::NOT_FOUND,
            Absence::NoSlash(path) => return with_slash(call, &path),
            Absence::NoIndex(path, fd) if config.listing => {
                return listing::answer(call, config, path, fd);
            }
            Absence::NoIndex(..) => StatusCode::FORBIDDEN,
            Absence::Refused(errno) => match errno {
                // What is outside is nowhere.
                Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP | Errno::NAMETOOLONG => {
                    StatusCode::NOT_FOUND
                }
                // A socket in the file system.
                Errno::NXIO => StatusCode::NOT_FOUND,
                Errno::ACCESS | Errno::PERM => StatusCode::FORBIDDEN,
                errno => {
                    let path = call.rest();
                    tracing::error!(%errno, ?path, "a file cannot be opened");
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

/// The same path with a slash at its end. It is made of decoded names, so it is one absolute path
/// of this site, whatever was sent.
fn with_slash(call: &Call<'_>, path: &[u8]) -> Answer {
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
    // Whoever makes a file of the folder is not to be kept from it.
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}
