//! Stacks for tasklets: a [`Pool`] lends [`Stack`]s, and [`overflow`] names the tasklet that
//! overran one.
//!
//! A slab is one large reservation of address space, cut into equal slots. A slot is a stack:
//!
//! ```text
//!  low                low + GUARD                              base       low + slot
//!   │ guard, 64 KiB       │ usable ◀── grows down ──────────── │ colour ≤ 1.5 KiB │ next slot …
//!   └─ any access faults ─┘ committed page by page             └─ never used ─────┘
//! ```
//!
//! **States of a slot.** *Fresh*: never lent, no guard yet, costs nothing. *Lent*: a [`Stack`]
//! exists, which is owned outside. *Pooled*: given back, its pages still committed (hot) or
//! returned to the kernel by [`Pool::trim`] (clean); its guard stays. *Forgotten*: leaked for ever,
//! because something on it may still be referred to. A `Stack` that is merely dropped is forgotten
//! too: memory under a context is never unmapped or lent again by accident.
//!
//! **Why the guard is 64 KiB and inside the slot.** Rust and C compiled with stack probes touch
//! every page on the way down, so one page would do for them. C without probes may move the stack
//! pointer by a whole frame and write only at its far end; 64 KiB catches every frame up to that
//! size, and address space costs nothing. Since the guard is part of the slot, the size of a slot
//! is a power of two, so eight default slots share exactly one page of page table (512 bytes for
//! each).
//!
//! **Why guards are not `mprotect`.** Each would split the mapping in two, and a process may have
//! `vm.max_map_count` (65,530) of them. `MADV_GUARD_INSTALL` (Linux 6.13) marks the page table
//! instead. If it is missing or refused, `mprotect` is used; then the count of guards is a limit,
//! which [`TakeError::Limit`] reports and the scheduler turns into waiting.
//!
//! **Shutdown.** Dropping the pool unmaps the slabs all of whose stacks came back; a slab with a
//! stack that is still out stays mapped for ever. The pool and its stacks belong to one thread.

pub(crate) mod overflow;
mod pool;
mod slab;
#[cfg(test)]
mod tests;

use std::io;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::ops::Range;

use crate::sys::memory::Growth;
use crate::sys::{errno, memory};

pub(crate) use pool::{Pool, STACK_MAX, StackConfig};

/// The number of bytes at the low end of every slot that fault when they are touched.
pub(crate) const GUARD: usize = 64 * 1024;

/// The default size of a stack: 192 KiB behind its guard.
pub(crate) const SIZE_DEFAULT: usize = 256 * 1024;

/// Slots are spread over this many cache lines by lowering their bases; see [`colour`].
const COLOURS: usize = 24;

const CACHE_LINE: usize = 64;

/// The largest distance by which a stack's base is lowered.
pub(crate) const COLOUR_MAX: usize = COLOURS * CACHE_LINE;

/// The way in which stacks are protected against overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Guards {
    /// Guard regions inside one large mapping, if the kernel has them (Linux 6.13 and later),
    /// and [`Guards::Mprotect`] elsewhere.
    #[default]
    Auto,
    /// Always `mprotect`. Every stack then costs two of the process's mappings, so that the number
    /// of stacks is bounded by `vm.max_map_count` (about 30,000 by default); tasklets beyond it
    /// wait until a stack is free.
    Mprotect,
}

/// The reason why there is no stack.
#[derive(Debug)]
pub(crate) enum TakeError {
    /// The configured maximum or the system's limit is reached while stacks are lent: try again
    /// after the next [`Pool::give`]. It is never final: if nothing is lent, the same limit is
    /// reported as [`TakeError::Os`].
    Limit,
    /// The system refused and waiting will not help.
    Os(io::Error),
}

impl From<TakeError> for io::Error {
    fn from(error: TakeError) -> io::Error {
        match error {
            TakeError::Limit => errno::no_memory(),
            TakeError::Os(error) => error,
        }
    }
}

/// One stack, lent by a [`Pool`]. Dropping it forgets it: it is neither reused nor unmapped.
#[must_use = "a dropped stack is leaked; give it back"]
#[derive(Debug)]
pub(crate) struct Stack {
    low: NonZeroUsize,
    base: NonZeroUsize,
    growth: Growth,
    /// Index into the pool's slabs.
    slab: u32,
    /// log2 of the slot's size.
    shift: u8,
    /// A stack stays on the thread of its pool.
    not_send: PhantomData<*mut ()>,
}

