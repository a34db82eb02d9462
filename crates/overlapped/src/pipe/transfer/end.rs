//! One end of a transfer, and the turns at the cursors of both ends.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::descriptor::{State, Turn};
use crate::sys::splice;
use crate::sys::splice::Kind;

/// One end of a transfer.
#[derive(Clone, Copy)]
pub(crate) struct End<'a> {
    pub(super) fd: BorrowedFd<'a>,
    pub(super) kind: Kind,
    /// The stream's own limit: the longest that one wait for it may take.
    pub(super) limit: Option<Duration>,
    /// The state with the queue for a file's cursor.
    cursor: Option<&'a State>,
}

impl<'a> End<'a> {
    pub(crate) fn new(fd: BorrowedFd<'a>, limit: Option<Duration>) -> io::Result<End<'a>> {
        let kind = splice::kind(fd)?;
        if kind == Kind::Datagrams {
            let text = "a datagram socket is not a stream: use recv and send";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(End { fd, kind, limit, cursor: None })
    }

    /// Makes transfers take their turn at the cursor, if this is a file. Anything else that was
    /// opened as one (a FIFO) may wait for ever, and must not keep others from their turn for as
    /// long.
    pub(crate) fn in_turn(self, state: &'a State) -> End<'a> {
        End { cursor: self.is_file().then_some(state), ..self }
    }

    /// Returns one end of a pipe buffer.
    pub(super) fn of_pipe_buffer(fd: BorrowedFd<'a>) -> End<'a> {
        End { fd, kind: Kind::Pipe, limit: None, cursor: None }
    }

    pub(super) fn is_file(&self) -> bool {
        self.kind == Kind::File
    }

    /// Tells whether splice(2) may be tried with it on this thread.
    pub(super) fn can_splice(&self) -> bool {
        matches!(self.kind, Kind::File | Kind::Pipe | Kind::Socket)
    }
}

/// Makes a call that moves the cursors of `ends`, with the turn at each of them. During a turn a
/// call waits for nothing but a disk.
///
/// The turns are taken in the order of the states' addresses: in another order, two transfers in
/// opposite directions could each have the turn that the other one waits for.
pub(super) fn with_cursors<T, const N: usize>(
    ends: [&End<'_>; N],
    call: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    let mut cursors = ends.map(|end| end.cursor);
    cursors.sort_unstable_by_key(|state| state.map(|state| std::ptr::from_ref(state).addr()));
    with_each(&cursors, call)
}

/// Makes a call with the turn at each of `cursors`, taken one after another.
fn with_each<T>(cursors: &[Option<&State>], call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let Some((first, others)) = cursors.split_first() else { return call() };
    // Two handles of one file share its cursor: one turn is enough.
    let is_last =
        |state: &&State| !others.iter().flatten().any(|other| std::ptr::eq(*other, *state));
    match first.filter(is_last) {
        Some(state) => Turn::take(state)?.during(|| with_each(others, call)),
        None => with_each(others, call),
    }
}
