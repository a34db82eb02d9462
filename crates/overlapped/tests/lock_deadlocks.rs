//! Locks whose holders wait for each other: deadlock reports, if nothing else could release them.

mod support;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use overlapped::sync::{Mutex, OnceLock, RwLock, Semaphore};
use overlapped::task::DeadlockReport;
use overlapped::time::sleep;
use overlapped::{
    Builder, Channel, Config, JoinError, RecvError, RunError, run, scope, spawn, task, yield_now,
};

/// Returns the deadlock report with which a run has ended.
fn report<T: std::fmt::Debug>(ended: Result<T, RunError>) -> DeadlockReport {
    match ended {
        Err(RunError::Deadlock(report)) => report,
        ended => panic!("{ended:?}"),
    }
}

/// Returns the text of a panic.
fn message<T: std::fmt::Debug>(ended: Result<T, JoinError>) -> String {
    match ended {
        Err(JoinError::Panicked(payload)) => payload.message().unwrap_or_default().to_owned(),
        ended => panic!("{ended:?}"),
    }
}

/// Two tasklets that each take one lock and then want the other.
fn crosswise(first: Rc<Mutex<u8>>, second: Rc<Mutex<u8>>) -> [overlapped::Tasklet<()>; 2] {
    let [a, b] = [(first.clone(), second.clone()), (second, first)];
    [a, b].map(|(mine, other)| {
        spawn(move || {
            let _mine = mine.lock().unwrap();
            yield_now();
            drop(other.lock().unwrap());
        })
    })
}

#[test]
fn two_tasklets_that_want_each_others_lock_are_a_deadlock_report() {
    let ended = run(|| drop(crosswise(Rc::default(), Rc::default())));
    let report = report(ended);
    assert_eq!(report.count(), 2);
    let on: Vec<_> = report.waiters().iter().map(|waiter| waiter.on.as_str()).collect();
    assert_eq!(on, ["a Mutex that tasklet 3 has locked", "a Mutex that tasklet 2 has locked"]);
}

#[test]
fn a_tasklet_that_joins_a_deadlocked_one_gets_the_report() {
    let ended = run(|| {
        let [a, b] = crosswise(Rc::default(), Rc::default());
        let Err(JoinError::Deadlock(report)) = a.join() else { panic!("it waits for ever") };
        assert_eq!(report.count(), 3);
        drop(b);
    });
    assert_eq!(report(ended).count(), 3, "it is the same one");
}

#[test]
fn a_lock_whose_holder_waits_for_a_neighbour_is_not_released() {
    run(|| {
        let (lock, channel) = (Mutex::new(()), Channel::<u8>::new());
        scope(|s| {
            s.spawn(|| {
                let _held = lock.lock().unwrap();
                assert!(
                    matches!(channel.recv(), Err(RecvError::Deadlock(_))),
                    "no tasklet can send"
                );
            });
            yield_now();
            // Goes on when the holder has got the report.
            drop(lock.lock().unwrap());
        });
    })
    .unwrap();
}

#[test]
fn a_lock_that_is_never_released_is_a_deadlock_report() {
    // The holder has ended.
    let report_of_forgotten = report(run(|| {
        let lock = Rc::new(Mutex::new(0));
        let theirs = lock.clone();
        spawn(move || std::mem::forget(theirs.lock().unwrap())).join().unwrap();
        drop(lock.lock().unwrap());
    }));
    let text = report_of_forgotten.to_string();
    assert!(text.contains("a Mutex that tasklet 2 has locked"), "{text}");
    // The caller of `run` holds it.
    let lock = Mutex::new(0);
    let held = lock.lock().unwrap();
    let text = report(run(|| drop(lock.lock().unwrap()))).to_string();
    assert!(text.contains("a Mutex that this thread locked before the run"), "{text}");
    drop(held);
    assert!(run(|| *lock.lock().unwrap()).is_ok());
}

