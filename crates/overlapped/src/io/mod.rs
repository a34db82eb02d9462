//! Pipes and copying with std's names, blocking only the calling tasklet.

pub use crate::pipe::{PipeReader, PipeWriter, pipe};
