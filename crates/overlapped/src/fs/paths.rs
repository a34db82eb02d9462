//! Functions on paths: looking up, renaming, linking and removing.

use std::fs::Permissions;
use std::io;
use std::path::{Path, PathBuf};

use super::Metadata;
use super::owned_operation::{Base, OwnedOperation, c_path, stat};
use crate::sys::file;
use crate::task::blocking::on_pool;

/// Returns the metadata of a file; symbolic links are followed.
///
/// # Errors
/// Those of statx(2): `NotFound` first of all.
pub fn metadata<P: AsRef<Path>>(path: P) -> io::Result<Metadata> {
    stat(Base::Here, c_path(path.as_ref())?, true).map(Metadata::new)
}

/// Returns the metadata of a file, or of the symbolic link itself.
///
/// # Errors
/// Those of statx(2).
pub fn symlink_metadata<P: AsRef<Path>>(path: P) -> io::Result<Metadata> {
    stat(Base::Here, c_path(path.as_ref())?, false).map(Metadata::new)
}

/// Tells whether the path exists; symbolic links are followed.
///
/// # Errors
/// Those of statx(2) except for `NotFound`: then it is unknown whether the path exists.
pub fn exists<P: AsRef<Path>>(path: P) -> io::Result<bool> {
    match metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Renames a file. A file that has the new name is replaced.
///
/// # Errors
/// Those of rename(2).
pub fn rename<P: AsRef<Path>, Q: AsRef<Path>>(from: P, to: Q) -> io::Result<()> {
    let (from, to) = (c_path(from.as_ref())?, c_path(to.as_ref())?);
    OwnedOperation::Rename { from, to }.run().map(drop)
}

/// Removes a file, or a symbolic link.
///
/// # Errors
/// Those of unlink(2).
pub fn remove_file<P: AsRef<Path>>(path: P) -> io::Result<()> {
    OwnedOperation::Unlink { path: c_path(path.as_ref())?, directory: false }.run().map(drop)
}

/// Removes an empty directory.
///
/// # Errors
/// Those of rmdir(2).
pub fn remove_dir<P: AsRef<Path>>(path: P) -> io::Result<()> {
    OwnedOperation::Unlink { path: c_path(path.as_ref())?, directory: true }.run().map(drop)
}

/// Removes a directory with its contents. Symbolic links are removed and never followed, also if
/// another process puts them in the way meanwhile.
///
/// The whole removal is one job of the pool. A kill stops it at the next entry: it removes no file
/// after the killed tasklet has ended.
///
/// # Errors
/// The first one; the files that were removed before it are gone.
pub fn remove_dir_all<P: AsRef<Path>>(path: P) -> io::Result<()> {
    let path = c_path(path.as_ref())?;
    on_pool("a removal", move |stop| file::remove_tree(&path, || stop.is_set()))
}

/// Creates another name for a file (a hard link).
///
/// # Errors
/// Those of linkat(2).
pub fn hard_link<P: AsRef<Path>, Q: AsRef<Path>>(original: P, link: Q) -> io::Result<()> {
    let (from, to) = (c_path(original.as_ref())?, c_path(link.as_ref())?);
    OwnedOperation::Link { from, to }.run().map(drop)
}

/// Creates a symbolic link.
///
/// # Errors
/// Those of symlink(2).
#[deprecated(note = "replaced with overlapped::os::unix::fs::symlink, as in std")]
pub fn soft_link<P: AsRef<Path>, Q: AsRef<Path>>(original: P, link: Q) -> io::Result<()> {
    super::unix::symlink(original, link)
}

/// Returns the path that a symbolic link leads to.
///
/// # Errors
/// Those of readlink(2): `InvalidInput` if it is not a link.
pub fn read_link<P: AsRef<Path>>(path: P) -> io::Result<PathBuf> {
    let path = path.as_ref().to_owned();
    on_pool("readlink", move |_| file::read_link(&path))
}

/// Returns the absolute path, without symbolic links and dots.
///
/// # Errors
/// Those of realpath(3): every component must exist.
pub fn canonicalize<P: AsRef<Path>>(path: P) -> io::Result<PathBuf> {
    let path = path.as_ref().to_owned();
    on_pool("realpath", move |_| file::canonicalize(&path))
}

/// Changes a file's permissions; symbolic links are followed.
///
/// # Errors
/// Those of chmod(2).
pub fn set_permissions<P: AsRef<Path>>(path: P, permissions: Permissions) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    on_pool("chmod", move |_| file::set_permissions(&path, permissions))
}
