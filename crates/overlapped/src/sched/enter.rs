//! The life of a scheduler: it is opened, runs, and is taken apart.

use std::cell::{Cell, RefCell};
use std::mem::MaybeUninit;
use std::sync::Arc;

use super::hub::{Occupied, forget_scheduler};
use super::idle::interrupts::Interrupts;
use super::observer::{LOOKUP, Shown};
use super::run::Budget;
use super::tasklet::new_number;
use super::{
    DeadlockReport, FIRST_ID, Group, Inbox, Intake, NEVER, Observer, Queue, Sched, SchedConfig,
    TcbPtr, Waiter, drop_quietly, thread_number,
};
use crate::driver::Driver;
use crate::foreign::quietly;
use crate::locals::Home;
use crate::op::Table;
use crate::stack::Pool;
use crate::stack::overflow::{Installed, alt_stack_to_write_on, ensure_alt_stack};
use crate::switch::Hub;
use crate::sys::descriptor;
use crate::sys::per_process::ForkHandler;
use crate::watchdog;
use crate::watchdog::Pulse;

/// The end of a run, besides the first tasklet's own result.
pub(crate) struct RunEnd {
    /// The deadlock report, if no waiting call could return it.
    pub(crate) deadlock_report: Option<DeadlockReport>,
    /// The tasklets that outlived the grace time and were parked for good.
    pub(crate) abandoned: Vec<Waiter>,
}

/// The parts from which a scheduler is opened.
pub(crate) struct Setup {
    /// The schedulers of the run.
    pub(crate) group: Arc<Group>,
    pub(crate) member: usize,
    pub(crate) config: SchedConfig,
    pub(crate) observer: Option<Box<dyn Observer>>,
    pub(crate) driver: Driver,
    pub(crate) pool: Pool,
}

/// Opens a scheduler on this thread and enters it into its group. [`Opened::run`] runs it.
pub(crate) fn open(setup: Setup) -> Opened {
    let notifier = setup.driver.notifier();
    let interrupts = Interrupts::for_thread(notifier.clone());
    let inbox = Arc::new(Inbox::new(move || notifier.notify()));
    setup.group.enter(setup.member, Arc::clone(&inbox));
    Opened(Box::new(Sched {
        running: Cell::new(None),
        hub: Hub::new(),
        budget: Budget::new(),
        pulse: Pulse::default(),
        ready: Queue::default(),
        waiting_for_stack: Queue::default(),
        retried_stack_waiters: Cell::new(false),
        all: Cell::new(None),
        live: Cell::new(0),
        intake: Intake::new(FIRST_ID),
        table: RefCell::new(Table::new(setup.config.operations_max)),
        config: setup.config,
        spawned: Cell::new(0),
        operations: Cell::new(0),
        busy_calls: Cell::new(0),
        busy_since: Cell::new(0),
        observer: setup.observer,
        observing: Cell::new(false),
        ran_last: Cell::new(0),
        ending: Cell::new(false),
        late: Cell::new(false),
        drops_late: Cell::new(false),
        grace_until: Cell::new(NEVER),
        trim_at: Cell::new(0),
        now: Cell::new(0),
        order: Cell::new(0),
        random: Cell::new(1),
        timed_waits: Cell::new(0),
        timers: RefCell::default(),
        interrupts,
        driver: RefCell::new(setup.driver),
        reaped: RefCell::default(),
        pool: RefCell::new(setup.pool),
        idle: RefCell::default(),
        group: setup.group,
        member: setup.member,
        number: new_number(),
        thread: thread_number(),
        inbox,
        messages: RefCell::default(),
        remote_waits: RefCell::new(Table::new(usize::MAX)),
        lock_waits: Cell::new(0),
        thread_waits: Cell::new(0),
        thread_polls: Cell::new(0),
        remotes: RefCell::new(Table::new(usize::MAX)),
        lock_wait_began: Cell::new(false),
        search_cycles_at: Cell::new(0),
        told_cycles: RefCell::default(),
        abandoned: RefCell::default(),
        deadlock_report: RefCell::new(None),
        last_report: RefCell::new(None),
        reporting_deadlocks: Cell::new(false),
        candidates: RefCell::default(),
        some_ended: Cell::new(false),
        tracing: Cell::new(false),
        after_switch_due: Cell::new(false),
        errno: descriptor::errno_place(),
        home: Home::of_thread(),
        blocks: RefCell::default(),
    }))
}

