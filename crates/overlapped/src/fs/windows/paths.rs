//! Functions on paths: looking up, renaming, linking and removing.

use std::fs::Permissions;
use std::io;
use std::path::{Path, PathBuf};

use super::Metadata;
use crate::sys::file;
use crate::task::blocking::on_pool;

/// Returns the metadata of a file; symbolic links are followed.
///
/// # Errors
/// Those of opening it: `NotFound` first of all.
pub fn metadata<P: AsRef<Path>>(path: P) -> io::Result<Metadata> {
    let path = path.as_ref().to_owned();
    on_pool("the metadata of a path", move |_| file::metadata(path))
}

/// Returns the metadata of a file, or of the symbolic link itself.
///
/// # Errors
/// As [`metadata`].
pub fn symlink_metadata<P: AsRef<Path>>(path: P) -> io::Result<Metadata> {
    let path = path.as_ref().to_owned();
    on_pool("the metadata of a path", move |_| file::symlink_metadata(path))
}

/// Tells whether the path exists; symbolic links are followed.
///
/// # Errors
/// Those of [`metadata`], except for `NotFound`.
pub fn exists<P: AsRef<Path>>(path: P) -> io::Result<bool> {
    let path = path.as_ref().to_owned();
    on_pool("a look whether a path exists", move |_| file::exists(path))
}

/// Removes a file, or a symbolic link to one.
///
/// # Errors
/// Those of DeleteFile.
pub fn remove_file<P: AsRef<Path>>(path: P) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    on_pool("the removal of a file", move |_| file::remove_file(path))
}

/// Removes an empty directory, or a symbolic link to one.
///
/// # Errors
/// Those of RemoveDirectory.
pub fn remove_dir<P: AsRef<Path>>(path: P) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    on_pool("the removal of a directory", move |_| file::remove_dir(path))
}

/// Removes a directory with its contents. Symbolic links are removed and never followed.
///
/// The whole removal is one job of the pool. A kill takes effect when it has ended.
///
/// # Errors
/// The first one; the files that were removed before it are gone.
pub fn remove_dir_all<P: AsRef<Path>>(path: P) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    on_pool("a removal", move |_| file::remove_dir_all(path))
}

/// Returns the path that a symbolic link leads to.
///
/// # Errors
/// `InvalidInput` and others if it is not a link.
pub fn read_link<P: AsRef<Path>>(path: P) -> io::Result<PathBuf> {
    let path = path.as_ref().to_owned();
    on_pool("the reading of a link", move |_| file::read_link(path))
}

/// Returns the absolute path, without symbolic links and dots, in the form `\\?\C:\…`.
///
/// # Errors
/// Those of opening it: every component must exist.
pub fn canonicalize<P: AsRef<Path>>(path: P) -> io::Result<PathBuf> {
    let path = path.as_ref().to_owned();
    on_pool("the search for an absolute path", move |_| file::canonicalize(path))
}

/// Renames a file. A file that has the new name is replaced.
///
/// # Errors
/// Those of SetFileInformationByHandle and MoveFileEx.
pub fn rename<P: AsRef<Path>, Q: AsRef<Path>>(from: P, to: Q) -> io::Result<()> {
    let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
    on_pool("a renaming", move |_| file::rename(from, to))
}

/// Creates another name for a file (a hard link).
///
/// # Errors
/// Those of CreateHardLink.
pub fn hard_link<P: AsRef<Path>, Q: AsRef<Path>>(original: P, link: Q) -> io::Result<()> {
    let (original, link) = (original.as_ref().to_owned(), link.as_ref().to_owned());
    on_pool("the creation of a link", move |_| file::hard_link(original, link))
}

/// Creates a symbolic link to a file.
///
/// # Errors
/// Those of CreateSymbolicLink: it needs a privilege, or the developer mode.
pub fn symlink_file<P: AsRef<Path>, Q: AsRef<Path>>(original: P, link: Q) -> io::Result<()> {
    let (original, link) = (original.as_ref().to_owned(), link.as_ref().to_owned());
    on_pool("the creation of a link", move |_| file::symlink_file(original, link))
}

/// Creates a symbolic link to a directory.
///
/// # Errors
/// As [`symlink_file`].
pub fn symlink_dir<P: AsRef<Path>, Q: AsRef<Path>>(original: P, link: Q) -> io::Result<()> {
    let (original, link) = (original.as_ref().to_owned(), link.as_ref().to_owned());
    on_pool("the creation of a link", move |_| file::symlink_dir(original, link))
}

/// Creates a symbolic link to a file.
///
/// # Errors
/// As [`symlink_file`].
#[deprecated(note = "replaced with overlapped::os::windows::fs::symlink_file, as in std")]
pub fn soft_link<P: AsRef<Path>, Q: AsRef<Path>>(original: P, link: Q) -> io::Result<()> {
    symlink_file(original, link)
}

/// Changes a file's permissions: the attribute "read-only".
///
/// # Errors
/// Those of SetFileAttributes.
pub fn set_permissions<P: AsRef<Path>>(path: P, permissions: Permissions) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    on_pool("the change of permissions", move |_| file::set_permissions(path, permissions))
}
