//! The tasklet that gets a deadlock report, and what prevents a report.

mod support;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use overlapped::task::{self, pause, shield, unblock};
use overlapped::time::{sleep, timeout};
use overlapped::{
    Builder, Channel, JoinError, RecvError, RunError, SendError, Tasklet, current, net, run, scope,
    spawn, yield_now,
};

fn is_deadlock<T>(result: &Result<T, RecvError>) -> bool {
    matches!(result, Err(RecvError::Deadlock(_)))
}

#[test]
fn the_last_runnable_tasklet_gets_the_report_at_the_call_that_blocks() {
    run(|| {
        let channel = Channel::<u8>::new();
        let inner = channel.clone();
        let other = spawn(move || inner.recv());
        yield_now();
        assert!(is_deadlock(&channel.recv()), "main blocked last");
        assert_eq!(channel.balance(), -1, "its wait has ended, the other's is not");
        channel.send(1).unwrap();
        assert_eq!(other.join().unwrap(), Ok(1));
        assert!(matches!(channel.send(2), Err(SendError::Deadlock(2, _))));
    })
    .unwrap();
}

#[test]
fn main_gets_the_report_when_the_last_other_tasklet_ends() {
    run(|| {
        let channel = Channel::<u8>::new();
        drop(spawn(yield_now));
        assert!(is_deadlock(&channel.recv()));
        let other = spawn(pause);
        assert!(matches!(other.join(), Err(JoinError::Deadlock(_))));
    })
    .map_err(|error| assert!(matches!(error, RunError::Deadlock(_))))
    .unwrap_err();
}

#[test]
fn the_waiters_get_the_report_one_after_another_the_last_one_first() {
    let order = Rc::new(RefCell::new(Vec::new()));
    run(|| {
        let channel = Channel::<u8>::new();
        for i in 0..5 {
            let (channel, order) = (channel.clone(), order.clone());
            drop(spawn(move || {
                assert!(is_deadlock(&channel.recv()));
                order.borrow_mut().push(i);
            }));
        }
    })
    .unwrap();
    assert_eq!(*order.borrow(), [4, 3, 2, 1, 0]);
}

#[test]
fn a_deadlock_report_lists_waiters_and_what_they_wait_for() {
    run(|| {
        let channel = Channel::<u8>::new();
        let (a, b) = (channel.clone(), channel.clone());
        drop(Builder::new().name("reader").spawn(move || a.recv()).unwrap());
        let joined = Builder::new().name("sleeper").spawn(pause).unwrap();
        let (name, id) = (joined.name(), joined.id());
        assert_eq!(name.as_deref(), Some("sleeper"));
        drop(Builder::new().name("joiner").spawn(move || drop(joined.join())).unwrap());
        drop(Builder::new().name("parent").spawn(|| scope(|s| drop(s.spawn(pause)))).unwrap());
        (0..2).for_each(|_| yield_now());
        let Err(RecvError::Deadlock(report)) = b.recv() else { panic!("no tasklet could send") };
        let text = report.to_string();
        println!("{text}");
        for part in [
            "6 waiting",
            "tasklet 1: receiving from channel 0x",
            "'reader': receiving from channel 0x",
            "'sleeper': paused",
            &format!("'joiner': joining tasklet {id}"),
            "'parent': the end of its scope",
        ] {
            assert!(text.contains(part), "{part:?} is missing in {text}");
        }
        assert_eq!(report.waiters().len(), 6);
        assert_eq!(report.waiters()[0].id, 1);
    })
    .map_err(|error| assert!(matches!(error, RunError::Deadlock(_)), "{error}"))
    .unwrap_err();
}

/// Tasklets that get the report later get all of it, not the rest.
#[test]
fn all_waiters_get_the_same_report() {
    let told = Rc::new(RefCell::new(Vec::new()));
    run(|| {
        for name in ["one", "two", "three"] {
            let told = told.clone();
            let waits = move || {
                let Err(RecvError::Deadlock(report)) = Channel::<u8>::new().recv() else {
                    panic!("no tasklet could send")
                };
                // A tasklet's changes to its report do not reach the others.
                sleep(Duration::from_millis(1));
                told.borrow_mut().push(report);
            };
            drop(Builder::new().name(name).spawn(waits).unwrap());
        }
    })
    .unwrap();
    let told = told.borrow();
    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|report| report.count() == 3 && *report == told[0]), "{told:#?}");
}

