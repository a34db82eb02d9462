//! Switches for x86-64 in the System V ABI.
//!
//! There are three ways from stack to stack, all by the same few instructions: save rbx, rbp and
//! the position, load the other position, jump. All other registers are declared as overwritten, so
//! the compiler saves what it needs of them.
//!
//! ```text
//!   hub ───start, resume───▶ fiber   the hub's position is in `Hub`,
//!   hub ◀──────suspend────── fiber   a fiber's in the `Position` that `start` was given
//!   fiber ─start, hand_over▶ fiber   the hub stays where it is
//! ```
//!
//! A [`Link`] is at the top of every stack. Only the beginning and the end of a job and `suspend`
//! read it; a hand-over does not touch it.
//!
//! ```text
//!   base ─▶ ┌──────────────┐
//!           │ Link         │ the job, the hub, where the position is kept
//!           ├──────────────┤
//!           │ 0            │ fake return address: backtraces end here
//!           │ &main        │ popped and jumped to by the first start
//!           ├──────────────┤ ◀─ first position, 16-byte aligned
//!           │ frames …     │
//! ```
//!
//! The control words of the x87 and of SSE are not saved: the ABI makes every function preserve
//! them, so they are the same on every stack.

use std::arch::asm;
use std::cell::Cell;
use std::ptr::NonNull;

use corosensei::stack::Stack as _;

use super::{Job, Paused};
use crate::stack::Stack;

/// The ability of a fiber to hand over to another without going through the hub.
pub(crate) const HANDS_OVER: bool = true;

/// The point where the hub is suspended while fibers run, and why the last of them came back to it.
pub(crate) struct Hub {
    position: Cell<usize>,
    paused: Cell<Paused>,
}

impl Hub {
    /// Makes a hub that has resumed no fiber yet.
    pub(crate) const fn new() -> Hub {
        Hub { position: Cell::new(0), paused: Cell::new(Paused::Finished) }
    }
}

/// The point where a fiber is suspended in the middle of its job. The caller of `start` keeps it.
pub(crate) struct Position(Cell<usize>);

impl Position {
    /// Makes the position of a job that has not started.
    pub(crate) const fn new() -> Position {
        Position(Cell::new(0))
    }

    /// Returns the address that the fiber touches first when it goes on.
    #[inline(always)]
    pub(crate) fn hot(&self) -> *const () {
        std::ptr::without_provenance(self.0.get())
    }

    /// Returns the position, by value. A fiber that has handed over may be suspended for longer
    /// than the other tasklet lives, so it must not be given a reference.
    #[inline(always)]
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.0.get())
    }

    /// Leaves the fiber of this position for another. Returns when this one is resumed or handed
    /// over to.
    ///
    /// # Safety
    /// The caller runs on this position's fiber, in its job. `next` is the mark of another fiber of
    /// the same hub, which is suspended there, in the middle of its job.
    #[inline(always)]
    pub(crate) unsafe fn hand_over(&self, next: Mark) {
        // SAFETY: the other fiber is suspended at that position.
        unsafe { switch(self.0.as_ptr(), next.0, std::ptr::null()) };
    }

    /// Leaves the fiber for another that is between two jobs, and begins a job there.
    ///
    /// # Safety
    /// The caller runs on this position's fiber, in its job. For the other fiber, the conditions of
    /// [`Fiber::start`] hold.
    #[inline(always)]
    pub(crate) unsafe fn start(
        &self,
        entrance: Entrance,
        position: *const Position,
        hub: &Hub,
        job: Job,
    ) {
        // SAFETY: the caller's promise.
        unsafe { entrance.enter(&self.0, position, hub, job) };
    }
}

/// The point from which a suspended fiber goes on.
#[derive(Clone, Copy)]
pub(crate) struct Mark(usize);

/// The handle by which a job is started on a fiber between two jobs; by value, for the same reason
/// as a [`Mark`].
#[derive(Clone, Copy)]
pub(crate) struct Entrance(NonNull<Link>);

impl Entrance {
    /// Begins `job` on the fiber.
    ///
    /// # Safety
    /// The conditions of [`Fiber::start`] hold; `save` is where the caller's position belongs.
    #[inline(always)]
    unsafe fn enter(self, save: &Cell<usize>, position: *const Position, hub: &Hub, job: Job) {
        debug_assert!(!job.is_null());
        // SAFETY: the link lies on the fiber's stack, and the fiber still exists.
        let link = unsafe { self.0.as_ref() };
        link.job.set(job);
        link.hub.set(hub);
        link.position.set(position);
        // SAFETY: between two jobs a fiber is suspended in `main`, or on the frame that `new` made,
        // which expects the link.
        unsafe { switch(save.as_ptr(), link.rest.get(), (&raw const *link).cast()) };
    }
}

/// The data at the top of a fiber's stack.
struct Link {
    /// The point where it is suspended between two jobs.
    rest: Cell<usize>,
    /// The place of its position, from a job's start to its end.
    position: Cell<*const Position>,
    hub: Cell<*const Hub>,
    job: Cell<Job>,
    entry: fn(Job, &Suspender),
}

