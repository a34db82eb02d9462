//! The write buffer: replies that wait to be sent, so that one send takes many of them.
//!
//! ```text
//!  ready   bytes to send next, in order  ┐ a flush sends both
//!  reply   where protocols write         ┘
//! ```
//!
//! As long as replies are nothing but bytes, they stay where the protocol wrote them. The parts of
//! other replies are resolved by `reply/parts.rs`: small files join the bytes around them in
//! `ready`, and everything else is sent directly.

use std::cell::RefCell;

use overlapped_wire::Reply;

/// The number of bytes above which the buffer is flushed before the next request is answered.
pub(crate) const FULL: usize = 64 << 10;
/// The maximum number of buffers that a thread keeps for the next use. Few sessions answer at the
/// same time.
const POOL_MAX: usize = 32;

/// Replies that wait to be sent. A session takes a buffer while it answers and gives it back, so
/// idle sessions have none.
#[derive(Debug, Default)]
pub(crate) struct WriteBuffer {
    pub(crate) ready: Vec<u8>,
    pub(crate) reply: Reply,
}

impl WriteBuffer {
    /// Returns the number of bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.ready.len() + self.reply.bytes().len()
    }

    /// Moves the bytes of `reply` to `ready`, before what is written to `reply` from now on.
    pub(crate) fn seal(&mut self) {
        self.ready.extend_from_slice(self.reply.bytes());
        self.clear_reply();
    }

    /// Empties `reply`.
    pub(crate) fn clear_reply(&mut self) {
        self.reply.clear(2 * FULL);
    }

    /// Empties the buffer, and frees memory if it is unusually large.
    fn clear(&mut self) {
        self.ready.clear();
        self.ready.shrink_to(2 * FULL);
        self.clear_reply();
    }
}

/// The write buffers of a thread that are not in use.
#[derive(Debug, Default)]
pub(crate) struct WriteBufferPool {
    buffers: RefCell<Vec<WriteBuffer>>,
}

impl WriteBufferPool {
    pub(crate) fn take(&self) -> WriteBuffer {
        self.buffers.borrow_mut().pop().unwrap_or_default()
    }

    pub(crate) fn give_back(&self, mut buffer: WriteBuffer) {
        let mut buffers = self.buffers.borrow_mut();
        if buffers.len() < POOL_MAX {
            buffer.clear();
            buffers.push(buffer);
        }
    }
}