/// A scheduler that has been opened and does not run yet.
pub(crate) struct Opened(Box<Sched>);

impl Opened {
    /// Runs the scheduler until all tasklets in the group have ended. `main` makes its first
    /// tasklet; with `until_main`, all others in the group are killed when that has ended.
    ///
    /// # Safety
    /// The values that `main`'s closure borrows outlive this call.
    pub(crate) unsafe fn run(
        self,
        until_main: bool,
        main: Option<impl FnOnce(&Sched) -> TcbPtr>,
    ) -> RunEnd {
        // A raw pointer from here on, because a box claims to be the only pointer to its contents.
        let place = Box::into_raw(self.0);
        // SAFETY: the box was made above, and only `leave` frees it, at the end.
        let sched = unsafe { &*place };
        sched.read_clock();
        static FORKS: ForkHandler = ForkHandler::new(forget_scheduler);
        FORKS.register();
        // Before the loop begins: it may warn, which calls the user's subscriber.
        let watched = sched.register_with_watchdog();
        let occupied = Occupied::begin();
        let main = main.map(|main| main(sched));
        if let Some(main) = main {
            sched.adopt(main);
        }
        let no_way_out = AbortOnUnwind("in the scheduler");
        sched.run_loop(main, until_main);
        drop(watched);
        std::mem::forget(no_way_out);
        // SAFETY: `place` came out of the box, and `sched` is not used again.
        let (ended, observer) = unsafe { leave(place) };
        drop(occupied);
        drop_quietly(observer);
        ended
    }
}

impl Sched {
    /// Registers with the watchdog, if the configuration asks for it. The scheduler must stay where
    /// it is until the result is dropped.
    fn register_with_watchdog(&self) -> Option<(Shown, Option<Installed>)> {
        if self.config.stall.is_none() && !self.config.shown {
            return None;
        }
        // The handler must not need room on a tasklet's stack.
        ensure_alt_stack();
        let room = alt_stack_to_write_on();
        let (limit, on_stall) = (self.config.stall, self.config.on_stall);
        // SAFETY: the caller drops the result before it moves the scheduler. The function `held` of
        // the lookup reads a const-initialised thread-local and cells of this thread, each a single
        // word; names stay where they are from a tasklet's first run to its end.
        // `observer/describe` says why the rest is sound.
        let watched = unsafe { watchdog::register(&self.pulse, limit, on_stall, LOOKUP) };
        let complain = |error| quietly(|| tracing::warn!("no watchdog looks for stalls: {error}"));
        watched.map_err(complain).ok().map(|watched| (Shown::new(self, watched), room))
    }
}

/// Takes a scheduler apart. Nothing is in flight, and the inbox is closed; now the stacks go, then
/// the port. Returns the observer, which is the user's, for the caller to drop.
///
/// A tasklet that is parked for good never runs again, but calls on its stack were given references
/// to the scheduler, which by Rust's rules must stay valid until those calls return. So if there is
/// such a stack, the scheduler's memory is leaked with it, and only its contents are dropped.
///
/// # Safety
/// `place` came out of a box, and nothing uses it afterwards.
unsafe fn leave(place: *mut Sched) -> (RunEnd, Option<Box<dyn Observer>>) {
    // SAFETY: the caller's promise. Nothing drops the memory that stays there again.
    let mut sched = unsafe { place.read() };
    assert_eq!(sched.table.borrow().len(), 0, "nothing is in flight at the end");
    sched.end_deadlock_reports();
    let mut pool = sched.pool.borrow_mut();
    for fiber in sched.idle.borrow_mut().drain(..) {
        pool.give(fiber.retire());
    }
    drop(pool);
    let ended =
        RunEnd { deadlock_report: sched.deadlock_report.take(), abandoned: sched.abandoned.take() };
    if ended.abandoned.is_empty() {
        // SAFETY: the memory is the box's, and no stack is left with a call that knows it.
        drop(unsafe { Box::from_raw(place.cast::<MaybeUninit<Sched>>()) });
    }
    (ended, sched.observer.take())
}

/// Aborts the process when it is dropped, by a bug that unwinds and so would free memory that is
/// still in use (stacks by the scheduler, buffers by the kernel). Without a bug it is forgotten.
pub(crate) struct AbortOnUnwind(pub(crate) &'static str);

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        eprintln!("overlapped: a panic {}; aborting", self.0);
        std::process::abort();
    }
}
