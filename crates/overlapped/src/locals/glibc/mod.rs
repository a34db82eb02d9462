//! Blocks as glibc lays them out.

mod block;
mod layout;
mod pointer;
mod pool;
mod retire;
mod setxid;
mod trial;

use std::sync::OnceLock;

use layout::Layout;
pub(crate) use pool::Pool;

static LAYOUT: OnceLock<Result<Layout, String>> = OnceLock::new();

/// Tells whether tasklets can have thread-locals of their own here, and why not. The first call
/// tries a block, on the calling thread's own, with a thread that is joined.
pub(crate) fn available() -> Result<(), &'static str> {
    let found = LAYOUT.get_or_init(|| {
        if let Some(refusal) = pointer::refusal() {
            return Err(refusal.to_owned());
        }
        let layout = Layout::find()?;
        trial::pass(&layout)?;
        setxid::wrap()?;
        Ok(layout)
    });
    match found {
        Ok(_) => Ok(()),
        Err(refusal) => Err(refusal),
    }
}

/// Returns the layout that [`available`] has found.
fn layout() -> &'static Layout {
    match LAYOUT.get() {
        Some(Ok(layout)) => layout,
        _ => unreachable!("a block is made where blocks are available"),
    }
}

/// Runs the destructors of the thread-locals on the tasklet's block that the caller is on, as at a
/// thread's end.
#[cold]
pub(crate) fn run_destructors() {
    block::run_destructors(layout());
}

/// The calling thread's own block.
#[derive(Clone, Copy)]
pub(crate) struct Home(usize);

impl Home {
    /// Returns the block that the caller is on.
    pub(crate) fn of_thread() -> Home {
        match pointer::refusal() {
            None => Home(pointer::read()),
            Some(_) => Home(0), // No block is ever used.
        }
    }

    /// Calls `f` on the thread's block, for a caller on a tasklet's block.
    ///
    /// # Safety
    /// This is the block of the thread that the caller is on. `f` does not unwind. It may leave the
    /// stack, and come back on the thread's own block.
    #[inline(always)]
    pub(crate) unsafe fn at_home(self, f: impl FnOnce()) {
        // SAFETY: the caller's promise.
        unsafe { pointer::with(self.0, f) };
    }

    /// Calls `f`, for a caller on a tasklet's block, which is the caller's again when `f` returns.
    ///
    /// # Safety
    /// `f` does not unwind. It leaves the stack for that of a tasklet on a block of its own, and
    /// touches no thread-local after it has come back.
    #[inline(always)]
    pub(crate) unsafe fn past_home(self, f: impl FnOnce()) {
        // SAFETY: the caller's promise.
        unsafe { pointer::keep(f) };
    }
}
