//! The end of a block, by the death of a thread that is on it.
//!
//! libc keeps things for each thread that nothing exported frees: malloc's cache, buffers of
//! strerror and of the resolver. It frees them when a thread ends, from the thread-locals that the
//! thread pointer leads to. So a thread is started that sets it to the block and returns.

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr::{null, null_mut};

use super::block::{Block, run_destructors};
use super::layout::Layout;
use super::pointer;
use super::setxid::set_home;

/// Frees a block.
#[cold]
pub(super) fn retire(layout: &Layout, block: Block) {
    let pointer = block.0 as *mut c_void;
    let mut dying = Dying { pointer: block.0, layout };
    let mut thread = 0;
    // SAFETY: the sets are written before they are read. The thread inherits that no signal reaches
    // it: a handler would find thread-locals of a tasklet that has ended. It takes the block, on
    // which no code is, and has ended before the block is freed. If no thread can be started,
    // libc's memory is leaked.
    unsafe {
        let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        if libc::pthread_create(&mut thread, null(), die, (&raw mut dying).cast()) == 0 {
            libc::pthread_join(thread, null_mut());
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), null_mut());
        (layout.deallocate)(pointer, true);
    }
}

/// The arguments of the thread.
struct Dying<'a> {
    pointer: usize,
    layout: &'a Layout,
}

/// The main function of the thread, whose end is the block's. Destructors of the thread's own block
/// run here: values that allocators and sanitizers put there at its start would otherwise stay for
/// the next thread on its stack.
extern "C" fn die(dying: *mut c_void) -> *mut c_void {
    // SAFETY: `retire` waits.
    let Dying { pointer, layout } = unsafe { &*dying.cast::<Dying<'_>>() };
    run_destructors(layout);
    end_on(*pointer);
    null_mut()
}

#[inline(never)]
fn end_on(pointer: usize) {
    let mine = pointer::read();
    // SAFETY: `retire` waits, and no other code is on the block. Nothing here or in `die` uses a
    // thread-local afterwards, and glibc's `start_thread`, which that returns to, reads the thread
    // pointer anew each time.
    unsafe { pointer::write(pointer) };
    set_home(mine);
}