#[test]
fn a_report_names_a_writer_and_says_that_further_readers_are_possible() {
    let text = report(run(|| {
        let (a, b) = (Rc::new(RwLock::new(0)), Rc::new(RwLock::new(0)));
        let (c, d) = (a.clone(), b.clone());
        drop(spawn(move || {
            let _held = a.write().unwrap();
            yield_now();
            drop(b.write().unwrap());
        }));
        drop(spawn(move || {
            let _held = d.write().unwrap();
            yield_now();
            drop(c.read().unwrap());
        }));
    }))
    .to_string();
    assert!(text.contains("an RwLock to write that tasklet 3 has locked"), "{text}");
    assert!(text.contains("an RwLock to read that tasklet 2 has locked"), "{text}");
}

#[test]
fn locking_twice_is_a_panic_that_says_so() {
    run(|| {
        let twice = spawn(|| {
            let lock = Mutex::new(0);
            let _first = lock.lock().unwrap();
            drop(lock.lock().unwrap());
        });
        assert!(message(twice.join()).contains("a Mutex that the caller has locked already"));
        for reads in [false, true] {
            let twice = spawn(move || {
                let lock = RwLock::new(0);
                let _first = lock.write().unwrap();
                if reads {
                    drop(lock.read().unwrap());
                } else {
                    drop(lock.write().unwrap());
                }
            });
            let said = message(twice.join());
            assert!(said.contains("that the caller has locked already"), "{said}");
        }
        let itself = spawn(|| {
            let cell = Rc::new(OnceLock::new());
            let again = cell.clone();
            *cell.get_or_init(|| *again.get_or_init(|| 1))
        });
        assert!(message(itself.join()).contains("that the caller has locked already"));
    })
    .unwrap();
    let lock = Mutex::new(0);
    let held = lock.lock().unwrap();
    let twice = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(lock.lock())));
    assert!(twice.is_err(), "a plain thread gets the report, too");
    drop(held);
    assert!(lock.try_lock().is_ok());
}

/// The panic names the call that would wait.
#[test]
fn locking_twice_says_where() {
    const NAME: &str = "locking_twice_says_where";
    if support::asked().is_some() {
        let lock = Mutex::new(0);
        let _first = lock.lock();
        println!("\nLINE {}", line!() + 1);
        return drop(lock.lock());
    }
    let said = support::said(&support::child(NAME, "child"));
    let line = said.lines().find_map(|line| line.strip_prefix("LINE "));
    let place = format!("{}:{}:", file!(), line.expect("the child says it"));
    assert!(said.contains(&place), "{place} is missing in {said}");
}

#[test]
fn a_tasklet_that_waits_for_a_lock_of_another_thread_waits() {
    let lock = Arc::new(Mutex::new(0));
    let (theirs, begun) = (lock.clone(), std::sync::Barrier::new(2));
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut held = theirs.lock().unwrap();
            begun.wait();
            std::thread::sleep(Duration::from_millis(100));
            *held += 1;
        });
        begun.wait();
        run(|| {
            let own = Mutex::new(());
            scope(|s| {
                s.spawn(|| {
                    let _own = own.lock().unwrap();
                    assert_eq!(*lock.lock().unwrap(), 1, "it came");
                });
                yield_now();
                drop(own.lock().unwrap());
            });
        })
        .unwrap();
    });
}

#[test]
fn permits_that_any_thread_may_return_prevent_a_report() {
    run(|| {
        let permits = Arc::new(Semaphore::new(0));
        let theirs = permits.clone();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            theirs.add_permits(1);
        });
        let lock = Mutex::new(());
        scope(|s| {
            s.spawn(|| {
                let _held = lock.lock().unwrap();
                drop(permits.acquire());
            });
            yield_now();
            drop(lock.lock().unwrap());
        });
        thread.join().unwrap();
    })
    .unwrap();
}

