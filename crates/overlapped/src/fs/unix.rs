//! The functions of `std::os::unix::fs`.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use super::owned_operation::{OwnedOperation, c_path};
use crate::sys::{descriptor, file};
use crate::task::blocking::on_pool;

/// Creates a symbolic link.
///
/// # Errors
/// Those of symlink(2).
pub fn symlink<P: AsRef<Path>, Q: AsRef<Path>>(original: P, link: Q) -> io::Result<()> {
    let (target, link) = (c_path(original.as_ref())?, c_path(link.as_ref())?);
    OwnedOperation::Symlink { target, link }.run().map(drop)
}

/// Changes the root directory of the whole process. The working directory stays where it is.
///
/// # Errors
/// Those of chroot(2).
pub fn chroot<P: AsRef<Path>>(dir: P) -> io::Result<()> {
    let path = dir.as_ref().to_owned();
    on_pool("chroot", move |_| file::change_root(&path))
}

/// Changes a file's owner and group, as far as they are given; symbolic links are followed.
///
/// # Errors
/// Those of chown(2).
pub fn chown<P: AsRef<Path>>(dir: P, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    let path = dir.as_ref().to_owned();
    on_pool("chown", move |_| file::change_owner(&path, (uid, gid), true))
}

/// Changes the owner and group of a file, or of the symbolic link itself.
///
/// # Errors
/// Those of lchown(2).
pub fn lchown<P: AsRef<Path>>(dir: P, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    let path = dir.as_ref().to_owned();
    on_pool("lchown", move |_| file::change_owner(&path, (uid, gid), false))
}

/// Changes an open file's owner and group.
///
/// # Errors
/// Those of fchown(2).
pub fn fchown<F: AsFd>(fd: F, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    // A killed caller may close its own descriptor before the job has ended.
    let fd = descriptor::duplicate(fd.as_fd())?;
    on_pool("fchown", move |_| file::change_owner_of(&fd, (uid, gid)))
}
