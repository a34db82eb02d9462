//! Objects in this process that make system calls without libc's functions.
//!
//! Their code is searched for the instruction: two bytes on x86-64, a word on 64-bit Arm. The bytes
//! alone do not show where instructions begin, so on x86-64 some matches are the inside of another
//! instruction, and the numbers are upper bounds. Nor does the code show whether such a call waits.

use std::ffi::{CStr, c_int, c_void};
use std::fmt;
use std::mem::MaybeUninit;
use std::path::Path;

/// A program or library in this process that makes system calls of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectReport {
    /// The path of its file.
    pub name: String,
    /// The number of places in its code that read as a system call instruction, an upper bound.
    pub instructions: usize,
    /// True if the object is a part of libc.
    pub is_libc: bool,
    /// True if the object is the program, or the library with this crate in it. Its instructions
    /// include those of this crate and of `overlapped`, which never block a tasklet unseen.
    pub has_this_crate: bool,
}

impl fmt::Display for ObjectReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let remark = match (self.is_libc, self.has_this_crate) {
            (true, _) => ": libc's inner calls cannot be taken over",
            (_, true) => ", this crate's among them",
            _ => ": a wait in them blocks the thread",
        };
        let Self { name, instructions, .. } = self;
        let calls = if *instructions == 1 { "system call" } else { "system calls" };
        write!(f, "{name}: {instructions} {calls} of its own at most{remark}")
    }
}

/// Returns every object that has system call instructions.
pub(super) fn all() -> Vec<ObjectReport> {
    let mut found = Vec::<ObjectReport>::new();
    // SAFETY: `inspect` has the signature that is asked for. It gets a pointer to the vector, which
    // no other code uses meanwhile.
    unsafe { libc::dl_iterate_phdr(Some(inspect), (&raw mut found).cast()) };
    found
}

/// # Safety
/// As dl_iterate_phdr(3) calls it, with a vector of reports behind `found`.
unsafe extern "C" fn inspect(
    info: *mut libc::dl_phdr_info,
    _: libc::size_t,
    found: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise; the object stays loaded until this returns.
    let (info, found) = unsafe { (&*info, &mut *found.cast::<Vec<ObjectReport>>()) };
    let parts = code(info);
    let instructions = parts.iter().map(|part| system_calls(part)).sum();
    let name = name(info);
    // The vDSO is the kernel's own code: clocks, which never wait.
    if instructions > 0 && !name.starts_with("linux-vdso") {
        let here = (all as *const ()).addr();
        let has_this_crate = parts.iter().any(|part| part.as_ptr_range().contains(&ptr(here)));
        let is_libc = is_libc(&name);
        found.push(ObjectReport { name, instructions, is_libc, has_this_crate });
    }
    0
}

fn ptr(address: usize) -> *const u8 {
    std::ptr::without_provenance(address)
}

/// Returns the segments of an object that are readable and executable.
fn code(info: &libc::dl_phdr_info) -> Vec<&[u8]> {
    const READ_AND_RUN: u32 = libc::PF_R | libc::PF_X;
    if info.dlpi_phdr.is_null() {
        return Vec::new();
    }
    // SAFETY: the loader's table has that many entries.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    let is_code = |header: &&libc::Elf64_Phdr| {
        header.p_type == libc::PT_LOAD && header.p_flags & READ_AND_RUN == READ_AND_RUN
    };
    let bytes = |header: &libc::Elf64_Phdr| {
        let start = std::ptr::with_exposed_provenance((info.dlpi_addr + header.p_vaddr) as usize);
        // SAFETY: the segment is loaded, readable, and never written to.
        unsafe { std::slice::from_raw_parts::<u8>(start, header.p_filesz as usize) }
    };
    headers.iter().filter(is_code).map(bytes).collect()
}

/// Returns the path of an object. The loader has none for the program.
fn name(info: &libc::dl_phdr_info) -> String {
    let name = match info.dlpi_name.is_null() {
        true => c"",
        // SAFETY: the loader's text, which stays until the object is unloaded.
        false => unsafe { CStr::from_ptr(info.dlpi_name) },
    };
    match name.is_empty() {
        false => name.to_string_lossy().into_owned(),
        true => std::env::current_exe()
            .map_or("the program".into(), |path| path.to_string_lossy().into_owned()),
    }
}

/// Tells whether a file, by its name, is a part of glibc.
fn is_libc(name: &str) -> bool {
    const PARTS: [&str; 5] = ["libc.so", "libc-", "ld-linux", "libpthread", "libanl"];
    let file = Path::new(name).file_name().unwrap_or_default().to_string_lossy();
    PARTS.iter().any(|part| file.starts_with(part))
}

/// Counts the system call instructions in code.
#[cfg(target_arch = "x86_64")]
fn system_calls(code: &[u8]) -> usize {
    /// `syscall`
    const CALL: &[u8] = &[0x0f, 0x05];
    memchr::memmem::find_iter(code, CALL).count()
}

/// Counts the system call instructions in code.
#[cfg(target_arch = "aarch64")]
fn system_calls(code: &[u8]) -> usize {
    let words =
        code.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    // `svc #0`
    words.filter(|&word| word == 0xd400_0001).count()
}

/// Returns the file that contains an address, and the offset there.
pub(crate) fn locate(address: usize) -> Option<(String, usize)> {
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: dladdr looks an address up, and fills the structure if it finds it.
    let info = unsafe {
        if libc::dladdr(std::ptr::without_provenance(address), info.as_mut_ptr()) == 0 {
            return None;
        }
        info.assume_init()
    };
    if info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: the loader's text.
    let name = unsafe { CStr::from_ptr(info.dli_fname) }.to_string_lossy().into_owned();
    Some((name, address - info.dli_fbase.addr()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_that_calls_the_system_is_found_wherever_it_lies() {
        #[cfg(target_arch = "x86_64")]
        let code = [0x90, 0x0f, 0x05, 0xc3, 0x0f, 0x0f, 0x05, 0x05];
        #[cfg(target_arch = "aarch64")]
        let code = [1, 0, 0, 0xd4, 0, 0, 0, 0, 1, 0, 0, 0xd4, 1];
        assert_eq!(system_calls(&code), 2);
        assert_eq!(system_calls(&[]), 0);
    }

    #[test]
    fn one_system_call_is_told_in_the_singular() {
        let name = "lib.so".to_owned();
        let mut one = ObjectReport { name, instructions: 1, is_libc: false, has_this_crate: false };
        assert!(one.to_string().starts_with("lib.so: 1 system call of its own"), "{one}");
        one.instructions = 2;
        assert!(one.to_string().starts_with("lib.so: 2 system calls of its own"), "{one}");
    }

    #[test]
    fn the_program_has_this_crate_and_libc_is_known() {
        let all = all();
        let libc = all.iter().find(|object| object.is_libc && object.name.contains("libc.so"));
        assert!(libc.is_some_and(|libc| libc.instructions > 100), "{all:?}");
        let ours: Vec<_> = all.iter().filter(|object| object.has_this_crate).collect();
        assert_eq!(ours.len(), 1, "{all:?}");
        assert!(ours[0].instructions > 10 && !ours[0].is_libc, "{ours:?}");
    }
}
