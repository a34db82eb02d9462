//! Other threads: of a pool, of other schedulers, without a scheduler; and tasklets that outlive
//! the grace time.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use overlapped::task::{self, JoinError, Placed, SpawnError, UnblockError};
use overlapped::yield_now;

use super::channels::queues;
use super::locks;
use crate::actor::{Actor, Planned};
use crate::check::{Frame, ensure, finding, told_of_a_kill};
use crate::ledger::Value;
use crate::support::{Rng, quiet_panic};
use crate::world::{Shared, World};

pub(super) fn unblock(me: &mut Actor) {
    let (shared, seed) = (me.world.shared.clone(), me.rng.next());
    let job = move || {
        let mut rng = Rng(seed);
        (0..rng.below(2_000)).for_each(|_| std::hint::spin_loop());
        if rng.below(8) == 0 {
            quiet_panic(Planned);
        }
        shared.value()
    };
    match me.wait(|| task::unblock(job)) {
        Ok(value) => value.resulted(),
        Err(UnblockError::Panicked(payload)) => {
            ensure!(payload.into_inner().is::<Planned>(), "an unplanned panic in a pool");
        }
        Err(UnblockError::TimedOut) => {}
        Err(UnblockError::Cancelled) => told_of_a_kill(),
        Err(error) => finding(format_args!("unblock: {error}")),
    }
}

/// Returns a closure to be placed: it acts in a world of its own, or only returns a value.
fn part(shared: Arc<Shared>, seed: u64) -> impl FnOnce() -> Value + Send + 'static {
    let captured = shared.value();
    move || {
        let _captured = captured;
        let mut rng = Rng(seed);
        let frame = Frame::new(rng.next());
        match rng.below(4) {
            0 => yield_now(),
            1 => overlapped::time::sleep(std::time::Duration::from_micros(50)),
            2 if shared.may_spawn() => {
                let world = World::new(&shared, &mut rng);
                Actor::new(world, rng.next()).acts(5);
            }
            _ => {}
        }
        frame.check();
        shared.value()
    }
}

#[track_caller]
fn may_end_so(shared: &Shared, result: Result<Value, JoinError>) {
    match result {
        Ok(value) => value.resulted(),
        // A placed tasklet may kill itself.
        Err(JoinError::Killed) => {}
        Err(JoinError::Panicked(payload)) => {
            ensure!(payload.into_inner().is::<Planned>(), "an unplanned panic");
        }
        Err(JoinError::TimedOut | JoinError::Deadlock(_)) => {}
        Err(JoinError::Cancelled) => told_of_a_kill(),
        Err(JoinError::Abandoned) => ensure!(shared.abandons(), "abandoned"),
        Err(error) => finding(format_args!("a placed tasklet: {error}")),
    }
}

fn joined(me: &mut Actor, placed: Placed<Value>) {
    if me.one_in(4) {
        placed.kill();
    }
    if me.one_in(4) {
        return;
    }
    let result = me.wait(|| placed.join());
    may_end_so(&me.world.shared, result);
}

fn may_be_refused(shared: &Shared, error: &SpawnError) {
    let may = match error {
        SpawnError::Limit => shared.plan.tasklets_max.is_some(),
        SpawnError::Ended => true,
        _ => false,
    };
    ensure!(may, "placing: {error}");
}

pub(super) fn place(me: &mut Actor) {
    let shared = me.world.shared.clone();
    if !shared.may_spawn() {
        return;
    }
    let at = me.rng.below(task::schedulers());
    match task::place_on(at, part(shared.clone(), me.rng.next())) {
        Ok(placed) => joined(me, placed),
        Err(error) => may_be_refused(&shared, &error),
    }
}

pub(super) fn by_spawner(me: &mut Actor) {
    let shared = me.world.shared.clone();
    let spawner = shared.spawners.lock().unwrap().first().cloned();
    let Some(spawner) = spawner.filter(|_| shared.may_spawn()) else { return };
    match spawner.spawn(part(shared.clone(), me.rng.next())) {
        Ok(placed) if me.one_in(2) => placed.kill(),
        Ok(_) => {}
        Err(error) => may_be_refused(&shared, &error),
    }
}

pub(super) fn by_remote(me: &mut Actor) {
    kill_somebody(&me.world.shared, &mut me.rng);
}

fn kill_somebody(shared: &Shared, rng: &mut Rng) {
    let some = {
        let remotes = shared.remotes.lock().unwrap();
        (!remotes.is_empty()).then(|| remotes[rng.below(remotes.len())].clone())
    };
    if let Some((remote, fate)) = some {
        fate.is_killed.store(true, SeqCst);
        remote.kill();
        let _ = remote.is_finished();
    }
}

/// Outlives the grace time, so that the tasklet is parked for good.
pub(super) fn stay(me: &mut Actor) {
    if !me.world.shared.abandons() || me.fate.is_none() || !me.one_in(4) {
        return;
    }
    let frame = Frame::new(me.rng.next());
    let channel = overlapped::Channel::<Value>::new();
    task::shield(|| {
        loop {
            match me.rng.below(3) {
                0 => task::pause(),
                1 => drop(channel.recv()),
                _ => overlapped::time::sleep(std::time::Duration::from_secs(60)),
            }
            frame.check();
        }
    })
}

/// Performs actions in a thread without a scheduler.
pub(crate) fn help(shared: &Arc<Shared>, seed: u64) {
    let mut rng = Rng(seed);
    let frame = Frame::new(rng.next());
    let mut placed = Vec::new();
    while !shared.is_ending() && shared.may_act() {
        match rng.below(6) {
            0 => kill_somebody(shared, &mut rng),
            1 => locks::try_in(shared, rng.below(2)),
            2 if !shared.abandons() => locks::wait_in(shared, rng.below(2)),
            3 if !shared.senders.lock().unwrap().is_empty() => {
                let sender = {
                    let senders = shared.senders.lock().unwrap();
                    senders[rng.below(senders.len())].clone()
                };
                queues::try_send_by(shared, &sender);
            }
            4 if shared.may_spawn() => {
                let spawner = shared.spawners.lock().unwrap().last().cloned();
                let Some(spawner) = spawner else { continue };
                match spawner.spawn(part(shared.clone(), rng.next())) {
                    Ok(one) => placed.push(one),
                    Err(error) => may_be_refused(shared, &error),
                }
            }
            _ => std::thread::sleep(std::time::Duration::from_micros(rng.below(80) as u64)),
        }
        frame.check();
    }
    // However the run ends, each placed closure has a result.
    for one in placed {
        may_end_so(shared, one.join());
    }
}