#[test]
fn a_guard_given_to_a_neighbour_is_still_the_lockers() {
    run(|| {
        let lock = Mutex::new(0);
        let guards = Channel::new();
        scope(|s| {
            s.spawn(|| drop(guards.recv().unwrap()));
            s.spawn(|| {
                assert!(guards.send(lock.lock().unwrap()).is_ok());
                assert!(lock.try_lock().is_ok(), "the neighbour ran and dropped it");
            });
        });
    })
    .unwrap();
}

#[test]
fn a_lock_cycle_beside_a_living_acceptor_is_reported_once() {
    const NAME: &str = "a_lock_cycle_beside_a_living_acceptor_is_reported_once";
    let Some(what) = support::asked() else {
        let said = support::said(&support::child(NAME, "cycle"));
        let told = "these tasklets wait for each other's locks";
        assert_eq!(said.matches(told).count(), 1, "{said}");
        for part in [
            "tasklet 3 'a': a Mutex that tasklet 4 has locked",
            "tasklet 4 'b': a Mutex that tasklet 3 has locked",
            "spawned at",
        ] {
            assert!(said.contains(part), "{part:?} is missing in {said}");
        }
        let said = support::said(&support::child(NAME, "broken in time"));
        assert!(said.contains("all went on") && !said.contains(told), "{said}");
        return;
    };
    overlapped::run_until(|| {
        let acceptor = overlapped::net::TcpListener::bind("127.0.0.1:0").unwrap();
        drop(spawn(move || acceptor.accept()));
        let locks: [Rc<Mutex<u8>>; 2] = Default::default();
        let [a, _b] = ["a", "b"].map(|name| {
            let [mine, other] = if name == "a" { [0, 1] } else { [1, 0] };
            let locks = locks.clone();
            let waits = move || {
                let _mine = locks[mine].lock().unwrap();
                yield_now();
                drop(locks[other].lock());
            };
            Builder::new().name(name).spawn(waits).unwrap()
        });
        support::wait_until_waiting(2, "a Mutex that tasklet");
        if what == "broken in time" {
            a.kill();
        }
        sleep(Duration::from_millis(3_000));
    })
    .unwrap();
    println!("all went on");
}

/// Schedulers, plain threads and tasklets share locks, and hold them across all kinds of waits. All
/// take the locks in one order, so no deadlock is ever reported.
#[test]
fn no_deadlock_is_reported_while_tasklets_make_progress() {
    let rounds = support::rounds(300, 10_000);
    let locks: Arc<[Mutex<usize>; 3]> = Arc::default();
    let done = Arc::new(AtomicUsize::new(0));
    let in_order = |locks: &[Mutex<usize>; 3], from: usize, wait: &dyn Fn()| {
        let mut first = locks[from].lock().unwrap();
        wait();
        *first += 1;
        if from + 1 < locks.len() {
            let mut second = locks[from + 1].lock().unwrap();
            wait();
            *second += 1;
        }
    };
    let work = {
        let (locks, done) = (locks.clone(), done.clone());
        move || {
            let tasklets: Vec<_> = (0..6)
                .map(|i| {
                    let (locks, done) = (locks.clone(), done.clone());
                    spawn(move || {
                        for round in 0..rounds {
                            in_order(&locks, (i + round) % 3, &|| match round % 50 {
                                0 => sleep(Duration::from_micros(50)),
                                1 => task::unblock(|| ()).unwrap(),
                                n if n % 2 == 0 => yield_now(),
                                _ => {}
                            });
                        }
                        done.fetch_add(1, Relaxed);
                    })
                })
                .collect();
            tasklets.into_iter().for_each(|tasklet| tasklet.join().unwrap());
        }
    };
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                for round in 0..rounds {
                    in_order(&locks, round % 3, &std::thread::yield_now);
                }
                done.fetch_add(1, Relaxed);
            });
        }
        Config::new()
            .threads(2)
            .run(|| {
                let other = task::place_on(1, work.clone()).unwrap();
                Builder::new().name("here").spawn(work).unwrap().join().unwrap();
                other.join().unwrap();
            })
            .unwrap();
    });
    assert_eq!(done.load(Relaxed), 14);
}