#[test]
fn run_returns_the_report_that_the_waiters_got() {
    let told = Rc::new(RefCell::new(None));
    let ended = run(|| {
        drop(spawn(pause));
        let told = told.clone();
        drop(spawn(move || *told.borrow_mut() = Channel::<u8>::new().recv().err()));
    });
    let (Err(RunError::Deadlock(report)), Some(RecvError::Deadlock(theirs))) = (ended, told.take())
    else {
        panic!("neither could go on")
    };
    assert_eq!((report.count(), &report), (2, &theirs));
}

#[test]
fn a_tasklet_that_waits_anew_gets_a_new_report() {
    run(|| {
        let channel = Channel::<u8>::named("answers");
        drop(spawn(pause));
        let told = [channel.recv(), channel.recv()].map(|got| match got {
            Err(RecvError::Deadlock(report)) => report,
            got => panic!("{got:?}"),
        });
        assert_eq!(told[0].count(), 2);
        let born = Builder::new().name("born").spawn(pause).unwrap();
        let Err(JoinError::Deadlock(report)) = born.join() else { panic!("it waits for ever") };
        assert_eq!(report.count(), 3);
        assert!(report.to_string().contains("'born': paused"), "{report}");
    })
    .unwrap_err();
}

#[test]
fn a_channels_name_is_shown() {
    run(|| {
        let (jobs, nameless) = (Channel::<u8>::named("jobs"), Channel::<u8>::new());
        assert_eq!((jobs.name(), nameless.name()), (Some("jobs"), None));
        assert!(format!("{jobs:?}").contains("\"jobs\""), "{jobs:?}");
        let (a, b) = (jobs.clone(), jobs.clone());
        drop(spawn(move || a.recv()));
        yield_now();
        let dump = task::dump().to_string();
        assert!(dump.contains("receiving from channel 'jobs'"), "{dump}");
        b.send(1).unwrap();
        let text = b.send(2).unwrap_err().to_string();
        assert!(text.contains("sending to channel 'jobs'"), "{text}");
        let text = nameless.recv().unwrap_err().to_string();
        assert!(text.contains("receiving from channel 0x"), "{text}");
    })
    .unwrap();
}

#[test]
fn run_gets_the_report_if_no_waiter_can() {
    let ended = run(|| drop((0..3).map(|_| spawn(pause)).collect::<Vec<_>>()));
    let Err(RunError::Deadlock(report)) = ended else { panic!("{ended:?}") };
    assert_eq!(report.waiters().len(), 3);
    let ended = run(pause);
    assert!(matches!(ended, Err(RunError::Deadlock(_))), "main itself is paused");
}

