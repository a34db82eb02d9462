//! Reserved ranges of addresses, and the growth of stacks in them.
//!
//! ```text
//!   low            low + guard                                            base
//!    │ reserved only   │ reserved ── … ── │ PAGE_GUARD │ committed: in use │
//!    └─ faults ────────┘                  └ moves down, page by page ─────┘
//! ```
//!
//! Windows counts committed memory and never promises more than it has. So a stack is committed as
//! it grows: touching a guard page makes the system commit the next one, as long as the address is
//! between the limits in the thread's block (TEB), which corosensei sets at each switch. Near the
//! lower limit the system raises EXCEPTION_STACK_OVERFLOW instead, whose handler runs on the same
//! stack: [`Growth::guaranteed`] is its room.

pub(crate) mod overflow;

use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::OnceLock;

use windows_sys::Win32::System::Memory::{
    MEM_COMMIT, MEM_DECOMMIT, MEM_RELEASE, MEM_RESERVE, MEMORY_BASIC_INFORMATION, PAGE_GUARD,
    PAGE_NOACCESS, PAGE_READWRITE, VirtualAlloc, VirtualFree, VirtualProtect, VirtualQuery,
};
use windows_sys::Win32::System::ProcessStatus::{
    K32QueryWorkingSetEx, PSAPI_WORKING_SET_EX_INFORMATION,
};
use windows_sys::Win32::System::SystemInformation::{GetSystemInfo, SYSTEM_INFO};
use windows_sys::Win32::System::Threading::GetCurrentProcess;

/// The room for the handlers of an overflow: ours, and std's, which formats a message and asks for
/// 20 KiB by itself.
const GUARANTEED: usize = 32 << 10;

/// The pages that are committed from the beginning, and after a [`discard`](Mapping::discard).
const COMMITTED_FIRST: usize = 8 << 10;

/// The pages of a guard: two, as on threads.
const GUARD_PAGES: usize = 2;

/// The limits of a stack that grows, as they stand in the thread's block while it runs.
#[derive(Debug)]
pub(crate) struct Growth {
    /// The lowest address in use (`StackLimit`).
    pub(crate) limit: usize,
    /// The lowest address that may be used (`DeallocationStack`).
    pub(crate) lowest: usize,
    /// The bytes below the limit that an overflow's handler may use (`GuaranteedStackBytes`).
    pub(crate) guaranteed: usize,
}

/// Reserved addresses. Released by [`Mapping::unmap`] only, never by drop.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonZeroUsize,
    len: usize,
}

impl Mapping {
    /// Reserves `len` bytes of address space without committing memory.
    pub(crate) fn reserve(len: usize) -> io::Result<Mapping> {
        // SAFETY: a new reservation at an address of the system's choice changes no memory that
        // exists.
        let start = unsafe { VirtualAlloc(std::ptr::null(), len, MEM_RESERVE, PAGE_READWRITE) };
        match NonZeroUsize::new(start.expose_provenance()) {
            Some(start) => Ok(Mapping { start, len }),
            None => Err(io::Error::last_os_error()),
        }
    }

    pub(crate) fn start(&self) -> NonZeroUsize {
        self.start
    }

    fn contains(&self, range: &Range<usize>) -> bool {
        let start = self.start.get();
        start <= range.start && range.start <= range.end && range.end <= start + self.len
    }

    /// Does nothing: memory that is not committed faults.
    ///
    /// # Safety
    /// No code uses these bytes.
    pub(crate) unsafe fn mark_guard(&self, range: Range<usize>) -> io::Result<()> {
        assert!(self.contains(&range));
        Ok(())
    }

    /// Does nothing, as [`Mapping::mark_guard`].
    ///
    /// # Safety
    /// No code uses these bytes.
    pub(crate) unsafe fn protect(&self, range: Range<usize>) -> io::Result<()> {
        assert!(self.contains(&range));
        Ok(())
    }

