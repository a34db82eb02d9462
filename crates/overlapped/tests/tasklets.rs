//! Tasklets from spawn to join, and their properties.

use std::cell::{Cell, RefCell};
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use overlapped::task::{Local, PauseError, UnblockError, in_tasklet, no_switch, pause, unblock};
use overlapped::time::sleep;
use overlapped::{
    Builder, Channel, JoinError, RecvError, RunError, SpawnError, Tasklet, current, net, run,
    run_until, scope, spawn, yield_now,
};

#[test]
fn a_tasklet_returns_its_result_once_and_runs_without_its_handle() {
    let ran = Rc::new(Cell::new(0));
    let seen = ran.clone();
    run(|| {
        let text = spawn(|| String::from("result"));
        assert!(!text.is_finished(), "it starts when it is its turn");
        drop(spawn(move || seen.set(1)));
        assert_eq!(text.join().unwrap(), "result");
        let unit = spawn(|| ());
        yield_now();
        assert!(unit.is_finished());
        unit.join().unwrap();
    })
    .unwrap();
    assert_eq!(ran.get(), 1);
}

#[test]
fn run_returns_mains_result_after_all_tasklets_have_ended() {
    let ended = Rc::new(Cell::new(0));
    let seen = ended.clone();
    let result = run(move || {
        for _ in 0..3 {
            let seen = seen.clone();
            drop(spawn(move || {
                sleep(Duration::from_millis(5));
                seen.set(seen.get() + 1);
            }));
        }
        "main"
    });
    assert_eq!((result.unwrap(), ended.get()), ("main", 3));
}

#[test]
fn a_run_borrows_from_its_caller_and_returns_values_that_borrow() {
    let text = String::from("outside");
    let mut count = 0;
    let slice = run(|| {
        count += 1;
        &text[..3]
    });
    assert_eq!((slice.unwrap(), count), ("out", 1));
}

#[test]
fn names_and_ids_distinguish_tasklets() {
    run(|| {
        let named = Builder::new().name("worker").spawn(|| {
            let me = current();
            (me.id(), me.name(), in_tasklet())
        });
        let named = named.unwrap();
        let (id, debug) = (named.id(), format!("{named:?}"));
        assert!(debug.contains("worker"), "{debug}");
        assert_eq!(named.remote().name(), Some("worker"));
        assert_eq!(named.join().unwrap(), (id, Some("worker".to_owned()), true));
        assert_ne!(spawn(|| current().id()).join().unwrap(), id);
        assert_eq!((current().id().to_string(), current().name()), ("1".to_owned(), None));
    })
    .unwrap();
    assert!(!in_tasklet());
    assert!(catch_unwind(current).is_err());
}

#[test]
fn a_run_inside_a_run_is_an_error_and_spawning_outside_one_too() {
    run(|| {
        assert!(matches!(run(|| ()), Err(RunError::Nested)));
        assert!(matches!(run_until(|| ()), Err(RunError::Nested)));
        assert_eq!(unblock(|| run(|| 1).unwrap()).unwrap(), 1, "another thread has its own");
    })
    .unwrap();
    assert_eq!(Builder::new().spawn(|| ()).err(), Some(SpawnError::NoScheduler));
    assert!(catch_unwind(|| spawn(|| ())).is_err());
}

#[test]
fn handles_outlive_their_run() {
    let (tasklet, me, remote, killed) = run(|| {
        let tasklet = spawn(|| vec![1, 2, 3]);
        let killed = spawn(|| 1);
        killed.kill();
        let remote = tasklet.remote();
        (tasklet, current(), remote, killed)
    })
    .unwrap();
    assert!(tasklet.is_finished() && remote.is_finished());
    tasklet.kill();
    remote.kill();
    assert_eq!(tasklet.pause(), Err(PauseError::Finished));
    assert_eq!(tasklet.run_now(), Err(PauseError::Finished));
    drop((tasklet.remote(), me.remote(), remote.clone()));
    run(|| assert!(me.remote().is_finished(), "not mistaken for a tasklet of this run")).unwrap();
    assert_eq!(tasklet.join().unwrap(), [1, 2, 3]);
    assert!(matches!(killed.join(), Err(JoinError::Killed)));
}

thread_local!(static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) });

fn log(text: &str) {
    LOG.with_borrow_mut(|log| log.push(text.to_owned()));
}

