//! S17: random programs over the whole library. Whatever tasklets do to each other, memory is never
//! shared by mistake, nothing is lost or duplicated, locks exclude, and all tasklets end.
//!
//! A seed determines a program: its actions, its threads, its limits, and its end. Each tasklet
//! draws its actions from random numbers of its own, so a program makes the same choices each time.
//! Threads and time still decide how these meet.
//!
//! A finding ends the process and names the program. This command runs that program a thousand
//! times:
//!
//! ```text
//! OVERLAPPED_SEED=… cargo test -p overlapped --test random_programs
//! ```
//!
//! `OVERLAPPED_FUZZ_SECONDS=…` runs new programs for that time.

mod actions;
mod actor;
mod check;
mod ledger;
mod plan;
#[path = "../support/mod.rs"]
mod support;
mod world;

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant, SystemTime};

use overlapped::task::{self, TaskletExit};
use overlapped::{RunError, yield_now};

use actions::channels::queues;
use actions::locks::Locks;
use actions::{modes, threads};
use actor::{Actor, Planned};
use check::{ensure, finding};
use plan::{End, Leaves, Plan};
use support::Rng;
use world::{Shared, World};

/// A guard of a scheduler's first tasklet: however the tasklet ends, it drops the lock that others
/// have left.
struct Directing<'a>(&'a World);

impl<'a> Directing<'a> {
    fn begin(world: &'a World) -> Directing<'a> {
        world.is_directed.set(true);
        Directing(world)
    }
}

impl Drop for Directing<'_> {
    fn drop(&mut self) {
        self.0.is_directed.set(false);
        drop(self.0.files.speaking.take());
    }
}

/// Acts as the first tasklet of a scheduler, which never waits long for others, and holds nothing.
fn direct(world: &Rc<World>, seed: u64) {
    let shared = &world.shared;
    let mut me = Actor::new(world.clone(), seed);
    me.is_bounded = true;
    let _directing = Directing::begin(world);
    for _ in 0..shared.plan.actors {
        if let Some(handle) = me.spawn() {
            world.keep(handle, &mut me.rng);
        }
    }
    for _ in 0..shared.plan.steps {
        match me.rng.below(8) {
            0 => overlapped::time::sleep(me.brief()),
            1 => task::no_switch(|| {
                me.is_still = true;
                me.act();
                me.is_still = false;
            }),
            2 => actions::direct(&mut me),
            _ => yield_now(),
        }
    }
    if shared.plan.end == End::Returned {
        // All tasklets end, the last ones perhaps by kills.
        overlapped::time::sleep(Duration::from_micros(me.rng.below(2_000) as u64));
    }
}

/// Acts as the first tasklet of the run.
fn first(world: &Rc<World>, rng: &mut Rng) {
    let shared = &world.shared;
    if shared.plan.end != End::Told {
        let spawner = task::spawner().expect("it is a tasklet");
        check::let_in(spawner.clone());
        shared.spawners.lock().unwrap().push(spawner);
    }
    let mut crew = Vec::new();
    for at in 1..shared.plan.threads {
        let (shared, seed) = (shared.clone(), rng.next());
        let part = task::place_on(at, move || {
            let world = World::new(&shared, &mut Rng(seed));
            let spawner = task::spawner().expect("it is a tasklet");
            check::let_in(spawner.clone());
            shared.spawners.lock().unwrap().push(spawner);
            direct(&world, seed);
        });
        crew.push(part.expect("there are few tasklets"));
    }
    direct(world, rng.next());
    for part in crew {
        let _ = overlapped::time::timeout(Duration::from_millis(1), || part.join());
    }
    shared.is_ending.store(true, SeqCst);
    // These spawners would prevent deadlock reports. The watchdog has spawners of its own.
    shared.spawners.lock().unwrap().clear();
    match shared.plan.leaves {
        Leaves::Returning => {}
        Leaves::Panicking => support::quiet_panic(Planned),
        Leaves::Killed => {
            task::current().remote().kill();
            loop {
                overlapped::time::sleep(Duration::from_micros(20));
            }
        }
    }
}

/// Runs one program; returns the number of its actions.
fn program(seed: u64) -> u64 {
    let mut rng = Rng(seed);
    let plan = Plan::new(&mut rng);
    if plan.end != End::Abandoned {
        return run_planned(seed, plan, rng);
    }
    // A thread on which a tasklet was parked for good does not end.
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(run_planned(seed, plan, rng)));
    receiver.recv().expect("a program ends, or the process does")
}

