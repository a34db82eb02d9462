//! Switches for Miri, which runs no assembly: every fiber is a thread, and one of them has a turn.
//!
//! The calls are the same as on x86-64, hand-overs included, so that Miri sees each reference that
//! the scheduler and tasklets hold while another fiber runs, and each memory that is freed
//! meanwhile. The values of a thread (errno, std's count of panics, thread-locals) are not the
//! hub's here: a fiber first carries over the values that its owner names.

use std::cell::Cell;
use std::ptr::NonNull;
use std::thread::JoinHandle;

use super::{Job, Paused};
use crate::stack::Stack;
use crate::sys::lock::{Condvar, Mutex};
use crate::sys::thread::start;

/// The ability of a fiber to hand over to another without going through the hub.
pub(crate) const HANDS_OVER: bool = true;

/// The gate at which a thread waits for its turn.
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    const fn new() -> Gate {
        Gate { open: Mutex::new(false), opened: Condvar::new() }
    }

    fn open(&self) {
        let mut open = self.open.lock();
        *open = true;
        // Notified under the lock, because afterwards the thread that goes on may free the gate.
        self.opened.notify_one();
    }

    fn pass(&self) {
        let mut open = self.open.lock();
        while !*open {
            open = self.opened.wait(open);
        }
        *open = false;
    }
}

/// The point where the hub is suspended while fibers run, and why the last of them came back to it.
pub(crate) struct Hub {
    gate: Gate,
    paused: Cell<Paused>,
}

impl Hub {
    /// Makes a hub that has resumed no fiber yet.
    pub(crate) const fn new() -> Hub {
        Hub { gate: Gate::new(), paused: Cell::new(Paused::Finished) }
    }
}

/// The point where a fiber is suspended in the middle of its job.
pub(crate) struct Position(Cell<*const Link>);

impl Position {
    /// Makes the position of a job that has not started.
    pub(crate) const fn new() -> Position {
        Position(Cell::new(std::ptr::null()))
    }

    /// Returns null: nothing is prefetched here.
    pub(crate) fn hot(&self) -> *const () {
        std::ptr::null()
    }

    /// Returns the position, by value.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.0.get())
    }

    /// Hands over, as on x86-64.
    ///
    /// # Safety
    /// As on x86-64.
    pub(crate) unsafe fn hand_over(&self, next: Mark) {
        let own = self.0.get();
        // SAFETY: both fibers are in the middle of a job, so both are there; and the own one is not
        // freed while this thread is in this call.
        unsafe {
            (*next.0).gate.open();
            (*own).gate.pass();
        }
    }

    /// Hands over to a new job, as on x86-64.
    ///
    /// # Safety
    /// As on x86-64.
    pub(crate) unsafe fn start(
        &self,
        entrance: Entrance,
        position: *const Position,
        hub: &Hub,
        job: Job,
    ) {
        let own = self.0.get();
        // SAFETY: the caller's promise; the own fiber is in the middle of its job.
        unsafe {
            entrance.enter(position, hub, job);
            (*own).gate.pass();
        }
    }
}

/// The point from which a suspended fiber goes on.
#[derive(Clone, Copy)]
pub(crate) struct Mark(*const Link);

/// The way onto a fiber that is between two jobs.
#[derive(Clone, Copy)]
pub(crate) struct Entrance(NonNull<Link>);

impl Entrance {
    /// Begins `job` on the fiber.
    ///
    /// # Safety
    /// The conditions of [`Fiber::start`] hold.
    unsafe fn enter(self, position: *const Position, hub: *const Hub, job: Job) {
        debug_assert!(!job.is_null());
        // SAFETY: the fiber is there, and its thread waits for its turn. Its position is where the
        // caller says, and belongs to it alone.
        unsafe {
            let link = self.0.as_ref();
            link.job.set(job);
            link.hub.set(hub);
            (*position).0.set(self.0.as_ptr());
            link.gate.open();
        }
    }
}

/// The state that a fiber's thread and the others share.
struct Link {
    gate: Gate,
    hub: Cell<*const Hub>,
    /// Null: the fiber has no job and will get none.
    job: Cell<Job>,
}