    /// Commits the first pages of a stack, at the upper end of `pages`, and its guard.
    ///
    /// # Errors
    /// The system has no memory to promise.
    ///
    /// # Safety
    /// No code uses these bytes.
    pub(crate) unsafe fn begin_stack(&self, pages: Range<usize>) -> io::Result<Growth> {
        assert!(self.contains(&pages));
        let growth = first_growth(&pages);
        let bottom = guard_of(&growth).start;
        let place = std::ptr::with_exposed_provenance(bottom);
        // SAFETY: the range is ours and, says the caller, not in use.
        if unsafe { VirtualAlloc(place, pages.end - bottom, MEM_COMMIT, PAGE_READWRITE) }.is_null()
        {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: as above; the pages were committed just now.
        unsafe { set_guard(&growth) };
        Ok(growth)
    }

    /// Gives the memory of a stack back to the system, but for its first pages.
    ///
    /// # Safety
    /// No code needs the contents of these bytes, and no code is on the stack.
    pub(crate) unsafe fn discard(&self, pages: Range<usize>, growth: &mut Growth) {
        assert!(self.contains(&pages));
        *growth = first_growth(&pages);
        let bottom = guard_of(growth).start;
        let place = std::ptr::with_exposed_provenance_mut(pages.start);
        // SAFETY: the range is ours and, says the caller, its contents are not needed. Decommitting
        // what is not committed is no error.
        unsafe { VirtualFree(place, bottom - pages.start, MEM_DECOMMIT) };
        // SAFETY: the pages above have been committed since the stack began.
        unsafe { set_guard(growth) };
    }

    /// Gives the addresses back to the system.
    ///
    /// # Safety
    /// No code uses any byte of the mapping, now or later.
    pub(crate) unsafe fn unmap(self) {
        let start = std::ptr::with_exposed_provenance_mut(self.start.get());
        // SAFETY: the reservation is ours, whole, and not in use.
        unsafe { VirtualFree(start, 0, MEM_RELEASE) };
    }
}

/// Returns the limits of a stack that has its first pages only.
fn first_growth(pages: &Range<usize>) -> Growth {
    let limit = pages.end - COMMITTED_FIRST;
    Growth { limit, lowest: pages.start, guaranteed: GUARANTEED }
}

/// Returns the range of the guard, with the room for an overflow's handlers.
fn guard_of(growth: &Growth) -> Range<usize> {
    growth.limit - GUARD_PAGES * page_size() - growth.guaranteed..growth.limit
}

/// Makes guard pages of the committed pages below the limit.
///
/// # Safety
/// The pages are committed, and no code uses them.
unsafe fn set_guard(growth: &Growth) {
    let guard = guard_of(growth);
    let mut before = 0;
    // SAFETY: the caller's promise.
    let done = unsafe {
        let place = std::ptr::with_exposed_provenance(guard.start);
        VirtualProtect(place, guard.len(), PAGE_READWRITE | PAGE_GUARD, &raw mut before)
    };
    assert!(done != 0, "committed pages can be made guards: {}", io::Error::last_os_error());
}

/// Tells whether the word at `address` can be read.
pub(crate) fn is_readable(address: usize) -> bool {
    let mut info = MEMORY_BASIC_INFORMATION::default();
    let place = std::ptr::with_exposed_provenance(address);
    // SAFETY: it only looks at the address, and writes one structure.
    let len = unsafe { VirtualQuery(place, &raw mut info, size_of_val(&info)) };
    len != 0 && info.State == MEM_COMMIT && info.Protect & (PAGE_GUARD | PAGE_NOACCESS) == 0
}

/// Returns the maximum number of mappings of a process: Windows has no such limit.
pub(crate) fn mapping_limit() -> usize {
    usize::MAX
}

/// Returns the lowest page of `range` that is in memory. `range` consists of whole pages.
pub(crate) fn first_resident(range: Range<usize>) -> Option<usize> {
    const IS_VALID: usize = 1;
    let pages = range.step_by(page_size());
    let ask = |page: usize| PSAPI_WORKING_SET_EX_INFORMATION {
        VirtualAddress: std::ptr::with_exposed_provenance_mut(page),
        ..Default::default()
    };
    let mut asked: Vec<_> = pages.map(ask).collect();
    let len = size_of_val(&asked[..]) as u32;
    // SAFETY: the entries are valid for writes of `len` bytes; it only looks at the addresses.
    let done = unsafe { K32QueryWorkingSetEx(GetCurrentProcess(), asked.as_mut_ptr().cast(), len) };
    // SAFETY: every bit pattern is a valid number.
    let is_in_memory = |page: &&PSAPI_WORKING_SET_EX_INFORMATION| unsafe {
        page.VirtualAttributes.Flags & IS_VALID != 0
    };
    let found = asked.iter().find(is_in_memory).filter(|_| done != 0)?;
    Some(found.VirtualAddress.expose_provenance())
}

/// Returns the size of a page.
pub(crate) fn page_size() -> usize {
    static SIZE: OnceLock<usize> = OnceLock::new();
    *SIZE.get_or_init(|| {
        let mut info = SYSTEM_INFO::default();
        // SAFETY: it writes one structure.
        unsafe { GetSystemInfo(&raw mut info) };
        info.dwPageSize as usize
    })
}
