//! A substitute for Miri: addresses without memory behind them. Under Miri a fiber is a thread and
//! needs no stack.

use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The growth of a stack: there is no memory that could grow, so nothing is kept.
#[derive(Debug)]
pub(crate) struct Growth(());

/// Reserved addresses, without memory.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonZeroUsize,
    len: usize,
}

impl Mapping {
    pub(crate) fn reserve(len: usize) -> io::Result<Mapping> {
        static NEXT: AtomicUsize = AtomicUsize::new(1 << 32);
        let start = NEXT.fetch_add(len, Ordering::Relaxed);
        Ok(Mapping { start: NonZeroUsize::new(start).expect("it counts up"), len })
    }

    pub(crate) fn start(&self) -> NonZeroUsize {
        self.start
    }

    fn contains(&self, range: &Range<usize>) -> bool {
        let start = self.start.get();
        start <= range.start && range.start <= range.end && range.end <= start + self.len
    }

    /// # Safety
    /// None needed: it does nothing.
    pub(crate) unsafe fn mark_guard(&self, _range: Range<usize>) -> io::Result<()> {
        Ok(())
    }

    /// # Safety
    /// None needed: it does nothing.
    pub(crate) unsafe fn protect(&self, _range: Range<usize>) -> io::Result<()> {
        Ok(())
    }

    /// Begins a stack: nothing is to be done.
    ///
    /// # Safety
    /// No code uses these bytes.
    pub(crate) unsafe fn begin_stack(&self, range: Range<usize>) -> io::Result<Growth> {
        assert!(self.contains(&range));
        Ok(Growth(()))
    }

    /// # Safety
    /// None needed: it does nothing.
    pub(crate) unsafe fn discard(&self, range: Range<usize>, _: &mut Growth) {
        assert!(self.contains(&range));
    }

    /// # Safety
    /// None needed: it does nothing.
    pub(crate) unsafe fn unmap(self) {}
}

pub(crate) fn is_readable(_address: usize) -> bool {
    false
}

pub(crate) fn first_resident(_range: Range<usize>) -> Option<usize> {
    None
}

pub(crate) fn page_size() -> usize {
    4096
}

pub(crate) fn mapping_limit() -> usize {
    65_530
}
