//! The queues in which tasklets wait for each other in a channel.

use super::{Queue, WaitNode};

/// The wait nodes in one channel: of senders or of receivers. Both queues have entries only where
/// one select waits to send and to receive.
#[derive(Default)]
pub(crate) struct WaitQueue {
    senders: Queue<WaitNode>,
    receivers: Queue<WaitNode>,
    /// The channel's name, for deadlock reports and dumps.
    name: Option<Box<str>>,
}

impl WaitQueue {
    /// Makes the empty queues of a channel with this name.
    pub(crate) fn named(name: Box<str>) -> WaitQueue {
        WaitQueue { name: Some(name), ..WaitQueue::default() }
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns the queue of senders, or that of receivers.
    #[inline(always)]
    pub(crate) fn side(&self, sending: bool) -> &Queue<WaitNode> {
        if sending { &self.senders } else { &self.receivers }
    }
}
