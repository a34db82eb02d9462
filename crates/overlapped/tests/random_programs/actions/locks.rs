//! Locks, permits and meetings, shared by all threads of a program.
//!
//! Locks have an order (`Actor::level`): a tasklet that holds one takes only later ones. So a wait
//! for a lock ends when the waits of its holders end.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering::SeqCst};

use overlapped::sync::{
    Barrier, Condvar, Event, Mutex, OnceLock, PoisonError, RwLock, Semaphore, TryLockError,
};
use overlapped::time::{Duration, timeout};

use crate::actor::Actor;
use crate::check::{ensure, word};
use crate::support::Rng;
use crate::world::Shared;

/// The value that a lock guards. It is not atomic, because its holder is alone.
#[derive(Default)]
pub(super) struct Guarded {
    turns: u64,
    check: u64,
}

impl Guarded {
    fn turn(&mut self) {
        self.look();
        self.turns += 1;
        self.check = word(7, self.turns);
    }

    fn look(&self) {
        let is_whole = self.turns == 0 || self.check == word(7, self.turns);
        ensure!(is_whole, "a guarded value is torn at turn {}", self.turns);
    }
}

/// The writer's number, or the negated number of readers.
#[derive(Default)]
struct Inside(AtomicI64);

struct Stay<'a>(&'a AtomicI64, i64);

impl Inside {
    fn alone(&self) -> Stay<'_> {
        let others = self.0.swap(1, SeqCst);
        ensure!(others == 0, "a second tasklet in a lock: {others}");
        Stay(&self.0, 1)
    }

    fn reading(&self) -> Stay<'_> {
        let others = self.0.fetch_sub(1, SeqCst);
        ensure!(others <= 0, "a reader beside a writer");
        Stay(&self.0, -1)
    }
}

impl Stay<'_> {
    fn check(&self) {
        let is_ours = self.0.load(SeqCst) * self.1 > 0;
        ensure!(is_ours, "another tasklet was in a lock that is held");
    }
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        self.check();
        self.0.fetch_sub(self.1, SeqCst);
    }
}

pub(crate) struct Locks {
    mutexes: [(Mutex<Guarded>, Inside); 2],
    rwlocks: [(RwLock<Guarded>, Inside); 2],
    semaphores: [(Semaphore, usize, AtomicUsize); 2],
    changing: (Mutex<u64>, Condvar),
    barrier: (Barrier, usize, AtomicUsize, AtomicUsize),
    event: Event,
    onces: [(OnceLock<u64>, AtomicU64, AtomicBool); 3],
}

impl Locks {
    pub(crate) fn new(rng: &mut Rng) -> Locks {
        let semaphore = |most: usize| (Semaphore::new(most), most, AtomicUsize::new(0));
        let many = 2 + rng.below(4);
        Locks {
            mutexes: Default::default(),
            rwlocks: Default::default(),
            semaphores: [semaphore(1), semaphore(many)],
            changing: Default::default(),
            barrier: (Barrier::new(many), many, AtomicUsize::new(0), AtomicUsize::new(0)),
            event: Event::new(),
            onces: Default::default(),
        }
    }

    /// Checks that no lock is held any more.
    pub(crate) fn settle(&self) {
        for (lock, _) in &self.mutexes {
            let is_free = !matches!(lock.try_lock(), Err(TryLockError::WouldBlock));
            ensure!(is_free, "a mutex without a holder is locked");
        }
        for (lock, _) in &self.rwlocks {
            let is_free = !matches!(lock.try_write(), Err(TryLockError::WouldBlock));
            ensure!(is_free, "an RwLock without a holder is locked");
        }
        for (semaphore, most, _) in &self.semaphores {
            let free = semaphore.available_permits();
            ensure!(free == *most, "{free} of {most} permits are left");
        }
        let (_, size, met, led) = &self.barrier;
        let (met, led) = (met.load(SeqCst), led.load(SeqCst));
        ensure!(led * size <= met, "{led} leaders of {size}, but {met} have met");
        ensure!(!matches!(self.changing.0.try_lock(), Err(TryLockError::WouldBlock)), "locked");
    }
}

/// Performs other actions while it holds a lock of this level.
fn hold(me: &mut Actor, level: usize, check: impl Fn()) {
    let before = std::mem::replace(&mut me.level, level + 1);
    for _ in 0..me.rng.below(3) {
        me.act();
        check();
    }
    me.pause_a_while();
    check();
    me.level = before;
}

pub(super) fn mutex(me: &mut Actor) {
    let shared = me.world.shared.clone();
    let at = me.rng.below(2);
    if at < me.level {
        return;
    }
    let (lock, inside) = &shared.locks.mutexes[at];
    let mut guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
    let stay = inside.alone();
    guard.turn();
    hold(me, at, || stay.check());
    guard.turn();
}

pub(super) fn try_mutex(me: &mut Actor) {
    let shared = me.world.shared.clone();
    try_in(&shared, me.rng.below(2));
}

/// A thread without a scheduler does this, too.
pub(super) fn try_in(shared: &Shared, at: usize) {
    let (lock, inside) = &shared.locks.mutexes[at];
    let mut guard = match lock.try_lock() {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(error)) => error.into_inner(),
        Err(TryLockError::WouldBlock) => return,
    };
    let _stay = inside.alone();
    guard.turn();
}

