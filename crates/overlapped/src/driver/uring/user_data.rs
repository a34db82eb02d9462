//! The user data of the ring's own entries. Tokens never have the top bit.

/// The bit that tells entries of the backend's own from operations.
pub(super) const INTERNAL: u64 = 1 << 63;
/// The user data of cancels.
pub(super) const CANCEL: u64 = INTERNAL;
/// The user data of the read of the eventfd.
pub(super) const WAKE: u64 = INTERNAL | 1;
/// The user data of messages from notifiers in other threads. They are no entries of this ring, so
/// they are not counted.
pub(super) const NOTIFIED: u64 = INTERNAL | 2;