/// The handle by which a job returns to the hub.
#[repr(transparent)]
pub(crate) struct Suspender(Link);

impl Suspender {
    /// Leaves the fiber for the hub; returns when it is resumed or handed over to.
    pub(crate) fn suspend(&self) {
        self.leave(Paused::Waiting);
    }

    fn leave(&self, why: Paused) {
        // SAFETY: `start` has set the hub, which stays in place until the job has ended, and has no
        // turn before its gate is opened.
        unsafe {
            let hub = self.0.hub.get();
            (*hub).paused.set(why);
            (*hub).gate.open();
        }
        self.0.gate.pass();
    }
}

/// A stack, which is not used, and a thread in its place.
pub(crate) struct Fiber {
    link: NonNull<Link>,
    thread: JoinHandle<()>,
    stack: Stack,
}

/// The data of a fiber's thread. The turn is passed on by gates: only one of the threads uses the
/// data at a time.
struct Given {
    link: NonNull<Link>,
    entry: fn(Job, &Suspender),
    carry_over: Box<dyn FnOnce()>,
}

// SAFETY: only the thread that has the turn uses the data, as the type's comment says.
unsafe impl Send for Given {}

impl Given {
    fn run(self) {
        // SAFETY: the fiber frees it only after this thread's end.
        let link = unsafe { self.link.as_ref() };
        // SAFETY: `Suspender` is a transparent wrapper.
        let suspender = unsafe { self.link.cast::<Suspender>().as_ref() };
        link.gate.pass();
        (self.carry_over)();
        while !link.job.get().is_null() {
            (self.entry)(link.job.get(), suspender);
            link.job.set(std::ptr::null());
            suspender.leave(Paused::Finished);
        }
    }
}

impl Fiber {
    /// Makes a fiber that calls `entry` for every job, and `carry_over` before the first. Neither
    /// may unwind.
    pub(crate) fn new(
        stack: Stack,
        entry: fn(Job, &Suspender),
        carry_over: impl FnOnce() + 'static,
    ) -> Fiber {
        let (hub, job) = (Cell::new(std::ptr::null()), Cell::new(std::ptr::null()));
        let link = NonNull::from(Box::leak(Box::new(Link { gate: Gate::new(), hub, job })));
        let given = Given { link, entry, carry_over: Box::new(carry_over) };
        let started = start("fiber", move || given.run());
        let thread = started.expect("Miri starts threads");
        Fiber { link, thread, stack }
    }

    /// Starts a job, as on x86-64.
    ///
    /// # Safety
    /// As on x86-64.
    pub(crate) unsafe fn start(&self, position: &Position, hub: &Hub, job: Job) -> Paused {
        // SAFETY: the caller's promise.
        unsafe { self.entrance().enter(position, hub, job) };
        hub.gate.pass();
        hub.paused.get()
    }

    /// Resumes a job, as on x86-64.
    ///
    /// # Safety
    /// As on x86-64.
    pub(crate) unsafe fn resume(&self, position: &Position, hub: &Hub) -> Paused {
        // SAFETY: the fiber is suspended in its job, so it is there.
        unsafe { (*position.0.get()).gate.open() };
        hub.gate.pass();
        hub.paused.get()
    }

    /// Returns the entrance to this fiber, for a fiber that hands over.
    pub(crate) fn entrance(&self) -> Entrance {
        Entrance(self.link)
    }

    /// Takes back the stack of a fiber that is between two jobs.
    pub(crate) fn retire(self) -> Stack {
        // SAFETY: the fiber owns it; its thread is between two jobs and ends, since it gets no
        // further job.
        unsafe {
            assert!(self.link.as_ref().job.get().is_null(), "retired in the middle of a job");
            self.link.as_ref().gate.open();
        }
        self.thread.join().expect("a fiber does not unwind");
        // SAFETY: its thread has ended, and between two jobs nothing else points to it.
        drop(unsafe { Box::from_raw(self.link.as_ptr()) });
        self.stack
    }

    /// Returns the first and the last address (exclusive) of the stack's guard.
    pub(crate) fn guard(&self) -> (usize, usize) {
        let guard = self.stack.guard();
        (guard.start, guard.end)
    }
}
