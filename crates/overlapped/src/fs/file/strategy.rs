//! The choice of how a transfer on a disk is done. It decides from facts alone and touches nothing.
//!
//! | the caller | at the cursor of `O_DIRECT` | all others |
//! |---|---|---|
//! | may not wait, or is no tasklet | pool | in place |
//! | a tasklet; the port does disks | port, at the cursor's offset | (page cache, then) port |
//! | a tasklet; the port does not | pool | (page cache, then) pool |
//!
//! The ring does not move the cursor after a transfer past the cache (`O_DIRECT`), so such a
//! transfer gets an offset, and the file moves its cursor itself. Appended data has no offset
//! beforehand, so it is written by the pool.

use crate::task::blocking::DiskCall;

/// The facts about one transfer on a disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    /// The file is used past the page cache (`O_DIRECT`).
    pub(super) direct: bool,
    /// Writes go to the file's end (`O_APPEND`).
    pub(super) append: bool,
    pub(super) at_cursor: bool,
    pub(super) is_read: bool,
    /// The length, if the memory is one slice.
    pub(super) slice_len: Option<usize>,
    pub(super) call: DiskCall,
}

/// The ways to do a transfer on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strategy {
    /// By a plain call on this thread, which may wait for the disk.
    InPlace,
    /// By the port. `cache_first`: a plain call first reads what the page cache has.
    Port { cache_first: bool },
    /// By the port, at the cursor's offset; the cursor is moved afterwards.
    PortAtCursorOffset,
    /// By a thread of the pool. `cache_first`: as above.
    Pool { cache_first: bool },
}

impl Facts {
    pub(super) fn strategy(&self) -> Strategy {
        let DiskCall { may_wait, port_does, others_are_ready } = self.call;
        let may_be_cached = self.is_read && self.slice_len.is_some() && !self.direct;
        if self.direct && self.at_cursor {
            let appends = self.append && !self.is_read;
            return match may_wait && port_does && !appends {
                true => Strategy::PortAtCursorOffset,
                // This holds for a caller that may not wait, too, since the pool's memory is
                // aligned.
                false => Strategy::Pool { cache_first: false },
            };
        }
        if !may_wait {
            return Strategy::InPlace;
        }
        if !port_does {
            return Strategy::Pool { cache_first: may_be_cached };
        }
        // Other tasklets that are ready may want to read at offsets, too: one call of the ring does
        // it for all of them. At the cursor the next one has to wait for its turn anyway.
        let is_batched = others_are_ready && !self.at_cursor && self.slice_len != Some(0);
        Strategy::Port { cache_first: may_be_cached && !is_batched }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASKLET: DiskCall = DiskCall { may_wait: true, port_does: true, others_are_ready: false };
    const READ: Facts = Facts {
        direct: false,
        append: false,
        at_cursor: false,
        is_read: true,
        slice_len: Some(100),
        call: TASKLET,
    };
    const WRITE: Facts = Facts { is_read: false, ..READ };

    #[track_caller]
    fn assert_all(expected: Strategy, facts: &[Facts]) {
        for facts in facts {
            assert_eq!(facts.strategy(), expected, "{facts:?}");
        }
    }

    #[test]
    fn a_tasklet_on_a_port_for_disks_uses_it_and_reads_what_is_cached_first() {
        let busy = DiskCall { others_are_ready: true, ..TASKLET };
        assert_all(
            Strategy::Port { cache_first: true },
            &[
                READ,
                Facts { at_cursor: true, ..READ },
                Facts { at_cursor: true, call: busy, ..READ },
                // Only a plain call still reports that a folder is not a file.
                Facts { slice_len: Some(0), call: busy, ..READ },
            ],
        );
        assert_all(
            Strategy::Port { cache_first: false },
            &[
                Facts { call: busy, ..READ },
                Facts { slice_len: None, ..READ },
                Facts { direct: true, ..READ },
                WRITE,
                Facts { at_cursor: true, ..WRITE },
                Facts { at_cursor: true, append: true, ..WRITE },
                Facts { direct: true, append: true, ..WRITE },
            ],
        );
    }

    #[test]
    fn a_tasklet_on_a_port_without_disks_uses_the_pool() {
        let call = DiskCall { port_does: false, ..TASKLET };
        let busy = DiskCall { others_are_ready: true, ..call };
        assert_all(
            Strategy::Pool { cache_first: true },
            &[Facts { call, ..READ }, Facts { call: busy, ..READ }],
        );
        assert_all(
            Strategy::Pool { cache_first: false },
            &[
                Facts { call, ..WRITE },
                Facts { call, slice_len: None, ..READ },
                Facts { call, direct: true, ..READ },
                Facts { call, direct: true, at_cursor: true, ..READ },
            ],
        );
    }

    #[test]
    fn a_caller_that_may_not_wait_makes_a_plain_call() {
        let call = DiskCall { may_wait: false, port_does: false, others_are_ready: false };
        assert_all(
            Strategy::InPlace,
            &[
                Facts { call, ..READ },
                Facts { call, at_cursor: true, ..WRITE },
                Facts { call, direct: true, ..READ },
            ],
        );
        let past_cache = Facts { call, direct: true, at_cursor: true, ..READ };
        assert_all(Strategy::Pool { cache_first: false }, &[past_cache]);
    }

    #[test]
    fn direct_transfers_at_the_cursor_use_its_offset_unless_they_append() {
        let direct = Facts { direct: true, at_cursor: true, ..READ };
        assert_all(
            Strategy::PortAtCursorOffset,
            &[
                direct,
                Facts { append: true, ..direct },
                Facts { is_read: false, ..direct },
                Facts { slice_len: None, ..direct },
            ],
        );
        let appends = Facts { append: true, is_read: false, ..direct };
        assert_all(Strategy::Pool { cache_first: false }, &[appends]);
    }
}
