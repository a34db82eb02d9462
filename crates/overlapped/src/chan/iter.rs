//! Iterators that receive until the channel is closing and no sender waits.

use super::Channel;

/// The iterator of [`Channel::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    channel: &'a Channel<T>,
}

impl<T> Channel<T> {
    /// Receives until the channel is closing and no sender waits. It also ends at an error.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { channel: self }
    }
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.channel.recv().ok()
    }
}

/// The owning iterator of a [`Channel`], otherwise like [`Iter`].
#[derive(Debug)]
pub struct IntoIter<T> {
    channel: Channel<T>,
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.channel.recv().ok()
    }
}

impl<T> IntoIterator for Channel<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { channel: self }
    }
}

impl<'a, T> IntoIterator for &'a Channel<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}
