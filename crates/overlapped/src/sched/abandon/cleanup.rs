//! What a tasklet that waits has to do for others before it goes, kept where the scheduler finds
//! it: pthread_cleanup_push(3).
//!
//! A tasklet that is killed unwinds, and destructors do it. One that is parked for good does not
//! unwind, so the scheduler does it in their place.

use std::cell::Cell;
use std::ptr::NonNull;

use super::super::{Here, Tcb};

/// The innermost entry of a tasklet's list. The entries lie in its frames.
pub(crate) type Cleanups = Cell<Option<NonNull<Cleanup>>>;

/// One entry.
pub(crate) struct Cleanup {
    outer: Option<NonNull<Cleanup>>,
    run: unsafe fn(*const ()),
    of: *const (),
}

/// Takes the innermost entry out of a tasklet's list when it is dropped.
struct Entered<'a>(&'a Tcb);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let entry = self.0.cleanups.get().expect("what is entered last is left first");
        // SAFETY: the entry lies in the frame that this lies in.
        self.0.cleanups.set(unsafe { entry.as_ref() }.outer);
    }
}

impl Here {
    /// Calls `wait`; if the calling tasklet is parked for good in it, `cleanup` is called in its
    /// place, on the scheduler's own stack. So it neither runs nor drops anything of the user's.
    pub(crate) fn with_cleanup<R>(&self, cleanup: &impl Fn(), wait: impl FnOnce() -> R) -> R {
        let me = self.me();
        let entry = Cleanup {
            outer: me.cleanups.get(),
            run: run_of(cleanup),
            of: std::ptr::from_ref(cleanup).cast(),
        };
        me.cleanups.set(Some(NonNull::from(&entry)));
        let _entered = Entered(me);
        wait()
    }
}

fn run_of<F: Fn()>(_: &F) -> unsafe fn(*const ()) {
    /// # Safety
    /// `of` is an `F` that lives.
    unsafe fn run<F: Fn()>(of: *const ()) {
        // SAFETY: the caller's promise.
        unsafe { (*of.cast::<F>())() }
    }
    run::<F>
}

/// Does what a tasklet has to do for others, the innermost first.
///
/// # Safety
/// The tasklet is suspended and never runs again, and its stack stays.
pub(super) unsafe fn clean_up(block: &Tcb) {
    let mut next = block.cleanups.take();
    while let Some(entry) = next {
        // SAFETY: an entry is in the list as long as the frame that it lies in is there, and so is
        // what `run` is given: `with_cleanup` borrows it.
        unsafe {
            let entry = entry.as_ref();
            (entry.run)(entry.of);
            next = entry.outer;
        }
    }
}
