//! Servers: listeners, a tasklet per connection, and a protocol or a plain function that answers.
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
//! A [`Protocol`](overlapped_wire::Protocol) knows nothing of sockets: it turns bytes into replies.
//! This crate handles what the internet does to a server: [`Limits`] on connections, sizes and
//! times, back-pressure, a shortage of descriptors, and stops that finish the requests in progress.
//!
//! # Folders
//!
//! Each folder imports only from those below it:
//!
//! ```text
//! server/     Server: its listeners, threads, signals, stop     web/  HTTP handlers: files, CGI
//! listen/     listening sockets: bind, inherit, accept; the connection task
//! session/    Connection; the conversation between a client and a protocol
//! stream/     a socket, TLS and the PROXY header on it     telemetry/  access log, metrics page
//! state/      what connections, threads and listeners share: limits, counters, rate
//! tls/        certificates     peer.rs  the client's identity
//! ```

#![forbid(unsafe_code)]

#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod listen;
mod locks;
mod peer;
mod server;
mod session;
mod state;
mod stream;
mod telemetry;
mod tls;
pub mod web;

pub use listen::Listen;
pub use peer::{Peer, TlsPeer};
pub use server::{Handle, Server};
pub use session::Connection;
pub use state::{Address, Limits, Totals};
pub use telemetry::{AccessLog, LogFormat};
pub use tls::Tls;

/// The README's examples, compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