/// A local value that records the stack on which it is dropped, and accesses another local there.
struct Last(&'static str);

impl Drop for Last {
    fn drop(&mut self) {
        assert!(in_tasklet(), "on a tasklet's stack");
        yield_now();
        log(self.0);
        if self.0 == "first" {
            AGAIN.with(|again| assert_eq!(again.0, "again"));
        }
    }
}

static FIRST: Local<Last> = Local::new(|| Last("first"));
static SECOND: Local<Last> = Local::new(|| Last("second"));
static AGAIN: Local<Last> = Local::new(|| Last("again"));

#[test]
#[cfg_attr(miri, ignore = "under Miri each tasklet is a thread")]
fn locals_are_dropped_in_the_order_they_were_made_on_the_tasklets_own_stack() {
    struct Result;
    impl Drop for Result {
        fn drop(&mut self) {
            log("result");
            SECOND.with(|_| ());
        }
    }
    run(|| {
        let tasklet = spawn(|| {
            FIRST.with(|first| assert_eq!(first.0, "first"));
            SECOND.with(|_| ());
        });
        tasklet.join().unwrap();
        assert_eq!(LOG.take(), ["first", "second", "again"]);
        drop(spawn(|| Result));
        (0..8).for_each(|_| yield_now());
        assert_eq!(LOG.take(), ["result", "second"], "a local made by the result's destructor");
    })
    .unwrap();
    static COUNT: Local<Cell<u32>> = Local::new(|| Cell::new(5));
    COUNT.with(|count| count.set(6));
    assert_eq!(run(|| COUNT.with(Cell::get)).unwrap(), 5, "main has its own");
    assert_eq!(COUNT.with(Cell::get), 6, "and so has the thread outside");
}

#[test]
fn panics_in_the_destructors_of_locals_harm_no_neighbour() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new(()));
        }
    }
    static A: Local<Panics> = Local::new(|| Panics);
    static B: Local<Panics> = Local::new(|| Panics);
    run(|| {
        let tasklet = spawn(|| {
            A.with(|_| ());
            B.with(|_| ());
            3
        });
        assert_eq!(tasklet.join().unwrap(), 3);
    })
    .unwrap();
}

#[test]
fn a_scope_lends_the_callers_frame_to_its_tasklets() {
    run(|| {
        let mut numbers = [1, 2, 3, 4];
        let total = Cell::new(0);
        let returned = scope(|s| {
            for number in &mut numbers {
                let total = &total;
                s.spawn(move || {
                    yield_now();
                    *number *= 10;
                    scope(|s| drop(s.spawn(|| total.set(total.get() + *number))));
                });
            }
            let joined = s.spawn(|| 5).join().unwrap();
            // A child may spawn into the scope that it belongs to.
            s.spawn(|| drop(s.spawn(|| total.set(total.get() + 1))));
            joined
        });
        assert_eq!((numbers, total.get(), returned), ([10, 20, 30, 40], 101, 5));
    })
    .unwrap();
}

#[test]
fn a_scope_panics_for_children_that_were_not_joined() {
    run(|| {
        let unjoined = catch_unwind(AssertUnwindSafe(|| {
            scope(|s| drop(s.spawn(|| std::panic::resume_unwind(Box::new(1)))));
        }));
        assert!(unjoined.is_err());
        scope(|s| {
            let child = s.spawn(|| std::panic::resume_unwind(Box::new(1)));
            assert!(matches!(child.join(), Err::<(), _>(JoinError::Panicked(_))));
        });
        let ended = Cell::new(false);
        let body = catch_unwind(AssertUnwindSafe(|| {
            scope(|s| {
                s.spawn(|| {
                    sleep(Duration::from_millis(5));
                    ended.set(true);
                });
                std::panic::resume_unwind(Box::new("body"));
            })
        }));
        let payload = body.unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"body"));
        assert!(ended.get(), "a panic of the body waits for the children, too");
        scope(|s| std::mem::forget(s.spawn(|| vec![1])));
    })
    .unwrap();
}

scoped_tls::scoped_thread_local!(static DEPTH: u32);