/// Returns the distance of a stack's base from the end of its slot.
///
/// Without it the hot lines of all stacks have the same page offset and compete for the same few
/// sets of the caches. Nanoseconds per resume of n parked corosensei coroutines in random order, on
/// a Xeon with 48 KiB of L1 and 2 MiB of L2 per core; "switch" touches what a switch touches, "1
/// KiB" eight more lines:
///
/// ```text
///                  n = 1,000         n = 10,000        n = 100,000
///   colours      switch  1 KiB     switch  1 KiB     switch  1 KiB
///   none            14     50         21     65         45    215
///   16 × 64 B      6.2     21         21     62         32    210
///   24 × 64 B      6.2     18         21     65         32    215     ← chosen
/// ```
///
/// Rejected: steps of 128 bytes (1,000, 1 KiB, resumed in order: 36 against 18), and a hashed slot
/// number (the same as counting). 2 KiB of colour is as good as 1.5 and takes more of the only page
/// that a parked tasklet should need. Slots that are not a power of two, so that neighbours' page
/// table entries do not share cache sets either (260 or 288 KiB), gain 15 % at 10,000 and nothing
/// above; they would cost up to 64 bytes of page table for each stack.
fn colour(slot: usize) -> usize {
    slot % COLOURS * CACHE_LINE
}

impl Stack {
    /// Makes the stack of slot number `slot`, which begins at `low` and has `1 << shift` bytes.
    fn new(low: NonZeroUsize, shift: u8, slab: u32, slot: usize, growth: Growth) -> Stack {
        let end = low.get() + (1 << shift);
        let base = NonZeroUsize::new(end - colour(slot)).expect("a slot is larger than its colour");
        Stack { low, base, growth, slab, shift, not_send: PhantomData }
    }

    /// Returns the bytes of address space, guard included, which is the meaning of a size
    /// everywhere in this module.
    pub(crate) fn size(&self) -> usize {
        1 << self.shift
    }

    /// Returns the addresses that code on this stack may use.
    #[cfg(test)]
    pub(crate) fn usable(&self) -> Range<usize> {
        self.low.get() + GUARD..self.base.get()
    }

    /// Returns the addresses that fault.
    pub(crate) fn guard(&self) -> Range<usize> {
        self.low.get()..self.low.get() + GUARD
    }

    /// Returns the pages that may be committed, between the guard and the end of the slot.
    fn pages(&self) -> Range<usize> {
        pages(self.low, self.shift)
    }

    #[cfg(test)]
    fn used(&self) -> usize {
        used(self.pages().start, self.base.get())
    }
}

/// Returns the pages of a slot that may be committed.
fn pages(low: NonZeroUsize, shift: u8) -> Range<usize> {
    low.get() + GUARD..low.get() + (1 << shift)
}

/// Returns the high-water mark of a stack between `low`, the end of its guard, and `top`: the
/// bytes, in whole pages, from `top` to the deepest page that is in memory. For a recycled stack
/// that is what was committed since its last trim, also by earlier tasklets. Pages that were
/// swapped out do not count.
pub(crate) fn used(low: usize, top: usize) -> usize {
    match memory::first_resident(low..top.next_multiple_of(memory::page_size())) {
        Some(deepest) => top.saturating_sub(deepest),
        None => 0,
    }
}

// SAFETY: `base` and `limit` bound a mapping that outlives the value (a slab is unmapped only when
// every stack of it was given back). The lowest `GUARD` bytes fault: a slot is lent only after its
// guard was installed. At least `MIN_SLOT - GUARD - COLOURS * CACHE_LINE` > `MIN_STACK_SIZE` bytes
// are usable. Slots and colours are multiples of 64, which is a multiple of `STACK_ALIGNMENT`.
unsafe impl corosensei::stack::Stack for Stack {
    #[inline]
    fn base(&self) -> NonZeroUsize {
        self.base
    }

    #[inline]
    fn limit(&self) -> NonZeroUsize {
        self.low
    }

    #[cfg(windows)]
    #[inline]
    fn teb_fields(&self) -> corosensei::stack::StackTebFields {
        corosensei::stack::StackTebFields {
            StackBase: self.base.get(),
            StackLimit: self.growth.limit,
            DeallocationStack: self.growth.lowest,
            GuaranteedStackBytes: self.growth.guaranteed,
        }
    }

    #[cfg(windows)]
    #[inline]
    fn update_teb_fields(&mut self, limit: usize, guaranteed: usize) {
        (self.growth.limit, self.growth.guaranteed) = (limit, guaranteed);
    }
}
