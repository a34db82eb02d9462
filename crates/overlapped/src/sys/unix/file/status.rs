//! Structures of statx(2) and openat2(2).

/// `struct open_how` (openat2(2)).
#[derive(Debug)]
#[repr(C)]
pub(crate) struct OpenHow {
    pub(crate) flags: u64,
    pub(crate) mode: u64,
    pub(crate) resolve: u64,
}

/// What the kernel says of a file: `struct statx` (statx(2)), as far as it is used here.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct StatBuf {
    /// Which fields are filled.
    pub(crate) mask: u32,
    pub(crate) block_size: u32,
    attributes: u64,
    pub(crate) links: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u16,
    pad: u16,
    pub(crate) inode: u64,
    pub(crate) size: u64,
    pub(crate) blocks: u64,
    attributes_mask: u64,
    pub(crate) accessed: StatTime,
    pub(crate) created: StatTime,
    pub(crate) changed: StatTime,
    pub(crate) modified: StatTime,
    pub(crate) rdev_major: u32,
    pub(crate) rdev_minor: u32,
    pub(crate) dev_major: u32,
    pub(crate) dev_minor: u32,
    /// Later kernels write here.
    rest: [u64; 14],
}

/// A time in a [`StatBuf`]: seconds since 1970, perhaps negative, and nanoseconds to be added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct StatTime {
    pub(crate) seconds: i64,
    pub(crate) nanos: u32,
    pad: i32,
}

const _: () = assert!(size_of::<StatBuf>() == 256);
const _: () = assert!(std::mem::offset_of!(StatBuf, dev_minor) == 140);

/// Everything in a [`StatBuf`], as std asks for it.
pub(crate) const STAT_MASK: u32 = libc::STATX_BASIC_STATS | libc::STATX_BTIME;

const _: () = assert!(size_of::<StatBuf>() == size_of::<libc::statx>());
