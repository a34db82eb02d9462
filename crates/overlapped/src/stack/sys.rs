//! The kernel's side of stacks: every system call on their memory is made here.
//!
//! A [`Mapping`] owns its addresses; the functions that change memory take it by reference and
//! check their range against it, so that no arithmetic mistake reaches other memory.

use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;

use super::GUARD;

/// `MADV_GUARD_INSTALL` of `<linux/mman.h>`, Linux 6.13.
#[cfg(target_os = "linux")]
const MADV_GUARD_INSTALL: libc::c_int = 102;

/// Reserved addresses, readable and writable. Unmapped by [`Mapping::unmap`] only, never by drop.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonZeroUsize,
    len: usize,
}

impl Mapping {
    /// Reserves `len` bytes of address space without committing memory.
    ///
    /// Huge pages are refused: one would commit 2 MiB for the first byte touched. (A program that
    /// calls `mlockall(MCL_FUTURE)` without `MCL_ONFAULT` asks for all of it to be committed.)
    pub(super) fn reserve(len: usize) -> io::Result<Mapping> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        #[cfg(target_os = "linux")]
        let flags = flags | libc::MAP_NORESERVE | libc::MAP_STACK;
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice changes no memory
        // that exists.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, rights, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // A kernel without huge pages answers EINVAL: nothing to refuse.
        #[cfg(target_os = "linux")]
        // SAFETY: the range is the mapping just made; the advice does not change its contents.
        unsafe {
            libc::madvise(start, len, libc::MADV_NOHUGEPAGE);
        }
        let start = NonZeroUsize::new(start.addr()).expect("the kernel does not map page zero");
        Ok(Mapping { start, len })
    }

    pub(super) fn start(&self) -> NonZeroUsize {
        self.start
    }

    pub(super) fn contains(&self, range: &Range<usize>) -> bool {
        let start = self.start.get();
        start <= range.start && range.start <= range.end && range.end <= start + self.len
    }

    /// Makes `GUARD` bytes at `low` fault, by a mark in the page table.
    ///
    /// # Safety
    /// No code uses these bytes.
    #[cfg(target_os = "linux")]
    pub(super) unsafe fn mark_guard(&self, low: usize) -> io::Result<()> {
        assert!(self.contains(&(low..low + GUARD)));
        let at = std::ptr::with_exposed_provenance_mut(low);
        loop {
            // SAFETY: the range is ours and, says the caller, not in use.
            if unsafe { libc::madvise(at, GUARD, MADV_GUARD_INSTALL) } == 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }

    /// Guard marks exist on Linux only.
    ///
    /// # Safety
    /// None needed: it does nothing.
    #[cfg(not(target_os = "linux"))]
    pub(super) unsafe fn mark_guard(&self, _low: usize) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Makes `GUARD` bytes at `low` fault, as a mapping of their own.
    ///
    /// # Safety
    /// No code uses these bytes.
    pub(super) unsafe fn protect_guard(&self, low: usize) -> io::Result<()> {
        assert!(self.contains(&(low..low + GUARD)));
        let at = std::ptr::with_exposed_provenance_mut(low);
        // SAFETY: the range is ours and, says the caller, not in use.
        match unsafe { libc::mprotect(at, GUARD, libc::PROT_NONE) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Returns the memory of `range` to the kernel; it reads as zeroes afterwards.
    ///
    /// # Safety
    /// No code needs the contents of these bytes.
    pub(super) unsafe fn discard(&self, range: Range<usize>) {
        assert!(self.contains(&range));
        let at = std::ptr::with_exposed_provenance_mut(range.start);
        // A refusal (locked memory) leaves it committed: nothing is lost but memory.
        // SAFETY: the range is ours and, says the caller, its contents are not needed.
        unsafe { libc::madvise(at, range.len(), libc::MADV_DONTNEED) };
    }

    /// Returns the addresses to the system.
    ///
    /// # Safety
    /// No code uses any byte of the mapping, now or later.
    pub(super) unsafe fn unmap(self) {
        let at = std::ptr::with_exposed_provenance_mut(self.start.get());
        // A refusal is possible at the limit of mappings (neighbours were merged, the hole splits
        // them); the addresses then stay reserved.
        // SAFETY: the mapping is ours, whole, and not in use.
        unsafe { libc::munmap(at, self.len) };
    }
}

/// Tells whether the kernel can read the byte at `address`, without touching it here.
///
/// `rt_sigprocmask` with a `how` that does not exist copies the mask in before it looks at `how`:
/// EFAULT means unreadable, EINVAL readable. Emulators that accept every advice and ignore it
/// (qemu-user does) are found out this way.
#[cfg(target_os = "linux")]
pub(super) fn is_readable(address: usize) -> bool {
    let set = std::ptr::with_exposed_provenance::<libc::c_void>(address);
    let no_old = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: with an invalid `how` the call changes nothing, and the kernel checks the pointer.
    let done = unsafe { libc::syscall(libc::SYS_rt_sigprocmask, -1, set, no_old, 8usize) };
    done == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::EFAULT)
}

/// Tells nothing on other systems, where nothing depends on the answer.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_readable(_address: usize) -> bool {
    true
}

/// Returns the lowest page of `range` that is in memory. `range` consists of whole pages.
pub(super) fn first_resident(range: Range<usize>) -> Option<usize> {
    const CHUNK: usize = 256;
    let page = page_size();
    let mut flags = [0u8; CHUNK];
    let mut at = range.start;
    while at < range.end {
        let len = (range.end - at).min(CHUNK * page);
        let from = std::ptr::with_exposed_provenance_mut(at);
        // SAFETY: mincore writes one byte for each page of `len`, at most CHUNK; it only looks at
        // the addresses, and reports ENOMEM for those that are not mapped.
        if unsafe { libc::mincore(from, len, flags.as_mut_ptr().cast()) } != 0 {
            return None;
        }
        if let Some(index) = flags[..len / page].iter().position(|flag| flag & 1 != 0) {
            return Some(at + index * page);
        }
        at += len;
    }
    None
}

/// Returns the size of a page.
pub(super) fn page_size() -> usize {
    // SAFETY: sysconf only reads.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).expect("every system has a page size")
}

/// Returns the number of mappings that a process may have.
pub(super) fn mapping_limit() -> usize {
    /// Linux's default.
    const DEFAULT: usize = 65_530;
    let text = std::fs::read_to_string("/proc/sys/vm/max_map_count");
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(DEFAULT)
}
