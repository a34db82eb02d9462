//! The pool: lends stacks, takes them back, and keeps them hot.
//!
//! Sizes are rounded up to powers of two; each is a class with its own slabs and its own list of
//! pooled stacks. The list is last in, first out: the stack that came back last, with its lines
//! still in the cache, is lent next. So the stacks at the beginning of the list have been idle
//! longest, and the shortest length of the list since the last [`Pool::trim`] tells exactly how
//! many stacks were not needed in that time: those are trimmed.
//!
//! ```text
//!   pooled:  0 ───── clean ────────── low_water ───────────── len
//!            │ no pages │ idle since the   │ lent at least once   │ ← lent next
//!            │          │ last trim: trim  │ since then: hot      │
//! ```

use std::io;
use std::marker::PhantomData;

use super::slab::{GuardKind, Slab};
use super::{GUARD, Guards, Stack, TakeError};
use crate::sys::errno::{no_memory, says_exhausted};

/// log2 of the smallest slot: guard and stack, 64 KiB each.
const MIN_SHIFT: u8 = 17;
/// log2 of the largest slot, 1 TiB: a larger size is a mistake.
const MAX_SHIFT: u8 = 40;
/// The size of the largest stack, guard included.
pub(crate) const STACK_MAX: usize = 1 << MAX_SHIFT;
const CLASSES: usize = (MAX_SHIFT - MIN_SHIFT) as usize + 1;

/// Slots of a class's first slab; each further one has `SLAB_GROWTH` times as many. A million
/// default stacks are some twenty reservations.
const SLAB_FIRST: usize = 16;
const SLAB_GROWTH: usize = 4;
const SLAB_MAX: usize = 65_536;
/// No reservation is larger, unless a single slot is.
const SLAB_MAX_BYTES: usize = 16 << 30;

/// Pooled stacks of each class that are never trimmed.
const HOT: usize = 64;
/// Stacks that one call of `trim` handles: at 1 to 2 µs each, a call delays the scheduler by hardly
/// more than 0.2 ms.
const TRIM_BATCH: usize = 128;

/// The configuration of a [`Pool`]. Sizes are address space including the guard (64 KiB), rounded
/// up to a power of two, at least 128 KiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StackConfig {
    /// The default size of a stack.
    pub(crate) size: usize,
    pub(crate) guards: Guards,
    /// The maximum number of stacks lent at the same time, without lost ones and the one that
    /// [`Pool::take_beyond`] lends.
    pub(crate) max: usize,
}

/// The stacks of one size.
#[derive(Debug, Default)]
struct Class {
    pooled: Vec<Stack>,
    /// The number of stacks at the beginning of `pooled` that were trimmed, unless `low_water` is
    /// less.
    clean: usize,
    /// The shortest length of `pooled` since the last trim.
    low_water: usize,
    /// Index of the slab with fresh slots; earlier ones of this class are used up.
    current: Option<u32>,
}

/// Lends stacks and takes them back. It belongs to one thread.
#[derive(Debug)]
pub(crate) struct Pool {
    classes: [Class; CLASSES],
    slabs: Vec<Slab>,
    guard_kind: GuardKind,
    default_class: usize,
    in_use: usize,
    max: usize,
    not_send: PhantomData<*mut ()>,
}

impl Pool {
    /// Makes a pool that has reserved nothing yet.
    pub(crate) fn new(config: StackConfig) -> Pool {
        Pool {
            classes: std::array::from_fn(|_| Class::default()),
            slabs: Vec::new(),
            guard_kind: config.guards.into(),
            default_class: class_of(config.size).unwrap_or(CLASSES - 1),
            in_use: 0,
            max: config.max,
            not_send: PhantomData,
        }
    }

    /// Lends the stack of this `size` (`None`: the default) that was given back last, or a fresh
    /// one.
    #[inline]
    pub(crate) fn take(&mut self, size: Option<usize>) -> Result<Stack, TakeError> {
        let class = match size {
            None => self.default_class,
            Some(size) => class_of(size).ok_or_else(too_large)?,
        };
        if self.in_use >= self.max {
            return Err(self.exhausted());
        }
        self.lend(class)
    }

    /// Lends a stack of the default size if the maximum is reached: one beyond it, and no second.
    #[cold]
    pub(crate) fn take_beyond(&mut self) -> Result<Stack, TakeError> {
        if self.in_use > self.max {
            return Err(self.exhausted());
        }
        self.lend(self.default_class)
    }

    #[inline]
    fn lend(&mut self, class: usize) -> Result<Stack, TakeError> {
        let pool = &mut self.classes[class];
        let stack = match pool.pooled.pop() {
            Some(stack) => {
                pool.low_water = pool.low_water.min(pool.pooled.len());
                stack
            }
            None => self.take_fresh(class)?,
        };
        self.in_use += 1;
        Ok(stack)
    }

    /// Takes a stack back. Nothing on it may be referred to any more.
    ///
    /// # Panics
    /// If the stack is another pool's.
    #[inline]
    pub(crate) fn give(&mut self, stack: Stack) {
        self.assert_ours(&stack);
        self.in_use -= 1;
        self.classes[usize::from(stack.shift - MIN_SHIFT)].pooled.push(stack);
    }

