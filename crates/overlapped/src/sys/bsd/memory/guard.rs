//! Reservations, and guards as marks in the page table, which only Linux has.

use std::ffi::{c_int, c_void};
use std::io;

/// Flags of mmap(2) for memory that is committed page by page: none is needed.
pub(crate) const RESERVATION: c_int = 0;

/// Refuses huge pages: nothing to refuse.
///
/// # Safety
/// The call has no conditions; the signature is Linux's.
pub(crate) unsafe fn refuse_huge_pages(_: *mut c_void, _: usize) {}

/// Fails: only Linux can make a range fault by a mark in the page table.
///
/// # Safety
/// The call has no conditions; the signature is Linux's.
pub(crate) unsafe fn mark(_: *mut c_void, _: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Tells nothing, since nothing depends on the answer where no guard is marked.
pub(crate) fn is_readable(_: usize) -> bool {
    true
}

/// Returns the number of mappings that a process may have: no such limit is known, so it is Linux's
/// default.
pub(crate) fn mapping_limit() -> usize {
    65_530
}
