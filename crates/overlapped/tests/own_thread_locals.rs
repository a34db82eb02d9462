//! Tasklets with thread-locals of their own: to the code on their stacks each is a thread.

mod own_locals;
mod support;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use overlapped::{Channel, JoinError, spawn, yield_now};
use own_locals::{each, own, with_own_locals};

#[test]
fn a_scope_of_a_destructor_waits_for_what_was_queued_inside_kill_as_error() {
    use overlapped::task::kill_as_error;
    struct Borrows;
    impl Drop for Borrows {
        fn drop(&mut self) {
            let done = Cell::new(false);
            overlapped::scope(|s| {
                let child = || {
                    yield_now();
                    done.set(true);
                };
                kill_as_error(|| drop(s.spawn(child)));
            });
            assert!(done.get());
        }
    }
    with_own_locals(|| {
        let ended = own(|| {
            let _borrows = Borrows;
            panic!("the destructor has a scope");
        })
        .join();
        assert!(matches!(ended, Err(overlapped::JoinError::Panicked(_))), "{ended:?}");
    });
}

#[test]
fn l1_a_ref_cell_of_a_thread_is_borrowed_across_waits_by_each_tasklet() {
    thread_local! { static CELL: RefCell<usize> = const { RefCell::new(7) }; }
    let waves = support::rounds(1, 1_000);
    with_own_locals(|| {
        for _ in 0..waves {
            let sums = each(10, |n| {
                CELL.with(|cell| {
                    let mut value = cell.borrow_mut();
                    for _ in 0..100 {
                        *value += n;
                        yield_now();
                    }
                    *value
                })
            });
            assert_eq!(sums, (0..10).map(|n| 7 + 100 * n).collect::<Vec<_>>());
            assert_eq!(CELL.with(|cell| *cell.borrow()), 7, "the thread's own is untouched");
        }
        support::report("L1", waves * 1_000, "waits with a thread-local borrowed");
    });
}

#[test]
fn an_initialiser_of_a_thread_local_may_wait() {
    struct Value(usize);
    impl Drop for Value {
        fn drop(&mut self) {
            self.0 = usize::MAX;
        }
    }
    static MADE: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SLOW: Value = {
            let number = MADE.fetch_add(1, SeqCst);
            (0..3).for_each(|_| yield_now());
            Value(number)
        };
    }
    with_own_locals(|| {
        let seen = each(20, |_| {
            SLOW.with(|value| {
                let before = value.0;
                (0..5).for_each(|_| yield_now());
                (before, value.0)
            })
        });
        assert!(seen.iter().all(|(before, after)| before == after), "{seen:?}");
        assert_eq!(seen.iter().map(|(number, _)| number).collect::<HashSet<_>>().len(), 20);
    });
}

/// Records its drop.
struct Says(Cell<Option<(u32, Log)>>);

type Log = Arc<Mutex<Vec<u32>>>;

impl Drop for Says {
    fn drop(&mut self) {
        if let Some((number, log)) = self.0.take() {
            log.lock().unwrap().push(number);
            // A destructor may ask for a thread-local that is gone, and for one that is new.
            _ = NEVER_BEFORE.try_with(|says| {
                if number == 2 {
                    says.0.set(Some((9, log.clone())));
                }
            });
        }
    }
}

thread_local! {
    static FIRST: Says = const { Says(Cell::new(None)) };
    static SECOND: Says = const { Says(Cell::new(None)) };
    static THIRD: Says = {
        yield_now();
        Says(Cell::new(None))
    };
    static NEVER_BEFORE: Says = const { Says(Cell::new(None)) };
}

fn uses_all(log: &Log) {
    for (number, local) in [(1, &FIRST), (3, &THIRD), (2, &SECOND)] {
        local.with(|says| says.0.set(Some((number, log.clone()))));
    }
}

