//! `kill_as_error`: the effect of a kill on each call, and the delivery of the kill afterwards.

mod support;

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use overlapped::chan::Select;
use overlapped::sync::{Barrier, Condvar, Event, Mutex, Semaphore, mpsc, watch};
use overlapped::task::{
    Cancelled, TaskletGroup, UnblockError, WaitError, is_killed, kill_as_error, may_wait,
    no_switch, pause, shield, unblock,
};
use overlapped::time::{Duration, sleep, timeout, try_sleep};
use overlapped::{Channel, Config, JoinError, RecvError, SendError, net, run, scope, spawn};
use overlapped::{io as ours, run_until, thread, yield_now};

const FOR_EVER: Duration = Duration::MAX;
const LONG: Duration = Duration::from_secs(600);

/// The way in which a call inside `kill_as_error` reports that a kill has ended it.
fn said<T>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| {
        assert_eq!(error.kind(), ErrorKind::Other, "{error}");
        Cancelled::of(&error) == Some(Cancelled::Kill)
    })
}

/// A call that waits for ever, and returns whether a kill has ended it with its error.
type Call = Box<dyn Fn() -> bool>;

fn sockets() -> Vec<(&'static str, Call)> {
    let pair = || {
        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener, stream)
    };
    // Not over TCP: a kernel that is late moves bytes to the peer, and makes room again.
    let full = || {
        let (mut stream, peer) = overlapped::os::unix::net::UnixStream::pair().unwrap();
        stream.set_nonblocking(true).unwrap();
        while stream.write(&[0; 1 << 16]).is_ok() {}
        stream.set_nonblocking(false).unwrap();
        (peer, stream)
    };
    let ((quiet, mut reading), (_kept, mut writing)) = (pair(), full());
    let idle = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let datagrams = net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let (ready, _ready_peer) = std::os::unix::net::UnixStream::pair().unwrap();
    let ready = Rc::new(ready);
    let selected = Rc::clone(&ready);
    let cell = |call: Box<dyn FnMut() -> bool>| -> Call {
        let call = std::cell::RefCell::new(call);
        Box::new(move || call.borrow_mut()())
    };
    vec![
        ("accept", Box::new(move || said(idle.accept()))),
        ("read", cell(Box::new(move || said(reading.read(&mut [0])) && quiet.ttl().is_ok()))),
        (
            "write",
            cell(Box::new(move || {
                said(writing.write(&[0; 1 << 20])) && _kept.local_addr().is_ok()
            })),
        ),
        ("recv_from", Box::new(move || said(datagrams.recv_from(&mut [0])))),
        ("wait_readable", Box::new(move || said(net::wait_readable(&*ready)))),
        ("a select", {
            Box::new(move || {
                let _kept = &_ready_peer;
                let select = Select::new().readable(&*selected, |_| ());
                select.wait() == Err(WaitError::Cancelled)
            })
        }),
    ]
}

fn pipes_and_others() -> Vec<(&'static str, Call)> {
    let (rx, tx) = ours::pipe().unwrap();
    vec![
        ("a pipe", {
            Box::new(move || {
                let _kept = &tx;
                said((&rx).read(&mut [0]))
            })
        }),
        ("try_sleep", Box::new(|| said(try_sleep(FOR_EVER)))),
        ("sleep", {
            Box::new(|| {
                sleep(FOR_EVER);
                is_killed()
            })
        }),
        ("a child", {
            Box::new(|| {
                let mut child = overlapped::process::Command::new("sleep");
                let mut child = child.arg("600").spawn().unwrap();
                let ended = said(child.wait());
                child.kill().unwrap();
                ended
            })
        }),
        ("a child's output", {
            Box::new(|| {
                let mut child = overlapped::process::Command::new("sh");
                child.args(["-c", "echo x; exec sleep 600"]).kill_on_drop(true);
                said(child.output())
            })
        }),
        ("unblock", {
            Box::new(|| {
                let (tx, rx) = std::sync::mpsc::channel::<()>();
                let ended = unblock(move || _ = rx.recv());
                drop(tx);
                matches!(ended, Err(UnblockError::Cancelled))
            })
        }),
    ]
}