    /// Stops counting a lent stack that never comes back: its slot stays as it is, and another
    /// stack may be lent instead.
    pub(crate) fn lose(&mut self) {
        self.in_use -= 1;
    }

    /// Gives the memory of stacks that were not taken since the last call, except a few, back to
    /// the system. Call it from time to time (once a second, say). Returns true if more are left:
    /// then call it again soon.
    pub(crate) fn trim(&mut self) -> bool {
        let mut budget = TRIM_BATCH;
        for class in &mut self.classes {
            let clean = class.clean.min(class.low_water);
            let idle = class.low_water.min(class.pooled.len().saturating_sub(HOT));
            let end = idle.min(clean + budget).max(clean);
            for stack in &mut class.pooled[clean..end] {
                // SAFETY: the stack is pooled, so nothing on it is referred to.
                unsafe { self.slabs[stack.slab as usize].discard(stack) };
            }
            budget -= end - clean;
            class.clean = end;
            if end < idle {
                // `low_water` stays, since idle stacks are still to be trimmed.
                return true;
            }
            class.low_water = class.pooled.len();
        }
        false
    }

    /// Tells whether [`Pool::trim`] would find enough to be worth a call.
    pub(crate) fn is_trimmable(&self) -> bool {
        let dirty = |class: &Class| class.pooled.len() - class.clean.min(class.low_water);
        self.classes.iter().any(|class| dirty(class) > HOT)
    }

    /// Returns the number of stacks that are lent, including those that will never come back,
    /// unless they are [`lost`](Pool::lose).
    pub(crate) fn in_use(&self) -> usize {
        self.in_use
    }

    /// Returns the number of stacks that were given back and wait to be lent again.
    #[cfg(test)]
    pub(crate) fn pooled(&self) -> usize {
        self.classes.iter().map(|class| class.pooled.len()).sum()
    }

    /// Lends a fresh slot of `class`, from a new slab if need be.
    #[cold]
    #[inline(never)]
    fn take_fresh(&mut self, class: usize) -> Result<Stack, TakeError> {
        if let Some(index) = self.classes[class].current {
            let slab = &mut self.slabs[index as usize];
            if let Some(lent) = slab.lend(index, &mut self.guard_kind) {
                return lent.map_err(|error| self.refused(error));
            }
        }
        let shift = MIN_SHIFT + class as u8;
        let slots = self.next_slab_slots(class, shift);
        let slab = Slab::reserve(shift, slots).map_err(|error| self.refused(error))?;
        let index = u32::try_from(self.slabs.len()).expect("memory ends before slabs do");
        self.slabs.push(slab);
        self.classes[class].current = Some(index);
        let slab = &mut self.slabs[index as usize];
        let lent = slab.lend(index, &mut self.guard_kind).expect("a new slab has a fresh slot");
        lent.map_err(|error| self.refused(error))
    }

    /// Returns the number of slots of the class's next slab. Every stack of the class is lent, so
    /// no more slots are needed than `max` still allows.
    fn next_slab_slots(&self, class: usize, shift: u8) -> usize {
        let grown = match self.classes[class].current {
            Some(index) => self.slabs[index as usize].slots().saturating_mul(SLAB_GROWTH),
            None => SLAB_FIRST,
        };
        let allowed = self.max.saturating_sub(self.in_use);
        grown.min(SLAB_MAX).min(SLAB_MAX_BYTES >> shift).min(allowed).max(1)
    }

    /// Translates the system's refusal for the caller.
    fn refused(&self, error: io::Error) -> TakeError {
        match says_exhausted(&error) && self.in_use > 0 {
            true => TakeError::Limit,
            false => TakeError::Os(error),
        }
    }

    /// Returns the error of a pool at its maximum.
    #[cold]
    fn exhausted(&self) -> TakeError {
        self.refused(no_memory())
    }

    #[inline]
    fn assert_ours(&self, stack: &Stack) {
        let slab = self.slabs.get(stack.slab as usize);
        assert!(slab.is_some_and(|slab| slab.contains(stack)), "a stack of another pool");
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut given = vec![0; self.slabs.len()];
        for stack in self.classes.iter_mut().flat_map(|class| class.pooled.drain(..)) {
            given[stack.slab as usize] += 1;
        }
        for (slab, given) in self.slabs.drain(..).zip(given) {
            if given == slab.lent() {
                // SAFETY: as many stacks came back as were lent, each at most once because a
                // `Stack` is not `Clone`; they were pooled, so nothing on them is referred to.
                unsafe { slab.unmap() };
            }
        }
    }
}

/// Returns the class of stacks with at least `size` bytes; `None` if that is too large.
#[inline]
fn class_of(size: usize) -> Option<usize> {
    let size = size.max(2 * GUARD).checked_next_power_of_two()?;
    let class = size.trailing_zeros() as usize - usize::from(MIN_SHIFT);
    (class < CLASSES).then_some(class)
}

#[cold]
fn too_large() -> TakeError {
    TakeError::Os(io::Error::new(io::ErrorKind::InvalidInput, "stack size above 1 TiB"))
}