/// Waits for a lock in a thread without a scheduler.
pub(super) fn wait_in(shared: &Shared, at: usize) {
    let (lock, inside) = &shared.locks.mutexes[at];
    let mut guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
    let _stay = inside.alone();
    guard.turn();
}

pub(super) fn read(me: &mut Actor) {
    let shared = me.world.shared.clone();
    let at = me.rng.below(2);
    if at + 2 < me.level {
        return;
    }
    let (lock, inside) = &shared.locks.rwlocks[at];
    let guard = lock.read().unwrap_or_else(PoisonError::into_inner);
    let stay = inside.reading();
    hold(me, at + 2, || stay.check());
    guard.look();
}

pub(super) fn write(me: &mut Actor) {
    let shared = me.world.shared.clone();
    let at = me.rng.below(2);
    if at + 2 < me.level {
        return;
    }
    let (lock, inside) = &shared.locks.rwlocks[at];
    let mut guard = lock.write().unwrap_or_else(PoisonError::into_inner);
    let stay = inside.alone();
    guard.turn();
    hold(me, at + 2, || stay.check());
    guard.turn();
}

/// Counts the permits that are held.
struct Held<'a>(&'a AtomicUsize, usize);

impl<'a> Held<'a> {
    fn new(held: &'a AtomicUsize, count: usize, most: usize) -> Held<'a> {
        let all = held.fetch_add(count, SeqCst) + count;
        ensure!(all <= most, "{all} of {most} permits are held");
        Held(held, count)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, SeqCst);
    }
}

pub(super) fn permits(me: &mut Actor) {
    let shared = me.world.shared.clone();
    let at = me.rng.below(2);
    if at + 4 < me.level {
        return;
    }
    let (semaphore, most, held) = &shared.locks.semaphores[at];
    let count = 1 + me.rng.below(*most);
    let permit = semaphore.acquire_many(count);
    let now = Held::new(held, count, *most);
    hold(me, at + 4, || ());
    drop(now);
    drop(permit);
}

pub(super) fn permits_in_time(me: &mut Actor) {
    let shared = me.world.shared.clone();
    let at = me.rng.below(2);
    if at + 4 < me.level {
        return;
    }
    let (semaphore, most, held) = &shared.locks.semaphores[at];
    let count = 1 + me.rng.below(*most);
    let permit = match me.rng.below(3) {
        0 => semaphore.try_acquire(count),
        _ => semaphore.acquire_timeout(count, me.brief()),
    };
    let Some(permit) = permit else { return };
    let now = Held::new(held, count, *most);
    hold(me, at + 4, || ());
    drop(now);
    if me.one_in(4) {
        permit.forget();
        semaphore.add_permits(count);
    }
}

pub(super) fn condition(me: &mut Actor) {
    if me.level > 6 {
        return;
    }
    let shared = me.world.shared.clone();
    let (lock, changed) = &shared.locks.changing;
    let mut guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
    match me.rng.below(4) {
        0 => {
            *guard += 1;
            changed.notify_one();
        }
        1 => {
            *guard += 1;
            changed.notify_all();
        }
        2 if !me.is_bounded => {
            let before = *guard;
            let after = changed.wait_while(guard, |now| *now == before);
            ensure!(*after.unwrap_or_else(PoisonError::into_inner) != before, "nothing changed");
        }
        _ => drop(changed.wait_timeout(guard, me.brief())),
    }
}

pub(super) fn barrier(me: &mut Actor) {
    let shared = me.world.shared.clone();
    let (barrier, _, met, led) = &shared.locks.barrier;
    met.fetch_add(1, SeqCst);
    if barrier.wait().is_leader() {
        led.fetch_add(1, SeqCst);
    }
}

pub(super) fn event(me: &mut Actor) {
    let event = &me.world.shared.clone().locks.event;
    match me.rng.below(6) {
        0 => event.set(),
        1 => event.clear(),
        2 if !me.is_bounded => event.wait(),
        3 => drop(timeout(Duration::ZERO, || event.wait_timeout(Duration::from_secs(9)))),
        _ => drop(event.wait_timeout(me.brief())),
    }
}

/// A value that one tasklet makes, even if others are killed while they try.
pub(super) fn once(me: &mut Actor) {
    let at = me.rng.below(3);
    if at + 7 < me.level {
        return;
    }
    let shared = me.world.shared.clone();
    let (once, made, is_making) = &shared.locks.onces[at];
    let seed = me.rng.next() | 1;
    let seen = *once.get_or_init(|| {
        let before = is_making.swap(true, SeqCst);
        ensure!(!before, "a value is made twice");
        let making = Making(is_making);
        hold(me, at + 7, || ());
        let before = made.swap(seed, SeqCst);
        ensure!(before == 0, "a value was made twice");
        drop(making);
        seed
    });
    ensure!(seen == made.load(SeqCst), "another value than was made");
}

struct Making<'a>(&'a AtomicBool);

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.0.store(false, SeqCst);
    }
}
