//! `Metadata` and `FileType`, made from the kernel's status of a file.

use std::fmt;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
#[cfg(target_os = "linux")]
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::sys::file::mode;
use crate::sys::file::status::{StatBuf, StatTime};

#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
#[expect(deprecated, reason = "std's `MetadataExt` for Linux returns it")]
type RawStat = std::os::linux::raw::stat;

/// The metadata of a file; the counterpart of `std::fs::Metadata`, whose values std alone can make.
///
/// std's `MetadataExt` for Unix and the one for Linux work on it, too.
///
/// ```
/// overlapped::run(|| {
///     let metadata = overlapped::fs::metadata(".")?;
///     assert!(metadata.is_dir());
///     std::io::Result::Ok(())
/// }).unwrap().unwrap();
/// ```
#[derive(Clone)]
pub struct Metadata {
    stat: StatBuf,
    /// Made on demand.
    #[cfg(target_os = "linux")]
    raw: OnceLock<Box<RawStat>>,
}

impl Metadata {
    pub(super) fn new(stat: StatBuf) -> Metadata {
        Metadata {
            stat,
            #[cfg(target_os = "linux")]
            raw: OnceLock::new(),
        }
    }

    /// Returns the kind of the file.
    #[must_use]
    pub fn file_type(&self) -> FileType {
        FileType { mode: self.stat.mode.into() }
    }

    /// Tells whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.file_type().is_dir()
    }

    /// Tells whether it is a regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.file_type().is_file()
    }

    /// Tells whether the file is a symbolic link, which only
    /// [`symlink_metadata`](super::symlink_metadata) shows.
    #[must_use]
    pub fn is_symlink(&self) -> bool {
        self.file_type().is_symlink()
    }

    /// Returns its size in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "as std's")]
    pub fn len(&self) -> u64 {
        self.stat.size
    }

    /// Returns its permissions.
    #[must_use]
    pub fn permissions(&self) -> Permissions {
        Permissions::from_mode(self.stat.mode.into())
    }

    /// Returns the time of the last change of its contents.
    ///
    /// # Errors
    /// `InvalidData` for a time that no `SystemTime` can hold.
    pub fn modified(&self) -> io::Result<SystemTime> {
        time(self.stat.modified)
    }

    /// Returns the time of the last read of its contents, as far as the file system keeps it.
    ///
    /// # Errors
    /// As [`modified`](Metadata::modified).
    pub fn accessed(&self) -> io::Result<SystemTime> {
        time(self.stat.accessed)
    }

    /// Returns the time of its creation.
    ///
    /// # Errors
    /// `Unsupported` if the file system does not keep it.
    pub fn created(&self) -> io::Result<SystemTime> {
        let Some(created) = self.stat.created() else {
            let text = "creation time is not available for the filesystem";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        };
        time(created)
    }
}

fn time(time: StatTime) -> io::Result<SystemTime> {
    let seconds = Duration::from_secs(time.seconds.unsigned_abs());
    let whole = if time.seconds < 0 {
        UNIX_EPOCH.checked_sub(seconds)
    } else {
        UNIX_EPOCH.checked_add(seconds)
    };
    let exact = whole.and_then(|whole| whole.checked_add(Duration::from_nanos(time.nanos.into())));
    exact.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "invalid timestamp"))
}

impl MetadataExt for Metadata {
    fn dev(&self) -> u64 {
        self.stat.device()
    }
    fn ino(&self) -> u64 {
        self.stat.inode
    }
    fn mode(&self) -> u32 {
        self.stat.mode.into()
    }
    fn nlink(&self) -> u64 {
        self.stat.links.into()
    }
    fn uid(&self) -> u32 {
        self.stat.uid
    }
    fn gid(&self) -> u32 {
        self.stat.gid
    }
    fn rdev(&self) -> u64 {
        self.stat.own_device()
    }
    fn size(&self) -> u64 {
        self.stat.size
    }
    fn atime(&self) -> i64 {
        self.stat.accessed.seconds
    }
    fn atime_nsec(&self) -> i64 {
        self.stat.accessed.nanos.into()
    }
    fn mtime(&self) -> i64 {
        self.stat.modified.seconds
    }
    fn mtime_nsec(&self) -> i64 {
        self.stat.modified.nanos.into()
    }
    fn ctime(&self) -> i64 {
        self.stat.changed.seconds
    }
    fn ctime_nsec(&self) -> i64 {
        self.stat.changed.nanos.into()
    }
    fn blksize(&self) -> u64 {
        self.stat.block_size.into()
    }
    fn blocks(&self) -> u64 {
        self.stat.blocks
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Metadata");
        out.field("file_type", &self.file_type());
        out.field("permissions", &self.permissions());
        out.field("len", &self.len());
        for (name, time) in [
            ("modified", self.modified()),
            ("accessed", self.accessed()),
            ("created", self.created()),
        ] {
            if let Ok(time) = time {
                out.field(name, &time);
            }
        }
        out.finish_non_exhaustive()
    }
}

/// A kind of file; the counterpart of `std::fs::FileType`. std's `FileTypeExt` for Unix works on
/// it, too.
#[derive(Clone, Copy)]
pub struct FileType {
    /// The whole mode, or the bits of its kind.
    mode: u32,
}

impl FileType {
    pub(super) fn from_mode(mode: u32) -> FileType {
        FileType { mode }
    }

    fn bits(self) -> u32 {
        self.mode & mode::FORMAT
    }

    /// Tells whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.bits() == mode::DIRECTORY
    }

    /// Tells whether it is a regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.bits() == mode::REGULAR
    }

    /// Tells whether it is a symbolic link.
    #[must_use]
    pub fn is_symlink(&self) -> bool {
        self.bits() == mode::LINK
    }
}

impl FileTypeExt for FileType {
    fn is_block_device(&self) -> bool {
        self.bits() == mode::BLOCK_DEVICE
    }
    fn is_char_device(&self) -> bool {
        self.bits() == mode::CHAR_DEVICE
    }
    fn is_fifo(&self) -> bool {
        self.bits() == mode::FIFO
    }
    fn is_socket(&self) -> bool {
        self.bits() == mode::SOCKET
    }
}

impl PartialEq for FileType {
    fn eq(&self, other: &FileType) -> bool {
        self.bits() == other.bits()
    }
}

impl Eq for FileType {}

impl std::hash::Hash for FileType {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.bits().hash(state);
    }
}

impl fmt::Debug for FileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileType")
            .field("is_file", &self.is_file())
            .field("is_dir", &self.is_dir())
            .field("is_symlink", &self.is_symlink())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_are_those_of_libc() {
        let mut stat = StatBuf::default();
        stat.modified.seconds = -2;
        stat.modified.nanos = 500_000_000;
        let metadata = Metadata::new(stat);
        assert_eq!(metadata.modified().unwrap(), UNIX_EPOCH - Duration::from_millis(1500));
        assert_eq!(metadata.created().unwrap_err().kind(), io::ErrorKind::Unsupported);
        (stat.modified.seconds, stat.modified.nanos) = (i64::MAX, u32::MAX);
        assert!(Metadata::new(stat).modified().is_err());
    }
}
