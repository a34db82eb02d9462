//! What only some systems have, at std's paths.

/// Unix.
pub mod unix {
    /// Sockets of the Unix family, with std's own signatures, blocking only the calling tasklet.
    ///
    /// [`SocketAddr`] is std's own type; abstract names are made by
    /// `std::os::linux::net::SocketAddrExt`.
    pub mod net {
        pub use crate::net::unix::{Incoming, SocketAddr, UnixDatagram, UnixListener, UnixStream};
    }

    /// What `Command` has on Unix only.
    pub mod process {
        pub use crate::process::CommandExt;
    }
}
