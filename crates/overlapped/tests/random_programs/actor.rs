//! One tasklet of a program. It draws its actions from its own random numbers.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use overlapped::task::{Builder, JoinError, SpawnError};
use overlapped::time::{Duration, timeout};
use overlapped::{Tasklet, yield_now};

use crate::check::{self, Frame, ensure, finding, nobody_panics};
use crate::ledger::Value;
use crate::support::{Rng, quiet_panic};
use crate::world::{Fate, Handle, World};

/// The maximum depth of actions inside actions.
const DEPTH_MAX: usize = 3;

/// The payload of a planned panic.
pub(crate) struct Planned;

pub(crate) struct Actor {
    pub(crate) world: Rc<World>,
    pub(crate) rng: Rng,
    /// The record of this tasklet; `None` for the first one of a scheduler.
    pub(crate) fate: Option<Arc<Fate>>,
    /// Every wait must end by itself.
    pub(crate) is_bounded: bool,
    /// Kills are held off, or returned as errors.
    pub(crate) is_shielded: bool,
    /// The tasklet may not wait at all.
    pub(crate) is_still: bool,
    /// Locks below this level may not be taken, because locks have an order.
    pub(crate) level: usize,
    /// The tasklet has left the lock of standard output behind. It would not have to wait for it.
    pub(crate) has_left_lock: bool,
    depth: usize,
}

impl Actor {
    pub(crate) fn new(world: Rc<World>, seed: u64) -> Actor {
        let is_bounded = world.shared.plan.is_bounded();
        Actor {
            world,
            rng: Rng(seed),
            fate: None,
            is_bounded,
            is_shielded: false,
            is_still: false,
            level: 0,
            has_left_lock: false,
            depth: 0,
        }
    }

    /// Performs one action; none if the drawn one is not allowed here.
    pub(crate) fn act(&mut self) {
        if !self.world.shared.may_act() {
            return;
        }
        let frame = Frame::new(self.rng.next());
        nobody_panics();
        let shared = self.world.shared.clone();
        let actions = &shared.plan.actions;
        let action = actions[self.rng.below(actions.len())];
        if (action.may_wait_long && self.is_bounded) || (self.is_still && !action.never_waits) {
            return;
        }
        if action.holds_others && self.depth == DEPTH_MAX {
            return;
        }
        self.depth += 1;
        check::note(self.fate.as_ref().map_or(0, |fate| fate.id), action);
        (action.perform)(self);
        self.depth -= 1;
        nobody_panics();
        frame.check();
    }

    pub(crate) fn acts(&mut self, most: usize) {
        for _ in 0..self.rng.below(most + 1) {
            self.act();
        }
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.rng.below(n) == 0
    }

    pub(crate) fn brief(&mut self) -> Duration {
        let most = if self.one_in(8) { 1_000 } else { 120 };
        Duration::from_micros(self.rng.below(most) as u64)
    }

    /// Calls `f`, which waits, with a deadline if that is necessary, and sometimes if it is not.
    pub(crate) fn wait<T>(&mut self, f: impl FnOnce() -> T) -> T {
        let limit = self.brief();
        if self.is_bounded || self.one_in(3) { timeout(limit, f) } else { f() }
    }

    /// Makes an actor for a tasklet or a closure that this tasklet waits for.
    pub(crate) fn child(&mut self) -> Actor {
        let mut child = Actor::new(self.world.clone(), self.rng.next());
        child.level = self.level;
        child.depth = self.depth;
        child
    }

    pub(crate) fn may_spawn(&self) -> bool {
        self.world.shared.may_spawn()
    }

    /// Makes up to `most` children, as far as the limit on tasklets allows.
    pub(crate) fn children(&mut self, most: usize) -> Vec<Actor> {
        let mut children = Vec::new();
        for _ in 0..self.rng.below(most + 1) {
            if self.may_spawn() {
                children.push(self.child());
            }
        }
        children
    }

    /// Spawns a tasklet, if the limit allows one more.
    pub(crate) fn spawn(&mut self) -> Option<Handle> {
        let mut child = self.child();
        child.level = 0;
        child.depth = 0;
        self.spawn_as(child)
    }

    pub(crate) fn spawn_as(&mut self, mut child: Actor) -> Option<Handle> {
        let shared = self.world.shared.clone();
        if !shared.may_spawn() {
            return None;
        }
        let fate = Arc::new(Fate { id: shared.id(), ..Fate::default() });
        child.fate = Some(fate.clone());
        let captured = shared.value();
        let mut builder = Builder::new();
        if self.one_in(8) {
            builder = builder.name(format!("actor {}", fate.id));
        }
        if self.one_in(16) {
            builder = builder.stack_size(512 << 10);
        }
        let spawned: Result<Tasklet<Value>, SpawnError> = builder.spawn(move || {
            let _captured = captured;
            child.live()
        });
        match spawned {
            Ok(tasklet) => Some(Handle { tasklet, fate }),
            Err(SpawnError::Limit) if shared.plan.tasklets_max.is_some() => None,
            Err(error) => finding(format_args!("spawn: {error}")),
        }
    }

    /// Runs the tasklet from its beginning to its end.
    pub(crate) fn live(mut self) -> Value {
        let frame = Frame::new(self.rng.next());
        let shared = self.world.shared.clone();
        for _ in 0..self.rng.below(shared.plan.steps + 1) {
            self.act();
        }
        if self.one_in(12) {
            self.panic();
        }
        frame.check();
        let value = shared.value();
        if let Some(fate) = &self.fate {
            fate.returned.store(value.id + 1, SeqCst);
        }
        value
    }

    pub(crate) fn panic(&mut self) {
        if let Some(fate) = &self.fate {
            fate.may_panic.store(true, SeqCst);
            quiet_panic(Planned);
        }
    }

    /// Checks that the result of `join` agrees with the tasklet's record.
    #[track_caller]
    pub(crate) fn judge(&self, fate: &Fate, result: Result<Value, JoinError>) {
        let id = fate.id;
        match result {
            Ok(value) => {
                let meant = fate.returned.load(SeqCst);
                ensure!(value.id + 1 == meant, "{id} returned {meant}, join gave {}", value.id);
            }
            Err(JoinError::Panicked(payload)) => {
                let may = fate.may_panic.load(SeqCst) && payload.into_inner().is::<Planned>();
                ensure!(may, "{id} panicked, but not as planned");
            }
            Err(JoinError::Killed) => {
                let may = fate.is_killed.load(SeqCst) || self.world.shared.is_ending();
                ensure!(may, "{id} was killed, but by no action");
            }
            Err(JoinError::Abandoned) => {
                ensure!(self.world.shared.abandons(), "{id} abandoned");
            }
            Err(JoinError::WouldBlock) => ensure!(self.is_still, "join may not wait"),
            Err(JoinError::TimedOut | JoinError::Deadlock(_)) => {}
            Err(JoinError::Cancelled) => check::told_of_a_kill(),
            Err(error) => finding(format_args!("join of {id}: {error}")),
        }
    }

    /// Lets other tasklets run, if this one may wait.
    pub(crate) fn pause_a_while(&mut self) {
        if !self.is_still {
            (0..self.rng.below(3)).for_each(|_| yield_now());
        }
    }
}
