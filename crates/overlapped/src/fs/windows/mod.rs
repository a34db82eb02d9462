//! Files and directories on Windows: every call that may wait is a job of the pool.
//!
//! ```text
//! File::read ──▶ turn at the file ──▶ on a disk ────────▶ job of the pool ────▶ copy to the caller
//!                                     a pipe, a device ─▶ thread of its own ──▶ copy
//! ```
//!
//! A job owns the memory that it works on, a share of the open file, and the turn at the file's
//! cursor. So a tasklet can be abandoned while the system still reads, and the file stays open and
//! its other users wait until the job has ended.
//!
//! The system performs one call at a time on such a file: it locks the open file for each, also for
//! transfers at an offset, which move the cursor. So all calls on a file take the same turn. The
//! wait for it is a tasklet's, and a kill ends it; a wait inside of the system would hold a thread.
//!
//! Metadata, kinds, permissions and entries of directories are std's own types: they carry what the
//! system has told and make no calls.

mod convert;
mod dir;
mod file;
mod lock;
mod open;
mod paths;
mod transfer;
mod whole;

pub use crate::sys::file::{DirEntry, FileType, Metadata, TryLockError};
pub use dir::{DirBuilder, ReadDir, create_dir, create_dir_all, read_dir};
pub use file::File;
pub use open::OpenOptions;
#[expect(deprecated, reason = "std's, which is deprecated, too")]
pub use paths::soft_link;
pub use paths::{
    canonicalize, exists, hard_link, metadata, read_link, remove_dir, remove_dir_all, remove_file,
    rename, set_permissions, symlink_dir, symlink_file, symlink_metadata,
};
pub use whole::{copy, read, read_to_string, write};
