//! What a server tells about itself: totals, an access log, metrics.

mod complaints;
mod counts;
mod escape;
mod line;
mod log;
mod metrics;

pub(crate) use complaints::{Complaints, KeptBack};
pub use counts::Totals;
pub(crate) use counts::{Counts, Entered, Gauge};
pub(crate) use escape::{Escaped, Visible};
pub(crate) use line::Line;
pub use line::LogFormat;
pub use log::AccessLog;
pub(crate) use log::Log;
pub(crate) use metrics::{Ledger, answer};
