//! The kind of a file, as bits of its mode (inode(7)), in 32 bits on every system.

use crate::sys::native::abi::mode_bits;

/// All bits of a file's kind.
pub(crate) const FORMAT: u32 = mode_bits(libc::S_IFMT);
pub(crate) const BLOCK_DEVICE: u32 = mode_bits(libc::S_IFBLK);
pub(crate) const CHAR_DEVICE: u32 = mode_bits(libc::S_IFCHR);
pub(crate) const DIRECTORY: u32 = mode_bits(libc::S_IFDIR);
pub(crate) const FIFO: u32 = mode_bits(libc::S_IFIFO);
pub(crate) const LINK: u32 = mode_bits(libc::S_IFLNK);
pub(crate) const REGULAR: u32 = mode_bits(libc::S_IFREG);
pub(crate) const SOCKET: u32 = mode_bits(libc::S_IFSOCK);
