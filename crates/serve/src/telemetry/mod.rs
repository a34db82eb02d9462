//! Reports of a server about itself: the access log, the metrics page, warnings.
//!
//! ```text
//! access_log   the log's queue and its thread      access_line  one line, in either format
//! metrics      /metrics, /healthz, /readyz         rate_limit   warnings that clients can cause
//! escape       makes clients' text safe for a log
//! ```

mod access_line;
mod access_log;
mod escape;
mod metrics;
mod rate_limit;

pub(crate) use access_line::AccessLine;
pub use access_line::LogFormat;
pub use access_log::AccessLog;
pub(crate) use access_log::Log;
pub(crate) use escape::{Escaped, Visible};
pub(crate) use metrics::answer;
pub(crate) use rate_limit::{RateLimited, Suppressed};
