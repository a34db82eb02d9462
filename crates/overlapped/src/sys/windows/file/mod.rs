//! Files and paths by std's own calls, each of which blocks the thread that makes it. Metadata,
//! kinds and entries are std's own types: they make no calls.

mod paths;
mod transfer;

pub(crate) use std::fs::{DirBuilder as DirOptions, File as Handle, OpenOptions as Options};
pub use std::fs::{DirEntry, FileType, Metadata, TryLockError};

pub(crate) use paths::{
    Batch, Listing, canonicalize, copy, create_dir, exists, hard_link, metadata, open_listing,
    read_link, remove_dir, remove_dir_all, remove_file, rename, set_permissions, symlink_dir,
    symlink_file, symlink_metadata,
};
pub(crate) use transfer::{
    Lock, Whole, bytes_left, duplicate, lock, metadata_of, open, read, read_to_end, read_whole,
    seek, set_len, set_permissions_of, set_times, sync, try_lock, unlock, write,
};

/// The kind of an open file.
pub(crate) mod nonblocking {
    use std::os::windows::io::{AsHandle, AsRawHandle};

    use windows_sys::Win32::Storage::FileSystem::{FILE_TYPE_DISK, GetFileType};

    /// The kind of a file, by how its operations end.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum FileKind {
        /// A file on a disk.
        Disk { direct: bool, append: bool },
        /// A socket.
        Socket,
        /// A pipe, a console or another device.
        Stream,
    }

    /// Asks for the kind of an open file.
    pub(crate) fn kind(file: impl AsHandle) -> FileKind {
        // SAFETY: an open handle, by the borrow.
        match unsafe { GetFileType(file.as_handle().as_raw_handle()) } {
            FILE_TYPE_DISK => FileKind::Disk { direct: false, append: false },
            _ => FileKind::Stream,
        }
    }
}
