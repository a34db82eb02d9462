//! Calls within ureq's time limits.

use std::io::{self, ErrorKind};

use overlapped::time::timeout;
use ureq::Error;
use ureq::unversioned::transport::NextTimeout;

/// Runs `call` within the rest of `limit`. If the time ends the call, the error names ureq's limit.
pub(crate) fn within<T>(
    limit: NextTimeout,
    call: impl FnOnce() -> io::Result<T>,
) -> Result<T, Error> {
    let result = match limit.after.is_not_happening() {
        true => call(),
        false if limit.after.is_zero() => return Err(Error::Timeout(limit.reason)),
        false => timeout(*limit.after, call),
    };
    result.map_err(|error| match error.kind() {
        ErrorKind::TimedOut if error.raw_os_error().is_none() => Error::Timeout(limit.reason),
        _ => Error::Io(error),
    })
}
