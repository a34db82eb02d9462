//! The settings of [`Cgi`](super::Cgi).

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::web::below::Root;

/// The default time until a script's header is complete.
const HEADER_TIME: Duration = Duration::from_secs(30);

/// The settings that all requests share.
#[derive(Clone)]
pub(super) struct CgiConfig {
    pub(super) root: Root,
    pub(super) queue_time: Duration,
    pub(super) body_max: u64,
    pub(super) header_time: Option<Duration>,
    pub(super) time: Option<Duration>,
    pub(super) output_max: u64,
    /// The folder for `DOCUMENT_ROOT` and `PATH_TRANSLATED`; absolute.
    pub(super) documents: Option<PathBuf>,
    pub(super) passes_authorization: bool,
    /// Additional variables for scripts, with their values.
    pub(super) variables: Vec<(OsString, OsString)>,
}

impl CgiConfig {
    pub(super) fn header_time(&self) -> Duration {
        self.header_time.or(self.time).unwrap_or(HEADER_TIME)
    }
}
