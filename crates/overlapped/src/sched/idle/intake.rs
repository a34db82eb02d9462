//! The part of a scheduler that is needed to make a tasklet.

use std::cell::Cell;

/// The ids and the count of new tasklets. A closure from another thread is given this part of the
/// scheduler, and nothing else of it.
pub(crate) struct Intake {
    /// The id for the next tasklet.
    next_id: Cell<u64>,
    /// Placed tasklets that were taken in and have not begun.
    not_begun: Cell<usize>,
}

impl Intake {
    pub(in crate::sched) fn new(first_id: u64) -> Intake {
        Intake { next_id: Cell::new(first_id), not_begun: Cell::new(0) }
    }

    /// Takes the id for a new tasklet.
    #[inline]
    pub(crate) fn next_id(&self) -> u64 {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        id
    }

    /// Counts a placed tasklet that has not begun yet, or one less of them.
    pub(crate) fn count_not_begun(&self, by: isize) {
        self.not_begun.set(self.not_begun.get().wrapping_add_signed(by));
    }

    pub(super) fn not_begun(&self) -> usize {
        self.not_begun.get()
    }
}
