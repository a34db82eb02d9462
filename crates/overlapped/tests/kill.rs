//! Kills in every state that a tasklet can be in, and shutdowns.

mod support;

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use overlapped::task::{self, pause, shield, unblock};
use overlapped::time::sleep;
use overlapped::{
    Channel, Config, JoinError, RunError, Tasklet, current, net, run, run_until, scope, spawn,
    yield_now,
};
use support::{quiet_panic, wait_until};

const FOR_EVER: Duration = Duration::MAX;

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    New,
    Ready,
    InChannel,
    InOp,
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Manner {
    RunPanics,
    DropPanics,
    Clean,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Moment {
    Before,
    During,
    After,
}

/// Counts its drops. Panics in a drop if the case asks for it and nothing unwinds.
struct Bomb {
    drops: Rc<Cell<u32>>,
    manner: Manner,
}

impl Drop for Bomb {
    fn drop(&mut self) {
        self.drops.set(self.drops.get() + 1);
        if self.manner == Manner::DropPanics && !std::thread::panicking() {
            quiet_panic("drop");
        }
    }
}

/// Checks one cell of the matrix S6. Returns the number of checks.
fn cell(state: State, manner: Manner, held: bool, moment: Moment) {
    let what = format!("{state:?} {manner:?} held={held} {moment:?}");
    let drops = Rc::new(Cell::new(0));
    let went_on = Rc::new(Cell::new(false));
    run(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut socket = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let channel = Channel::new();
        let (inner, seen) = (channel.clone(), went_on.clone());
        let bomb = Bomb { drops: drops.clone(), manner };
        let tasklet = spawn(move || {
            let _bomb = &bomb;
            match state {
                State::New | State::Done => {}
                State::Ready => yield_now(),
                State::InChannel => assert_eq!(inner.recv(), Ok(5)),
                State::InOp => {
                    let mut byte = [0];
                    assert_eq!((socket.read(&mut byte).unwrap(), byte), (1, [5]));
                }
            }
            seen.set(true);
            if manner == Manner::RunPanics {
                quiet_panic("run");
            }
            7
        });
        let remote = tasklet.remote();
        let handle = held.then_some(tasklet);
        let kill = || match &handle {
            Some(handle) => handle.kill(),
            None => remote.kill(),
        };
        let mut complete = || match state {
            State::InChannel => drop(channel.try_send(5)),
            State::InOp => peer.write_all(&[5]).unwrap(),
            _ => {}
        };
        let starts = state != State::New || moment == Moment::After;
        if starts {
            yield_now();
        }
        match moment {
            Moment::Before => {
                kill();
                // A remote's kill is a message: let it arrive first.
                if !held {
                    (0..200).for_each(|_| yield_now());
                }
                complete();
            }
            Moment::During => {
                complete();
                kill();
            }
            Moment::After => complete(),
        }
        wait_until("it has ended", || remote.is_finished());
        if moment == Moment::After {
            kill();
        }
        assert_eq!(drops.get(), 1, "{what}: the closure's captures are dropped once");
        let untouched = moment == Moment::After || state == State::Done;
        match (state, moment) {
            _ if untouched => assert!(went_on.get(), "{what}"),
            (State::New, _) if held => assert!(!went_on.get(), "{what}"),
            // An operation may end before its cancel arrives; then its result counts.
            (State::Ready | State::InChannel, Moment::Before) if held => {
                assert!(!went_on.get(), "{what}");
            }
            (State::InChannel, Moment::During) => assert!(went_on.get(), "{what}: a value is lost"),
            _ => {}
        }
        let Some(handle) = handle else { return };
        let joined = handle.join();
        let as_expected = match (went_on.get(), manner) {
            (true, Manner::Clean) => matches!(joined, Ok(7)),
            (false, Manner::DropPanics) if state == State::New => panicked(&joined, "drop"),
            (false, _) => matches!(joined, Err(JoinError::Killed)),
            (true, Manner::RunPanics) => panicked(&joined, "run"),
            (true, Manner::DropPanics) => panicked(&joined, "drop"),
        };
        assert!(as_expected, "{what}: {joined:?}");
    })
    .unwrap();
}