#[test]
fn shielded_tasklets_get_the_report_too() {
    run(|| {
        let told = spawn(|| shield(|| Channel::<u8>::new().recv()));
        assert!(is_deadlock(&told.join().unwrap()));
    })
    .unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no such I/O")]
fn a_wake_that_is_still_possible_prevents_the_report() {
    run(|| {
        let channel = Channel::<u8>::new();
        let later = |f: Box<dyn FnOnce()>| {
            let channel = channel.clone();
            drop(spawn(move || {
                f();
                channel.send(1).unwrap();
            }));
        };
        later(Box::new(|| sleep(Duration::from_millis(10))));
        assert_eq!(channel.recv(), Ok(1), "a timer");
        later(Box::new(|| unblock(|| std::thread::sleep(Duration::from_millis(10))).unwrap()));
        assert_eq!(channel.recv(), Ok(1), "a pool thread");
        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let scheduler = support::thread_number();
        let thread = std::thread::spawn(move || {
            support::wait_until_blocked(scheduler);
            std::net::TcpStream::connect(address).unwrap()
        });
        later(Box::new(move || drop(listener.accept().unwrap())));
        assert_eq!(channel.recv(), Ok(1), "an operation");
        drop(thread.join().unwrap());
        let begin = Instant::now();
        let limit = Duration::from_millis(10);
        assert_eq!(channel.recv_timeout(limit), Err(RecvError::TimedOut), "its own limit");
        assert_eq!(timeout(limit, || channel.recv()), Err(RecvError::TimedOut), "a deadline");
        assert!(begin.elapsed() >= 2 * limit);
        assert!(is_deadlock(&channel.recv()), "and now no wake is possible");
    })
    .unwrap();
}

#[test]
fn a_remote_in_a_thread_prevents_the_report_until_it_is_dropped() {
    run(|| {
        let channel = Channel::<u8>::new();
        for clones in 1..4 {
            let begin = Instant::now();
            let remotes = vec![current().remote(); clones];
            let threads: Vec<_> = remotes
                .into_iter()
                .enumerate()
                .map(|(i, remote)| {
                    std::thread::spawn(move || {
                        std::thread::sleep(Duration::from_millis(10 * (i as u64 + 1)));
                        drop(remote);
                    })
                })
                .collect();
            assert!(is_deadlock(&channel.recv()));
            assert!(begin.elapsed() >= Duration::from_millis(10 * clones as u64), "too early");
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        }
    })
    .unwrap();
}

#[test]
fn the_handle_of_an_ended_tasklet_prevents_no_report() {
    run(|| {
        let tasklet = spawn(|| ());
        let (remote, second) = (tasklet.remote(), tasklet.remote());
        tasklet.join().unwrap();
        let third = remote.clone();
        drop(second);
        assert!(is_deadlock(&Channel::<u8>::new().recv()));
        drop((remote, third));
        assert!(is_deadlock(&Channel::<u8>::new().recv()));
    })
    .unwrap();
}

#[test]
fn a_deadlocked_scope_kills_children_whose_calls_cannot_fail() {
    let ended = run(|| {
        let waits = spawn(|| scope(|s| drop(s.spawn(pause))));
        drop(waits);
    });
    assert!(matches!(ended, Err(RunError::Deadlock(_))));
}

#[test]
fn a_wait_for_a_stack_is_no_deadlock_while_one_can_come_free() {
    let ended = overlapped::Config::new().stacks_max(3).run(|| {
        let channel = Channel::new();
        let tasklets: Vec<Tasklet<u32>> = (0..20)
            .map(|i| {
                let channel = channel.clone();
                spawn(move || {
                    channel.send(i).unwrap();
                    i
                })
            })
            .collect();
        let sum: u32 = (0..20).map(|_| channel.recv().unwrap()).sum();
        let joined: u32 = tasklets.into_iter().map(|tasklet| tasklet.join().unwrap()).sum();
        (sum, joined)
    });
    assert_eq!(ended.unwrap(), (190, 190));
    // All stacks are held by tasklets that wait for those without a stack.
    let ended = overlapped::Config::new().stacks_max(2).run(|| {
        let channel = Channel::<u8>::new();
        let (a, b) = (channel.clone(), channel.clone());
        let holder = spawn(move || a.recv());
        let starved = spawn(move || b.send(1));
        let told = is_deadlock(&holder.join().unwrap());
        (told, matches!(starved.join(), Err(JoinError::Deadlock(_)) | Ok(Err(_))))
    });
    assert_eq!(ended.unwrap(), (true, true));
}

#[test]
fn outside_a_scheduler_a_channel_reports_a_deadlock_at_once() {
    let channel = Channel::new();
    assert!(matches!(channel.send(3), Err(SendError::Deadlock(3, _))));
    let limit = Duration::from_secs(60);
    assert!(matches!(channel.send_timeout(3, limit), Err(SendError::Deadlock(3, _))));
    assert!(is_deadlock(&channel.recv()) && is_deadlock(&channel.recv_timeout(limit)));
    assert_eq!(channel.try_recv(), Err(RecvError::WouldBlock));
    assert!(matches!(channel.try_send(3), Err(SendError::WouldBlock(3))));
    let Err(RecvError::Deadlock(report)) = channel.recv() else { unreachable!() };
    let text = report.to_string();
    assert!(text.contains("no scheduler runs on this thread"), "{text}");
    assert!(text.contains("call this inside overlapped::run"), "{text}");
    channel.close();
    assert_eq!(channel.recv(), Err(RecvError::Closed));
    assert_eq!(channel.iter().next(), None);
    channel.open();
    assert_eq!(run(|| channel.try_recv()).unwrap(), Err(RecvError::WouldBlock));
}

/// A tasklet that gets the report and waits again is then the last waiter, and gets it again.
#[test]
#[cfg_attr(miri, ignore = "takes Miri too long")]
fn a_joiner_gets_each_of_thousands_of_reports_in_time() {
    let waiters = support::rounds(5_000, 20_000);
    let begin = Instant::now();
    run(|| {
        let channel = Channel::<u8>::new();
        let tasklets: Vec<Tasklet<()>> = (0..waiters)
            .map(|_| {
                let channel = channel.clone();
                spawn(move || assert!(is_deadlock(&channel.recv())))
            })
            .collect();
        yield_now();
        for tasklet in tasklets {
            assert!(matches!(tasklet.join(), Err(JoinError::Deadlock(_))));
        }
        assert_eq!(channel.balance(), -(waiters as isize), "the others wait on");
    })
    .unwrap();
    println!("{waiters} joins and as many deadlock reports in {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

/// A deadlock report accounts for everything since the previous one: tasklets that were woken, that
/// wait again, that were spawned.
#[test]
fn further_deadlock_reports_are_right_whatever_their_receivers_do() {
    let order = Rc::new(RefCell::new(Vec::new()));
    run(|| {
        let (channel, other) = (Channel::<u8>::new(), Channel::<u8>::new());
        let waits = |name: &'static str, channel: &Channel<u8>| {
            let (channel, order) = (channel.clone(), order.clone());
            drop(spawn(move || {
                let got = channel.recv();
                order.borrow_mut().push((name, is_deadlock(&got)));
            }));
        };
        waits("first", &channel);
        waits("fed", &other);
        waits("second", &channel);
        let (own, feeds, told) = (channel.clone(), other.clone(), order.clone());
        drop(spawn(move || {
            assert!(is_deadlock(&own.recv()));
            told.borrow_mut().push(("busy", true));
            feeds.send(1).unwrap();
            let born = own.clone();
            let told_too = told.clone();
            drop(spawn(move || {
                assert!(is_deadlock(&born.recv()));
                told_too.borrow_mut().push(("born", true));
            }));
            yield_now();
            assert!(is_deadlock(&own.recv()));
            told.borrow_mut().push(("busy again", true));
            sleep(Duration::from_millis(1));
            assert!(is_deadlock(&own.recv()));
            told.borrow_mut().push(("busy at last", true));
        }));
    })
    .unwrap();
    let expected = [
        ("busy", true),
        ("fed", false),
        ("busy again", true),
        ("busy at last", true),
        ("born", true),
        ("second", true),
        ("first", true),
    ];
    assert_eq!(*order.borrow(), expected);
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri too long")]
fn thousands_of_waiters_get_the_report_in_time() {
    let waiters = support::rounds(5_000, 20_000);
    let begin = Instant::now();
    run(|| {
        let channel = Channel::<u8>::new();
        for _ in 0..waiters {
            let channel = channel.clone();
            drop(spawn(move || assert!(is_deadlock(&channel.recv()))));
        }
    })
    .unwrap();
    println!("{waiters} deadlock reports in {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    let _ = task::stats();
}

#[test]
fn a_deadlock_report_that_ends_a_program_is_readable_too() {
    let Err(RunError::Deadlock(report)) = run(|| drop(spawn(pause))) else {
        panic!("nothing resumes it")
    };
    assert_eq!(format!("{report:?}"), report.to_string());
}
