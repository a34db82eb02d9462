//! The law "the port reaps, the scheduler runs": the user's code never runs on the scheduler's own
//! stack, whatever calls it. And a thread never has two schedulers.

mod support;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use overlapped::task::{self, ChannelEvent, Local, Observer, in_tasklet};
use overlapped::{
    Builder, Channel, Config, JoinError, RunError, Select, Tasklet, run, spawn, yield_now,
};
use support::Rng;

/// Polls `tasklet` once, with a waker that calls `f`.
fn at_the_end_of<T>(tasklet: &mut Tasklet<T>, f: impl Fn() + Send + Sync + 'static) {
    struct Calls<F>(F);
    impl<F: Fn() + Send + Sync> Wake for Calls<F> {
        fn wake(self: Arc<Self>) {
            (self.0)();
        }
    }
    let waker = Waker::from(Arc::new(Calls(f)));
    assert!(Pin::new(tasklet).poll(&mut Context::from_waker(&waker)).is_pending());
}

/// Calls a closure when it is dropped.
struct AtDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for AtDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn a_local_that_a_waker_makes_is_dropped_by_its_tasklet() {
    thread_local! {
        static SEEN: RefCell<Vec<(bool, bool)>> = const { RefCell::new(Vec::new()) };
    }
    static LOCAL: Local<AtDrop<fn()>> = Local::new(|| {
        AtDrop(|| {
            let nested = matches!(run(|| ()), Err(RunError::Nested));
            SEEN.with_borrow_mut(|seen| seen.push((in_tasklet(), nested)));
            panic!("its panic ends nothing");
        })
    });
    run(|| {
        let mut tasklet = spawn(yield_now);
        at_the_end_of(&mut tasklet, || LOCAL.with(|_| ()));
        drop(tasklet);
        (0..5).for_each(|_| yield_now());
    })
    .unwrap();
    assert_eq!(SEEN.take(), [(true, true)]);
}

#[test]
fn locals_that_make_themselves_anew_in_a_waker_do_not_go_on_for_ever() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    static LOCAL: Local<AtDrop<fn()>> = Local::new(|| {
        AtDrop(|| {
            DROPPED.fetch_add(1, Relaxed);
            LOCAL.with(|_| ());
        })
    });
    run(|| {
        let mut tasklet = spawn(yield_now);
        at_the_end_of(&mut tasklet, || LOCAL.with(|_| ()));
        tasklet.join().unwrap();
        yield_now();
    })
    .unwrap();
    assert!((1..100).contains(&DROPPED.load(Relaxed)), "{DROPPED:?}");
}

#[test]
fn a_run_in_a_wakers_local_meets_no_tasklet_of_the_outer_run() {
    thread_local! {
        static VICTIM: RefCell<Option<Tasklet<()>>> = const { RefCell::new(None) };
    }
    static LOCAL: Local<AtDrop<fn()>> = Local::new(|| {
        AtDrop(|| {
            let inner = run(|| {
                VICTIM.with_borrow(|victim| victim.as_ref().unwrap().kill());
                yield_now();
                yield_now();
            });
            assert!(matches!(inner, Err(RunError::Nested)));
        })
    });
    run(|| {
        let channel = Channel::<u8>::new();
        let inner = channel.clone();
        let victim = spawn(move || drop(inner.recv()));
        VICTIM.set(Some(victim));
        yield_now();
        let mut tasklet = spawn(yield_now);
        at_the_end_of(&mut tasklet, || LOCAL.with(|_| ()));
        drop(tasklet);
        (0..5).for_each(|_| yield_now());
        assert_eq!(channel.balance(), -1, "it still waits");
        channel.close();
        VICTIM.take().unwrap().join().unwrap();
    })
    .unwrap();
}

#[test]
fn a_tasklet_that_ends_while_its_poller_clones_the_waker_is_not_missed() {
    /// A waker whose clone yields.
    fn slow() -> Waker {
        use std::task::{RawWaker, RawWakerVTable};
        const TABLE: RawWakerVTable = RawWakerVTable::new(
            |at| {
                yield_now();
                RawWaker::new(at, &TABLE)
            },
            |_| (),
            |_| (),
            |_| (),
        );
        // SAFETY: it has no data.
        unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &TABLE)) }
    }
    run(|| {
        let mut tasklet = spawn(|| 7);
        let polled = Pin::new(&mut tasklet).poll(&mut Context::from_waker(&slow()));
        assert!(matches!(polled, Poll::Ready(Ok(7))), "{polled:?}");
    })
    .unwrap();
}

