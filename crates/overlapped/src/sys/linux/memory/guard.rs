//! Reservations without memory, and guards as marks in the page table.

use std::ffi::{c_int, c_void};
use std::io;

/// `MADV_GUARD_INSTALL` of `<linux/mman.h>`, Linux 6.13.
const MADV_GUARD_INSTALL: c_int = 102;

/// Flags of mmap(2) for memory that is committed page by page.
pub(crate) const RESERVATION: c_int = libc::MAP_NORESERVE | libc::MAP_STACK;

/// Refuses huge pages. A kernel without them answers EINVAL: nothing to refuse.
///
/// # Safety
/// The range is mapped, and the caller's own.
pub(crate) unsafe fn refuse_huge_pages(start: *mut c_void, len: usize) {
    // SAFETY: the caller's promise; the advice does not change what is in memory.
    unsafe { libc::madvise(start, len, libc::MADV_NOHUGEPAGE) };
}

/// Makes the range fault, by a mark in the page table.
///
/// # Safety
/// The range is mapped, and the caller's own. No code uses these bytes.
pub(crate) unsafe fn mark(start: *mut c_void, len: usize) -> io::Result<()> {
    loop {
        // SAFETY: the caller's promise.
        if unsafe { libc::madvise(start, len, MADV_GUARD_INSTALL) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Tells whether the kernel can read the byte at `address`, without touching it here.
///
/// `rt_sigprocmask` with a `how` that does not exist copies the mask in before it looks at `how`:
/// EFAULT means unreadable, EINVAL readable. Emulators that accept every advice and ignore it
/// (qemu-user does) are found out this way.
pub(crate) fn is_readable(address: usize) -> bool {
    let set = std::ptr::with_exposed_provenance::<c_void>(address);
    let no_old = std::ptr::null_mut::<c_void>();
    // SAFETY: with an invalid `how` the call changes nothing, and the kernel checks the pointer.
    let done = unsafe { libc::syscall(libc::SYS_rt_sigprocmask, -1, set, no_old, 8usize) };
    done == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::EFAULT)
}

/// Returns the number of mappings that a process may have.
pub(crate) fn mapping_limit() -> usize {
    /// Linux's default.
    const DEFAULT: usize = 65_530;
    let text = std::fs::read_to_string("/proc/sys/vm/max_map_count");
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(DEFAULT)
}
