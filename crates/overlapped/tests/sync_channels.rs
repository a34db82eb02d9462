//! Channels that cross threads: kills, deadlines, sharing, and std's own as the model.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc as model;
use std::thread;
use std::time::Duration;

use overlapped::sync::mpsc::{self, RecvTimeoutError, TryRecvError, TrySendError};
use overlapped::sync::oneshot;
use overlapped::task::no_switch;
use overlapped::time::{sleep, timeout};
use overlapped::{JoinError, Tasklet, run, scope, spawn, yield_now};
use proptest::prelude::*;

const MOMENT: Duration = Duration::from_millis(5);
const FOR_EVER: Duration = Duration::MAX;

fn is_killed<T: std::fmt::Debug>(tasklet: Tasklet<T>) {
    match tasklet.join() {
        Err(JoinError::Killed) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_value_sent_to_a_receiver_that_is_killed_is_there_for_the_next() {
    for bound in [0, 1] {
        run(|| {
            let (sender, receiver) = mpsc::sync_channel(bound);
            let receiver = Rc::new(receiver);
            let own = receiver.clone();
            let victim = spawn(move || {
                let value = own.recv();
                unreachable!("{value:?}");
            });
            yield_now();
            // The value comes from another thread, so its wake is under way when the kill comes.
            thread::spawn(move || sender.send(7).unwrap()).join().unwrap();
            victim.kill();
            is_killed(victim);
            assert_eq!(receiver.recv(), Ok(7));
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
        })
        .unwrap();
    }
}

#[test]
fn a_killed_receiver_passes_on_its_wake_for_a_value() {
    run(|| {
        let (sender, receiver) = mpsc::channel();
        let receiver = Rc::new(receiver);
        let recv = || {
            let receiver = receiver.clone();
            spawn(move || receiver.recv())
        };
        let (victim, next) = (recv(), recv());
        yield_now();
        let sends = thread::spawn(move || {
            sender.send(7).unwrap();
            sender
        });
        while receiver.try_recv().is_err() {
            thread::yield_now();
        }
        // Another tasklet takes the value meanwhile, so both go on waiting.
        yield_now();
        assert!(!victim.is_finished() && !next.is_finished());
        victim.kill();
        is_killed(victim);
        drop(sends.join().unwrap());
        assert_eq!(next.join().unwrap(), Err(mpsc::RecvError), "the sender has gone");
    })
    .unwrap();
    run(|| {
        let (sender, receiver) = mpsc::channel();
        let receiver = Rc::new(receiver);
        let (first, second) = (receiver.clone(), receiver.clone());
        let victim = spawn(move || first.recv());
        let next = spawn(move || second.recv());
        yield_now();
        let keep = sender.clone();
        thread::spawn(move || sender.send(7).unwrap()).join().unwrap();
        victim.kill();
        is_killed(victim);
        assert_eq!(next.join().unwrap(), Ok(7));
        drop(keep);
    })
    .unwrap();
}

#[test]
fn a_killed_sender_takes_its_value_with_it() {
    run(|| {
        let (sender, receiver) = mpsc::sync_channel(1);
        let (first, second, kept) = (sender.clone(), sender.clone(), Rc::new(()));
        sender.send((1, kept.clone())).unwrap();
        let (own, other) = (kept.clone(), kept.clone());
        let victim = spawn(move || first.send((2, own)));
        let next = spawn(move || second.send((3, other)).is_ok());
        yield_now();
        victim.kill();
        is_killed(victim);
        assert_eq!(Rc::strong_count(&kept), 3);
        assert_eq!(receiver.recv().unwrap().0, 1);
        assert_eq!(receiver.recv().unwrap().0, 3);
        assert!(next.join().unwrap());
        assert_eq!(Rc::strong_count(&kept), 1);
        assert!(receiver.try_recv().is_err());
    })
    .unwrap();
}

#[test]
fn blocked_senders_are_served_in_order() {
    run(|| {
        for bound in [0, 1, 3] {
            let (sender, receiver) = mpsc::sync_channel(bound);
            let parts: Vec<_> = (0..10)
                .map(|i| {
                    let sender = sender.clone();
                    spawn(move || sender.send(i).unwrap())
                })
                .collect();
            yield_now();
            drop(sender);
            assert_eq!(receiver.iter().collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
            parts.into_iter().for_each(|part| part.join().unwrap());
        }
    })
    .unwrap();
}

#[test]
fn a_deadline_ends_each_wait_with_that_calls_error() {
    run(|| {
        let (sender, receiver) = mpsc::sync_channel(1);
        assert_eq!(timeout(MOMENT, || receiver.recv()), Err(mpsc::RecvError));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty), "and not disconnected");
        let timed = timeout(MOMENT, || receiver.recv_timeout(FOR_EVER));
        assert_eq!(timed, Err(RecvTimeoutError::Timeout));
        sender.send(1).unwrap();
        assert_eq!(timeout(MOMENT, || sender.send(2)), Err(mpsc::SendError(2)));
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1]);
        let (sender, receiver) = oneshot::channel();
        assert_eq!(timeout(MOMENT, || receiver.recv()), Err(oneshot::RecvError));
        sender.send(5).unwrap();
        assert_eq!(receiver.recv(), Ok(5));
    })
    .unwrap();
}

