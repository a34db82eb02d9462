//! The alternate stack of a thread (sigaltstack(2)), on which handlers run that ask for it.

use std::io;
use std::ptr;

use crate::sys::memory::{Mapping, page_size};
use crate::sys::native::thread::signal_frame_size;

/// An alternate stack of ours, with a guard page. It stays on its thread.
///
/// At its drop the previous one is restored, and the memory is unmapped. If other code has replaced
/// it since, that may restore it later: then it stays mapped for ever.
pub(crate) struct Installed {
    /// `None` in its drop only.
    mapping: Option<Mapping>,
    ours: *mut libc::c_void,
    before: libc::stack_t,
}

/// Installs an alternate stack with `room` bytes for handlers, beside the frame that the kernel
/// writes. `None` if the thread has one with `enough` bytes.
pub(crate) fn install(enough: usize, room: usize) -> io::Result<Option<Installed>> {
    let frame = signal_frame_max();
    let before = current()?;
    if before.ss_flags & libc::SS_DISABLE == 0 && before.ss_size >= frame + enough {
        return Ok(None);
    }
    let page = page_size();
    let size = (frame + room).next_multiple_of(page);
    let mapping = Mapping::reserve(page + size)?;
    let low = mapping.start().get();
    let ours = ptr::with_exposed_provenance_mut(low + page);
    let stack = libc::stack_t { ss_sp: ours, ss_flags: 0, ss_size: size };
    // SAFETY: no code knows the mapping yet.
    let installed = unsafe { mapping.protect(low..low + page) }.and_then(|()| {
        // SAFETY: writable memory that stays mapped for as long as it is the thread's alternate
        // stack.
        match unsafe { libc::sigaltstack(&stack, ptr::null_mut()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    });
    match installed {
        Ok(()) => Ok(Some(Installed { mapping: Some(mapping), ours, before })),
        Err(error) => {
            // SAFETY: it was not installed, so no code uses it.
            unsafe { mapping.unmap() };
            Err(error)
        }
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        let still_ours = current().is_ok_and(|now| now.ss_sp == self.ours);
        // SAFETY: the thread has ours installed, and the value never left its thread, so restoring
        // undoes exactly what `install` did. It fails while a handler runs on it, and then it must
        // stay.
        if still_ours && unsafe { libc::sigaltstack(&self.before, ptr::null_mut()) } == 0 {
            let mapping = self.mapping.take();
            // SAFETY: it is no thread's alternate stack any more, and nothing else knows it.
            mapping.into_iter().for_each(|mapping| unsafe { mapping.unmap() });
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
    signal_frame_size().max(libc::MINSIGSTKSZ)
}
