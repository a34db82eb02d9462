//! Protocols without I/O: all that a server needs to know of a protocol, and nothing of sockets,
//! threads or clocks.
//!
//! ```text
//!            received bytes ──▶ Protocol::decode ──▶ a request, or "more", or an error
//! a request, Exchange (time, body) ──▶ Protocol::respond ──▶ parts in a Reply; keep or close
//! ```
//!
//! A [`Protocol`] is the server's side of one connection. A *driver* reads and writes for it
//! (`overlapped-serve` is one, over tasklets and a completion port) and keeps these promises:
//!
//! - bytes that `decode` did not take are passed in again, followed by what has arrived since;
//! - the reply to a request is sent before the next request is answered;
//! - after [`Next::Close`] or [`Malformed`] the driver decodes nothing more.
//!
//! | module | protocol |
//! |---|---|
//! | [`echo`] | every byte is sent back |
//! | [`bracket`] | received bytes are sent back in brackets |
//! | [`length`] | messages preceded by their length |
//! | [`mod@line`] | lines |
//! | [`zen`] | the Zen game |
//! | [`http`] | HTTP/1.1, answered by a [`Service`](http::Service) |
//! | `codec` | messages that a codec of `tokio_util` frames (feature `tokio-codec`) |
//!
//! A protocol does not depend on how the network split the bytes: it sees a growing prefix of the
//! stream and takes the same decisions wherever the prefix ends. ([`bracket`] is the exception, on
//! purpose.)

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

/// The README's examples, compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
