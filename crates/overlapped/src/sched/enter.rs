//! The way in and out: a scheduler is made, runs, and is taken apart.

use std::cell::{Cell, RefCell};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};

use super::hub::{Occupied, forget_scheduler};
use super::run::Budget;
use super::tasklet::Timers;
use super::witness::{LOOKUP, Shown};
use super::{
    Counters, FIRST_ID, Group, Inbox, Limits, NEVER, Observer, Queue, Sched, TcbPtr, Verdict,
    Waiter, drop_quietly, thread_number,
};
use crate::driver::Driver;
use crate::foreign::quietly;
use crate::locals::Home;
use crate::op::Table;
use crate::sched::interrupts::Interrupts;
use crate::stack::Pool;
use crate::stack::overflow::{Installed, alt_stack_to_write_on, ensure_alt_stack};
use crate::switch::Hub;
use crate::sys::descriptor;
use crate::watchdog;
use crate::watchdog::Pulse;

/// How a run ended, besides main's own result.
pub(crate) struct Ended {
    /// The verdict that no waiter could be given.
    pub(crate) verdict: Option<Verdict>,
    /// Who outlived the grace time and was parked for good.
    pub(crate) abandoned: Vec<Waiter>,
}

/// What opens a scheduler.
pub(crate) struct Parts {
    /// The schedulers of the run, and which of them this becomes.
    pub(crate) group: Arc<Group>,
    pub(crate) member: usize,
    pub(crate) limits: Limits,
    pub(crate) observer: Option<Box<dyn Observer>>,
    pub(crate) driver: Driver,
    pub(crate) pool: Pool,
}

/// A number that this process has not given out before and never will again, not 0. It names what
/// an address cannot name: addresses are used again.
pub(crate) fn new_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Opens a scheduler on this thread and enters it into its group; `run` gives it its life.
pub(crate) fn open(parts: Parts) -> Opened {
    let notifier = parts.driver.notifier();
    let interrupts = Interrupts::of_thread(notifier.clone());
    let inbox = Arc::new(Inbox::new(move || notifier.notify()));
    parts.group.enter(parts.member, Arc::clone(&inbox));
    Opened(Box::new(Sched {
        group: parts.group,
        member: parts.member,
        number: new_number(),
        thread: thread_number(),
        inbox,
        running: Cell::new(None),
        hub: Hub::new(),
        budget: Budget::new(),
        pulse: Pulse::default(),
        ready: Queue::default(),
        starved: Queue::default(),
        tried_starved: Cell::new(false),
        all: Cell::new(None),
        live: Cell::new(0),
        table: RefCell::new(Table::new(parts.limits.operations_max)),
        limits: parts.limits,
        counters: Counters::default(),
        observer: parts.observer,
        ending: Cell::new(false),
        grace_until: Cell::new(NEVER),
        trim_at: Cell::new(0),
        now: Cell::new(0),
        order: Cell::new(0),
        dice: Cell::new(1),
        timed_waits: Cell::new(0),
        timers: RefCell::new(Timers::default()),
        interrupts,
        driver: RefCell::new(parts.driver),
        reaped: RefCell::new(Vec::new()),
        pool: RefCell::new(parts.pool),
        idle: RefCell::new(Vec::new()),
        messages: RefCell::default(),
        unbegun: Cell::new(0),
        late: Cell::new(false),
        drops_late: Cell::new(false),
        remote_waits: RefCell::new(Table::new(usize::MAX)),
        lock_waits: Cell::new(0),
        thread_waits: Cell::new(0),
        thread_looks: Cell::new(0),
        locks_awaited: Cell::new(false),
        lock_cycles: RefCell::default(),
        remotes: RefCell::new(Table::new(usize::MAX)),
        abandoned: RefCell::new(Vec::new()),
        verdict: RefCell::new(None),
        last_verdict: RefCell::new(None),
        tracing: Cell::new(false),
        watched: Cell::new(false),
        telling_all: Cell::new(false),
        candidates: RefCell::default(),
        buried: Cell::new(false),
        next_id: Cell::new(FIRST_ID),
        telling: Cell::new(false),
        ran_last: Cell::new(0),
        errno: descriptor::errno_place(),
        home: Home::of_thread(),
        blocks: RefCell::default(),
    }))
}

