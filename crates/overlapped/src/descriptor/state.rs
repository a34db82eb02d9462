//! The values that the library keeps for an open file.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};

use crate::sync::FairLock;
use crate::sys::file::nonblocking::FileKind;
use crate::time::Duration;

/// The shared state of all handles to one open file.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The socket belongs to the Unix family: see [`readiness`](super::readiness).
    is_unix: bool,
    nonblocking: AtomicBool,
    /// Closing may wait for unsent data (`SO_LINGER`), in either mode.
    lingers: AtomicBool,
    /// A place in [`KINDS`], counted from 1; 0 while it is unknown.
    kind: AtomicU8,
    /// Nanoseconds; 0 means that there is no limit.
    read_limit: AtomicU64,
    /// The same as `read_limit`, for writes.
    write_limit: AtomicU64,
    /// The lock of the cursor: see [`Turn`](super::Turn).
    pub(super) cursor: FairLock,
}

/// Names one of the two time limits of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Read,
    Write,
}

const KINDS: [FileKind; 6] = [
    FileKind::Disk { direct: false, append: false },
    FileKind::Disk { direct: false, append: true },
    FileKind::Disk { direct: true, append: false },
    FileKind::Disk { direct: true, append: true },
    FileKind::Socket,
    FileKind::Stream,
];

impl State {
    /// Creates the state of a file whose kind may be known already.
    pub(crate) fn with_kind(kind: Option<FileKind>) -> State {
        let state = State::default();
        if let Some(kind) = kind {
            state.set_kind(kind);
        }
        state
    }

    /// Creates the state of a socket of the Unix family.
    pub(crate) fn of_unix_socket() -> State {
        State { is_unix: true, ..State::default() }
    }

    #[inline]
    pub(crate) fn is_unix(&self) -> bool {
        self.is_unix
    }

    /// Tells whether calls that would wait are to fail with `WouldBlock` instead.
    pub(crate) fn is_nonblocking(&self) -> bool {
        self.nonblocking.load(Relaxed)
    }

    pub(crate) fn set_nonblocking(&self, nonblocking: bool) {
        self.nonblocking.store(nonblocking, Relaxed);
    }

    /// Tells whether closing the descriptor may wait.
    pub(crate) fn lingers(&self) -> bool {
        self.lingers.load(Relaxed)
    }

    /// Stores the linger time. A time of zero resets the connection at once: nothing waits.
    pub(crate) fn set_linger(&self, linger: Option<Duration>) {
        self.lingers.store(linger.is_some_and(|time| !time.is_zero()), Relaxed);
    }

    pub(crate) fn limit(&self, which: Limit) -> Option<Duration> {
        let nanos = self.limit_place(which).load(Relaxed);
        (nanos != 0).then(|| Duration::from_nanos(nanos))
    }

    pub(crate) fn set_limit(&self, which: Limit, limit: Option<Duration>) {
        let nanos = |limit: Duration| u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.limit_place(which).store(limit.map_or(0, nanos), Relaxed);
    }

    fn limit_place(&self, which: Limit) -> &AtomicU64 {
        match which {
            Limit::Read => &self.read_limit,
            Limit::Write => &self.write_limit,
        }
    }

    /// Returns the kind of the file, if it is known.
    #[inline]
    pub(crate) fn kind(&self) -> Option<FileKind> {
        KINDS.get(usize::from(self.kind.load(Relaxed)).wrapping_sub(1)).copied()
    }

    /// Stores the kind of the file.
    pub(crate) fn set_kind(&self, kind: FileKind) {
        let place = KINDS.iter().position(|known| *known == kind);
        self.kind.store(place.map_or(0, |place| place as u8 + 1), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_returns_the_stored_values() {
        let state = State::default();
        assert_eq!((state.kind(), state.limit(Limit::Read)), (None, None));
        for kind in KINDS {
            state.set_kind(kind);
            assert_eq!(state.kind(), Some(kind));
            assert_eq!(State::with_kind(Some(kind)).kind(), Some(kind));
        }
        state.set_limit(Limit::Read, Some(Duration::from_nanos(7)));
        assert_eq!(state.limit(Limit::Read), Some(Duration::from_nanos(7)));
        assert_eq!(state.limit(Limit::Write), None);
        state.set_limit(Limit::Read, None);
        assert_eq!(state.limit(Limit::Read), None);
        state.set_limit(Limit::Write, Some(Duration::ZERO));
        assert!(state.limit(Limit::Write).is_some(), "a limit is never taken for none");
        state.set_linger(Some(Duration::ZERO));
        assert!(!state.lingers());
        state.set_linger(Some(Duration::from_secs(1)));
        assert!(state.lingers());
    }
}
