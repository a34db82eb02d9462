//! A closure as a `Task<F, T>`: one allocation with its control block.
//!
//! The closure is moved to the tasklet's own stack when it first runs. The result takes its place
//! in the allocation and stays for the handle. Each value is dropped by one party:
//!
//! | value | dropped by |
//! |---|---|
//! | closure of a tasklet killed before its start | the tasklet, on its own stack |
//! | result, handle gone | the tasklet, on its own stack |
//! | result, handle there | `join`'s caller, or the code that drops the handle |
//! | locals | the tasklet, on its own stack |

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use crate::sched::{
    Ending, Intake, Locals, Origin, Tcb, TcbPtr, VTable, assert_off_hub, drop_locals, drop_quietly,
    end_locals,
};
use crate::task::TaskletExit;

/// The result of a tasklet's closure.
pub(crate) type Returned<T> = Result<T, Box<dyn Any + Send>>;

enum Contents<F, T> {
    Closure(F),
    Result(Returned<T>),
    Empty,
}

/// A control block with its closure, later its result. The block is the first field: a pointer to
/// one is a pointer to the other.
#[repr(C)]
struct Task<F, T> {
    tcb: Tcb,
    contents: UnsafeCell<Contents<F, T>>,
}

impl<F: FnOnce() -> T, T> Task<F, T> {
    const VTABLE: VTable = VTable { run: Self::run, free: Self::free };

    #[inline(always)]
    fn allocate(f: F, id: u64, at: Origin) -> TcbPtr {
        let mut task = Box::<Task<F, T>>::new_uninit();
        // In place: a block is several cache lines, too many to build here and copy there.
        let place = task.as_mut_ptr();
        // SAFETY: both are fields of fresh memory of that very type, each written once.
        unsafe {
            (&raw mut (*place).tcb).write(Tcb::new(&Self::VTABLE, id, at));
            (&raw mut (*place).contents).write(UnsafeCell::new(Contents::Closure(f)));
        }
        // SAFETY: all fields have been written; a box is not null.
        let task = unsafe { Box::into_raw(task.assume_init()) };
        // SAFETY: a box is not null.
        unsafe { NonNull::new_unchecked(task) }.cast()
    }

    /// Runs the closure: `VTable::run`.
    ///
    /// # Safety
    /// `tcb` was made by `allocate` of the same types, and this is called once.
    unsafe fn run(tcb: TcbPtr) {
        // SAFETY: the block is the first field of a `Task<F, T>` (repr(C)), and the pointer came
        // from the whole box.
        let task = unsafe { tcb.cast::<Task<F, T>>().as_ref() };
        // SAFETY: nothing else touches the contents before `ending` shows the tasklet's end.
        let closure = unsafe { std::mem::replace(&mut *task.contents.get(), Contents::Empty) };
        let Contents::Closure(f) = closure else { unreachable!("a tasklet runs once") };
        assert_off_hub();
        let no_stack = task.tcb.no_stack.get();
        let (result, mut ending) = if task.tcb.killed.get() || no_stack {
            task.tcb.last_drops.set(true);
            let ending = if no_stack { Ending::NoStack } else { Ending::Killed };
            (catch_unwind(AssertUnwindSafe(|| drop(f))).err().map(Err), ending)
        } else {
            (Some(catch_unwind(AssertUnwindSafe(f))), Ending::Returned)
        };
        task.tcb.last_drops.set(true);
        drop_locals(&task.tcb);
        let result = match result {
            Some(Err(payload)) if payload.is::<TaskletExit>() => {
                ending = Ending::Killed;
                None
            }
            Some(Err(payload)) => {
                ending = Ending::Panicked;
                Some(Err(payload))
            }
            result => result,
        };
        if task.tcb.detached.get() {
            mark_scope_panicked(&task.tcb, ending);
            drop_quietly(result);
            drop_locals(&task.tcb);
        } else if let Some(result) = result {
            // SAFETY: as above.
            unsafe { *task.contents.get() = Contents::Result(result) };
        }
        if task.tcb.locals.get() == Locals::Own {
            end_locals(&task.tcb);
        }
        task.tcb.ending.set(ending);
    }

    /// Frees the allocation: `VTable::free`.
    ///
    /// # Safety
    /// There is no other reference, and the types are those of `allocate`.
    unsafe fn free(tcb: TcbPtr) {
        // SAFETY: the pointer came from `Box::into_raw` of this very type.
        let mut task = unsafe { Box::from_raw(tcb.cast::<Task<F, T>>().as_ptr()) };
        // The caller may be the hub.
        debug_assert!(matches!(task.contents.get_mut(), Contents::Empty), "a value is left");
        debug_assert!(!task.tcb.has_users_values(), "a value is left in the block");
        drop(task);
    }

    /// Takes the result for the handle.
    ///
    /// # Safety
    /// The types are those of `allocate`, and the tasklet has ended.
    unsafe fn take(tcb: TcbPtr) -> Option<Returned<T>> {
        // SAFETY: the caller's handle keeps the block there. The tasklet has ended, so `run` is
        // done with the contents, and a handle belongs to this thread.
        let contents = unsafe { tcb.cast::<Task<F, T>>().as_ref() }.contents.get();
        // Only what is there is moved: a wide load of words that were stored one by one just now
        // would wait for those stores.
        // SAFETY: as above; what has been read out is forgotten in the next step.
        let result = unsafe {
            match &*contents {
                Contents::Result(Ok(value)) => Some(Ok(std::ptr::read(value))),
                Contents::Result(Err(payload)) => Some(Err(std::ptr::read(payload))),
                Contents::Closure(_) => unreachable!("an ended tasklet has no closure"),
                Contents::Empty => None,
            }
        };
        // SAFETY: as above.
        unsafe { contents.write(Contents::Empty) };
        result
    }
}

/// Tells the scope that one of its tasklets panicked and will not be joined.
pub(super) fn mark_scope_panicked(tcb: &Tcb, ending: Ending) {
    if ending == Ending::Panicked
        && let Some(scope) = tcb.scope.get()
    {
        // SAFETY: `scope` returns after its last tasklet has ended and its last handle, which
        // borrows it, is gone.
        unsafe { scope.as_ref() }.panicked.set(true);
    }
}

/// A tasklet that has been made and not yet queued.
pub(crate) struct Made<T> {
    pub(crate) tcb: TcbPtr,
    pub(crate) take: unsafe fn(TcbPtr) -> Option<Returned<T>>,
}

/// Makes a tasklet's block; `at` is the call that spawns it.
///
/// # Safety
/// Everything that `F` and `T` borrow outlives the tasklet: its run and its result.
pub(crate) unsafe fn make<F: FnOnce() -> T, T>(intake: &Intake, at: Origin, f: F) -> Made<T> {
    Made { tcb: Task::<F, T>::allocate(f, intake.next_id(), at), take: Task::<F, T>::take }
}