#[test]
fn where_a_call_may_not_wait_a_channel_tries_once() {
    run(|| {
        let (sender, receiver) = mpsc::sync_channel(1);
        no_switch(|| {
            assert!(receiver.recv().is_err());
            assert_eq!(receiver.recv_timeout(FOR_EVER), Err(RecvTimeoutError::Timeout));
            sender.send(1).unwrap();
            assert_eq!(sender.send(2), Err(mpsc::SendError(2)));
            assert_eq!(receiver.recv(), Ok(1));
        });
        struct Late(mpsc::Receiver<u8>, mpsc::SyncSender<u8>, Rc<RefCell<Vec<String>>>);
        impl Drop for Late {
            fn drop(&mut self) {
                let seen = (self.0.recv(), self.1.send(1), self.1.send(2), self.0.recv());
                self.2.borrow_mut().push(format!("{seen:?}"));
            }
        }
        let log = Rc::new(RefCell::new(Vec::new()));
        let late = Late(receiver, sender, log.clone());
        let victim = spawn(move || {
            let _late = late;
            sleep(FOR_EVER);
        });
        yield_now();
        victim.kill();
        is_killed(victim);
        assert_eq!(*log.borrow(), ["(Err(RecvError), Ok(()), Err(SendError { .. }), Ok(1))"]);
    })
    .unwrap();
}

