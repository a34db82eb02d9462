//! Servers: a listener, a tasklet per connection, and a protocol or a plain function on each.

#![forbid(unsafe_code)]

pub mod web;