fn run_planned(seed: u64, plan: Plan, mut rng: Rng) -> u64 {
    check::begin(seed, &plan);
    let shared = Shared::new(plan, &mut rng);
    let world = World::new(&shared, &mut rng);
    let helpers: Vec<_> = (0..shared.plan.helpers)
        .map(|_| {
            let (shared, seed) = (shared.clone(), rng.next());
            std::thread::spawn(move || threads::help(&shared, seed))
        })
        .collect();
    let config = shared.plan.config();
    let ended = catch_unwind(AssertUnwindSafe(|| match shared.plan.end {
        End::Killed | End::Abandoned => config.run_until(|| first(&world, &mut rng)),
        End::Returned | End::Told => config.run(|| first(&world, &mut rng)),
    }));
    shared.is_ending.store(true, SeqCst);
    judge(&shared.plan, ended);
    for helper in helpers {
        ensure!(helper.join().is_ok(), "a helping thread panicked");
    }
    shared.remotes.lock().unwrap().clear();
    settle(&shared, world);
    check::end();
    shared.actions()
}

/// Checks that the run's result is the planned one.
fn judge(plan: &Plan, ended: std::thread::Result<Result<(), RunError>>) {
    match (ended, plan.leaves) {
        (Ok(Ok(())), Leaves::Returning) | (Ok(Err(RunError::Killed)), Leaves::Killed) => {}
        (Ok(Err(RunError::Deadlock(_))), _) if plan.end == End::Told => {}
        // Rings that were closed a moment ago may still count towards the limit.
        (Ok(Err(RunError::Port(error))), _) if error.kind() == ErrorKind::OutOfMemory => {}
        (Err(payload), Leaves::Panicking) => {
            ensure!(payload.is::<Planned>(), "another panic: {}", payload.is::<TaskletExit>());
        }
        (ended, leaves) => finding(format_args!("{leaves:?} in {:?}: {ended:?}", plan.end)),
    }
}

/// Checks that nothing is left of a program, unless one of its tasklets was parked for good.
fn settle(shared: &Arc<Shared>, world: Rc<World>) {
    let abandons = shared.abandons();
    if !abandons {
        // The handles refer to the world in which they are kept: this breaks the cycle.
        world.handles.take();
        let users = Rc::strong_count(&world);
        ensure!(users == 1, "{users} closures of tasklets were not dropped");
    }
    drop(world);
    queues::settle(shared);
    modes::settle_locals(abandons);
    if !abandons {
        Locks::settle(&shared.locks);
        shared.ledger.settle();
    }
}

/// The descriptors and mappings of a process.
struct Belongings {
    descriptors: usize,
    mappings: usize,
}

impl Belongings {
    fn now() -> Belongings {
        let folder = std::fs::read_dir("/proc/self/fd").expect("procfs");
        Belongings { descriptors: folder.count(), mappings: support::mappings() }
    }

    /// Checks that no descriptor and hardly any mapping is left. It waits a while, because a pool
    /// thread may still be closing a descriptor. Some mappings belong to the allocator and the
    /// pool.
    fn compare(&self) {
        let late = Instant::now() + Duration::from_secs(20);
        loop {
            let now = Belongings::now();
            if now.descriptors <= self.descriptors && now.mappings <= self.mappings + 300 {
                return;
            }
            ensure!(
                Instant::now() < late,
                "{} descriptors and {} mappings at first, now {} and {}",
                self.descriptors,
                self.mappings,
                now.descriptors,
                now.mappings
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The number of programs between two checks of the process's descriptors and mappings.
const ROUND: u64 = 200;

/// Runs programs from `first` on, as long as `goes_on` returns true. Returns the numbers of
/// programs and actions.
fn programs(first: u64, mut goes_on: impl FnMut(u64) -> bool) -> (u64, u64) {
    check::install();
    // Starts the pools' threads, and opens everything that is opened only once.
    for seed in 0..20 {
        program(seed);
    }
    let mut belongings = Belongings::now();
    let (mut count, mut actions) = (0, 0);
    while goes_on(count) {
        let seed = first.wrapping_add(count);
        let abandons = Plan::new(&mut Rng(seed)).end == End::Abandoned;
        if abandons {
            belongings.compare();
        }
        actions += program(seed);
        count += 1;
        if abandons {
            belongings = Belongings::now();
        } else if count % ROUND == 0 {
            belongings.compare();
        }
    }
    belongings.compare();
    (count, actions)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn s17_random_programs_find_nothing() {
    if let Some(seed) = number("OVERLAPPED_SEED") {
        check::install();
        let actions: u64 = (0..1_000).map(|_| program(seed)).sum();
        println!("{actions} actions in 1000 runs of this program, 0 findings");
        return;
    }
    let (count, actions) = match number("OVERLAPPED_FUZZ_SECONDS") {
        Some(seconds) => {
            let late = Instant::now() + Duration::from_secs(seconds);
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            programs(since.map_or(0, |since| since.as_secs()) << 20, |_| Instant::now() < late)
        }
        None => {
            let most = support::rounds(150, 20_000) as u64;
            programs(1_000, |count| count < most)
        }
    };
    let (name, times) = actions::rarest();
    println!("the rarest action of {} was `{name}`, {times} times", actions::ALL.len());
    assert!(count < 100 || times > count / 100, "an action is hardly ever done: {name}");
    let figure = format!("actions in {count} random programs, 0 findings");
    support::report("S17", actions as usize, &figure);
}
