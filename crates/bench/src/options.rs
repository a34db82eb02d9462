//! The options that all suites share.

use crate::names::Name;
use clap::Args;

/// The choice of subjects, cases and rounds, and of the form of the output.
#[derive(Args, Clone)]
pub(crate) struct Options {
    /// Shorter measurements, fewer rounds, without the million parked tasks.
    #[arg(long)]
    pub(crate) quick: bool,
    /// One JSON object per line on stdout instead of the table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Only these subjects.
    #[arg(long = "subject", num_args = 1..)]
    pub(crate) subjects: Vec<Name>,
    /// Only these cases (for echo: the number of connections).
    #[arg(long = "case", num_args = 1..)]
    pub(crate) cases: Vec<String>,
    /// Rounds; 3 when quick, else 7.
    #[arg(long)]
    pub(crate) rounds: Option<usize>,
}
