//! The order of running when two tasklets meet.

/// The side that runs next when a partner is waiting: the original's `preference` and
/// `schedule_all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Handover {
    /// The receiver runs at once (`preference = -1`).
    #[default]
    Receiver,
    /// The sender runs at once (`preference = 1`).
    Sender,
    /// The caller goes on; the partner goes to the end of the ready queue (`preference = 0`).
    Neither,
    /// The partner goes to the end of the ready queue, and the caller yields to all others
    /// (`schedule_all`).
    Yield,
}
