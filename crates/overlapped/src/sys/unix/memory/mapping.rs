//! Reserved ranges of addresses.
//!
//! A [`Mapping`] owns its addresses; the functions that change memory take it by reference and
//! check their range against it, so that no arithmetic mistake reaches other memory.

use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;

use crate::sys::native::memory::guard;

pub(crate) use guard::{is_readable, mapping_limit};

/// The growth of a stack: the kernel commits pages as they are touched, and nothing is kept.
#[derive(Debug)]
pub(crate) struct Growth(());

/// Reserved addresses, readable and writable. Unmapped by [`Mapping::unmap`] only, never by drop.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonZeroUsize,
    len: usize,
}

impl Mapping {
    /// Reserves `len` bytes of address space without committing memory.
    ///
    /// Huge pages are refused: one would commit 2 MiB for the first byte touched. (A program that
    /// calls `mlockall(MCL_FUTURE)` without `MCL_ONFAULT` asks for all of it to be committed.)
    pub(crate) fn reserve(len: usize) -> io::Result<Mapping> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | guard::RESERVATION;
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice changes no memory
        // that exists.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, rights, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the range is the mapping just made.
        unsafe { guard::refuse_huge_pages(start, len) };
        let start = start.expose_provenance();
        let start = NonZeroUsize::new(start).expect("the kernel does not map page zero");
        Ok(Mapping { start, len })
    }

    pub(crate) fn start(&self) -> NonZeroUsize {
        self.start
    }

    fn contains(&self, range: &Range<usize>) -> bool {
        let start = self.start.get();
        start <= range.start && range.start <= range.end && range.end <= start + self.len
    }

    /// Makes `range` fault, by a mark in the page table. Not every system has such marks.
    ///
    /// # Safety
    /// No code uses these bytes.
    pub(crate) unsafe fn mark_guard(&self, range: Range<usize>) -> io::Result<()> {
        assert!(self.contains(&range));
        let at = std::ptr::with_exposed_provenance_mut(range.start);
        // SAFETY: the range is ours and, says the caller, not in use.
        unsafe { guard::mark(at, range.len()) }
    }

    /// Makes `range` fault, as a mapping of its own.
    ///
    /// # Safety
    /// No code uses these bytes.
    pub(crate) unsafe fn protect(&self, range: Range<usize>) -> io::Result<()> {
        assert!(self.contains(&range));
        let at = std::ptr::with_exposed_provenance_mut(range.start);
        // SAFETY: the range is ours and, says the caller, not in use.
        match unsafe { libc::mprotect(at, range.len(), libc::PROT_NONE) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Begins a stack: nothing is to be done.
    ///
    /// # Safety
    /// No code uses these bytes.
    pub(crate) unsafe fn begin_stack(&self, range: Range<usize>) -> io::Result<Growth> {
        assert!(self.contains(&range));
        Ok(Growth(()))
    }

    /// Gives the memory of `range` back to the kernel; it reads as zeroes afterwards.
    ///
    /// # Safety
    /// No code needs the contents of these bytes.
    pub(crate) unsafe fn discard(&self, range: Range<usize>, _: &mut Growth) {
        assert!(self.contains(&range));
        let at = std::ptr::with_exposed_provenance_mut(range.start);
        // A refusal (locked memory) leaves it committed: nothing is lost but memory.
        // SAFETY: the range is ours and, says the caller, its contents are not needed.
        unsafe { libc::madvise(at, range.len(), libc::MADV_DONTNEED) };
    }

    /// Gives the addresses back to the system.
    ///
    /// # Safety
    /// No code uses any byte of the mapping, now or later.
    pub(crate) unsafe fn unmap(self) {
        let at = std::ptr::with_exposed_provenance_mut(self.start.get());
        // A refusal is possible at the limit of mappings (neighbours were merged, the hole splits
        // them); the addresses then stay reserved.
        // SAFETY: the mapping is ours, whole, and not in use.
        unsafe { libc::munmap(at, self.len) };
    }
}

/// Returns the lowest page of `range` that is in memory. `range` consists of whole pages.
pub(crate) fn first_resident(range: Range<usize>) -> Option<usize> {
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
pub(crate) fn page_size() -> usize {
    // SAFETY: sysconf only reads.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).expect("every system has a page size")
}
