//! HTTP/1.1, the server's side (RFC 9110, RFC 9112).

mod service;

pub use service::{Answer, Content, Service, text};
