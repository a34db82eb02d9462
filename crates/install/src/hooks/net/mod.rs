//! Sockets, connections, names of hosts.

mod connections;
mod hosts;
mod names;
mod sockets;

pub(crate) use connections::*;
pub(crate) use hosts::*;
pub(crate) use names::*;
pub(crate) use sockets::*;
