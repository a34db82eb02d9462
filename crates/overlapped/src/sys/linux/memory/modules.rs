//! Loaded modules (the program and its libraries) with the tables by which stacks are unwound, by
//! dl_iterate_phdr(3).
//!
//! The tables are copied: a library may be unloaded at any time.

use std::ffi::{c_int, c_void};
use std::ops::Range;

/// A loaded module. Addresses in it are relative to `base`, except `mapped`.
pub(crate) struct Module {
    /// The address at which it is loaded.
    pub(crate) base: u64,
    /// The addresses that it occupies.
    pub(crate) mapped: Range<u64>,
    /// Its code.
    pub(crate) text: Option<Range<u64>>,
    /// The index of its unwinding table (`.eh_frame_hdr`).
    pub(crate) index: Section,
    /// Its unwinding table (`.eh_frame`), with all that follows it in its segment.
    pub(crate) frames: Section,
}

/// A copy of a part of a module.
pub(crate) struct Section {
    pub(crate) place: Range<u64>,
    pub(crate) bytes: Vec<u8>,
}

/// Lists the loaded modules that have unwinding tables.
pub(crate) fn with_unwinding_tables() -> Vec<Module> {
    let mut modules = Vec::<Module>::new();
    // SAFETY: `take_module` has the signature that is asked for, and gets a pointer to the vector,
    // which no other code uses meanwhile.
    unsafe { libc::dl_iterate_phdr(Some(take_module), (&raw mut modules).cast()) };
    modules
}

/// # Safety
/// As dl_iterate_phdr(3) calls it, with a vector of modules behind `modules`.
unsafe extern "C" fn take_module(
    info: *mut libc::dl_phdr_info,
    _: libc::size_t,
    modules: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise; the module stays loaded until this returns.
    let (modules, module) = unsafe { (&mut *modules.cast::<Vec<_>>(), module(&*info)) };
    modules.extend(module);
    0
}

/// Copies what is needed of a module. `None` if it has no unwinding tables.
///
/// # Safety
/// `info` describes a loaded module, which stays loaded until this returns.
unsafe fn module(info: &libc::dl_phdr_info) -> Option<Module> {
    // SAFETY: the caller's promise.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    let range = |header: &libc::Elf64_Phdr| header.p_vaddr..header.p_vaddr + header.p_memsz;
    let loaded: Vec<_> = headers.iter().filter(|h| h.p_type == libc::PT_LOAD).collect();
    let whole =
        loaded.iter().map(|h| range(h).start).min()?..loaded.iter().map(|h| range(h).end).max()?;
    let index = headers.iter().find(|h| h.p_type == libc::PT_GNU_EH_FRAME).map(range)?;
    let bytes = |range: &Range<u64>| {
        let start = std::ptr::with_exposed_provenance((info.dlpi_addr + range.start) as usize);
        // SAFETY: within a loaded and readable part of the module.
        unsafe { std::slice::from_raw_parts::<u8>(start, (range.end - range.start) as usize) }
    };
    let section = |range: Range<u64>| Section { bytes: bytes(&range).to_vec(), place: range };
    // The address is relative to its own place, in four bytes, as linkers write it.
    const RELATIVE: u8 = 0x1b;
    let &[_version, RELATIVE, _, _, a, b, c, d, ..] = bytes(&index) else {
        return None;
    };
    let start = (index.start + 4).wrapping_add_signed(i32::from_le_bytes([a, b, c, d]).into());
    // The length is written nowhere; the table does not reach beyond its segment.
    let part = loaded.iter().map(|h| h.p_vaddr..h.p_vaddr + h.p_filesz);
    let end = part.into_iter().find(|part| part.contains(&start))?.end;
    let text = loaded.iter().find(|h| h.p_flags & libc::PF_X != 0).map(|h| range(h));
    Some(Module {
        base: info.dlpi_addr,
        mapped: info.dlpi_addr + whole.start..info.dlpi_addr + whole.end,
        text,
        index: section(index),
        frames: section(start..end),
    })
}
