//! The amount of work, a hundredth of which is enough for a quick look.

/// The amount of work in each step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Effort {
    /// True for a hundredth of the work.
    pub(super) quick: bool,
}

impl Effort {
    /// Returns `full`, or a hundredth of it for a quick look, at least 1.
    pub(super) fn scale(self, full: usize) -> usize {
        if self.quick { (full / 100).max(1) } else { full }
    }
}
