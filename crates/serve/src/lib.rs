//! Servers: listeners, a tasklet per connection, and a protocol or a plain function on each.
//!
//! ```no_run
//! use overlapped_serve::{Peer, Server};
//! use overlapped_wire::line::Line;
//!
//! let mut server = Server::new();
//! server.listen("127.0.0.1:7011", |_: &Peer| Line::default())?;
//! server.run()?; // until SIGTERM
//! # std::io::Result::Ok(())
//! ```
//!
//! A [`Protocol`](overlapped_wire::Protocol) knows nothing of sockets: bytes in, replies out. What
//! the internet does to a server is answered here: [`Limits`] on connections, sizes and times,
//! back-pressure, the lack of descriptors, stops that finish what is in work.

#![forbid(unsafe_code)]

#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod limits;
mod listen;
mod peer;
mod server;
mod session;
mod stream;
mod watch;
pub mod web;

pub use limits::Limits;
pub use listen::{Address, Listen};
pub use peer::{Peer, TlsPeer};
pub use server::{Handle, Server};
pub use stream::Connection;
pub use stream::tls::Tls;
pub use watch::{AccessLog, LogFormat, Totals};