#[test]
fn objects_made_in_an_earlier_run_have_ended_in_the_next() {
    let (done, wait) = std::sync::mpsc::channel();
    // A thread on which tasklets were parked for good does not end.
    std::thread::spawn(move || {
        use_objects_made_in_an_earlier_run();
        done.send(()).unwrap();
    });
    wait.recv().expect("it has not panicked");
}

fn use_objects_made_in_an_earlier_run() {
    let (tasklet, mut polled, paused, channel) = Config::new()
        .grace(Duration::from_millis(20))
        .run_until(|| {
            let channel = Channel::<u8>::new();
            let waits = |channel: Channel<u8>| spawn(move || task::shield(|| channel.recv()));
            let (tasklet, polled) = (waits(channel.clone()), waits(channel.clone()));
            let paused = spawn(|| task::shield(task::pause));
            // While it runs, there is no deadlock report.
            drop(spawn(|| task::shield(|| overlapped::time::sleep(Duration::MAX))));
            yield_now();
            (tasklet, polled, paused, channel)
        })
        .unwrap();
    run(|| {
        assert_eq!(channel.balance(), 0, "no tasklet waits in it any more");
        let sender = channel.clone();
        let sends = spawn(move || sender.send(3));
        assert_eq!(channel.recv(), Ok(3));
        sends.join().unwrap().unwrap();
        tasklet.kill();
        assert!(tasklet.remote().is_finished());
        assert!(matches!(paused.resume(), Err(task::PauseError::Finished)));
        assert!(matches!(paused.pause(), Err(task::PauseError::Finished)));
        assert!(matches!(paused.run_now(), Err(task::PauseError::Finished)));
        let ended = Pin::new(&mut polled).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(ended, Poll::Ready(Err(JoinError::Abandoned))));
        let mut handle = Some(paused);
        let joined = Select::new().join(&mut handle, |joined| joined).wait();
        assert!(matches!(joined, Ok(Err(JoinError::Abandoned))));
        assert!(matches!(tasklet.join(), Err(JoinError::Abandoned)));
    })
    .unwrap();
}

#[test]
fn an_observer_is_dropped_when_its_scheduler_is_gone() {
    struct Looks;
    impl Observer for Looks {}
    impl Drop for Looks {
        fn drop(&mut self) {
            assert_eq!(run(|| spawn(|| 5).join().unwrap()).unwrap(), 5, "another run may begin");
            panic!("its panic is printed and ends nothing");
        }
    }
    assert_eq!(Config::new().observer(Looks).run(|| spawn(|| 4).join().unwrap()).unwrap(), 4);
}

/// The number of calls of the user's code, and the number of those outside a tasklet.
static CALLS: AtomicUsize = AtomicUsize::new(0);
static MISPLACED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// True between a run's beginning and its end, on its own thread.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// The handles that can be reached from everywhere.
    static NEIGHBOURS: RefCell<Vec<Tasklet<()>>> = const { RefCell::new(Vec::new()) };
    static CHANNEL: Channel<u8> = Channel::new();
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// The number of tasklets that calls of a run may still spawn.
    static SPAWNS: Cell<u32> = const { Cell::new(0) };
}

static LOCAL: Local<Bomb> = Local::new(|| {
    everything();
    Bomb(1)
});

/// Calls everything when it is dropped, and sometimes panics.
struct Bomb(u64);

impl Drop for Bomb {
    fn drop(&mut self) {
        everything();
        if self.0.is_multiple_of(3) && !std::thread::panicking() {
            panic!("a destructor's panic");
        }
    }
}

/// Checks on which stack the user's code is called. False on a thread of the pool, and before and
/// after the run, where any stack is allowed.
fn look() -> bool {
    if INSIDE.get() {
        CALLS.fetch_add(1, Relaxed);
        let nested = matches!(run(|| ()), Err(RunError::Nested));
        MISPLACED.fetch_add(usize::from(!in_tasklet() || !nested), Relaxed);
    }
    INSIDE.get()
}

