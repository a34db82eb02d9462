//! Selects: waits for one of several events, whichever happens first.
//!
//! ```text
//! select ─▶ is one ready?  ── yes ─▶ it happens, the others are not touched
//!             │ no
//!             ▼
//!           every source registers (a channel's queue, a tasklet's end, an operation) ─▶ park
//!             ▼
//!           decided (sched/select.rs): the other nodes are unlinked in the same step,
//!           operations are cancelled and reaped, then the tasklet goes on
//! ```
//!
//! Nothing runs between the check and the registration, so no partner is missed. A check finds
//! registered nodes only, never a select that is still checking. So two selects that face each
//! other on both sides meet as soon as the second one checks.
//!
//! Terminal completion first: [`select`] has no way out before the last of its operations has been
//! reaped.

mod error;
mod inside;
mod joins;
mod outside;
mod pick;
mod sources;

use crate::sched::{Wake, here};

pub use error::WaitError;
pub use joins::{Joinable, wait_all, wait_any};
pub(crate) use pick::{SelectOptions, SelectSource};
pub(crate) use sources::{Joining, Readiness, Timer};

/// Waits until one of `sources` happens. Returns its index and how it happened: `Wake::Done` or
/// `Wake::Closed`.
#[inline]
pub(crate) fn select<'a, I>(sources: I, options: SelectOptions) -> Result<(usize, Wake), WaitError>
where
    I: Iterator<Item = &'a dyn SelectSource> + Clone,
{
    match here() {
        Some(here) => inside::select(here, sources, options),
        None => outside::select(sources, options),
    }
}