#[test]
#[cfg_attr(miri, ignore = "Miri has no such I/O")]
fn s11_no_switch_turns_a_suspension_inside_scoped_tls_into_an_error() {
    // This does not run the example without no_switch. There two tasklets that wait inside `set`
    // leave in the order in which they came: the first one's `set` restores an empty slot, and the
    // second one's restores a pointer to the first one's value, which no longer exists.
    let mut checks = 0;
    run(|| {
        let channel = Channel::<u8>::new();
        let (mut socket, _peer) = pair();
        let tasklets: Vec<Tasklet<()>> = (0..2)
            .map(|i| {
                let channel = channel.clone();
                spawn(move || {
                    let refused = no_switch(|| DEPTH.set(&i, || channel.recv()));
                    assert_eq!(refused, Err(RecvError::WouldBlock));
                    assert!(!DEPTH.is_set());
                })
            })
            .collect();
        for tasklet in tasklets {
            tasklet.join().unwrap();
            checks += 1;
        }
        no_switch(|| {
            DEPTH.set(&7, || {
                let kind = socket.read(&mut [0]).unwrap_err().kind();
                assert_eq!(kind, std::io::ErrorKind::WouldBlock);
                assert!(matches!(spawn(|| ()).join(), Err(JoinError::WouldBlock)));
                assert!(matches!(unblock(|| ()), Err(UnblockError::WouldBlock)));
                assert!(matches!(channel.send(1), Err(overlapped::SendError::WouldBlock(1))));
                assert!(matches!(spawn(|| ()).run_now(), Err(PauseError::Blocked)));
                let silent: [fn(); 3] = [yield_now, pause, || sleep(Duration::ZERO)];
                for wait in silent {
                    assert!(catch_unwind(wait).is_err(), "no error to return, so it panics");
                }
                let scoped = scope(|s| Builder::new().spawn_scoped(s, || ()).err());
                assert_eq!(scoped, Some(SpawnError::CannotWait));
                assert_eq!(DEPTH.with(|depth| *depth), 7, "no other tasklet ran meanwhile");
                checks += 9;
            });
        });
        yield_now();
    })
    .unwrap();
    println!("RELIABILITY S11 {checks} suspensions inside scoped-tls refused");
    assert!(checks > 0);
}

fn pair() -> (net::TcpStream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (stream, listener.accept().unwrap().0)
}

#[test]
fn pause_resume_and_run_now_move_tasklets_in_the_ready_queue() {
    let order = Rc::new(RefCell::new(String::new()));
    let seen = order.clone();
    run(move || {
        let tasklets: Vec<_> = "abcd"
            .chars()
            .map(|name| {
                let order = seen.clone();
                spawn(move || order.borrow_mut().push(name))
            })
            .collect();
        tasklets[0].pause().unwrap();
        tasklets[0].pause().unwrap();
        // The ring is main b c d; turned until c is current, it is c d main b.
        tasklets[2].run_now().unwrap();
        assert_eq!(seen.take(), "cd");
        tasklets[0].resume().unwrap();
        tasklets[0].resume().unwrap();
        yield_now();
        assert_eq!(seen.take(), "ba");
        assert_eq!(tasklets[0].resume(), Err(PauseError::Finished));
        let empty = Channel::<u8>::new();
        let theirs = empty.clone();
        let blocked = spawn(move || drop(theirs.recv()));
        yield_now();
        assert_eq!(blocked.pause(), Err(PauseError::Blocked));
        assert_eq!(blocked.resume(), Err(PauseError::Blocked));
        assert_eq!(blocked.run_now(), Err(PauseError::Blocked));
        empty.send(1).unwrap();
        blocked.join().unwrap();
    })
    .unwrap();
}

#[test]
fn a_join_that_waits_is_woken_by_every_kind_of_end() {
    run(|| {
        let returns = spawn(|| {
            yield_now();
            4
        });
        assert_eq!(returns.join().unwrap(), 4);
        let panics = spawn(|| {
            yield_now();
            std::panic::resume_unwind(Box::new(5))
        });
        let Err::<(), _>(JoinError::Panicked(payload)) = panics.join() else { unreachable!() };
        assert_eq!(payload.downcast_ref::<i32>(), Some(&5));
        let killed = spawn(|| sleep(Duration::MAX));
        let remote = killed.remote();
        drop(spawn(move || remote.kill()));
        assert!(matches!(killed.join(), Err(JoinError::Killed)));
    })
    .unwrap();
}