#[test]
fn l2_destructors_run_before_the_join_returns_in_the_order_of_a_thread() {
    let of_thread = Log::default();
    let log = of_thread.clone();
    thread::spawn(move || uses_all(&log)).join().unwrap();
    let of_thread = of_thread.lock().unwrap().clone();
    assert_eq!(of_thread.len(), 4, "{of_thread:?}");
    let waves = support::rounds(1, 1_000);
    with_own_locals(move || {
        for _ in 0..waves {
            let all = each(20, |_| {
                let log = Log::default();
                let theirs = log.clone();
                own(move || uses_all(&theirs)).join().unwrap();
                log.lock().unwrap().clone()
            });
            assert!(all.iter().all(|one| *one == of_thread), "{of_thread:?}, but {all:?}");
        }
        support::report("L2", waves * 20 * 4, "destructors in a thread's order");
    });
}

#[test]
fn l2_destructors_of_tasklets_that_panic_or_are_killed_run_and_may_wait() {
    struct Waits(Cell<Option<Channel<u32>>>);
    impl Drop for Waits {
        fn drop(&mut self) {
            let Some(channel) = self.0.take() else { return };
            yield_now();
            _ = channel.try_send(1);
        }
    }
    thread_local! { static WAITS: Waits = const { Waits(Cell::new(None)) }; }
    with_own_locals(|| {
        for _ in 0..support::rounds(1, 10_000) {
            ended_in_three_ways();
        }
        support::report(
            "L2",
            3 * support::rounds(1, 10_000),
            "tasklets that returned, panicked, were killed",
        );
    });

    fn ended_in_three_ways() {
        let (channel, never) = (Channel::new(), Channel::<u8>::new());
        let use_it = |how: &'static str| {
            let (channel, never) = (channel.clone(), never.clone());
            own(move || {
                WAITS.with(|waits| waits.0.set(Some(channel)));
                match how {
                    "returns" => {}
                    "panics" => support::quiet_panic(how),
                    _ => drop(never.recv()),
                }
            })
        };
        let hears = channel.clone();
        let counts = spawn(move || (0..2).map(|_| hears.recv().unwrap()).sum::<u32>());
        yield_now();
        assert!(use_it("returns").join().is_ok());
        assert!(matches!(use_it("panics").join(), Err(JoinError::Panicked(_))));
        assert_eq!(counts.join().unwrap(), 2);
        let killed = use_it("is killed");
        yield_now();
        killed.kill();
        assert!(matches!(killed.join(), Err(JoinError::Killed)));
    }
}

#[test]
fn a_panic_in_a_destructor_ends_the_process_as_in_a_thread() {
    const NAME: &str = "a_panic_in_a_destructor_ends_the_process_as_in_a_thread";
    struct Panics(Cell<bool>);
    impl Drop for Panics {
        fn drop(&mut self) {
            assert!(!self.0.get(), "in a destructor");
        }
    }
    thread_local! { static PANICS: Panics = const { Panics(Cell::new(false)) }; }
    match support::asked().as_deref() {
        Some("thread") => thread::spawn(|| PANICS.with(|p| p.0.set(true))).join().unwrap(),
        Some(_) => with_own_locals(|| own(|| PANICS.with(|p| p.0.set(true))).join().unwrap()),
        None => {
            let thread = support::said(&support::child(NAME, "thread"));
            let tasklet = support::said(&support::child(NAME, "tasklet"));
            let fatal = "thread local panicked on drop";
            assert!(thread.contains(fatal), "{thread}");
            if tasklet.contains("SKIPPED") {
                return println!("SKIPPED: {NAME}: no thread-locals of a tasklet's own");
            }
            assert!(tasklet.contains(fatal), "{tasklet}");
        }
    }
}