fn channels() -> Vec<(&'static str, Call)> {
    vec![
        ("recv", Box::new(|| Channel::<u8>::new().recv() == Err(RecvError::Cancelled))),
        ("send", { Box::new(|| matches!(Channel::new().send(7), Err(SendError::Cancelled(7)))) }),
        ("join", {
            Box::new(|| {
                let tasklet = spawn(pause);
                let remote = tasklet.remote();
                let joined = tasklet.join();
                remote.kill();
                matches!(joined, Err(JoinError::Cancelled))
            })
        }),
        ("a group", {
            Box::new(|| {
                let mut group = TaskletGroup::new(9);
                group.spawn(pause).unwrap();
                matches!(group.join_next(), Some(Err(JoinError::Cancelled)))
            })
        }),
        ("mpsc", {
            Box::new(|| {
                let (_tx, rx) = mpsc::channel::<u8>();
                rx.recv().is_err() && is_killed()
            })
        }),
        ("mpsc in time", {
            Box::new(|| {
                let (_tx, rx) = mpsc::channel::<u8>();
                rx.recv_timeout(LONG) == Err(mpsc::RecvTimeoutError::Timeout) && is_killed()
            })
        }),
        ("a full mpsc", {
            Box::new(|| {
                let (tx, _rx) = mpsc::sync_channel(0);
                tx.send(7).is_err() && is_killed()
            })
        }),
        ("watch", {
            Box::new(|| {
                let (_tx, mut rx) = watch::channel(7);
                rx.changed() == Err(watch::RecvError::TimedOut) && is_killed()
            })
        }),
        ("an event in time", Box::new(|| !Event::new().wait_timeout(LONG) && is_killed())),
        ("permits in time", {
            Box::new(|| Semaphore::new(0).acquire_timeout(1, LONG).is_none() && is_killed())
        }),
        ("a condition in time", {
            Box::new(|| {
                let (mutex, condvar) = (Mutex::new(()), Condvar::new());
                let waited = condvar.wait_timeout(mutex.lock().unwrap(), LONG);
                waited.unwrap().1.timed_out() && is_killed()
            })
        }),
        ("park in time", {
            Box::new(|| {
                thread::park_timeout(LONG);
                is_killed()
            })
        }),
    ]
}

fn all() -> Vec<(&'static str, Call)> {
    let mut all = sockets();
    all.extend(pipes_and_others());
    all.extend(channels());
    all
}

/// Lets the others run, each of them several times.
fn settle() {
    (0..8).for_each(|_| yield_now());
}

#[test]
#[cfg_attr(miri, ignore = "there is no port")]
fn a_kill_ends_a_wait_with_an_error_and_unwinds_after_the_scope() {
    run(|| {
        for (name, call) in all() {
            let (before, after) = (Rc::new(Cell::new(None)), Rc::new(Cell::new(false)));
            let (ended, went_on) = (before.clone(), after.clone());
            let tasklet = spawn(move || {
                ended.set(Some(kill_as_error(call)));
                yield_now();
                went_on.set(true);
            });
            support::wait_until_others_wait();
            assert_eq!(before.get(), None, "{name} waits");
            tasklet.kill();
            assert!(matches!(tasklet.join(), Err(JoinError::Killed)), "{name}");
            assert_eq!(before.get(), Some(true), "{name} says so");
            assert!(!after.get(), "{name}: the kill was lost");
        }
    })
    .unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "there is no port")]
fn a_pending_kill_ends_every_further_call_with_its_error() {
    run(|| {
        let tasklet = spawn(|| {
            let all = all();
            kill_as_error(|| {
                let me = overlapped::current().remote();
                me.kill();
                // The message comes through the inbox.
                while !is_killed() {
                    yield_now();
                }
                for (name, call) in all {
                    assert!(call(), "{name}");
                    assert!(call(), "{name}, again");
                }
            });
            pause();
        });
        assert!(matches!(tasklet.join(), Err(JoinError::Killed)));
    })
    .unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "there is no port")]
