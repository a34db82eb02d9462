//! Sockets that are connecting, watched together.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use polling::{Event, Events, Poller};

/// A set of sockets whose connects are under way. Its own descriptor is readable while one of them
/// has ended, so that one wait watches them all. Dropped, it closes them.
pub(crate) struct Watch {
    poller: Poller,
    /// By key. Exactly those that the poller knows.
    sockets: HashMap<usize, OwnedFd>,
}

impl Watch {
    pub(crate) fn new() -> io::Result<Watch> {
        Ok(Watch { poller: Poller::new()?, sockets: HashMap::new() })
    }

    /// Returns the number by which the set is waited for: it is readable when a connect has ended.
    pub(crate) fn raw(&self) -> RawFd {
        self.poller.as_fd().as_raw_fd()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// Adds a socket under `key`, which is free.
    pub(crate) fn add(&mut self, key: usize, socket: OwnedFd) -> io::Result<()> {
        // SAFETY: the socket is kept, and taken out of the poller before it is closed or given
        // away: in `ended` and in `drop`.
        unsafe { self.poller.add(&socket, Event::writable(key)) }?;
        self.sockets.insert(key, socket);
        Ok(())
    }

    /// Removes and returns the sockets whose connects have ended, in ascending order of their keys.
    pub(crate) fn ended(&mut self) -> io::Result<Vec<(usize, OwnedFd)>> {
        let mut events = Events::new();
        self.poller.wait(&mut events, Some(Duration::ZERO))?;
        let mut keys: Vec<usize> = events.iter().map(|event| event.key).collect();
        keys.sort_unstable();
        keys.dedup();
        let taken = keys.into_iter().filter_map(|key| {
            let socket = self.sockets.remove(&key)?;
            Some(self.poller.delete(&socket).map(|()| (key, socket)))
        });
        taken.collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for socket in self.sockets.values() {
            // Known to the poller; if it were not, there would be nothing to do.
            let _ = self.poller.delete(socket);
        }
    }
}
