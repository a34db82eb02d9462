//! Programs that are run with a time limit, and their output.
//!
//! ```text
//! run         runs one program
//!  → family     the processes that a program has started, and their end
//!    → invocation  a program with its arguments and its environment
//! progress    the progress of a run of many tests, and its limit
//! ```

mod family;
mod invocation;
mod progress;
mod run;

pub use family::end_on_interrupt;
pub(crate) use family::{Mark, Scratch, spawn, wait_out_interrupt};
pub use invocation::Invocation;
pub(crate) use progress::{Progress, is_hung, is_over, no_end};
pub(crate) use run::run_quietly;
pub use run::{Ran, run};
