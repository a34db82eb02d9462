//! What a server tells about itself: totals, an access log, metrics.

mod complaints;
mod counts;
mod escape;
mod log;

pub(crate) use complaints::Complaints;
pub use counts::Totals;
pub(crate) use counts::{Counts, Entered, Gauge};
pub use log::AccessLog;
pub(crate) use log::Log;
