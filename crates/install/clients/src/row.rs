//! A row of the table: a crate, the server that it needs, and the requests through the crate.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::request::{Opener, Result};
use crate::servers::Server;

/// A crate, with the requests through it.
pub(crate) struct Row {
    /// The crate's name, in the registry and in the table; a second row of the same crate adds a
    /// text after a colon.
    pub(crate) name: &'static str,
    /// The server, which answers after 100 ms.
    pub(crate) server: Server,
    /// The request, for the table.
    pub(crate) request: &'static str,
    /// The reason why it does not overlap, for the table.
    pub(crate) note: &'static str,
    /// Begins twenty requests, one by one, on threads or in tasklets.
    pub(crate) start: fn(&Setup) -> Result<Opener>,
}

/// The server and the folders of one measurement.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) address: SocketAddr,
    /// An empty folder of the row.
    pub(crate) folder: PathBuf,
    /// The server's folder.
    pub(crate) server: PathBuf,
}
