//! Cleanup closures of waiting tasklets, which are called if the tasklet is parked for good; the
//! counterpart of pthread_cleanup_push(3).
//!
//! A waiting tasklet has duties towards others: to leave a queue, to pass a permit on. If it is
//! killed, it unwinds, and its destructors do these. If it is parked for good, it does not unwind,
//! so the scheduler does them.

use std::ptr::NonNull;

use crate::sched::tasklet::Cleanup;
use crate::sched::{Here, Tcb};

/// Removes the innermost entry of a tasklet's list when it is dropped.
struct Entered<'a>(&'a Tcb);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let entry = self.0.cleanups.get().expect("the entry made last is removed first");
        // SAFETY: the entry lies in the same frame as this value.
        self.0.cleanups.set(unsafe { entry.as_ref() }.outer);
    }
}

impl Here {
    /// Calls `wait`. If the calling tasklet is parked for good meanwhile, `cleanup` is called
    /// instead, on the scheduler's own stack. So it neither runs nor drops anything of the user's.
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
    /// `of` points to a living `F`.
    unsafe fn run<F: Fn()>(of: *const ()) {
        // SAFETY: the caller keeps `of` valid.
        unsafe { (*of.cast::<F>())() }
    }
    run::<F>
}

/// Runs a tasklet's cleanups, the innermost first.
///
/// # Safety
/// The tasklet is suspended and never runs again, and its stack stays.
pub(super) unsafe fn clean_up(block: &Tcb) {
    let mut next = block.cleanups.take();
    while let Some(entry) = next {
        // SAFETY: an entry is in the list as long as its frame is there. So is the closure that
        // `run` is given, which `with_cleanup` borrows.
        unsafe {
            let entry = entry.as_ref();
            (entry.run)(entry.of);
            next = entry.outer;
        }
    }
}