#[test]
fn l2_a_value_of_a_key_of_c_is_the_tasklets_and_is_destroyed_with_it() {
    static DESTROYED: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn destroy(value: *mut libc::c_void) {
        DESTROYED.fetch_add(value.addr(), SeqCst);
    }
    with_own_locals(|| {
        // These keys are more than fit into a thread's descriptor, so the others need a table of
        // their own.
        let mut keys = [0; 40];
        for key in &mut keys {
            // SAFETY: the place is valid, and the function stays.
            assert_eq!(unsafe { libc::pthread_key_create(key, Some(destroy)) }, 0);
        }
        let waves = support::rounds(2, 1_000);
        for _ in 0..waves {
            DESTROYED.store(0, SeqCst);
            let seen = each(10, move |n| {
                for key in keys {
                    // SAFETY: the keys live; the values are numbers, never looked at.
                    unsafe {
                        assert!(libc::pthread_getspecific(key).is_null());
                        let value = std::ptr::without_provenance(n + 1);
                        assert_eq!(libc::pthread_setspecific(key, value), 0);
                        yield_now();
                        assert_eq!(libc::pthread_getspecific(key).addr(), n + 1);
                    }
                }
            });
            assert_eq!((seen.len(), DESTROYED.load(SeqCst)), (10, 55 * 40));
        }
        // SAFETY: no value of these keys exists any more.
        keys.into_iter().for_each(|key| unsafe { _ = libc::pthread_key_delete(key) });
        support::report("L2", waves * 400, "values of C's keys, each destroyed once");
    });
}

#[test]
fn l1_errno_is_the_tasklets() {
    with_own_locals(|| {
        let waits = support::rounds(5, 100_000);
        let kept = each(10, move |n| {
            // SAFETY: the place is the caller's thread's, by definition.
            let place = || unsafe { libc::__errno_location() };
            // SAFETY: as above.
            unsafe {
                let first = *place();
                *place() = n as i32 + 1;
                (0..waits).for_each(|_| yield_now());
                (first, *place())
            }
        });
        assert_eq!(kept, (1..=10).map(|n| (0, n)).collect::<Vec<_>>());
        support::report("L1", 10 * waits, "waits between different errno");
    });
}

#[test]
fn to_std_a_tasklet_is_a_thread_of_its_own() {
    with_own_locals(|| {
        let mut ids: HashSet<_> = each(10, |_| {
            let id = thread::current().id();
            yield_now();
            assert_eq!(id, thread::current().id());
            id
        })
        .into_iter()
        .collect();
        assert!(ids.insert(thread::current().id()), "not one of them is the thread's");
        assert_eq!(ids.len(), 11);
    });
}

#[test]
fn l3_park_is_ended_by_an_unpark_of_that_tasklet_from_another_thread() {
    with_own_locals(|| {
        let rounds = support::rounds(50, 100_000);
        for _ in 0..rounds {
            let handles = Channel::new();
            let both: Vec<_> = (0..2)
                .map(|_| {
                    let handles = handles.clone();
                    own(move || {
                        handles.send(thread::current()).unwrap();
                        // A thread has one token, which would be too few for two tasklets.
                        thread::park();
                    })
                })
                .collect();
            let mut remote = Vec::new();
            for _ in 0..2 {
                let handle = handles.recv().unwrap();
                remote.push(thread::spawn(move || handle.unpark()));
            }
            both.into_iter().for_each(|one| one.join().unwrap());
            remote.into_iter().for_each(|thread| thread.join().unwrap());
        }
        support::report("L3", 2 * rounds, "parks by two of a thread, each ended by its unpark");
    });
}

#[test]
fn l1_panics_are_counted_for_each_tasklet() {
    with_own_locals(|| {
        let rounds = support::rounds(1, 10_000);
        for _ in 0..rounds {
            let panics = own(|| {
                let caught = catch_unwind(AssertUnwindSafe(|| support::quiet_panic("caught")));
                yield_now();
                (caught.is_err(), thread::panicking())
            });
            let killed = own(|| Channel::<u8>::new().recv());
            yield_now();
            killed.kill();
            assert!(matches!(killed.join(), Err(JoinError::Killed)));
            assert_eq!(panics.join().unwrap(), (true, false));
            assert!(!thread::panicking());
        }
        support::report("L1", rounds, "panics beside kills, none seen by a neighbour");
    });
}