fn panicked<T>(joined: &Result<T, JoinError>, text: &str) -> bool {
    matches!(joined, Err(JoinError::Panicked(payload))
        if payload.downcast_ref::<&str>() == Some(&text))
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no such I/O")]
fn s6_every_cell_of_the_kill_matrix_ends_as_documented() {
    let mut cells = 0;
    for _ in 0..support::rounds(1, 100) {
        for state in [State::New, State::Ready, State::InChannel, State::InOp, State::Done] {
            for manner in [Manner::RunPanics, Manner::DropPanics, Manner::Clean] {
                for held in [true, false] {
                    for moment in [Moment::Before, Moment::During, Moment::After] {
                        cell(state, manner, held, moment);
                        cells += 1;
                    }
                }
            }
        }
    }
    support::report("S6", cells, "cells, each with its documented result and one drop");
}

/// Spawns `f`, lets it wait, kills it, and expects that it ends there.
fn dies_waiting(f: impl FnOnce() + 'static) {
    let after = Rc::new(Cell::new(false));
    let seen = after.clone();
    let tasklet = spawn(move || {
        f();
        seen.set(true);
    });
    (0..3).for_each(|_| yield_now());
    assert!(!tasklet.is_finished(), "it waits");
    tasklet.kill();
    assert!(matches!(tasklet.join(), Err(JoinError::Killed)));
    assert!(!after.get(), "it went on after its kill");
}

#[test]
fn a_kill_ends_every_kind_of_wait() {
    run(|| {
        dies_waiting(|| sleep(FOR_EVER));
        dies_waiting(pause);
        dies_waiting(|| drop(Channel::new().send(1)));
        dies_waiting(|| drop(Channel::<u8>::new().recv()));
        dies_waiting(|| drop(Channel::<u8>::new().recv_timeout(FOR_EVER)));
        dies_waiting(|| drop(overlapped::time::timeout(FOR_EVER, || Channel::<u8>::new().recv())));
        dies_waiting(|| drop(spawn(|| sleep(Duration::from_millis(50))).join()));
        dies_waiting(|| drop(unblock(|| std::thread::sleep(Duration::from_millis(50)))));
        dies_waiting(|| scope(|s| drop(s.spawn(|| sleep(FOR_EVER)))));
        dies_waiting(|| {
            scope(|s| drop(s.spawn(|| scope(|s| drop(s.spawn(|| sleep(FOR_EVER)))))));
        });
    })
    .unwrap();
}

#[test]
fn a_killed_scope_ends_after_its_last_child() {
    run(|| {
        let log = Rc::new(RefCell::new(Vec::new()));
        let inner = log.clone();
        let tasklet = spawn(move || {
            struct Says<'a>(&'a RefCell<Vec<&'static str>>, &'static str);
            impl Drop for Says<'_> {
                fn drop(&mut self) {
                    self.0.borrow_mut().push(self.1);
                }
            }
            let borrowed = Says(&inner, "parent");
            scope(|s| {
                s.spawn(|| {
                    let _says = Says(borrowed.0, "child");
                    sleep(FOR_EVER);
                });
                s.spawn(|| {
                    let _says = Says(borrowed.0, "slow child");
                    shield(|| sleep(Duration::from_millis(20)));
                    yield_now();
                });
            });
        });
        (0..3).for_each(|_| yield_now());
        tasklet.kill();
        assert!(matches!(tasklet.join(), Err(JoinError::Killed)));
        assert_eq!(*log.borrow(), ["child", "slow child", "parent"]);
    })
    .unwrap();
}

