//! Panics and kills by the thousand: nothing is lost, nothing is dropped twice, and other tasklets
//! notice nothing.

mod support;

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use overlapped::task::{self, no_switch, unblock};
use overlapped::time::sleep;
use overlapped::{
    Builder, Channel, JoinError, RecvError, RunError, SendError, Tasklet, net, run, run_until,
    scope, spawn, yield_now,
};
use support::{Rng, quiet_panic};

/// Counts how often it was dropped.
struct Counted(Rc<Cell<usize>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri too long")]
fn s5_every_panic_reaches_its_join_and_harms_no_neighbour() {
    const LIVE: usize = 1_000;
    let panics = support::rounds(2_000, 10_000);
    let (bystanders, drops, turns) =
        (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let stop = Rc::new(Cell::new(false));
    run(|| {
        let live: Vec<_> = (0..LIVE)
            .map(|i| {
                let (counted, stop, turns) =
                    (Counted(bystanders.clone()), stop.clone(), turns.clone());
                spawn(move || {
                    let _counted = counted;
                    let canary = [i; 16];
                    while !stop.get() {
                        sleep(Duration::from_millis(5));
                        turns.set(turns.get() + 1);
                        assert!(!std::thread::panicking());
                        assert_eq!(std::hint::black_box(canary), [i; 16]);
                    }
                    i
                })
            })
            .collect();
        let channel = Channel::<usize>::new();
        for round in (0..panics).step_by(10) {
            let batch: Vec<_> = (round..round + 10)
                .map(|i| {
                    let (outer, inner) = (Counted(drops.clone()), Counted(drops.clone()));
                    let channel = channel.clone();
                    spawn(move || {
                        let _outer = outer;
                        match i % 3 {
                            0 => {}
                            1 => yield_now(),
                            _ => assert_eq!(channel.recv(), Ok(i)),
                        }
                        let _inner = inner;
                        quiet_panic(i);
                    })
                })
                .collect();
            yield_now();
            for i in (round..round + 10).filter(|i| i % 3 == 2) {
                channel.send(i).unwrap();
            }
            for (i, tasklet) in (round..).zip(batch) {
                match tasklet.join() {
                    Err(JoinError::Panicked(payload)) => {
                        assert_eq!(payload.downcast_ref::<usize>(), Some(&i));
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(drops.get(), 2 * (round + 10), "every Drop exactly once");
        }
        assert_eq!(bystanders.get(), 0);
        stop.set(true);
        for (i, tasklet) in live.into_iter().enumerate() {
            assert_eq!(tasklet.join().unwrap(), i);
        }
    })
    .unwrap();
    assert_eq!(bystanders.get(), LIVE);
    assert!(turns.get() >= LIVE, "the others went on meanwhile");
    support::report(
        "S5",
        panics,
        &format!("panics among {LIVE} live tasklets, every payload joined"),
    );
}

/// Makes calls in its destructor that may wait.
struct Busy {
    kind: usize,
    channel: Channel<u32>,
    socket: net::TcpStream,
    done: Rc<Cell<usize>>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        let unwinding = std::thread::panicking();
        let switches = task::stats().unwrap().switches;
        // This comes first, because a kill may end a destructor that waits while nothing unwinds.
        self.done.set(self.done.get() + 1);
        match self.kind {
            0 => drop(self.socket.write(b"bye")),
            1 => {
                let read = self.socket.read(&mut [0; 8]);
                let kind = read.map_err(|error| error.kind());
                assert!(
                    !unwinding || matches!(kind, Err(std::io::ErrorKind::WouldBlock) | Ok(0)),
                    "{kind:?}"
                );
            }
            2 => {
                let sent = self.channel.send(1);
                assert!(!unwinding || matches!(sent, Ok(()) | Err(SendError::WouldBlock(1))));
            }
            3 => {
                let got = self.channel.recv_timeout(Duration::from_millis(1));
                assert!(!unwinding || matches!(got, Ok(_) | Err(RecvError::WouldBlock)));
            }
            4 => sleep(Duration::from_millis(1)),
            5 => {
                let joined = spawn(|| assert!(!std::thread::panicking())).join();
                assert!(!unwinding || matches!(joined, Err(JoinError::WouldBlock)), "{joined:?}");
            }
            6 => yield_now(),
            7 => task::pause(),
            8 => drop(unblock(|| 1)),
            9 => scope(|s| drop(Builder::new().spawn_scoped(s, || ()))),
            10 => drop(no_switch(|| self.channel.try_recv())),
            _ => drop(task::dump()),
        }
        if unwinding {
            let now = task::stats().unwrap().switches;
            assert_eq!(now, switches, "it switched while unwinding, kind {}", self.kind);
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri too long")]
fn s7_no_tasklet_sees_a_neighbours_panic() {
    let rounds = support::rounds(600, 10_000);
    let (done, looks) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let mut rng = Rng(7);
    let ended = run_until(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let channel = Channel::new();
        for i in 0..8 {
            let (looks, channel) = (looks.clone(), channel.clone());
            spawn(move || {
                loop {
                    assert!(!std::thread::panicking(), "a neighbour unwinds");
                    looks.set(looks.get() + 1);
                    match i {
                        0 => sleep(Duration::from_micros(50)),
                        1 => drop(channel.recv_timeout(Duration::from_micros(50))),
                        2 => drop(channel.send_timeout(9, Duration::from_micros(50))),
                        _ => yield_now(),
                    }
                }
            });
        }
        let mut expected = 0;
        for round in 0..rounds {
            let socket = net::TcpStream::connect(address).unwrap();
            let peer = listener.accept().unwrap();
            let kinds = [rng.below(12), rng.below(12)].map(|kind| if kind == 7 { 6 } else { kind });
            let busy = kinds.map(|kind| Busy {
                kind,
                channel: channel.clone(),
                socket: socket.try_clone().unwrap(),
                done: done.clone(),
            });
            let (wait, how) = (rng.below(4), rng.below(3));
            let tasklet = spawn(move || {
                let _busy = busy;
                match wait {
                    0 => {}
                    1 => yield_now(),
                    2 => sleep(Duration::from_micros(30)),
                    _ => drop(Channel::<u8>::new().recv_timeout(Duration::from_micros(30))),
                }
                if how == 0 {
                    quiet_panic(round);
                }
            });
            (0..rng.below(4)).for_each(|_| yield_now());
            if how == 1 {
                tasklet.kill();
            }
            drop(peer);
            drop(tasklet.join());
            expected += 2;
            assert_eq!(done.get(), expected, "every destructor runs once");
        }
    });
    ended.unwrap();
    assert!(looks.get() > rounds);
    let figure = format!("interleavings, {} checks by neighbours, none saw a panic", looks.get());
    support::report("S7", rounds, &figure);
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri too long")]
fn s9_no_value_is_lost_or_duplicated_when_waiters_are_killed() {
    const CROWD: usize = 8;
    let kills = support::rounds(4_000, 100_000);
    let mut rng = Rng(9);
    let (mut killed, mut passed) = (0, 0);
    run(|| {
        while killed < kills {
            let channel = Channel::with_handover(match rng.below(4) {
                0 => overlapped::Handover::Receiver,
                1 => overlapped::Handover::Sender,
                2 => overlapped::Handover::Neither,
                _ => overlapped::Handover::Yield,
            });
            let sending = rng.below(2) == 0;
            let done: Rc<RefCell<Vec<usize>>> = Rc::default();
            let mut crowd: Vec<(usize, Tasklet<()>)> = (0..CROWD)
                .map(|i| {
                    let (channel, done) = (channel.clone(), done.clone());
                    let tasklet = spawn(move || {
                        let value = match sending {
                            true => channel.send(i).map(|()| i).unwrap(),
                            false => channel.recv().unwrap(),
                        };
                        done.borrow_mut().push(value);
                    });
                    (i, tasklet)
                })
                .collect();
            yield_now();
            let mut waiting = CROWD;
            let (mut given, mut dead) = (Vec::new(), Vec::new());
            let mut order: Vec<usize> = (0..CROWD).collect();
            while waiting > 0 {
                if rng.below(2) == 0 {
                    let at = rng.below(order.len());
                    let victim = order.remove(at);
                    let at = crowd.iter().position(|(i, _)| *i == victim).unwrap();
                    let (_, tasklet) = crowd.swap_remove(at);
                    tasklet.kill();
                    dead.push(tasklet);
                    killed += 1;
                } else {
                    let first = order.remove(0);
                    if sending {
                        assert_eq!(channel.recv(), Ok(first), "first come, first served");
                    } else {
                        channel.send(first).unwrap();
                    }
                    given.push(first);
                    // The tasklet has its value, and a kill that comes now must not lose it.
                    if rng.below(4) == 0 {
                        let at = crowd.iter().position(|(i, _)| *i == first).unwrap();
                        crowd[at].1.kill();
                    }
                    passed += 1;
                }
                waiting -= 1;
                let balance = waiting.cast_signed() * if sending { 1 } else { -1 };
                assert_eq!(channel.balance(), balance);
            }
            for tasklet in dead {
                assert!(matches!(tasklet.join(), Err(JoinError::Killed)));
            }
            for (_, tasklet) in crowd {
                tasklet.join().unwrap();
            }
            done.borrow_mut().sort_unstable();
            given.sort_unstable();
            assert_eq!(*done.borrow(), given, "values given and values seen");
        }
    })
    .unwrap();
    support::report(
        "S9",
        killed,
        &format!("kills in channel queues, {passed} values passed, all seen"),
    );
}

#[test]
fn all_captures_of_a_tasklet_killed_before_its_start_are_dropped() {
    struct Flushes(Channel<u8>, Rc<Cell<bool>>);
    impl Drop for Flushes {
        fn drop(&mut self) {
            // The rules are those of unwinding: one attempt, no wait, no second exit.
            assert_eq!(self.0.recv(), Err(RecvError::WouldBlock));
            yield_now();
            self.1.set(true);
        }
    }
    let done = Rc::new(Cell::new(false));
    run(|| {
        let flushes = Flushes(Channel::new(), done.clone());
        let tasklet = spawn(move || drop(flushes));
        tasklet.kill();
        assert!(matches!(tasklet.join(), Err(JoinError::Killed)));
    })
    .unwrap();
    assert!(done.get(), "its destructor did not finish");
}

/// Runs a scope when it is dropped, as a value does that flushes its parts in parallel.
struct Scopes(Rc<RefCell<Vec<String>>>);

impl Drop for Scopes {
    fn drop(&mut self) {
        let said = &self.0;
        let say = |text: &str| said.borrow_mut().push(text.to_owned());
        scope(|s| {
            let first = s.spawn(|| {
                say("first");
                scope(|inner| drop(inner.spawn(|| say("inner"))));
                7
            });
            let second = Builder::new().name("second").spawn_scoped(s, || quiet_panic("fault"));
            assert_eq!(first.join().unwrap(), 7);
            assert!(matches!(second.unwrap().join(), Err(JoinError::Panicked(_))));
            let waits = s.spawn(|| Channel::<u8>::new().recv());
            let not_killed = s.spawn(|| say("third"));
            not_killed.handle().kill();
            say(&format!("waits: {:?}", waits.join().unwrap()));
        });
    }
}

#[test]
fn a_scope_in_a_destructor_runs_its_tasklets_where_its_caller_unwinds() {
    for panics in [false, true] {
        let said = Rc::<RefCell<Vec<String>>>::default();
        let theirs = said.clone();
        run(move || {
            let tasklet = spawn(move || {
                let _scopes = Scopes(theirs);
                if panics {
                    quiet_panic("the tasklet's own fault");
                }
                task::pause();
            });
            yield_now();
            tasklet.kill();
            let ended = tasklet.join();
            assert!(matches!(
                (panics, ended),
                (false, Err(JoinError::Killed)) | (true, Err(JoinError::Panicked(_)))
            ));
            assert_eq!(spawn(|| 8).join().unwrap(), 8, "neighbours live on");
        })
        .unwrap();
        let all = ["first", "inner", "third", "waits: Err(WouldBlock)"];
        assert_eq!(*said.borrow(), all);
    }
}

#[test]
fn a_run_in_a_destructor_says_that_its_thread_unwinds() {
    type Saved = Result<Result<u8, RecvError>, RunError>;
    struct Saves(Rc<RefCell<Vec<Saved>>>);
    impl Drop for Saves {
        fn drop(&mut self) {
            let saved = run(|| {
                let channel = Channel::new();
                let sender = channel.clone();
                let sends = spawn(move || {
                    sleep(Duration::from_millis(1));
                    sender.send(7)
                });
                let got = channel.recv();
                sends.join().unwrap().unwrap();
                got
            });
            self.0.borrow_mut().push(saved);
        }
    }
    let saved = Rc::new(RefCell::new(Vec::new()));
    let saves = Saves(saved.clone());
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _saves = saves;
        quiet_panic(());
    }));
    assert!(panicked.is_err());
    assert!(matches!(saved.take()[..], [Err(RunError::Unwinding)]));
    drop(Saves(saved.clone()));
    assert!(matches!(saved.take()[..], [Ok(Ok(7))]), "outside of a panic it runs");
}