/// Makes all calls from one place in the user's code: none of them may run on the hub. Their
/// results do not matter.
fn everything() {
    if !look() || DEPTH.get() > 1 {
        return;
    }
    DEPTH.set(DEPTH.get() + 1);
    let calls: &[fn()] = &[
        || {
            if SPAWNS.replace(SPAWNS.get().saturating_sub(1)) > 0 {
                drop(Builder::new().spawn(|| drop(Bomb(2))));
                drop(task::place_on(0, everything));
            }
        },
        || LOCAL.with(|_| ()),
        || yield_now(),
        || CHANNEL.with(|channel| drop(channel.try_send(1))),
        || CHANNEL.with(|channel| drop(channel.recv_timeout(Duration::ZERO))),
        || {
            CHANNEL.with(|channel| {
                let chosen = Select::new().recv(channel, |_| everything()).try_wait();
                drop(chosen);
            });
        },
        || overlapped::time::sleep(Duration::ZERO),
        || drop(task::dump()),
        || drop(task::unblock(|| ())),
        || task::shield(|| task::no_switch(yield_now)),
        || drop(task::current().remote()),
        || drop(std::fs::File::open("/dev/null").map(overlapped::fs::File::from)),
        || drop(overlapped::fs::read("/dev/null")),
        || {
            NEIGHBOURS.with_borrow(|all| {
                for (at, tasklet) in all.iter().enumerate() {
                    match at % 4 {
                        0 => tasklet.kill(),
                        1 => drop(tasklet.resume()),
                        2 => drop(task::no_switch(|| tasklet.pause())),
                        _ => drop(task::no_switch(|| tasklet.run_now())),
                    }
                }
            });
        },
        || drop(NEIGHBOURS.try_with(|all| all.try_borrow_mut().map(|mut all| all.pop()))),
    ];
    for call in calls {
        // While unwinding, a panic that leaves a destructor would end the process, so it is caught
        // here.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(call)) {
            std::mem::forget(payload);
        }
    }
    DEPTH.set(DEPTH.get() - 1);
}

struct Watches;

impl Observer for Watches {
    fn switched(&self, _: Option<u64>, next: u64) {
        if next.is_multiple_of(16) {
            everything();
        }
    }

    fn channel(&self, event: ChannelEvent) {
        if event.tasklet.is_multiple_of(8) {
            everything();
        }
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        assert!(!in_tasklet());
    }
}

/// Runs one tasklet that causes a call of the user's code in some way.
fn one(seed: u64, joined: &mut Vec<Tasklet<Bomb>>) {
    let bomb = Bomb(seed);
    let mut tasklet = spawn(move || {
        let _bomb = bomb;
        LOCAL.with(|_| ());
        match seed % 5 {
            0 => yield_now(),
            1 => CHANNEL.with(|channel| drop(channel.recv())),
            2 => std::panic::panic_any(Bomb(seed)),
            3 => overlapped::time::sleep(Duration::from_micros(seed % 300)),
            _ => drop(task::unblock(|| Bomb(1))),
        }
        Bomb(seed + 1)
    });
    match seed / 5 % 6 {
        0 => drop(tasklet),
        1 => tasklet.kill(),
        2 | 3 => {
            at_the_end_of(&mut tasklet, || {
                LOCAL.with(|_| ());
                everything();
            });
            joined.push(tasklet);
        }
        4 => {
            let waits = spawn(move || drop(task::wait_any(&mut vec![tasklet])));
            NEIGHBOURS.with_borrow_mut(|all| all.push(waits));
        }
        _ => joined.push(tasklet),
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri too long")]
fn s15_the_users_code_never_runs_on_the_schedulers_stack() {
    std::panic::set_hook(Box::new(|_| _ = look()));
    let mut rng = Rng(15);
    for _ in 0..support::rounds(40, 1_000) {
        let tasklets = 1 + rng.below(30);
        let seed = rng.next() >> 1;
        let config = Config::new().observer(Watches).threads(1 + rng.below(2));
        let ended = config.grace(Duration::from_secs(60)).run_until(|| {
            INSIDE.set(true);
            SPAWNS.set(100);
            let mut joined = Vec::new();
            for n in 0..tasklets as u64 {
                one(seed.wrapping_add(n.wrapping_mul(7919)) >> 8, &mut joined);
                let paused = spawn(|| {
                    let _bomb = Bomb(2);
                    task::pause();
                });
                NEIGHBOURS.with_borrow_mut(|all| all.push(paused));
                if n % 3 == 0 {
                    yield_now();
                }
            }
            CHANNEL.with(Channel::close);
            CHANNEL.with(Channel::open);
            for tasklet in joined.into_iter().skip(seed as usize % 3) {
                tasklet.kill();
                let joined = tasklet.join();
                let _ = catch_unwind(AssertUnwindSafe(|| drop(joined))).map_err(std::mem::forget);
            }
        });
        INSIDE.set(false);
        drop(catch_unwind(AssertUnwindSafe(|| NEIGHBOURS.take())));
        ended.unwrap();
    }
    drop(std::panic::take_hook());
    assert_eq!(MISPLACED.load(Relaxed), 0, "calls of the user's code outside a tasklet");
    let calls = CALLS.load(Relaxed);
    support::report("S15", calls, "calls of the user's code, 0 on the scheduler's own stack");
}