fn calls_without_an_error_hold_a_kill_off() {
    type Held = fn(Arc<Event>);
    let held: [(&str, Held); 7] = [
        ("an event", |go| go.wait()),
        ("a mutex", |go| {
            let mutex = Arc::new(Mutex::new(()));
            let theirs = mutex.clone();
            let owner = spawn(move || {
                let _guard = theirs.lock().unwrap();
                go.wait();
            });
            yield_now();
            drop(mutex.lock().unwrap());
            assert!(owner.is_finished());
        }),
        ("permits", |go| {
            let semaphore = Arc::new(Semaphore::new(0));
            let theirs = semaphore.clone();
            drop(spawn(move || {
                go.wait();
                theirs.add_permits(1);
            }));
            drop(semaphore.acquire());
        }),
        ("a barrier", |go| {
            let barrier = Arc::new(Barrier::new(2));
            let theirs = barrier.clone();
            drop(spawn(move || {
                go.wait();
                theirs.wait();
            }));
            barrier.wait();
        }),
        ("a pause", |go| {
            pause();
            assert!(go.is_set(), "it was resumed afterwards");
        }),
        ("a scope", |go| {
            scope(|s| {
                s.spawn(|| shield(|| go.wait()));
            });
        }),
        ("yields", |go| {
            while !go.is_set() {
                yield_now();
            }
        }),
    ];
    run(|| {
        for (name, wait) in held {
            let go = Arc::new(Event::new());
            let (theirs, ended) = (go.clone(), Rc::new(Cell::new(false)));
            let seen = ended.clone();
            let tasklet = spawn(move || {
                kill_as_error(|| wait(theirs));
                seen.set(true);
                yield_now();
                unreachable!("the kill is delivered");
            });
            settle();
            tasklet.kill();
            settle();
            assert!(!ended.get() && !tasklet.is_finished(), "{name} is not ended by a kill");
            go.set();
            let _ = tasklet.resume();
            assert!(matches!(tasklet.join(), Err(JoinError::Killed)), "{name}");
            assert!(ended.get(), "{name} came to its end");
        }
    })
    .unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "there is no port")]
fn a_result_that_a_kill_meets_is_returned() {
    run(|| {
        for _ in 0..200 {
            let (mut tx, mut rx) = ours::pipe().map(|(rx, tx)| (tx, rx)).unwrap();
            let tasklet = spawn(move || {
                kill_as_error(|| {
                    let mut byte = [0];
                    match rx.read(&mut byte) {
                        Ok(n) => (n, byte[0]),
                        Err(error) => {
                            assert_eq!(Cancelled::of(&error), Some(Cancelled::Kill));
                            // The unread bytes are still there.
                            let mut left = std::io::PipeReader::from(OwnedFd::from(rx));
                            (left.read(&mut byte).unwrap(), byte[0])
                        }
                    }
                })
            });
            yield_now();
            tx.write_all(&[7]).unwrap();
            tasklet.kill();
            assert_eq!(tasklet.join().unwrap(), (1, 7));
        }
    })
    .unwrap();
}

#[test]
fn a_deadline_and_a_kill_are_distinguished() {
    run(|| {
        let is_late = Rc::new(Cell::new(false));
        let says = is_late.clone();
        let tasklet = spawn(move || {
            kill_as_error(|| {
                let late = timeout(Duration::from_millis(1), || try_sleep(LONG)).unwrap_err();
                assert_eq!(late.kind(), ErrorKind::TimedOut);
                assert_eq!(Cancelled::of(&late), Some(Cancelled::Deadline));
                assert_eq!(late.to_string(), "the deadline set by timeout has passed");
                says.set(true);
                let killed = timeout(LONG, || try_sleep(LONG)).unwrap_err();
                assert_eq!(Cancelled::of(&killed), Some(Cancelled::Kill));
                // Both have come. The kill is reported, because it ends more than this call.
                let both = timeout(Duration::ZERO, || try_sleep(LONG)).unwrap_err();
                assert_eq!(Cancelled::of(&both), Some(Cancelled::Kill));
            });
        });
        support::wait_until("it is late once", || is_late.get());
        support::wait_until_others_wait();
        tasklet.kill();
        tasklet.join().unwrap();
    })
    .unwrap();
}

#[test]
fn a_shield_inside_holds_kills_off_and_one_outside_too() {
    run(|| {
        for inside in [true, false] {
            let tasklet = spawn(move || {
                let wait = || {
                    try_sleep(Duration::from_millis(20)).unwrap();
                    assert!(is_killed());
                };
                if inside {
                    kill_as_error(|| shield(wait));
                } else {
                    shield(|| kill_as_error(wait));
                }
                yield_now();
            });
            yield_now();
            tasklet.kill();
            assert!(matches!(tasklet.join(), Err(JoinError::Killed)));
        }
    })
    .unwrap();
}

#[test]
fn a_tasklet_that_ignores_the_errors_lets_others_run() {
    let (rounds, turns) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (counted, seen) = (rounds.clone(), turns.clone());
    run(move || {
        let stubborn = spawn(move || {
            let channel = Channel::<u8>::new();
            kill_as_error(|| {
                while counted.replace(counted.get() + 1) < 1_000 {
                    let _ = channel.recv();
                }
            });
        });
        yield_now();
        stubborn.kill();
        while !stubborn.is_finished() {
            seen.set(seen.get() + 1);
            yield_now();
        }
    })
    .unwrap();
    assert!(rounds.get() > 1_000 && turns.get() > 900, "{} turns", turns.get());
}

