//! The result for an entry.

/// The result for an entry that is no folder.
#[derive(Debug)]
pub(in crate::copy) enum Copied {
    Yes,
    /// Something existed, and stays.
    Kept,
    /// The file is large: its contents are a tasklet's work.
    Large,
    /// Another name of the same file is being copied; see `links`.
    Waits,
}