#[test]
fn a_shield_holds_a_kill_off_until_the_first_wait_after_it() {
    run(|| {
        let channel = Channel::new();
        let (inner, step) = (channel.clone(), Rc::new(Cell::new(0)));
        let seen = step.clone();
        let tasklet = spawn(move || {
            shield(|| {
                shield(yield_now);
                seen.set(1);
                assert_eq!(inner.recv(), Ok(1), "the inner shield's end does not end the outer");
                seen.set(2);
            });
            seen.set(3);
            yield_now();
            seen.set(4);
        });
        yield_now();
        tasklet.kill();
        yield_now();
        assert_eq!(step.get(), 1);
        tasklet.kill();
        channel.send(1).unwrap();
        assert!(matches!(tasklet.join(), Err(JoinError::Killed)));
        assert_eq!(step.get(), 3);
    })
    .unwrap();
}

#[test]
fn a_remote_kills_from_another_thread() {
    run(|| {
        for kind in 0..3 {
            let tasklet = spawn(move || match kind {
                0 => sleep(FOR_EVER),
                1 => pause(),
                _ => drop(Channel::<u8>::new().recv()),
            });
            let remote = tasklet.remote();
            let scheduler = support::thread_number();
            let thread = std::thread::spawn(move || {
                support::wait_until_blocked(scheduler);
                remote.kill();
                while !remote.is_finished() {
                    std::thread::yield_now();
                }
            });
            assert!(matches!(tasklet.join(), Err(JoinError::Killed)));
            thread.join().unwrap();
        }
    })
    .unwrap();
}

#[test]
fn a_tasklet_that_waits_for_a_stack_can_be_killed() {
    let ended = Config::new().stacks_max(2).run(|| {
        let holder = spawn(|| sleep(Duration::from_millis(20)));
        let starved = spawn(|| unreachable!("killed before its start"));
        yield_now();
        assert_eq!(task::stats().unwrap().waiting_for_stack, 1);
        starved.kill();
        assert!(matches!(starved.join(), Err(JoinError::Killed)));
        holder.join().unwrap();
    });
    ended.unwrap();
}

