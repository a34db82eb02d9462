//! Items that only some systems have, at std's paths.

/// Descriptors.
#[cfg(unix)]
pub mod fd {
    pub use crate::io::raw;
}

/// Unix.
#[cfg(unix)]
pub mod unix {
    /// Functions and traits for files on Unix. The traits are std's: they work on this library's
    /// types.
    pub mod fs {
        pub use std::os::unix::fs::{
            DirBuilderExt, DirEntryExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt,
            PermissionsExt,
        };

        pub use crate::fs::unix::{chown, chroot, fchown, lchown, symlink};
    }

    /// Sockets of the Unix family, with std's own signatures, blocking only the calling tasklet.
    ///
    /// [`SocketAddr`](net::SocketAddr) is std's own type; abstract names are made by
    /// `std::os::linux::net::SocketAddrExt`.
    pub mod net {
        pub use crate::net::unix::{Incoming, SocketAddr, UnixDatagram, UnixListener, UnixStream};
    }

    /// Methods that `Command` and `Child` have on Unix only.
    pub mod process {
        pub use crate::process::{ChildExt, CommandExt};
    }
}

/// Linux.
#[cfg(target_os = "linux")]
pub mod linux {
    /// The trait for files on Linux. It is std's: it works on this library's types.
    pub mod fs {
        pub use std::os::linux::fs::MetadataExt;
    }
}

/// Windows.
#[cfg(windows)]
pub mod windows {
    /// Functions and traits for files on Windows. The traits are std's: they work on this library's
    /// types.
    pub mod fs {
        pub use std::os::windows::fs::{
            FileExt, FileTimesExt, FileTypeExt, MetadataExt, OpenOptionsExt,
        };

        pub use crate::fs::windows::{symlink_dir, symlink_file};
    }
}