#[test]
#[cfg_attr(miri, ignore = "there is no port")]
fn a_shutdown_ends_waits_with_an_error_and_is_not_held_up() {
    let seen = Rc::new(Cell::new(false));
    let ended = seen.clone();
    Config::new()
        .grace(Duration::from_secs(60))
        .run_until(move || {
            spawn(move || {
                let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
                let error = kill_as_error(|| listener.accept()).map(drop).unwrap_err();
                ended.set(Cancelled::of(&error) == Some(Cancelled::Kill) && is_killed());
            });
            yield_now();
        })
        .unwrap();
    assert!(seen.get());
}

#[test]
fn a_panic_inside_leaves_the_scope() {
    run(|| {
        let tasklet = spawn(|| {
            let ended = catch_unwind(AssertUnwindSafe(|| {
                kill_as_error(|| support::quiet_panic("out"));
            }));
            assert!(ended.is_err());
            sleep(FOR_EVER);
        });
        yield_now();
        tasklet.kill();
        assert!(matches!(tasklet.join(), Err(JoinError::Killed)));
    })
    .unwrap();
    assert_eq!(kill_as_error(|| 7), 7, "outside a scheduler it does nothing");
    assert!(!is_killed());
}

#[test]
fn a_deadlock_report_is_given_inside_as_well() {
    run(|| {
        let stuck = kill_as_error(|| Channel::<u8>::new().recv());
        assert!(matches!(stuck, Err(RecvError::Deadlock(_))), "{stuck:?}");
        let (tx, rx) = mpsc::channel::<u8>();
        drop(tx);
        assert!(kill_as_error(|| rx.recv()).is_err());
    })
    .unwrap();
}

/// Checks that `may_wait` agrees with whether a sleep is refused.
fn judge(state: &str, may: bool) -> usize {
    assert_eq!(may_wait(), may, "{state}");
    let slept = no_unwind(|| try_sleep(Duration::ZERO));
    assert_eq!(slept, may, "{state}: a sleep");
    1
}

/// Tells whether the sleep worked or a kill has ended it, by an error or by unwinding.
fn no_unwind(sleep: impl FnOnce() -> io::Result<()>) -> bool {
    match sleep() {
        Ok(()) => true,
        Err(error) => Cancelled::of(&error).is_some(),
    }
}

/// Checks `may_wait` when it is dropped.
struct Judging {
    state: &'static str,
    may: bool,
    checks: Rc<Cell<usize>>,
}

impl Drop for Judging {
    fn drop(&mut self) {
        let (seen, checks) = (judge(self.state, self.may), &self.checks);
        checks.set(checks.get() + seen);
    }
}

#[test]
fn may_wait_is_true_exactly_where_a_sleep_is_not_refused() {
    assert!(!may_wait(), "a wait would block the thread");
    let checks = Rc::new(Cell::new(0));
    let judging = |state, may| Judging { state, may, checks: checks.clone() };
    run(|| {
        drop(judging("a tasklet", true));
        shield(|| drop(judging("a shield", true)));
        kill_as_error(|| drop(judging("kill_as_error", true)));
        no_switch(|| drop(judging("no_switch", false)));
        no_switch(|| shield(|| drop(judging("a shield in no_switch", false))));
        timeout(Duration::ZERO, || drop(judging("a passed deadline", true)));
        drop(judging("after all of these", true));

        let (panicking, unwinding) = (judging("a panic", false), judging("a kill", false));
        let panicked = spawn(move || {
            let _dropped = panicking;
            support::quiet_panic(());
        });
        let killed = spawn(move || {
            let _dropped = unwinding;
            pause();
        });
        // Its captures are dropped without unwinding.
        let last = judging("the end of a tasklet that never ran", false);
        let never_ran = spawn(move || drop(last));
        never_ran.kill();
        yield_now();
        killed.kill();
        let inside = judging("a pending kill in kill_as_error", true);
        let told = spawn(move || {
            kill_as_error(|| {
                sleep(FOR_EVER);
                drop(inside);
            });
        });
        yield_now();
        told.kill();
        assert!(panicked.join().is_err() && killed.join().is_err() && never_ran.join().is_err());
        told.join().unwrap();
        let pending = spawn(|| {
            shield(|| {
                pause();
                assert!(may_wait() && is_killed());
            });
            assert!(may_wait(), "a wait is not refused: it unwinds");
            sleep(FOR_EVER);
        });
        yield_now();
        pending.kill();
        pending.resume().unwrap();
        assert!(matches!(pending.join(), Err(JoinError::Killed)));
    })
    .unwrap();
    assert_eq!(checks.get(), 11, "each state was checked");
    run_until(|| ()).unwrap();
}
