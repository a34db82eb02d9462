//! The alternate stack, on which the fault handler runs.
//!
//! After an overflow the tasklet's stack has no room, so the handler needs another one. std gives
//! one to its own threads, but not to threads made by others (a C program that calls a Rust
//! library). A scheduler thread therefore calls [`ensure_alt_stack`] before it runs tasklets.
//!
//! **States.** *Nothing to do*: the thread has a sufficient one. *Installed*: ours, a mapping with
//! a guard page, in a thread-local. When the thread ends, the previous stack is restored and the
//! mapping is removed. If other code has replaced it since, that may restore it later: then it
//! stays mapped for ever.

use std::cell::RefCell;
use std::io;
use std::ptr;

use super::sys;

/// The room for our handlers and a predecessor, beside the frame that the kernel writes.
const ROOM: usize = 64 * 1024;
/// The room that an existing alternate stack must have beside that frame, for a few lines.
const ROOM_MIN: usize = 4 * 1024;
/// The same for a handler that writes all tasklets. std's stacks have less.
const ROOM_TO_WRITE: usize = 32 * 1024;

/// An alternate stack of ours. It stays on its thread.
pub(crate) struct Installed {
    mapping: *mut libc::c_void,
    len: usize,
    ours: *mut libc::c_void,
    before: libc::stack_t,
}

thread_local! {
    /// The handler does not read it, so it need not be async-signal-safe.
    static INSTALLED: RefCell<Option<Installed>> = const { RefCell::new(None) };
}

/// Makes sure that this thread's fault handler has a stack to run on, until the thread ends.
///
/// If the system refuses (no memory), an overflow still kills the process, but without a message.
/// That is no reason not to run tasklets.
pub(crate) fn ensure_alt_stack() {
    if cfg!(miri) {
        return; // Miri has no signals.
    }
    // A thread that is already destroying its thread-locals runs no tasklets.
    _ = INSTALLED.try_with(|installed| {
        if let Ok(Some(new)) = install(ROOM_MIN) {
            // Other code has replaced our earlier stack by one that is too small. The drop keeps
            // the earlier one mapped.
            drop(installed.replace(Some(new)));
        }
    });
}

/// Installs an alternate stack with room for a handler that writes all tasklets, until the result
/// is dropped. `None` if the thread has one, or the system refuses.
///
/// It is not kept to the thread's end, since std removes its own before that, and ours would stay
/// mapped.
pub(crate) fn alt_stack_to_write_on() -> Option<Installed> {
    if cfg!(miri) {
        return None;
    }
    install(ROOM_TO_WRITE).ok().flatten()
}

/// Installs an alternate stack; `None` if the thread has a sufficient one.
fn install(room: usize) -> io::Result<Option<Installed>> {
    let frame = signal_frame_max();
    let before = current()?;
    if before.ss_flags & libc::SS_DISABLE == 0 && before.ss_size >= frame + room {
        return Ok(None);
    }
    let page = sys::page_size();
    let size = (frame + ROOM).next_multiple_of(page);
    let len = page + size;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: this makes a new anonymous mapping at an address of the kernel's choice.
    let mapping = unsafe { libc::mmap(ptr::null_mut(), len, rights, flags, -1, 0) };
    if mapping == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let ours = mapping.wrapping_byte_add(page);
    let stack = libc::stack_t { ss_sp: ours, ss_flags: 0, ss_size: size };
    // SAFETY: the first page of a mapping that nothing else knows becomes the guard; the rest is
    // writable memory that stays mapped for as long as it is the thread's alternate stack.
    let done = unsafe {
        libc::mprotect(mapping, page, libc::PROT_NONE) == 0
            && libc::sigaltstack(&stack, ptr::null_mut()) == 0
    };
    if !done {
        let error = io::Error::last_os_error();
        // SAFETY: the mapping is ours and was not installed.
        unsafe { libc::munmap(mapping, len) };
        return Err(error);
    }
    Ok(Some(Installed { mapping, len, ours, before }))
}

impl Drop for Installed {
    fn drop(&mut self) {
        let still_ours = current().is_ok_and(|now| now.ss_sp == self.ours);
        // SAFETY: the thread has ours installed, and the value never left its thread, so restoring
        // undoes exactly what `install` did. It fails while a handler runs on it, and then it must
        // stay.
        if still_ours && unsafe { libc::sigaltstack(&self.before, ptr::null_mut()) } == 0 {
            // SAFETY: the mapping is ours and no thread's alternate stack any more.
            unsafe { libc::munmap(self.mapping, self.len) };
        }
    }
}

fn current() -> io::Result<libc::stack_t> {
    let mut now = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: 0, ss_size: 0 };
    // SAFETY: null changes nothing, and `now` is writable.
    match unsafe { libc::sigaltstack(ptr::null(), &mut now) } {
        0 => Ok(now),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Returns the bytes that the kernel writes to deliver a signal: the processor's registers, more
/// than the constant `MINSIGSTKSZ` if they are wide (AVX-512, AMX).
fn signal_frame_max() -> usize {
    #[cfg(target_os = "linux")]
    // SAFETY: getauxval only reads; it returns 0 for what it does not know.
    let told = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) } as usize;
    #[cfg(not(target_os = "linux"))]
    let told = 0;
    told.max(libc::MINSIGSTKSZ)
}
