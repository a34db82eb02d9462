//! Files and directories with std's own signatures, blocking only the calling tasklet.
//!
//! | here | as in std, and |
//! |---|---|
//! | [`File`], [`OpenOptions`] | any number of tasklets may use one file |
//! | [`Metadata`], [`FileType`] | types of this library, because std alone can make its own |
//! | [`Permissions`], [`FileTimes`] | std's own types |
//! | [`read`], [`write`](write()), [`copy`], [`rename`], … | |
//! | [`AlignedBuf`] | memory for files opened with `O_DIRECT` |
//!
//! The traits of `std::os::unix::fs` (`FileExt`, `OpenOptionsExt`, `MetadataExt` …) work on these
//! types; its functions are in [`os::unix::fs`](crate::os::unix::fs).
//!
//! On io_uring the ring performs an operation if it has it. A thread of the pool, on memory of its
//! own, performs those that the ring does not have (listing directories, reading links, permissions
//! and times), and on readiness all that may wait for a disk. Bytes that are in the page cache are
//! read in place. There is one exception: while other tasklets are ready, the ring makes reads at
//! an offset, for all of them in one call. Opens of FIFOs and devices, and waits for locks, may
//! last for ever: they have threads of their own, so that they hold up no other call. Outside a
//! scheduler every call blocks the thread, as std's do.
//!
//! On Windows the pool makes all calls that may wait, and [`Metadata`] and [`FileType`] are std's
//! own types. The traits are those of `std::os::windows::fs`.
//!
//! One wait cannot be avoided here: when a file is opened or closed on a file system that is a
//! program (FUSE) or a server (NFS), the kernel itself asks that program or server. If its answer
//! takes long, open and drop such files inside [`unblock`](crate::task::unblock).

mod aligned;
#[cfg(unix)]
mod dir;
#[cfg(unix)]
mod file;
#[cfg(unix)]
mod metadata;
#[cfg(unix)]
mod open;
#[cfg(unix)]
mod owned_operation;
#[cfg(unix)]
mod paths;
#[cfg(unix)]
pub(crate) mod unix;
#[cfg(unix)]
mod whole;
#[cfg(windows)]
pub(crate) mod windows;

pub use std::fs::{FileTimes, Permissions};

pub use aligned::AlignedBuf;
#[cfg(unix)]
pub use dir::{DirBuilder, DirEntry, ReadDir, create_dir, create_dir_all, read_dir};
#[cfg(unix)]
pub use file::{File, TryLockError};
#[cfg(unix)]
pub use metadata::{FileType, Metadata};
#[cfg(unix)]
pub use open::OpenOptions;
#[cfg(unix)]
#[expect(deprecated, reason = "std's, which is deprecated, too")]
pub use paths::soft_link;
#[cfg(unix)]
pub use paths::{
    canonicalize, exists, hard_link, metadata, read_link, remove_dir, remove_dir_all, remove_file,
    rename, set_permissions, symlink_metadata,
};
#[cfg(unix)]
pub use whole::{copy, read, read_to_string, write};
#[cfg(windows)]
#[expect(deprecated, reason = "std's, which is deprecated, too")]
pub use windows::soft_link;
#[cfg(windows)]
pub use windows::{
    DirBuilder, DirEntry, File, FileType, Metadata, OpenOptions, ReadDir, TryLockError,
    canonicalize, copy, create_dir, create_dir_all, exists, hard_link, metadata, read, read_dir,
    read_link, read_to_string, remove_dir, remove_dir_all, remove_file, rename, set_permissions,
    symlink_metadata, write,
};
