//! The walk from a copy of a stack to the addresses of its frames.
//!
//! framehop does the walking, by the tables that the compiler has made for unwinding, which every
//! loaded module carries. They are copied, too: a library may be unloaded at any time.

use std::ffi::{c_int, c_void};
use std::ops::Range;

use framehop::{
    CacheNative, ExplicitModuleSectionInfo, MayAllocateDuringUnwind, Module, UnwindRegsNative,
    Unwinder, UnwinderNative,
};

use super::snapshot::Snapshot;

/// The maximum number of frames in a trace.
const FRAMES_MAX: usize = 64;

/// Addresses for looking up symbols, innermost first.
pub(super) fn walk(snapshot: &Snapshot) -> Vec<usize> {
    let mut unwinder = UnwinderNative::<Vec<u8>, MayAllocateDuringUnwind>::new();
    modules().into_iter().for_each(|module| unwinder.add_module(module));
    let mut cache = CacheNative::<MayAllocateDuringUnwind>::new();
    let mut read = |address: u64| snapshot.word(address as usize).map(|word| word as u64).ok_or(());
    let mut frames =
        unwinder.iter_frames(snapshot.pc as u64, registers(snapshot), &mut cache, &mut read);
    let mut addresses = Vec::new();
    while addresses.len() < FRAMES_MAX
        && let Ok(Some(frame)) = frames.next()
    {
        addresses.push(frame.address_for_lookup() as usize);
    }
    addresses
}

#[cfg(target_arch = "x86_64")]
fn registers(snapshot: &Snapshot) -> UnwindRegsNative {
    UnwindRegsNative::new(snapshot.pc as u64, snapshot.sp as u64, snapshot.fp as u64)
}

#[cfg(target_arch = "aarch64")]
fn registers(snapshot: &Snapshot) -> UnwindRegsNative {
    UnwindRegsNative::new(snapshot.lr as u64, snapshot.sp as u64, snapshot.fp as u64)
}

/// Returns the loaded modules, with their unwinding tables.
fn modules() -> Vec<Module<Vec<u8>>> {
    let mut modules = Vec::<Module<Vec<u8>>>::new();
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

/// # Safety
/// `info` describes a loaded module, which stays loaded until this returns.
unsafe fn module(info: &libc::dl_phdr_info) -> Option<Module<Vec<u8>>> {
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
    let sections = ExplicitModuleSectionInfo {
        base_svma: 0,
        text_svma: text,
        eh_frame: Some(bytes(&(start..end)).to_vec()),
        eh_frame_svma: Some(start..end),
        eh_frame_hdr: Some(bytes(&index).to_vec()),
        eh_frame_hdr_svma: Some(index),
        ..Default::default()
    };
    let mapped = info.dlpi_addr + whole.start..info.dlpi_addr + whole.end;
    Some(Module::new(String::new(), mapped, info.dlpi_addr, sections))
}
