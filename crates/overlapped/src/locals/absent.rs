//! Stand-ins for blocks on systems that have none.

use std::ops::Range;

/// Returns the reason why no tasklet can have thread-locals of its own here.
pub(crate) fn available() -> Result<(), &'static str> {
    Err(if cfg!(miri) {
        "Miri lends each tasklet a thread, thread-locals included"
    } else if cfg!(target_feature = "crt-static") {
        "this program is linked statically, so libc's functions for threads cannot be found"
    } else if cfg!(not(all(target_os = "linux", target_env = "gnu"))) {
        "only glibc (2.34 or later) on Linux can lay a second set of thread-locals"
    } else {
        "this is known for x86-64 and 64-bit Arm only"
    })
}

const NEVER: &str = "no tasklet asks for what is not available";

/// A block; no value of this type exists.
pub(crate) struct Block(());

impl Block {
    /// Never called.
    ///
    /// # Safety
    /// Never called.
    pub(crate) unsafe fn run(&self, _: impl FnOnce()) {
        unreachable!("{NEVER}");
    }
}

/// Never called, since no tasklet is on a block.
pub(crate) fn run_destructors() {
    unreachable!("{NEVER}");
}

/// The calling thread's block.
#[derive(Clone, Copy)]
pub(crate) struct Home(());

impl Home {
    /// Returns the calling thread's block.
    pub(crate) fn of_thread() -> Home {
        Home(())
    }

    /// Calls `f`: the caller is on its thread's own block.
    ///
    /// # Safety
    /// None needed.
    pub(crate) unsafe fn at_home(self, f: impl FnOnce()) {
        f();
    }

    /// Calls `f`: the caller is on its thread's own block.
    ///
    /// # Safety
    /// None needed.
    pub(crate) unsafe fn past_home(self, f: impl FnOnce()) {
        f();
    }
}

/// Lends nothing.
#[derive(Default)]
pub(crate) struct Pool(());

impl Pool {
    /// Never called: [`available`] has refused.
    pub(crate) fn take(&mut self, _: Range<usize>) -> Block {
        unreachable!("{NEVER}");
    }

    /// Never called.
    pub(crate) fn give(&mut self, _: Block) {
        unreachable!("{NEVER}");
    }

    /// Does nothing, since nothing is kept.
    pub(crate) fn trim(&mut self) {}

    /// Does nothing, since nothing is kept.
    pub(crate) fn is_trimmable(&self) -> bool {
        false
    }
}
