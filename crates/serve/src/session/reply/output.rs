//! The output of a session: bytes that are ready, and the connection that takes them.

use crate::session::buffers::WriteBuffer;
use crate::session::{Connection, End};
use crate::state::MinimumRate;

/// The output of one reply.
pub(super) struct Output<'a> {
    pub(super) connection: &'a Connection,
    pub(super) ready: &'a mut Vec<u8>,
    pub(super) rate: MinimumRate,
}

impl Output<'_> {
    /// Sends the bytes that are ready.
    pub(super) fn flush(&mut self) -> Result<(), End> {
        self.connection.send(self.ready, &mut self.rate).map_err(End::from_write)?;
        self.ready.clear();
        Ok(())
    }
}

/// Sends everything in `buffer`.
pub(crate) fn flush(connection: &Connection, buffer: &mut WriteBuffer) -> Result<(), End> {
    let mut rate = MinimumRate::of_reader(&connection.context().limits);
    if !buffer.ready.is_empty() {
        buffer.seal();
        connection.send(&buffer.ready, &mut rate).map_err(End::from_write)?;
        buffer.ready.clear();
    } else if !buffer.reply.bytes().is_empty() {
        connection.send(buffer.reply.bytes(), &mut rate).map_err(End::from_write)?;
        buffer.clear_reply();
    }
    Ok(())
}
