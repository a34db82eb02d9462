//! Protocols without I/O: what a server must know of one, nothing of sockets, threads or clocks.
//!
//! ```text
//!             bytes that came ──▶ Protocol::decode ──▶ a request, or "more", or what is wrong
//! a request, Exchange (time, body) ──▶ Protocol::respond ──▶ parts in a Reply; keep or close
//! ```
//!
//! A [`Protocol`] is one connection's side of a conversation. Whoever drives it reads and writes
//! (`overlapped-serve` does, over tasklets and a completion port) and keeps its promises: bytes
//! that were not taken are shown again, with what has come meanwhile; a request's reply is sent
//! before the next request is answered; after [`Next::Close`] or [`Malformed`] nothing is decoded
//! any more.
//!
//! | module | protocol |
//! |---|---|
//! | [`echo`] | every byte is sent back |
//! | [`bracket`] | what comes is sent back in brackets |
//! | [`length`] | messages with their length in front |
//! | [`mod@line`] | lines |
//! | [`zen`] | the Zen game |
//! | [`http`] | HTTP/1.1, answered by a [`Service`](http::Service) |
//! | `codec` | whatever a codec of `tokio_util` frames (feature `tokio-codec`) |
//!
//! How the bytes were split on their way never matters: a protocol sees a growing prefix of what is
//! to come, and decides the same wherever it ends.

#![forbid(unsafe_code)]

pub mod bracket;
#[cfg(feature = "tokio-codec")]
pub mod codec;
pub mod echo;
pub mod http;
pub mod length;
pub mod line;
mod protocol;
mod reply;
pub mod zen;

pub use protocol::{
    AccessRecord, BodyDecoder, Decoded, Exchange, Malformed, Next, Piece, Protocol,
};
pub use reply::{Part, Reply};
