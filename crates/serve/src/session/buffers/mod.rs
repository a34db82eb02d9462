//! Buffers between a connection and a protocol.

mod read;
mod write;

pub(crate) use read::ReadBuffer;
pub(crate) use write::{FULL, WriteBuffer, WriteBufferPool};
