//! Locks and barriers of tasklets: order, fairness, kills, deadlines, threads.

mod support;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use overlapped::sync::{
    Barrier, Condvar, Event, Mutex, OnceLock, RwLock, RwLockWriteGuard, Semaphore, TryLockError,
    oneshot,
};
use overlapped::task::no_switch;
use overlapped::time::{Instant, sleep, timeout};
use overlapped::{JoinError, Tasklet, run, scope, spawn, yield_now};

const MOMENT: Duration = Duration::from_millis(5);
const FOR_EVER: Duration = Duration::MAX;

/// The list into which several tasklets write.
type Log<T> = Rc<RefCell<Vec<T>>>;

fn is_killed<T: std::fmt::Debug>(tasklet: Tasklet<T>) {
    match tasklet.join() {
        Err(JoinError::Killed) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no such I/O")]
fn a_lock_held_across_a_wait_stops_no_other_tasklet() {
    run(|| {
        let mutex = Rc::new(Mutex::new(0));
        let (own, other) = (mutex.clone(), mutex.clone());
        let (go, goes) = oneshot::channel();
        let holder = spawn(move || {
            let mut guard = own.lock().unwrap();
            goes.recv().unwrap();
            *guard += 1;
        });
        let waiter = spawn(move || *other.lock().unwrap());
        let turns = spawn(|| (0..100).map(|_| yield_now()).count());
        assert_eq!(turns.join().unwrap(), 100);
        assert!(!waiter.is_finished(), "it waits for the lock");
        assert!(!holder.is_finished());
        go.send(()).unwrap();
        assert_eq!(waiter.join().unwrap(), 1);
    })
    .unwrap();
}

#[test]
fn waiters_get_a_lock_in_order() {
    run(|| {
        let (mutex, log) = (Rc::new(Mutex::new(())), Log::default());
        let guard = mutex.lock().unwrap();
        for i in 0..10 {
            let (mutex, log) = (mutex.clone(), log.clone());
            spawn(move || {
                let _guard = mutex.lock().unwrap();
                yield_now();
                log.borrow_mut().push(i);
            });
        }
        yield_now();
        drop(guard);
        while log.borrow().len() < 10 {
            yield_now();
        }
        assert_eq!(*log.borrow(), (0..10).collect::<Vec<_>>());
    })
    .unwrap();
}

#[test]
fn a_waiter_that_comes_too_late_once_is_handed_the_lock() {
    run(|| {
        let (mutex, log) = (Rc::new(Mutex::new(())), Log::default());
        let mut guard = mutex.lock().unwrap();
        let (own, others) = (mutex.clone(), log.clone());
        let waiter = spawn(move || {
            let _guard = own.lock().unwrap();
            others.borrow_mut().push("waiter");
        });
        yield_now();
        for round in 0..3 {
            drop(guard);
            // The waiter was woken at the first release and has not run since, so the lock may be
            // taken once more.
            let taken = mutex.try_lock().is_ok();
            assert_eq!(taken, round != 1, "round {round}");
            guard = mutex.lock().unwrap();
            log.borrow_mut().push("again");
            yield_now();
        }
        drop(guard);
        waiter.join().unwrap();
        assert_eq!(*log.borrow(), ["again", "waiter", "again", "again"]);
    })
    .unwrap();
}

#[test]
fn a_killed_waiter_leaves_the_queue() {
    run(|| {
        let (mutex, log) = (Rc::new(Mutex::new(())), Log::default());
        let guard = mutex.lock().unwrap();
        let waiters: Vec<_> = (0..5)
            .map(|i| {
                let (mutex, log) = (mutex.clone(), log.clone());
                spawn(move || {
                    let _guard = mutex.lock().unwrap();
                    log.borrow_mut().push(i);
                })
            })
            .collect();
        yield_now();
        let mut waiters: Vec<_> = waiters.into_iter().map(Some).collect();
        for i in [2, 0, 4] {
            let victim = waiters[i].take().unwrap();
            victim.kill();
            is_killed(victim);
        }
        drop(guard);
        waiters.into_iter().flatten().for_each(|waiter| waiter.join().unwrap());
        assert_eq!(*log.borrow(), [1, 3]);
        assert!(!mutex.is_poisoned(), "the waiter has changed nothing");
    })
    .unwrap();
}

#[test]
fn a_kill_that_comes_after_the_lock_stays_pending() {
    run(|| {
        let (mutex, seen) = (Rc::new(Mutex::new(())), Rc::new(Cell::new(false)));
        let guard = mutex.lock().unwrap();
        let (own, its) = (mutex.clone(), seen.clone());
        let waiter = spawn(move || {
            let guard = own.lock().unwrap();
            its.set(true);
            drop(guard);
            yield_now();
            unreachable!("the kill comes here");
        });
        yield_now();
        drop(guard);
        waiter.kill();
        is_killed(waiter);
        assert!(seen.get() && mutex.try_lock().is_ok());
    })
    .unwrap();
}

#[test]
fn a_kill_poisons_what_is_held_as_a_panic_does() {
    run(|| {
        let mutex = Rc::new(Mutex::new(0));
        let own = mutex.clone();
        let holder = spawn(move || {
            let mut guard = own.lock().unwrap();
            *guard = 1;
            sleep(FOR_EVER);
        });
        yield_now();
        holder.kill();
        is_killed(holder);
        assert_eq!(mutex.lock().map_err(|error| *error.into_inner()).unwrap_err(), 1);
    })
    .unwrap();
}

#[test]
fn a_deadline_does_not_end_the_wait_for_a_lock() {
    run(|| {
        let mutex = Rc::new(Mutex::new(()));
        let own = mutex.clone();
        let holder = spawn(move || {
            let _guard = own.lock().unwrap();
            sleep(4 * MOMENT);
        });
        yield_now();
        let begin = Instant::now();
        timeout(MOMENT, || drop(mutex.lock().unwrap()));
        assert!(begin.elapsed() >= 3 * MOMENT);
        holder.join().unwrap();
    })
    .unwrap();
}

#[test]
fn inside_no_switch_only_a_wait_panics() {
    run(|| {
        let (mutex, lock) = (Mutex::new(1), RwLock::new(1));
        no_switch(|| {
            assert_eq!(*mutex.lock().unwrap(), *lock.read().unwrap());
        });
        let (guard, writer) = (mutex.lock().unwrap(), lock.write().unwrap());
        let calls: [&dyn Fn(); 5] = [
            &|| drop(mutex.lock()),
            &|| drop(lock.read()),
            &|| drop(lock.write()),
            &|| Event::new().wait(),
            &|| assert!(!Barrier::new(2).wait().is_leader()),
        ];
        for call in calls {
            let ended = catch_unwind(AssertUnwindSafe(|| no_switch(call)));
            let payload = ended.unwrap_err();
            let text = payload.downcast_ref::<String>().unwrap();
            assert!(text.contains("no_switch"), "{text}");
        }
        assert!(!no_switch(|| Event::new().wait_timeout(FOR_EVER)));
        assert!(no_switch(|| Semaphore::new(0).acquire_timeout(1, FOR_EVER).is_none()));
        drop((guard, writer));
        assert!(mutex.try_lock().is_ok() && lock.try_write().is_ok());
    })
    .unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri too long")]
fn a_lock_works_between_threads_and_schedulers() {
    let (mutex, rounds) = (Arc::new(Mutex::new(0)), support::rounds(2_000, 100_000));
    let workers: Vec<_> = (0..3)
        .map(|i| {
            let mutex = mutex.clone();
            thread::spawn(move || {
                let work = move || {
                    for round in 0..rounds {
                        let mut guard = mutex.lock().unwrap();
                        let before = *guard;
                        if i > 0 && round % 64 == 0 {
                            yield_now();
                        }
                        *guard = before + 1;
                    }
                };
                match i {
                    0 => work(),
                    _ => run(|| scope(|s| drop([s.spawn(work.clone()), s.spawn(work)]))).unwrap(),
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    assert_eq!(*mutex.lock().unwrap(), 5 * rounds);
}

#[test]
fn a_wait_for_another_threads_lock_is_no_deadlock() {
    let mutex = Arc::new(Mutex::new(()));
    let (own, locked) = (mutex.clone(), Arc::new(Event::new()));
    let (its, caller) = (locked.clone(), support::thread_number());
    let holder = thread::spawn(move || {
        let _guard = own.lock().unwrap();
        its.set();
        support::wait_until_blocked(caller);
    });
    locked.wait();
    run(|| drop(mutex.lock().unwrap())).unwrap();
    holder.join().unwrap();
}

#[test]
fn readers_that_come_after_a_writer_wait_for_it() {
    run(|| {
        let (lock, log) = (Rc::new(RwLock::new(())), Log::default());
        let reader = lock.read().unwrap();
        let enter = |name: &'static str, write: bool| {
            let (lock, log) = (lock.clone(), log.clone());
            spawn(move || {
                if write {
                    let _guard = lock.write().unwrap();
                    log.borrow_mut().push(name);
                    yield_now();
                } else {
                    let _guard = lock.read().unwrap();
                    log.borrow_mut().push(name);
                    yield_now();
                    log.borrow_mut().push(name);
                }
            })
        };
        let parts = [
            enter("first writer", true),
            enter("a", false),
            enter("b", false),
            enter("second writer", true),
            enter("c", false),
        ];
        yield_now();
        assert!(lock.try_read().is_err(), "a writer waits");
        drop(reader);
        parts.into_iter().for_each(|part| part.join().unwrap());
        // The readers in between hold the lock together.
        assert_eq!(*log.borrow(), ["first writer", "a", "b", "a", "b", "second writer", "c", "c"]);
    })
    .unwrap();
}

#[test]
fn a_writer_that_goes_on_as_a_reader_lets_readers_in_and_writers_wait() {
    run(|| {
        let lock = Rc::new(RwLock::new(1));
        let mut writer = lock.write().unwrap();
        *writer = 2;
        let (first, second) = (lock.clone(), lock.clone());
        let reads = spawn(move || *first.read().unwrap());
        let writes = spawn(move || *second.write().unwrap() += 1);
        yield_now();
        let reader = RwLockWriteGuard::downgrade(writer);
        assert_eq!(reads.join().unwrap(), 2);
        assert!(!writes.is_finished());
        assert_eq!(*reader, 2);
        drop(reader);
        writes.join().unwrap();
        assert_eq!(*lock.read().unwrap(), 3);
    })
    .unwrap();
}

#[test]
fn a_killed_writer_lets_the_readers_behind_it_in() {
    run(|| {
        let lock = Rc::new(RwLock::new(()));
        let reader = lock.read().unwrap();
        let (first, second) = (lock.clone(), lock.clone());
        let writes = spawn(move || drop(first.write().unwrap()));
        let reads = spawn(move || drop(second.read().unwrap()));
        yield_now();
        assert!(!reads.is_finished());
        writes.kill();
        is_killed(writes);
        reads.join().unwrap();
        drop(reader);
        assert!(!lock.is_poisoned());
    })
    .unwrap();
}

#[test]
fn a_semaphore_serves_in_order_also_large_requests() {
    run(|| {
        let (semaphore, log) = (Rc::new(Semaphore::new(3)), Log::default());
        let held = semaphore.acquire_many(3);
        let parts: Vec<_> = [(2, 'a'), (3, 'b'), (1, 'c'), (1, 'd')]
            .map(|(permits, name)| {
                let (semaphore, log) = (semaphore.clone(), log.clone());
                spawn(move || {
                    let _permits = semaphore.acquire_many(permits);
                    log.borrow_mut().push(name);
                    sleep(Duration::from_millis(1));
                })
            })
            .into();
        yield_now();
        assert_eq!(semaphore.available_permits(), 0);
        drop(held);
        // One permit is left beside those of `a`; but `b` is first and wants three.
        assert_eq!(semaphore.available_permits(), 1);
        assert!(semaphore.try_acquire(1).is_none());
        parts.into_iter().for_each(|part| part.join().unwrap());
        assert_eq!(*log.borrow(), ['a', 'b', 'c', 'd']);
        assert_eq!(semaphore.available_permits(), 3);
    })
    .unwrap();
}

#[test]
fn permits_are_limited_in_time_owned_added_and_forgotten() {
    run(|| {
        let semaphore = Arc::new(Semaphore::new(1));
        let permit = semaphore.clone().try_acquire_owned(1).unwrap();
        assert!(semaphore.try_acquire(1).is_none());
        let begin = Instant::now();
        assert!(semaphore.acquire_timeout(1, MOMENT).is_none());
        assert!(timeout(MOMENT, || semaphore.acquire_timeout(1, FOR_EVER)).is_none());
        assert!(begin.elapsed() >= 2 * MOMENT);
        let spawned = thread::spawn(move || drop(permit));
        let permit = semaphore.acquire();
        spawned.join().unwrap();
        permit.forget();
        assert_eq!(semaphore.available_permits(), 0);
        semaphore.add_permits(2);
        semaphore.clone().acquire_owned(1).forget();
        assert_eq!(semaphore.available_permits(), 1);
        // A waiter that leaves lets those behind it in.
        let (first, second) = (semaphore.clone(), semaphore.clone());
        let much = spawn(move || drop(first.acquire_many(5)));
        let little = spawn(move || drop(second.acquire()));
        yield_now();
        assert!(!little.is_finished());
        much.kill();
        is_killed(much);
        little.join().unwrap();
        assert_eq!(semaphore.available_permits(), 1);
    })
    .unwrap();
}

#[test]
fn a_notification_wakes_one_in_order_and_a_killed_waiter_passes_it_on() {
    run(|| {
        let pair = Rc::new((Mutex::new(()), Condvar::new()));
        let log = Log::default();
        let wait = |name| {
            let (pair, log) = (pair.clone(), log.clone());
            spawn(move || {
                let guard = pair.1.wait(pair.0.lock().unwrap()).unwrap();
                log.borrow_mut().push(name);
                drop(guard);
            })
        };
        let parts = [wait('a'), wait('b'), wait('c'), wait('d')];
        yield_now();
        pair.1.notify_one();
        yield_now();
        assert_eq!(*log.borrow(), ['a']);
        let [a, b, c, d] = parts;
        a.join().unwrap();
        // `b` is notified, and killed while it waits for the mutex.
        let guard = pair.0.lock().unwrap();
        pair.1.notify_one();
        yield_now();
        b.kill();
        is_killed(b);
        drop(guard);
        c.join().unwrap();
        assert_eq!(*log.borrow(), ['a', 'c']);
        // `d` is killed while it waits to be notified.
        d.kill();
        is_killed(d);
        assert!(!pair.0.is_poisoned());
        pair.1.notify_one();
        assert!(pair.0.try_lock().is_ok());
    })
    .unwrap();
}

#[test]
fn a_deadline_ends_only_the_timed_wait_of_a_condvar() {
    run(|| {
        let pair = Rc::new((Mutex::new(0), Condvar::new()));
        let (guard, result) =
            timeout(MOMENT, || pair.1.wait_timeout(pair.0.lock().unwrap(), FOR_EVER).unwrap());
        assert!(result.timed_out());
        drop(guard);
        let own = pair.clone();
        let notifies = spawn(move || {
            sleep(4 * MOMENT);
            *own.0.lock().unwrap() = 1;
            own.1.notify_all();
        });
        let guard = timeout(MOMENT, || {
            pair.1.wait_while(pair.0.lock().unwrap(), |value| *value == 0).unwrap()
        });
        assert_eq!(*guard, 1);
        notifies.join().unwrap();
    })
    .unwrap();
}

#[test]
fn a_tasklet_killed_at_a_barrier_does_not_count() {
    run(|| {
        let barrier = Rc::new(Barrier::new(3));
        let wait = || {
            let barrier = barrier.clone();
            spawn(move || barrier.wait().is_leader())
        };
        let parts = [wait(), wait()];
        yield_now();
        let [first, second] = parts;
        first.kill();
        is_killed(first);
        let third = wait();
        yield_now();
        assert!(!second.is_finished() && !third.is_finished());
        assert!(barrier.wait().is_leader(), "the last to come");
        assert!(!second.join().unwrap() && !third.join().unwrap());
    })
    .unwrap();
}

#[test]
fn an_event_releases_all_waiters_even_if_it_is_cleared() {
    run(|| {
        let event = Rc::new(Event::new());
        let wait = || {
            let event = event.clone();
            spawn(move || event.wait())
        };
        let parts = [wait(), wait(), wait()];
        yield_now();
        let [first, others @ ..] = parts;
        first.kill();
        is_killed(first);
        event.set();
        event.clear();
        others.into_iter().for_each(|other| other.join().unwrap());
        assert!(!event.is_set());
        assert!(!event.wait_timeout(MOMENT));
        assert!(!timeout(MOMENT, || event.wait_timeout(FOR_EVER)));
        event.set();
        event.wait();
        assert!(event.wait_timeout(Duration::ZERO));
    })
    .unwrap();
}

#[test]
fn an_event_ends_waits_of_threads_and_of_other_schedulers() {
    let (event, woken) = (Arc::new(Event::new()), Arc::new(AtomicUsize::new(0)));
    let waiters: Vec<_> = (0..3)
        .map(|i| {
            let (event, woken) = (event.clone(), woken.clone());
            thread::spawn(move || {
                let wait = move || {
                    event.wait();
                    woken.fetch_add(1, Ordering::Relaxed);
                };
                match i {
                    0 => wait(),
                    _ => run(|| {
                        for _ in 0..10 {
                            spawn(wait.clone());
                        }
                    })
                    .unwrap(),
                }
            })
        })
        .collect();
    thread::sleep(MOMENT);
    event.set();
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    assert_eq!(woken.load(Ordering::Relaxed), 21);
}

#[test]
fn a_value_may_be_waited_for_while_it_is_made() {
    run(|| {
        let (once, made) = (Rc::new(OnceLock::new()), Rc::new(Cell::new(0)));
        let ask = || {
            let (once, made) = (once.clone(), made.clone());
            spawn(move || {
                *once.get_or_init(|| {
                    made.set(made.get() + 1);
                    sleep(MOMENT);
                    made.get()
                })
            })
        };
        let (first, others) = (ask(), [ask(), ask()]);
        let waits = {
            let once = once.clone();
            spawn(move || *once.wait())
        };
        yield_now();
        // The first is killed while it makes the value, so the next one makes it.
        first.kill();
        is_killed(first);
        assert_eq!(once.get(), None);
        assert!(others.into_iter().all(|other| other.join().unwrap() == 2));
        assert_eq!(waits.join().unwrap(), 2);
        assert_eq!((made.get(), once.set(5)), (2, Err(5)));
    })
    .unwrap();
}

/// Locks in its destructor.
struct LocksLate(Rc<Mutex<u32>>);

impl Drop for LocksLate {
    fn drop(&mut self) {
        *self.0.lock().unwrap_or_else(|error| error.into_inner()) += 1;
    }
}

fn named(name: &str, f: impl FnOnce() + 'static) -> Tasklet<()> {
    overlapped::Builder::new().name(name).spawn(f).unwrap()
}

#[test]
#[cfg_attr(miri, ignore = "Miri starts no processes")]
fn a_lock_that_would_be_waited_for_while_unwinding_ends_the_process() {
    const NAME: &str = "a_lock_that_would_be_waited_for_while_unwinding_ends_the_process";
    if support::asked().is_none() {
        let output = support::child(NAME, "unwind");
        let said = support::said(&output);
        assert!(!output.status.success());
        for part in ["tasklet 3 'victim'", "a Mutex at 0x", "tasklet 2 'holder'", "aborting"] {
            assert!(said.contains(part), "{part} is not in: {said}");
        }
        return;
    }
    run(|| {
        let mutex = Rc::new(Mutex::new(0));
        let (own, late) = (mutex.clone(), LocksLate(mutex));
        let holder = named("holder", move || {
            let _guard = own.lock().unwrap();
            sleep(FOR_EVER);
        });
        let victim = named("victim", move || {
            let _late = late;
            sleep(FOR_EVER);
        });
        yield_now();
        victim.kill();
        drop((victim.join(), holder));
        unreachable!("the process has ended");
    })
    .unwrap();
}

#[test]
fn a_lock_that_is_handed_over_but_not_taken_is_had_while_unwinding() {
    run(|| {
        let mutex = Rc::new(Mutex::new(0));
        let (own, late) = (mutex.clone(), LocksLate(mutex.clone()));
        let victim = spawn(move || {
            let _late = late;
            sleep(FOR_EVER);
        });
        let guard = mutex.lock().unwrap();
        let waiter = spawn(move || {
            let mut guard = own.lock().unwrap();
            *guard += 10;
            *guard
        });
        yield_now();
        drop(guard);
        // The waiter is on its way and comes too late … …
        let guard = mutex.lock().unwrap();
        yield_now();
        victim.kill();
        // … so the lock is handed over to the waiter, which runs after the victim.
        drop(guard);
        assert!(mutex.try_lock().is_err_and(|error| matches!(error, TryLockError::WouldBlock)));
        is_killed(victim);
        assert_eq!(waiter.join().unwrap(), 11, "the victim came in between");
    })
    .unwrap();
}

/// In a child: a holder that gets no processor for 20 ms ends the process.
#[test]
#[cfg_attr(miri, ignore = "Miri starts no processes")]
fn a_holder_in_another_thread_is_waited_for_while_unwinding() {
    const NAME: &str = "a_holder_in_another_thread_is_waited_for_while_unwinding";
    if support::asked().is_none() {
        // A busy machine is late now and then, a fault of the library is there every time.
        let ends_well = |_| support::child(NAME, "child").status.success();
        return assert!((0..10).any(ends_well), "not waited for");
    }
    let mutex = Arc::new(Mutex::new(0));
    let (own, locked) = (mutex.clone(), Arc::new(Event::new()));
    let its = locked.clone();
    let holder = thread::spawn(move || {
        let mut guard = own.lock().unwrap();
        its.set();
        thread::sleep(Duration::from_millis(3));
        *guard = 10;
    });
    struct Late(Arc<Mutex<i32>>);
    impl Drop for Late {
        fn drop(&mut self) {
            *self.0.lock().unwrap() += 1;
        }
    }
    let late = Late(mutex.clone());
    run(|| {
        let victim = spawn(move || {
            let _late = late;
            sleep(FOR_EVER);
        });
        locked.wait();
        victim.kill();
        is_killed(victim);
    })
    .unwrap();
    holder.join().unwrap();
    assert_eq!(*mutex.lock().unwrap(), 11);
}