#[test]
fn a_rendezvous_takes_in_no_value_without_a_receiver() {
    run(|| {
        let (sender, receiver) = mpsc::sync_channel(0);
        let own = sender.clone();
        let blocked = spawn(move || own.send(1));
        yield_now();
        assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
        assert!(!blocked.is_finished());
        assert_eq!(receiver.recv(), Ok(1));
        assert_eq!(blocked.join().unwrap(), Ok(()));
        // One receiver waits: one value is taken in, and no second one.
        scope(|s| {
            let receives = s.spawn(|| (receiver.recv(), receiver.recv()));
            yield_now();
            assert_eq!(sender.try_send(3), Ok(()));
            assert_eq!(sender.try_send(4), Err(TrySendError::Full(4)));
            yield_now();
            assert_eq!(sender.try_send(4), Ok(()));
            assert_eq!(receives.join().unwrap(), (Ok(3), Ok(4)));
        });
        // The next value is not taken in, either, when that one is received.
        scope(|s| {
            let receives = s.spawn(|| receiver.recv());
            yield_now();
            let blocked = s.spawn(|| sender.send(6));
            assert_eq!(sender.try_send(5), Ok(()));
            yield_now();
            assert_eq!(receives.join().unwrap(), Ok(5));
            yield_now();
            assert!(!blocked.handle().is_finished(), "no receiver waits for its value");
            assert_eq!(receiver.recv(), Ok(6));
        });
    })
    .unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri too long")]
fn values_cross_threads_and_schedulers_in_each_senders_order() {
    const SENDERS: usize = 4;
    type Send = Box<dyn Fn(usize, usize) + std::marker::Send>;
    let values = 2_000_usize;
    for bound in [Some(0), Some(1), Some(64), None] {
        let (receiver, senders): (mpsc::Receiver<(usize, usize)>, Vec<Send>) = match bound {
            Some(bound) => {
                let (sender, receiver) = mpsc::sync_channel(bound);
                let send = |sender: mpsc::SyncSender<_>| move |i, n| sender.send((i, n)).unwrap();
                (receiver, (0..SENDERS).map(|_| Box::new(send(sender.clone())) as _).collect())
            }
            None => {
                let (sender, receiver) = mpsc::channel();
                let send = |sender: mpsc::Sender<_>| move |i, n| sender.send((i, n)).unwrap();
                (receiver, (0..SENDERS).map(|_| Box::new(send(sender.clone())) as _).collect())
            }
        };
        let threads: Vec<_> = senders
            .into_iter()
            .enumerate()
            .map(|(i, send)| {
                thread::spawn(move || {
                    let work = move || (0..values).for_each(|n| send(i, n));
                    if i % 2 == 0 { work() } else { run(work).unwrap() }
                })
            })
            .collect();
        let mut next = [0_usize; SENDERS];
        run(|| {
            for (i, n) in &receiver {
                assert_eq!(n, next[i]);
                next[i] += 1;
            }
        })
        .unwrap();
        assert_eq!(next, [values; SENDERS]);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

#[test]
fn a_oneshot_returns_its_value_or_reports_that_none_will_come() {
    run(|| {
        let (sender, receiver) = oneshot::channel();
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(receiver.recv_timeout(MOMENT), Err(RecvTimeoutError::Timeout));
        let scheduler = testkit::thread_number();
        let other = thread::spawn(move || {
            testkit::wait_until_blocked(scheduler);
            sender.send(Box::new(5)).unwrap();
        });
        assert_eq!(receiver.recv(), Ok(Box::new(5)));
        other.join().unwrap();
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
        let (sender, receiver) = oneshot::channel::<u8>();
        thread::spawn(move || drop(sender));
        assert_eq!(receiver.recv(), Err(oneshot::RecvError));
        let (sender, receiver) = oneshot::channel();
        drop(receiver);
        assert_eq!(sender.send(5), Err(oneshot::SendError(5)));
        // A tasklet that is killed drops its sender.
        let (sender, receiver) = oneshot::channel::<u8>();
        let victim = spawn(move || {
            sleep(FOR_EVER);
            sender.send(1).unwrap();
        });
        yield_now();
        victim.kill();
        assert_eq!(receiver.recv(), Err(oneshot::RecvError));
    })
    .unwrap();
}

/// A step of a program that never waits.
#[derive(Debug, Clone, Copy)]
enum Step {
    Send,
    TrySend,
    Recv,
    TryRecv,
    RecvTimeout,
    TryIter,
    Clone,
    DropSender,
    DropReceiver,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Send),
        4 => Just(Step::TrySend),
        6 => Just(Step::Recv),
        3 => Just(Step::TryRecv),
        1 => Just(Step::RecvTimeout),
        1 => Just(Step::TryIter),
        2 => Just(Step::Clone),
        2 => Just(Step::DropSender),
        1 => Just(Step::DropReceiver),
    ]
}

/// Runs the steps on a channel of either kind. Returns their results. `queued` tells which calls
/// would wait; these are skipped.
macro_rules! perform {
    ($channel:expr, $steps:expr, $bound:expr) => {{
        let (sender, receiver) = $channel;
        let (mut senders, mut receiver) = (vec![sender], Some(receiver));
        let (mut log, mut queued) = (Vec::new(), 0_usize);
        for (n, step) in $steps.iter().enumerate() {
            let has_room = queued < $bound || receiver.is_none();
            let has_value = queued > 0 || senders.is_empty();
            let said = match (step, senders.last(), &receiver) {
                (Step::Send, Some(sender), _) if has_room => {
                    let sent = sender.send(n);
                    queued += usize::from(sent.is_ok());
                    format!("{sent:?}")
                }
                (Step::TrySend, Some(sender), _) => {
                    let sent = sender.try_send(n);
                    queued += usize::from(sent.is_ok());
                    format!("{sent:?}")
                }
                (Step::Recv, _, Some(receiver)) if has_value => {
                    queued = queued.saturating_sub(1);
                    format!("{:?}", receiver.recv())
                }
                (Step::TryRecv, _, Some(receiver)) => {
                    queued = queued.saturating_sub(1);
                    format!("{:?}", receiver.try_recv())
                }
                (Step::RecvTimeout, _, Some(receiver)) => {
                    queued = queued.saturating_sub(1);
                    format!("{:?}", receiver.recv_timeout(Duration::ZERO))
                }
                (Step::TryIter, _, Some(receiver)) => {
                    queued = 0;
                    format!("{:?}", receiver.try_iter().collect::<Vec<_>>())
                }
                (Step::Clone, Some(sender), _) => {
                    let sender = sender.clone();
                    senders.push(sender);
                    String::new()
                }
                (Step::DropSender, ..) => format!("{:?}", senders.pop().is_some()),
                (Step::DropReceiver, ..) => {
                    queued = 0;
                    format!("{:?}", receiver.take().is_some())
                }
                _ => continue,
            };
            log.push((n, *step as u8, said));
        }
        log
    }};
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_channel_does_what_stds_does(
        steps in prop::collection::vec(step(), 0..60),
        bound in 0..4_usize,
    ) {
        let expected = perform!(model::sync_channel(bound), steps, bound);
        prop_assert_eq!(perform!(mpsc::sync_channel(bound), steps, bound), expected.clone());
        let here = run(|| perform!(mpsc::sync_channel(bound), steps, bound)).unwrap();
        prop_assert_eq!(here, expected);
    }
}

#[test]
fn a_blocked_sender_s_value_reaches_the_next_waiter() {
    run(|| {
        let (sender, receiver) = mpsc::sync_channel(1);
        let receiver = Rc::new(receiver);
        let receivers = [0; 2].map(|_| {
            let receiver = receiver.clone();
            spawn(move || receiver.recv())
        });
        yield_now();
        // The second send finds no room and two waiters. The first of them has been woken for a
        // value.
        (0..2).for_each(|n| sender.send(n).unwrap());
        (0..3).for_each(|_| yield_now());
        assert!(
            receivers.iter().all(Tasklet::is_finished),
            "a receiver waits although a value is there"
        );
        let received = receivers.map(|receiver| receiver.join().unwrap());
        assert_eq!(received, [Ok(0), Ok(1)]);
        drop(sender);
    })
    .unwrap();
}
