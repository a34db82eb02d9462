//! The only entry: `run`, `run_until`, and the `Config` beside them.
//!
//! | file | what it has |
//! |---|---|
//! | `entry` | a run from its beginning to its end |
//! | `config`, `settings` | the configuration; what all schedulers share of it |
//! | `environment` | settings from the environment |
//! | `workers` | the other threads of a run |
//! | `panics` | the line about the tasklet after a panic's message |
//! | `error` | the reasons why a run has no result |

mod config;
mod entry;
mod environment;
mod error;
mod panics;
mod settings;
mod workers;

pub use config::Config;
pub use entry::{run, run_until};
pub use error::RunError;