#[test]
fn a_lock_that_is_reentrant_by_thread_excludes_neighbours() {
    static LOCK: parking_lot::ReentrantMutex<AtomicU32> =
        parking_lot::const_reentrant_mutex(AtomicU32::new(0));
    with_own_locals(|| {
        let (held, over) = (Channel::new(), Channel::new());
        let (tell, until) = (held.clone(), over.clone());
        let holder = own(move || {
            let _guard = LOCK.lock();
            let _again = LOCK.try_lock().expect("its own");
            tell.send(()).unwrap();
            until.recv().unwrap();
        });
        held.recv().unwrap();
        assert!(own(|| LOCK.try_lock().is_none()).join().unwrap(), "a neighbour got in");
        assert!(LOCK.try_lock().is_none(), "the thread got in");
        over.send(()).unwrap();
        holder.join().unwrap();
        assert!(LOCK.try_lock().is_some());
    });
}

#[test]
fn executors_that_record_in_a_thread_local_that_they_run_may_wait_inside() {
    with_own_locals(|| {
        let sums = each(10, |n| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let one = runtime.block_on(async {
                yield_now();
                let task = tokio::spawn(async move { n });
                yield_now();
                task.await.unwrap()
            });
            one + futures::executor::block_on(async {
                yield_now();
                n
            })
        });
        assert_eq!(sums, (0..10).map(|n| 2 * n).collect::<Vec<_>>());
    });
}

#[test]
fn pointers_to_the_stack_in_a_thread_local_are_left_in_any_order() {
    scoped_tls::scoped_thread_local!(static SCOPED: u32);
    with_own_locals(|| {
        // The first one to enter is the first one to leave.
        let seen = each(3, |n| {
            let number = n as u32;
            SCOPED.set(&number, || {
                (0..n + 1).for_each(|_| yield_now());
                SCOPED.with(|number| *number)
            })
        });
        assert_eq!(seen, [0, 1, 2]);
    });
}

#[test]
fn tasklets_take_turns_at_the_lock_of_standard_output() {
    use std::io::Write;
    with_own_locals(|| {
        let lines = each(3, |n| {
            let mut out = std::io::stdout().lock();
            writeln!(out, "line {n}").is_ok()
        });
        assert_eq!(lines, [true; 3]);
    });
}

#[test]
fn a_tasklet_that_cannot_have_own_thread_locals_gets_the_reason() {
    let error = overlapped::SpawnError::OwnThreadLocals("the reason");
    assert!(error.to_string().ends_with(": the reason"), "{error}");
    assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::Unsupported);
    let none = overlapped::Builder::new().own_thread_locals(true).spawn(|| ());
    assert!(matches!(none, Err(overlapped::SpawnError::NoScheduler)));
}

#[test]
fn a_scoped_tasklet_has_its_own_and_a_spawn_while_unwinding_is_a_part_of_the_caller() {
    thread_local! { static CELL: Cell<u32> = const { Cell::new(0) }; }
    struct Spawns;
    impl Drop for Spawns {
        fn drop(&mut self) {
            overlapped::scope(|scope| {
                let builder = overlapped::Builder::new().own_thread_locals(true);
                drop(builder.spawn_scoped(scope, || CELL.set(CELL.get() + 1)));
            });
        }
    }
    with_own_locals(|| {
        let mut seen = 0;
        overlapped::scope(|scope| {
            let builder = overlapped::Builder::new().own_thread_locals(true);
            let count = &mut seen;
            let one = builder.spawn_scoped(scope, move || {
                CELL.set(5);
                yield_now();
                *count = CELL.get();
            });
            one.unwrap().join().unwrap();
        });
        assert_eq!((seen, CELL.get()), (5, 0));
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _spawns = Spawns;
            support::quiet_panic("unwinds");
        }));
        assert_eq!((caught.is_err(), CELL.get()), (true, 1));
        overlapped::time::sleep(Duration::from_millis(1));
    });
}