struct Counted(Rc<Cell<u32>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// The killed tasklets would otherwise wait for tasklets that wait for them.
#[test]
fn killed_tasklets_need_no_stack_of_tasklets_that_wait_for_them() {
    let dropped = Rc::new(Cell::new(0));
    let ended = Config::new().stacks_max(2).run(|| {
        let channel = Channel::<()>::new();
        let theirs = channel.clone();
        let holder = spawn(move || theirs.recv());
        yield_now();
        let starve = |_| {
            let counted = Counted(dropped.clone());
            spawn(move || drop(counted))
        };
        let starved: Vec<_> = (0..9).map(starve).collect();
        let last = starve(9);
        yield_now();
        assert_eq!(task::stats().unwrap().waiting_for_stack, 10);
        starved.iter().for_each(Tasklet::kill);
        for tasklet in starved {
            assert!(matches!(tasklet.join(), Err(JoinError::Killed)));
        }
        // The stack beyond the limit was only for the killed tasklets.
        let stats = task::stats().unwrap();
        assert_eq!((stats.waiting_for_stack, stats.stacks, dropped.get()), (1, 2, 9));
        channel.send(()).unwrap();
        holder.join().unwrap().unwrap();
        last.join().unwrap();
    });
    ended.unwrap();
    assert_eq!(dropped.get(), 10);
}

#[test]
fn a_scope_whose_children_get_no_stack_is_a_deadlock_report() {
    let ended = Config::new().stacks_max(1).run(|| {
        scope(|s| {
            s.spawn(|| ());
        });
    });
    assert!(matches!(ended, Err(RunError::Deadlock(_))), "{ended:?}");
}

#[test]
fn a_tasklet_may_kill_itself_and_goes_on_to_its_next_wait() {
    run(|| {
        let cell: Rc<RefCell<Option<Tasklet<()>>>> = Rc::default();
        let (mine, step) = (cell.clone(), Rc::new(Cell::new(0)));
        let seen = step.clone();
        let tasklet = spawn(move || {
            mine.borrow().as_ref().unwrap().kill();
            seen.set(1);
            drop(Channel::<u8>::new().try_recv());
            seen.set(2);
        });
        *cell.borrow_mut() = Some(tasklet);
        yield_now();
        let tasklet = cell.take().unwrap();
        assert!(matches!(tasklet.join(), Err(JoinError::Killed)));
        assert_eq!(step.get(), 1);
    })
    .unwrap();
    let ended = run(|| {
        current().remote().kill();
        sleep(FOR_EVER);
    });
    assert!(matches!(ended, Err(RunError::Killed)));
}

#[test]
fn a_tasklet_that_catches_its_exit_outlives_that_kill_only() {
    run(|| {
        let tasklet = spawn(|| {
            let exit = catch_unwind(AssertUnwindSafe(pause)).unwrap_err();
            assert!(exit.is::<task::TaskletExit>());
            assert!(!std::thread::panicking());
            yield_now();
            pause();
        });
        yield_now();
        tasklet.kill();
        (0..3).for_each(|_| yield_now());
        assert!(!tasklet.is_finished());
        tasklet.kill();
        assert!(matches!(tasklet.join(), Err(JoinError::Killed)));
    })
    .unwrap();
}

/// Runs a tasklet that others pause inside a shield. Tells whether it reaches the end of the
/// shield.
fn paused_in_its_shield() -> (Tasklet<()>, Rc<Cell<bool>>) {
    let at_end = Rc::new(Cell::new(false));
    let told = at_end.clone();
    let tasklet = spawn(move || {
        shield(|| {
            yield_now();
            told.set(true);
        });
        pause();
    });
    yield_now();
    tasklet.pause().unwrap();
    (tasklet, at_end)
}

#[test]
fn a_kill_ends_a_pause_by_others_in_a_shield() {
    run(|| {
        let (tasklet, at_end) = paused_in_its_shield();
        tasklet.kill();
        assert!(matches!(tasklet.join(), Err(JoinError::Killed)));
        assert!(at_end.get());
        let (tasklet, at_end) = paused_in_its_shield();
        tasklet.resume().unwrap();
        tasklet.kill();
        tasklet.pause().unwrap();
        assert!(matches!(tasklet.join(), Err(JoinError::Killed)), "no pause comes after a kill");
        assert!(at_end.get());
    })
    .unwrap();
}

#[test]
fn a_shutdown_ends_a_pause_by_others_in_a_shield() {
    let at_end = run_until(|| paused_in_its_shield().1).unwrap();
    assert!(at_end.get());
}

#[test]
fn run_until_kills_the_rest_and_returns_the_result() {
    let (report, drops) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let ended = run_until(|| {
        for kind in 0..4 {
            let (bomb, report) =
                (Bomb { drops: drops.clone(), manner: Manner::Clean }, report.clone());
            spawn(move || {
                let _bomb = bomb;
                match kind {
                    0 => sleep(FOR_EVER),
                    1 => pause(),
                    2 => drop(Channel::<u8>::new().recv()),
                    _ => shield(|| sleep(Duration::from_millis(10))),
                }
                report.set(report.get() + 1);
            });
        }
        yield_now();
        "result"
    });
    assert_eq!(ended.unwrap(), "result");
    assert_eq!((report.get(), drops.get()), (1, 4), "only the shielded one got to its end");
}

#[test]
fn a_panic_of_main_kills_all_and_goes_on_to_the_caller() {
    let drops = Rc::new(Cell::new(0));
    let result = catch_unwind(AssertUnwindSafe(|| {
        run(|| {
            for _ in 0..10 {
                let bomb = Bomb { drops: drops.clone(), manner: Manner::Clean };
                spawn(move || {
                    let _bomb = bomb;
                    sleep(FOR_EVER);
                });
            }
            yield_now();
            quiet_panic(42);
        })
    }));
    assert_eq!(result.unwrap_err().downcast_ref::<i32>(), Some(&42));
    assert_eq!(drops.get(), 10);
}
