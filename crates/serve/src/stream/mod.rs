//! A connection's byte stream: a socket, and the handshakes on it.
//!
//! ```text
//! socket   a TCP or Unix socket: its bytes, at the client's minimum rate
//! open     the open sockets of a thread
//! proxy    the PROXY header in front of the bytes
//! tls      plaintext out of the bytes
//! client   whether the client is still there
//! ```

pub(crate) mod client;
mod open;
pub(crate) mod proxy;
mod socket;
pub(crate) mod tls;

pub(crate) use open::{OpenSocket, OpenSockets};
pub(crate) use socket::{Socket, Stream, uninterrupted};
