//! Modes of a part of a tasklet: a shield, a deadline, no switching; its locals.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use overlapped::task::{self, Local, TaskletExit};
use overlapped::time::timeout;

use crate::actor::{Actor, Planned};
use crate::check::{ensure, on_a_tasklet, word};
use crate::support::quiet_panic;

pub(super) fn panic(me: &mut Actor) {
    if me.one_in(3) {
        me.panic();
    }
}

/// Catches an unwinding, or lets it go on. A tasklet may outlive a kill, but not that of the
/// shutdown.
pub(super) fn catch(me: &mut Actor) {
    let Err(payload) = catch_unwind(AssertUnwindSafe(|| me.acts(3))) else { return };
    let is_kill = payload.is::<TaskletExit>();
    ensure!(is_kill || payload.is::<Planned>(), "neither planned nor a kill");
    if is_kill && (me.world.shared.is_ending() || me.one_in(2)) {
        resume_unwind(payload);
    }
}

pub(super) fn shield(me: &mut Actor) {
    let (was_bounded, was_shielded) = (me.is_bounded, me.is_shielded);
    (me.is_bounded, me.is_shielded) = (true, true);
    let ended = task::shield(|| catch_unwind(AssertUnwindSafe(|| me.acts(3))));
    (me.is_bounded, me.is_shielded) = (was_bounded, was_shielded);
    let Err(payload) = ended else { return };
    ensure!(payload.is::<Planned>(), "a shield let a kill through");
    resume_unwind(payload);
}

/// A kill unwinds nothing inside; the next wait after it does.
pub(super) fn kill_as_error(me: &mut Actor) {
    let (was_bounded, was_shielded) = (me.is_bounded, me.is_shielded);
    (me.is_bounded, me.is_shielded) = (true, true);
    let ended = task::kill_as_error(|| catch_unwind(AssertUnwindSafe(|| me.acts(4))));
    (me.is_bounded, me.is_shielded) = (was_bounded, was_shielded);
    if let Err(payload) = ended {
        ensure!(payload.is::<Planned>(), "a kill unwound where it was to be an error");
        resume_unwind(payload);
    }
    if task::is_killed() && !me.is_still && me.one_in(2) {
        overlapped::yield_now();
        ensure!(me.is_shielded || !task::is_killed(), "a kill was lost");
    }
}

pub(super) fn deadline(me: &mut Actor) {
    timeout(me.brief(), || me.acts(4));
}

pub(super) fn no_switch(me: &mut Actor) {
    let was_still = std::mem::replace(&mut me.is_still, true);
    task::no_switch(|| me.acts(4));
    me.is_still = was_still;
}

/// The number of values of locals that exist.
static LIVING: AtomicI64 = AtomicI64::new(0);

/// The value of a local in one tasklet.
struct Counted {
    words: Cell<[u64; 2]>,
    makes_another: Cell<bool>,
}

impl Counted {
    fn new() -> Counted {
        LIVING.fetch_add(1, SeqCst);
        Counted { words: Cell::new([word(1, 1), word(1, 2)]), makes_another: Cell::new(false) }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        on_a_tasklet("a local's destructor");
        ensure!(self.words.get() == [word(1, 1), word(1, 2)], "a local was written to");
        self.words.set([0; 2]);
        LIVING.fetch_sub(1, SeqCst);
        if self.makes_another.get() {
            LAST.with(|_| ());
        }
    }
}

static KEYS: [Local<Counted>; 3] = [const { Local::new(Counted::new) }; 3];
static LAST: Local<Counted> = Local::new(Counted::new);

/// Checks that every value of a local has been dropped once.
pub(crate) fn settle_locals(are_left: bool) {
    let left = LIVING.swap(0, SeqCst);
    ensure!(are_left || left == 0, "{left} values of locals were not dropped, or too often");
}

pub(super) fn touch_locals() {
    KEYS[0].with(|value| value.makes_another.set(true));
}

pub(super) fn local(me: &mut Actor) {
    let key = &KEYS[me.rng.below(KEYS.len())];
    if me.one_in(4) {
        touch_locals();
    }
    key.with(|value| {
        let at = &raw const *value;
        me.acts(2);
        key.with(|again| ensure!(std::ptr::eq(at, again), "two values of one local"));
        ensure!(value.words.get()[0] == word(1, 1), "a local was written to");
    });
}

pub(super) fn inspect(me: &mut Actor) {
    let me_too = task::current();
    ensure!(me_too.id() == task::current().id(), "two numbers");
    match me.rng.below(4) {
        0 => drop(task::dump().to_string()),
        1 => {
            let handle = me.world.some_handle(&mut me.rng);
            drop(handle.map(|handle| format!("{:?} {:?}", handle.tasklet, handle.tasklet.name())));
        }
        2 => {
            let used = task::stack_used();
            ensure!(used != Some(0), "no stack is used");
        }
        _ => drop(format!("{:?}", task::stats())),
    }
}

/// A result whose destructor panics.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        on_a_tasklet("a result's destructor");
        if !std::thread::panicking() {
            quiet_panic(Planned);
        }
    }
}

/// Spawns a tasklet whose result panics when it is dropped. The result is not wanted, so its panic
/// is swallowed.
pub(super) fn bomb(me: &mut Actor) {
    if me.may_spawn() && me.one_in(2) {
        let _ = overlapped::Builder::new().spawn(|| Bomb);
    }
}