/// A scheduler that has not begun.
pub(crate) struct Opened(Box<Sched>);

impl Opened {
    /// Runs the scheduler. `main`: makes its first tasklet; with `until_main` everybody else in the
    /// group is killed when that has ended. Returns when everybody in the group has ended.
    ///
    /// # Safety
    /// What `main`'s closure borrows outlives this call.
    pub(crate) unsafe fn run(
        self,
        until_main: bool,
        main: Option<impl FnOnce(&Sched) -> TcbPtr>,
    ) -> Ended {
        // Not a box from here on: that would claim to be the only way to what it holds.
        let place = Box::into_raw(self.0);
        // SAFETY: it has been made, and `leave` frees it at the end.
        let sched = unsafe { &*place };
        sched.read_clock();
        static FORKS: Once = Once::new();
        FORKS.call_once(|| descriptor::in_fork_children(forget_scheduler));
        // It may complain to the user's subscriber.
        let watched = sched.be_watched();
        let occupied = Occupied::begin();
        let main = main.map(|main| main(sched));
        if let Some(main) = main {
            sched.adopt(main);
        }
        let no_way_out = AbortOnUnwind("in the scheduler");
        sched.run_loop(main, until_main);
        drop(watched);
        std::mem::forget(no_way_out);
        // SAFETY: the box's; `sched` is not used again.
        let (ended, observer) = unsafe { leave(place) };
        drop(occupied);
        drop_quietly(observer);
        ended
    }
}

impl Sched {
    /// Has the watchdog look on, if that was asked for. The scheduler stays where it is until the
    /// result is dropped.
    fn be_watched(&self) -> Option<(Shown, Option<Installed>)> {
        if self.limits.stall.is_none() && !self.limits.shown {
            return None;
        }
        // The handler must not need room on a tasklet's stack.
        ensure_alt_stack();
        let room = alt_stack_to_write_on();
        let (limit, on_stall) = (self.limits.stall, self.limits.on_stall);
        // SAFETY: the caller drops the result before it moves the scheduler. `held` reads a
        // const-initialised thread-local and cells of this thread, each a single word; names stay
        // where they are from a tasklet's first run to its end. For the rest see
        // `witness/describe`.
        let watched = unsafe { watchdog::register(&self.pulse, limit, on_stall, LOOKUP) };
        let complain = |error| quietly(|| tracing::warn!("nobody looks for stalls: {error}"));
        watched.map_err(complain).ok().map(|watched| (Shown::new(self, watched), room))
    }
}

/// Nothing is in flight, and the inbox is closed; now the stacks and the port are. The observer is
/// the user's, to be dropped afterwards.
///
/// Who is parked for good never runs again, but calls on its stack have been given references to
/// the scheduler, which by Rust's rules must be valid until those calls return. So where there is
/// such a stack, the scheduler's place is leaked with it; what stood there is taken apart.
///
/// # Safety
/// `place` came out of a box, and nobody uses it afterwards.
unsafe fn leave(place: *mut Sched) -> (Ended, Option<Box<dyn Observer>>) {
    // SAFETY: the caller's promise. What is left there is memory that nobody drops again.
    let mut sched = unsafe { place.read() };
    assert_eq!(sched.table.borrow().len(), 0, "nothing is in flight at the end");
    sched.end_verdicts();
    let mut pool = sched.pool.borrow_mut();
    for fiber in sched.idle.borrow_mut().drain(..) {
        pool.give(fiber.retire());
    }
    drop(pool);
    let ended = Ended { verdict: sched.verdict.take(), abandoned: sched.abandoned.take() };
    if ended.abandoned.is_empty() {
        // SAFETY: the memory is the box's, and no stack is left with a call that knows it.
        drop(unsafe { Box::from_raw(place.cast::<MaybeUninit<Sched>>()) });
    }
    (ended, sched.observer.take())
}

/// Makes a bug end the process where unwinding would free memory that is still in use: stacks under
/// the scheduler, or buffers under the kernel. Forgotten on the way out.
pub(crate) struct AbortOnUnwind(pub(crate) &'static str);

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        eprintln!("overlapped: a panic {}; aborting", self.0);
        std::process::abort();
    }
}
