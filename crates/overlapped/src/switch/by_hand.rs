//! Switches for x86-64 in the System V ABI.
//!
//! At the top of every stack stands a [`Link`]: where the fiber and its resumer are suspended. Both
//! ways are the same few instructions: save the position, load the other, jump. The compiler saves
//! what it needs of the other registers, since all of them are declared as overwritten.
//!
//! ```text
//!   base ─▶ ┌──────────────┐
//!           │ Link         │ fiber, hub: stack pointers; job; paused
//!           ├──────────────┤
//!           │ 0            │ fake return address: backtraces end here
//!           │ &main        │ popped and jumped to by the first resume
//!           ├──────────────┤ ◀─ first `fiber` position, 16-byte aligned
//!           │ frames …     │
//! ```
//!
//! The control words of the x87 and of SSE are left alone: the ABI has them preserved by every
//! function, so each side finds them as all sides left them.

use std::arch::asm;
use std::cell::Cell;
use std::ptr::NonNull;

use corosensei::stack::Stack as _;

use super::{Job, Paused};
use crate::stack::Stack;

/// What a fiber and its resumer share; on the fiber's stack.
struct Link {
    /// Where the fiber is suspended, while it is.
    fiber: Cell<usize>,
    /// Where its resumer is suspended, while the fiber runs.
    hub: Cell<usize>,
    job: Cell<Job>,
    paused: Cell<Paused>,
    entry: fn(Job, &Suspender),
}

/// A job's way back to whoever resumed its fiber.
#[repr(transparent)]
pub(crate) struct Suspender(Link);

impl Suspender {
    /// Leaves the fiber; returns when it is resumed.
    #[inline(always)]
    pub(crate) fn suspend(&self) {
        self.leave(Paused::Waiting);
    }

    #[inline(always)]
    fn leave(&self, why: Paused) {
        self.0.paused.set(why);
        // SAFETY: a suspender is reached from its own running fiber only, so its resumer is
        // suspended in `resume` and has left its position in `hub`.
        unsafe { switch(self.0.fiber.as_ptr(), self.0.hub.get(), std::ptr::null()) };
    }
}

/// A stack with a context on it.
pub(crate) struct Fiber {
    link: NonNull<Link>,
    stack: Stack,
}

impl Fiber {
    /// A fiber that calls `entry` for every job it is resumed with. `entry` must not unwind.
    pub(crate) fn new(stack: Stack, entry: fn(Job, &Suspender)) -> Fiber {
        let base = stack.base().get();
        let link = (base - size_of::<Link>()) & !15;
        let first = link - 2 * size_of::<usize>();
        let link: *mut Link = std::ptr::with_exposed_provenance_mut(link);
        let frame: *mut usize = std::ptr::with_exposed_provenance_mut(first);
        let fresh = Link {
            fiber: Cell::new(first),
            hub: Cell::new(0),
            job: Cell::new(std::ptr::null()),
            paused: Cell::new(Paused::Finished),
            entry,
        };
        // SAFETY: the stack is ours alone and has room for this below its base; both places are
        // aligned: bases are multiples of 64, a `Link` needs 8.
        unsafe {
            link.write(fresh);
            frame.write(main as *const () as usize);
            frame.add(1).write(0);
        }
        // SAFETY: an address within a mapping is not null.
        Fiber { link: unsafe { NonNull::new_unchecked(link) }, stack }
    }

    /// Runs the fiber until it waits or finishes its job. A fiber that waits in the middle of a job
    /// goes on with it; `job` is for one that is between two.
    #[inline(always)]
    pub(crate) fn resume(&mut self, job: Job) -> Paused {
        debug_assert!(!job.is_null());
        // SAFETY: the link stands on the stack that this fiber owns.
        let link = unsafe { self.link.as_ref() };
        link.job.set(job);
        // SAFETY: a fiber that is not running is suspended, at the position in `fiber`; `&mut self`
        // and the caller's duty not to resume a running fiber see to that. The first time, that is
        // the frame which `new` made.
        unsafe { switch(link.hub.as_ptr(), link.fiber.get(), (&raw const *link).cast()) };
        link.paused.get()
    }

    /// Takes back the stack of a fiber that is between two jobs: nothing on it owns anything.
    pub(crate) fn retire(self) -> Stack {
        // SAFETY: as in `resume`.
        let paused = unsafe { self.link.as_ref() }.paused.get();
        assert_eq!(paused, Paused::Finished, "retired in the middle of a job");
        self.stack
    }

    /// First and last address (exclusive) of the stack's guard; the usable part begins there.
    pub(crate) fn guard(&self) -> (usize, usize) {
        let guard = self.stack.guard();
        (guard.start, guard.end)
    }
}

/// The first function on every fiber's stack.
extern "C" fn main(link: *const Link) -> ! {
    // SAFETY: the first resume passes the link at the top of this stack, which stays there.
    let link = unsafe { &*link };
    // SAFETY: a transparent wrapper.
    let suspender = unsafe { &*(&raw const *link).cast::<Suspender>() };
    loop {
        (link.entry)(link.job.get(), suspender);
        suspender.leave(Paused::Finished);
    }
}

/// Saves the present position in `save` and goes on at `to`, with `argument` as the first argument
/// of a function that begins there. Returns when somebody switches to the saved position.
///
/// # Safety
/// `to` is a position that this function saved, and nothing has run on that stack since, or one
/// that `Fiber::new` made.
#[inline(always)]
unsafe fn switch(save: *mut usize, to: usize, argument: *const ()) {
    // SAFETY: all general registers that the ABI lets a function overwrite, and r12 to r15, are
    // declared as overwritten; rbx and rbp, which cannot be declared, are saved on the stack that
    // is left and restored when it is entered again. No red zone: `nostack` is not claimed.
    unsafe {
        asm!(
            "push rbp",
            "push rbx",
            "lea rax, [rip + 2f]",
            "push rax",
            "mov [rdx], rsp",
            "mov rsp, rsi",
            "pop rax",
            "jmp rax",
            "2:",
            "pop rbx",
            "pop rbp",
            inlateout("rdi") argument => _,
            inlateout("rsi") to => _,
            inlateout("rdx") save => _,
            lateout("r12") _,
            lateout("r13") _,
            lateout("r14") _,
            lateout("r15") _,
            clobber_abi("sysv64"),
        );
    }
}
