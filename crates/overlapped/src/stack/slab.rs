//! A slab: one reservation, cut into slots that are lent for the first time in ascending order.
//!
//! A slot gets its guard when it is first lent, because a guard costs 0.6 µs and a part of a page
//! table, or two mappings. So a slab that is never used up costs nothing. A guard is never removed.

use std::io;
use std::num::NonZeroUsize;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{GUARD, Guards, Stack, pages};
use crate::sys::errno::{no_memory, says_exhausted};
use crate::sys::memory::{Mapping, is_readable, mapping_limit};

/// Guards made by `mprotect` in the whole process: every pool draws from the same mappings.
static PROTECTED: AtomicUsize = AtomicUsize::new(0);

/// The limit of `PROTECTED`. A program that has used up its mappings cannot start a thread
/// or allocate a large block, and usually aborts; so a quarter of them, at most 4,096, is left
/// alone.
static PROTECTED_MAX: LazyLock<usize> = LazyLock::new(|| {
    let limit = mapping_limit();
    (limit - (limit / 4).min(4096)) / 2
});

/// The way in which the next guard is made. It starts as configured, and goes from `Mark` to
/// `Protect` for good if the kernel does not have guard marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GuardKind {
    /// Marks, if they work: the first one is checked.
    MarkUntested,
    Mark,
    Protect,
}

impl From<Guards> for GuardKind {
    fn from(guards: Guards) -> GuardKind {
        match guards {
            Guards::Auto => GuardKind::MarkUntested,
            Guards::Mprotect => GuardKind::Protect,
        }
    }
}

#[derive(Debug)]
pub(super) struct Slab {
    mapping: Mapping,
    /// log2 of a slot's size.
    shift: u8,
    slots: usize,
    /// Slots below this one have been lent at least once.
    lent: usize,
    /// The number of guards that count in [`PROTECTED`].
    protected: usize,
}

impl Slab {
    /// Reserves `slots` slots, or fewer if the address space has no room for them.
    pub(super) fn reserve(shift: u8, mut slots: usize) -> io::Result<Slab> {
        loop {
            match Mapping::reserve(slots << shift) {
                Ok(mapping) => {
                    return Ok(Slab { mapping, shift, slots, lent: 0, protected: 0 });
                }
                Err(error) if says_exhausted(&error) && slots > 1 => slots /= 2,
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// Returns the number of slots that were lent at least once.
    pub(super) fn lent(&self) -> usize {
        self.lent
    }

    /// Tells whether the stack is one of this slab's: it has its size, and begins in here.
    #[inline]
    pub(super) fn contains(&self, stack: &Stack) -> bool {
        let offset = stack.low.get().wrapping_sub(self.mapping.start().get());
        stack.shift == self.shift && offset < self.slots << self.shift
    }

    /// Lends the next fresh slot; `None` if none is left. `index` is this slab's.
    pub(super) fn lend(&mut self, index: u32, kind: &mut GuardKind) -> Option<io::Result<Stack>> {
        if self.lent == self.slots {
            return None;
        }
        let low = self.mapping.start().get() + (self.lent << self.shift);
        let low = NonZeroUsize::new(low).expect("it is above the start, which is not zero");
        if let Err(error) = self.guard(low.get(), kind) {
            return Some(Err(error));
        }
        // SAFETY: the slot was never lent, so nothing uses it.
        let growth = match unsafe { self.mapping.begin_stack(pages(low, self.shift)) } {
            Ok(growth) => growth,
            Err(error) => return Some(Err(error)),
        };
        let stack = Stack::new(low, self.shift, index, self.lent, growth);
        self.lent += 1;
        Some(Ok(stack))
    }

    /// Makes the guard of the fresh slot at `low`.
    fn guard(&mut self, low: usize, kind: &mut GuardKind) -> io::Result<()> {
        if *kind != GuardKind::Protect {
            // SAFETY: the slot was never lent, so nothing uses it.
            match unsafe { self.mapping.mark_guard(low..low + GUARD) } {
                Ok(()) if *kind == GuardKind::Mark => return Ok(()),
                // Both ends are checked, once for each pool.
                Ok(()) if !is_readable(low) && !is_readable(low + GUARD - 8) => {
                    *kind = GuardKind::Mark;
                    return Ok(());
                }
                Ok(()) => *kind = GuardKind::Protect,
                Err(error) if says_exhausted(&error) => return Err(error),
                // EINVAL before Linux 6.13 and in locked memory, EPERM or ENOSYS in a sandbox.
                Err(_) => *kind = GuardKind::Protect,
            }
        }
        if PROTECTED.fetch_add(1, Ordering::Relaxed) >= *PROTECTED_MAX {
            PROTECTED.fetch_sub(1, Ordering::Relaxed);
            return Err(no_memory());
        }
        // SAFETY: as above.
        let done = unsafe { self.mapping.protect(low..low + GUARD) };
        match done {
            Ok(()) => self.protected += 1,
            Err(_) => _ = PROTECTED.fetch_sub(1, Ordering::Relaxed),
        }
        done
    }

    /// Gives the memory of a stack of this slab back to the kernel; the guard stays.
    ///
    /// # Safety
    /// The stack is pooled: nothing on it is referred to.
    pub(super) unsafe fn discard(&self, stack: &mut Stack) {
        // SAFETY: the caller's promise.
        unsafe { self.mapping.discard(stack.pages(), &mut stack.growth) };
    }

    /// Gives the addresses back to the system.
    ///
    /// # Safety
    /// Every stack that was lent has been given back and is never used again.
    pub(super) unsafe fn unmap(self) {
        // SAFETY: the caller's promise; slots that were never lent are used by nothing.
        unsafe { self.mapping.unmap() };
        PROTECTED.fetch_sub(self.protected, Ordering::Relaxed);
    }
}
