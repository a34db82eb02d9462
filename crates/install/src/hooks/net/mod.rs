//! Sockets, connections, names of hosts.

mod connections;
mod names;
mod sockets;

pub(crate) use connections::*;
pub(crate) use names::*;
pub(crate) use sockets::*;
