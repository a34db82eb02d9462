//! The callbacks of an observer.

/// One action on a channel, as an [`Observer`] sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelEvent {
    /// The channel's address, unique among living channels.
    pub channel: usize,
    /// The id of the tasklet that acts.
    pub tasklet: u64,
    /// True for a send, false for a receive.
    pub sending: bool,
    /// True if it blocks, because no partner waits.
    pub will_block: bool,
}

/// Callbacks for switches and channel actions: Stackless Python's schedule and channel callbacks.
///
/// They are called on tasklets' stacks, inside `no_switch`: they must not wait. The observer is
/// given to `Config::observer`. A run without an observer pays nothing. A panic in an observer is
/// printed and ignored.
pub trait Observer {
    /// Called when `next` starts to run; `previous` ran before it, if any tasklet did.
    fn switched(&self, previous: Option<u64>, next: u64) {
        let _ = (previous, next);
    }

    /// Called when a tasklet sends or receives.
    fn channel(&self, event: ChannelEvent) {
        let _ = event;
    }
}
