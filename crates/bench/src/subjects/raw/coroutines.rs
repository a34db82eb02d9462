//! Bare corosensei: stacks from one reservation without guards, coroutines resumed by a loop.

use crate::harness::memory::{Memory, Parking};
use crate::traits::tasks::{YIELDS_AROUND, YieldClock};
use corosensei::stack::{Stack, StackPointer};
use corosensei::{Coroutine, CoroutineResult};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use std::cell::Cell;
use std::ffi::c_void;
use std::rc::Rc;
use std::time::{Duration, Instant};

type Task = Coroutine<(), (), (), Piece>;

/// The address space of a stack. Only touched pages use memory.
const STACK_BYTES: usize = 64 * 1024;

/// One reservation for many stacks. Its pieces hold it, so it outlives them.
struct Slab {
    start: *mut c_void,
    bytes: usize,
}

impl Slab {
    fn reserve(stacks: usize) -> Result<Rc<Slab>, String> {
        let bytes = stacks * STACK_BYTES;
        let (protection, flags) =
            (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::NORESERVE);
        // SAFETY: the mapping is new and anonymous, at an address of the kernel's choice, so it
        // replaces no other; the advice is for this mapping alone.
        let start = unsafe {
            let start = mmap_anonymous(std::ptr::null_mut(), bytes, protection, flags)
                .map_err(|error| format!("no address space for {stacks} stacks: {error}"))?;
            // Refused only where there are no huge pages, which is as good.
            let _ = madvise(start, bytes, Advice::LinuxNoHugepage);
            start
        };
        Ok(Rc::new(Slab { start, bytes }))
    }

    fn piece(self: &Rc<Slab>, index: usize) -> Piece {
        assert!((index + 1) * STACK_BYTES <= self.bytes);
        let limit = self.start as usize + index * STACK_BYTES;
        Piece { limit, _slab: self.clone() }
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        // SAFETY: the mapping belongs to this slab, and every piece of it is gone, as each holds
        // the slab. A failure would only leak address space.
        let _ = unsafe { munmap(self.start, self.bytes) };
    }
}

/// One stack of a slab.
struct Piece {
    limit: usize,
    _slab: Rc<Slab>,
}

// SAFETY: both ends are page aligned, and the memory between them is writable and used by this
// piece alone while the slab lives. There is no guard, and none is needed: the coroutines in this
// file use a few hundred bytes of the 64 KiB.
unsafe impl Stack for Piece {
    fn base(&self) -> StackPointer {
        StackPointer::new(self.limit + STACK_BYTES).unwrap_or(StackPointer::MIN)
    }

    fn limit(&self) -> StackPointer {
        StackPointer::new(self.limit).unwrap_or(StackPointer::MIN)
    }
}

pub(super) fn spawn_join(n: u64) -> Result<Duration, String> {
    let mut stack = Slab::reserve(1)?.piece(0);
    let start = Instant::now();
    for _ in 0..n {
        let mut task: Task = Coroutine::with_stack(stack, |_, ()| {});
        task.resume(());
        stack = task.into_stack();
    }
    Ok(start.elapsed())
}

pub(super) fn yields(tasks: usize, rounds: u64) -> Result<Duration, String> {
    let slab = Slab::reserve(tasks)?;
    let clock = Rc::new(YieldClock::new(tasks));
    let mut all: Vec<Task> = (0..tasks)
        .map(|index| {
            let clock = clock.clone();
            Coroutine::with_stack(slab.piece(index), move |yielder, ()| {
                for _ in 0..YIELDS_AROUND {
                    yielder.suspend(());
                }
                clock.begin();
                for _ in 0..rounds {
                    yielder.suspend(());
                }
                clock.end();
                for _ in 0..YIELDS_AROUND {
                    yielder.suspend(());
                }
            })
        })
        .collect();
    while resume_all(&mut all) {}
    clock.took()
}

/// Resumes each task that has not ended, and tells whether any is left.
fn resume_all(tasks: &mut [Task]) -> bool {
    let mut left = false;
    for task in tasks {
        if !task.done() {
            left |= matches!(task.resume(()), CoroutineResult::Yield(()));
        }
    }
    left
}

pub(super) fn channel_round_trip(n: u64) -> Result<Duration, String> {
    let slab = Slab::reserve(2)?;
    let slot = Rc::new(Cell::new(None));
    let seen = slot.clone();
    let mut asking: Task = Coroutine::with_stack(slab.piece(0), move |yielder, ()| {
        for value in 0..n {
            seen.set(Some(value));
            yielder.suspend(());
            assert_eq!(seen.take(), Some(value + 1));
        }
    });
    let mut answering: Task = Coroutine::with_stack(slab.piece(1), move |yielder, ()| {
        for _ in 0..n {
            let value: u64 = slot.take().unwrap_or_default();
            slot.set(Some(value + 1));
            yielder.suspend(());
        }
    });
    let start = Instant::now();
    while let CoroutineResult::Yield(()) = asking.resume(()) {
        answering.resume(());
    }
    let took = start.elapsed();
    answering.resume(());
    Ok(took)
}

pub(super) fn parked(n: usize) -> Result<Memory, String> {
    let parking = Parking::begin();
    let slab = Slab::reserve(n)?;
    let mut all: Vec<Task> = (0..n)
        .map(|index| Coroutine::with_stack(slab.piece(index), |yielder, ()| yielder.suspend(())))
        .collect();
    resume_all(&mut all);
    let added = parking.added();
    while resume_all(&mut all) {}
    Ok(added)
}
