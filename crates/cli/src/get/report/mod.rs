//! Messages about a run: progress, results, the summary.
//!
//! | file | contents |
//! |---|---|
//! | `progress` | progress bars |
//! | `outcome` | the result of a download |
//! | `summary` | the summary at the end |
//! | `resume` | the command line that resumes a run |

pub(super) mod outcome;
pub(super) mod progress;
mod resume;
pub(super) mod summary;