/// The handle by which a job returns to the hub.
#[repr(transparent)]
pub(crate) struct Suspender(Link);

impl Suspender {
    /// Leaves the fiber for the hub; returns when it is resumed or handed over to.
    #[inline(always)]
    pub(crate) fn suspend(&self) {
        // SAFETY: only its own running fiber reaches a suspender, in a job. Until that job's end
        // the position stays at the address that `start` was given.
        self.leave(Paused::Waiting, unsafe { &(*self.0.position.get()).0 });
    }

    #[inline(always)]
    fn leave(&self, why: Paused, save: &Cell<usize>) {
        // SAFETY: `start` has set the hub, which stays in place until the job has ended. It is
        // suspended while any of its fibers runs, and has left its position there.
        unsafe {
            let hub = &*self.0.hub.get();
            hub.paused.set(why);
            switch(save.as_ptr(), hub.position.get(), std::ptr::null());
        }
    }
}

/// A stack with a context on it.
pub(crate) struct Fiber {
    link: NonNull<Link>,
    stack: Stack,
}

impl Fiber {
    /// Makes a fiber that calls `entry` for every job. `entry` must not unwind.
    pub(crate) fn new(stack: Stack, entry: fn(Job, &Suspender)) -> Fiber {
        let base = stack.base().get();
        let link = (base - size_of::<Link>()) & !15;
        let first = link - 2 * size_of::<usize>();
        let link: *mut Link = std::ptr::with_exposed_provenance_mut(link);
        let frame: *mut usize = std::ptr::with_exposed_provenance_mut(first);
        let new_link = Link {
            rest: Cell::new(first),
            position: Cell::new(std::ptr::null()),
            hub: Cell::new(std::ptr::null()),
            job: Cell::new(std::ptr::null()),
            entry,
        };
        // SAFETY: the stack is ours alone and has room for this below its base; both places are
        // aligned: bases are multiples of 64, a `Link` needs 8.
        unsafe {
            link.write(new_link);
            frame.write(main as *const () as usize);
            frame.add(1).write(0);
        }
        // SAFETY: an address within a mapping is not null.
        Fiber { link: unsafe { NonNull::new_unchecked(link) }, stack }
    }

    /// Runs a new job until a fiber of this hub comes back to it: this one, or one that it has
    /// handed over to. Returns how that one came back.
    ///
    /// # Safety
    /// The caller is the hub, on its thread; this fiber is between two jobs. Until its job has
    /// ended, `position` and the hub stay where they are in memory, and nothing else uses that
    /// position.
    #[inline(always)]
    pub(crate) unsafe fn start(&self, position: &Position, hub: &Hub, job: Job) -> Paused {
        // SAFETY: the caller's promise.
        unsafe { self.entrance().enter(&hub.position, position, hub, job) };
        hub.paused.get()
    }

    /// Resumes a job, otherwise like [`Fiber::start`].
    ///
    /// # Safety
    /// The caller is the hub of this fiber's job. The job was started with this position and hub,
    /// and is suspended in its middle.
    #[inline(always)]
    pub(crate) unsafe fn resume(&self, position: &Position, hub: &Hub) -> Paused {
        // SAFETY: the fiber is suspended, so its position is one that it has saved.
        unsafe { switch(hub.position.as_ptr(), position.0.get(), std::ptr::null()) };
        hub.paused.get()
    }

    /// Returns the entrance to this fiber, for a fiber that hands over.
    #[inline(always)]
    pub(crate) fn entrance(&self) -> Entrance {
        Entrance(self.link)
    }

    /// Takes back the stack of a fiber that is between two jobs, when nothing on it owns anything.
    pub(crate) fn retire(self) -> Stack {
        // SAFETY: the link lies on the stack that this fiber owns.
        let job = unsafe { self.link.as_ref() }.job.get();
        assert!(job.is_null(), "retired in the middle of a job");
        self.stack
    }

    /// Returns the first and the last address (exclusive) of the stack's guard; the usable part
    /// begins at the last.
    pub(crate) fn guard(&self) -> (usize, usize) {
        let guard = self.stack.guard();
        (guard.start, guard.end)
    }
}

/// The first function on every fiber's stack.
extern "C" fn main(link: *const Link) -> ! {
    // SAFETY: the first start passes the link at the top of this stack, which stays there.
    let link = unsafe { &*link };
    // SAFETY: `Suspender` is a transparent wrapper.
    let suspender = unsafe { &*(&raw const *link).cast::<Suspender>() };
    loop {
        (link.entry)(link.job.get(), suspender);
        link.job.set(std::ptr::null());
        suspender.leave(Paused::Finished, &link.rest);
    }
}

/// Saves the present position in `save` and goes on at `to`, with `argument` as the first argument
/// of a function that begins there. Returns when the saved position is switched to.
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
