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
//! One wait cannot be avoided here: when a file is opened or closed on a file system that is a
//! program (FUSE) or a server (NFS), the kernel itself asks that program or server. If its answer
//! takes long, open and drop such files inside [`unblock`](crate::task::unblock).

mod aligned;
mod dir;
mod file;
mod metadata;
mod open;
mod owned_operation;
mod paths;
pub(crate) mod unix;
mod whole;

pub use std::fs::{FileTimes, Permissions};

pub use aligned::AlignedBuf;
pub use dir::{DirBuilder, DirEntry, ReadDir, create_dir, create_dir_all, read_dir};
pub use file::{File, TryLockError};
pub use metadata::{FileType, Metadata};
pub use open::OpenOptions;
#[expect(deprecated, reason = "std's, which is deprecated, too")]
pub use paths::soft_link;
pub use paths::{
    canonicalize, exists, hard_link, metadata, read_link, remove_dir, remove_dir_all, remove_file,
    rename, set_permissions, symlink_metadata,
};
pub use whole::{copy, read, read_to_string, write};
