//! More work than can be done: a shutdown accepts no new work, and the queue of unstarted work is
//! bounded.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use overlapped::task::{self, Spawner, place, place_on, spawner};
use overlapped::time::sleep;
use overlapped::{Config, JoinError, SpawnError, run, spawn, yield_now};

/// Runs `f` on a thread of its own and fails when it takes longer than a minute.
fn ends(f: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    let thread = thread::spawn(move || {
        f();
        let _ = done.send(());
    });
    match wait.recv_timeout(Duration::from_secs(60)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it does not end"),
        _ => thread.join().unwrap(),
    }
}

/// Spawns as fast as it can, two million times at most. Returns the reason of the end, and the
/// number of spawns.
fn flood(spawner: Spawner) -> JoinHandle<(Option<SpawnError>, usize)> {
    thread::spawn(move || {
        for n in 0..2_000_000 {
            match spawner.spawn(yield_now) {
                Ok(placed) => drop(placed),
                Err(SpawnError::Limit) => thread::yield_now(),
                Err(error) => return (Some(error), n),
            }
        }
        (None, 2_000_000)
    })
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri too long")]
fn a_shutdown_takes_on_nothing_from_threads_that_go_on_spawning() {
    ends(|| {
        let threads = Config::new()
            .threads(2)
            .grace(Duration::from_secs(40))
            .run_until(|| {
                let there = place_on(1, || spawner().unwrap()).unwrap().join().unwrap();
                let threads = [spawner().unwrap(), there].map(flood);
                sleep(Duration::from_millis(20));
                threads
            })
            .unwrap();
        for thread in threads {
            let (refused, spawned) = thread.join().unwrap();
            assert_eq!(refused, Some(SpawnError::Ended), "after {spawned}");
        }
    });
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri too long")]
fn closures_that_come_faster_than_they_can_begin_wait_outside() {
    const MANY: usize = 30_000;
    let (most, ended) = run(|| {
        let spawner = spawner().unwrap();
        let ended = Arc::new(AtomicUsize::new(0));
        let count = ended.clone();
        let posted = task::unblock(move || {
            for _ in 0..MANY {
                let count = count.clone();
                drop(spawner.spawn(move || {
                    yield_now();
                    count.fetch_add(1, SeqCst);
                }));
            }
        });
        // So that all have been posted before the first one begins.
        posted.unwrap();
        let mut most = 0;
        while ended.load(SeqCst) < MANY {
            most = most.max(task::stats().unwrap().live);
            yield_now();
        }
        (most, ended.load(SeqCst))
    })
    .unwrap();
    assert_eq!(ended, MANY, "all of them run");
    assert!(most < MANY / 2, "{most} were taken in at a time");
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri too long")]
fn only_a_limited_number_of_closures_waits() {
    let refused = run(|| {
        let spawner = spawner().unwrap();
        // The scheduler does not poll the inbox while this computes.
        let posted = (0..2_000_000).find_map(|n| match spawner.spawn(|| ()) {
            Ok(placed) => {
                drop(placed);
                None
            }
            Err(error) => Some((n, error)),
        });
        posted.unwrap()
    });
    assert_eq!(refused.unwrap(), (1 << 20, SpawnError::Limit));
}

#[test]
fn a_destructor_in_a_shutdown_may_place_and_spawn() {
    struct Last(Rc<Cell<u32>>);
    impl Drop for Last {
        fn drop(&mut self) {
            let spawned = spawn(|| unreachable!("it is killed before it starts"));
            let placed = place(|| unreachable!("it is killed before it is placed"));
            assert!(matches!(placed.join(), Err(JoinError::Killed)));
            assert_eq!(place_on(0, || ()).err(), Some(SpawnError::Ended));
            drop(spawned);
            self.0.set(self.0.get() + 1);
        }
    }
    let count = Rc::new(Cell::new(0));
    let (first, second) = (Last(count.clone()), Last(count.clone()));
    overlapped::run_until(|| {
        spawn(move || {
            let _last = first;
            sleep(Duration::MAX);
        });
        yield_now();
        spawn(move || drop(second));
    })
    .unwrap();
    assert_eq!(count.get(), 2);
}

/// Spawns another one of itself when it is dropped.
struct Again(Rc<Cell<u64>>);

impl Drop for Again {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
        let again = Again(self.0.clone());
        drop(spawn(move || drop(again)));
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri too long")]
fn destructors_that_spawn_for_ever_end_with_the_grace_time() {
    ends(|| {
        let count = Rc::new(Cell::new(0));
        let first = Again(count.clone());
        let begin = Instant::now();
        Config::new()
            .grace(Duration::from_millis(100))
            .run_until(|| {
                spawn(move || drop(first));
            })
            .unwrap();
        assert!(begin.elapsed() >= Duration::from_millis(100), "it may spawn until then");
        assert!(count.get() > 1);
    });
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri too long")]
fn a_spawn_after_the_grace_time_is_answered_at_once() {
    // A closure that was on its way when the grace time ended is dropped by a tasklet afterwards.
    struct Late(mpsc::Sender<bool>, Rc<Cell<u64>>);
    impl Drop for Late {
        fn drop(&mut self) {
            let dropped = Rc::new(Cell::new(false));
            let captured = Sets(dropped.clone());
            let late = spawn(move || drop(captured));
            let _ = self.0.send(dropped.get() && matches!(late.join(), Err(JoinError::Killed)));
            drop(spawn({
                let again = Again(self.1.clone());
                move || drop(again)
            }));
        }
    }
    struct Sets(Rc<Cell<bool>>);
    impl Drop for Sets {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    struct Makes(mpsc::Sender<bool>);
    impl Drop for Makes {
        fn drop(&mut self) {
            drop(Late(self.0.clone(), Rc::default()));
        }
    }
    struct Blocks(Duration);
    impl Drop for Blocks {
        fn drop(&mut self) {
            thread::sleep(self.0);
        }
    }
    ends(|| {
        let (tell, told) = mpsc::channel();
        let grace = Duration::from_millis(50);
        Config::new()
            .grace(grace)
            .run_until(move || {
                let blocks = Blocks(2 * grace);
                spawn(move || drop(blocks));
                let spawner = spawner().unwrap();
                // These closures are more than the scheduler takes in at once, so it reads the last
                // one after the grace time.
                (0..6_000).for_each(|_| drop(spawner.spawn(|| ()).unwrap()));
                let captured = Makes(tell);
                drop(spawner.spawn(move || drop(captured)).unwrap());
            })
            .unwrap();
        assert_eq!(told.iter().collect::<Vec<_>>(), [true]);
    });
}
