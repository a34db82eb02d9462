//! Channels with many receivers: mpmc, broadcast, watch.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use overlapped::sync::mpmc::{self, RecvTimeoutError, TryRecvError, TrySendError};
use overlapped::sync::{broadcast, watch};
use overlapped::task::{no_switch, place, place_on_each};
use overlapped::time::{Duration, timeout};
use overlapped::{Config, JoinError, Tasklet, run, scope, spawn, yield_now};

const MS: Duration = Duration::from_millis(1);

fn is_killed<T: std::fmt::Debug>(tasklet: Tasklet<T>) {
    match tasklet.join() {
        Err(JoinError::Killed) => {}
        other => panic!("{other:?}"),
    }
}

/// A value whose live clones its `Arc` counts.
#[derive(Clone)]
struct Dropped(#[allow(dead_code)] Arc<()>);

#[test]
fn each_value_of_an_mpmc_channel_goes_to_one_receiver_of_all_schedulers_and_threads() {
    const VALUES: usize = 3_000;
    for cap in [0, 1, 16, usize::MAX] {
        let (sender, receiver) = mpmc::sync_channel(cap);
        let theirs = receiver.clone();
        let outside = thread::spawn(move || theirs.iter().collect::<Vec<usize>>());
        let received = Config::new().threads(2).run(move || {
            let workers = place_on_each(move |_| {
                let pair = [receiver.clone(), receiver]
                    .map(|receiver| spawn(move || receiver.into_iter().collect::<Vec<usize>>()));
                pair.map(|one| one.join().unwrap()).concat()
            });
            let senders = place_on_each(move |index| {
                for n in 0..VALUES {
                    sender.send(index * VALUES + n).unwrap();
                }
            });
            senders.unwrap().into_iter().for_each(|sender| sender.join().unwrap());
            let workers = workers.unwrap().into_iter();
            workers.flat_map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
        });
        let mut received = received.unwrap();
        received.extend(outside.join().unwrap());
        assert_eq!(received.len(), 2 * VALUES, "none twice");
        assert_eq!(received.into_iter().collect::<BTreeSet<_>>().len(), 2 * VALUES, "none lost");
    }
}

#[test]
fn an_mpmc_channel_ends_with_the_last_of_either_side() {
    run(|| {
        let (sender, receiver) = mpmc::channel();
        let (other_sender, other_receiver) = (sender.clone(), receiver.clone());
        drop((sender, receiver));
        let value = Arc::new(());
        other_sender.send(value.clone()).unwrap();
        other_sender.send(value.clone()).unwrap();
        assert_eq!((other_sender.len(), other_receiver.is_empty()), (2, false));
        assert!(other_receiver.try_recv().is_ok());
        drop(other_receiver);
        assert_eq!(Arc::strong_count(&value), 1, "it will not be received");
        assert!(other_sender.send(value).is_err());

        let (sender, receiver) = mpmc::sync_channel(1);
        sender.send(1).unwrap();
        assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
        drop(sender);
        assert_eq!((receiver.recv(), receiver.recv().is_err()), (Ok(1), true));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    })
    .unwrap();
}

#[test]
fn a_killed_receiver_of_an_mpmc_channel_wakes_the_next_for_its_value() {
    for cap in [0, 1] {
        run(|| {
            let (sender, receiver) = mpmc::sync_channel(cap);
            let receivers = [0; 2].map(|_| {
                let receiver = receiver.clone();
                spawn(move || receiver.recv())
            });
            yield_now();
            thread::spawn(move || {
                sender.send(7).unwrap();
                sender
            })
            .join()
            .unwrap();
            let [victim, next] = receivers;
            victim.kill();
            is_killed(victim);
            assert_eq!(next.join().unwrap(), Ok(7));
        })
        .unwrap();
    }
}

#[test]
fn deadlines_and_no_switch_end_waits_of_an_mpmc_channel() {
    run(|| {
        let (sender, receiver) = mpmc::sync_channel(1);
        assert!(timeout(MS, || receiver.recv()).is_err());
        assert_eq!(receiver.recv_timeout(MS), Err(RecvTimeoutError::Timeout));
        assert!(no_switch(|| receiver.recv()).is_err());
        sender.send(1).unwrap();
        assert_eq!(timeout(MS, || sender.send(2)).unwrap_err().0, 2);
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1]);
        assert_eq!(format!("{receiver:?}"), "Receiver { len: 0, .. }");
    })
    .unwrap();
}

#[test]
fn every_receiver_of_a_broadcast_gets_every_value_across_threads() {
    const VALUES: u32 = 2_000;
    let (sender, receiver) = broadcast::channel(usize::MAX);
    let outside = thread::spawn(move || receiver.into_iter().map(Result::unwrap).collect());
    let mut sums = Config::new()
        .threads(2)
        .run(move || {
            let mut own = sender.subscribe();
            let there = own.resubscribe();
            assert_eq!(sender.receiver_count(), 3);
            let placed = place(move || there.into_iter().map(Result::unwrap).collect::<Vec<u32>>());
            let own = spawn(move || own.iter().map(Result::unwrap).collect::<Vec<u32>>());
            for n in 0..VALUES {
                assert_eq!(sender.send(n).unwrap(), 3);
                if n % 64 == 0 {
                    yield_now();
                }
            }
            drop(sender);
            vec![placed.join().unwrap(), own.join().unwrap()]
        })
        .unwrap();
    sums.push(outside.join().unwrap());
    let all: Vec<u32> = (0..VALUES).collect();
    assert!(sums.iter().all(|received| *received == all), "in order, none missed");
}

#[test]
fn a_slow_receiver_of_a_broadcast_learns_how_many_values_it_has_missed() {
    let (sender, mut slow) = broadcast::channel(3);
    assert_eq!(slow.try_recv(), Err(broadcast::RecvError::WouldBlock));
    let mut quick = sender.subscribe();
    for n in 0..10 {
        assert_eq!(sender.send(n).unwrap(), 2);
        assert_eq!(quick.recv(), Ok(n));
    }
    assert_eq!(slow.recv(), Err(broadcast::RecvError::Lagged(7)));
    assert_eq!(slow.recv(), Ok(7));
    sender.send(10).unwrap();
    sender.send(11).unwrap();
    let late = sender.subscribe();
    drop(sender);
    let left: Vec<_> = slow.into_iter().collect();
    assert_eq!(left, [Err(broadcast::RecvError::Lagged(1)), Ok(9), Ok(10), Ok(11)]);
    assert_eq!(late.into_iter().count(), 0, "only what is sent from then on");
    assert_eq!(quick.iter().count(), 2);
    assert_eq!(quick.recv(), Err(broadcast::RecvError::Closed));
    let (sender, one) = broadcast::channel(0);
    (0..2).for_each(|n| _ = sender.send(n).unwrap());
    drop(sender);
    let left: Vec<_> = one.into_iter().collect();
    assert_eq!(left, [Err(broadcast::RecvError::Lagged(1)), Ok(1)], "it keeps one at least");
}

#[test]
fn a_broadcast_keeps_no_value_without_a_receiver() {
    let value = Arc::new(());
    let count = || Arc::strong_count(&value);
    let (sender, mut first) = broadcast::channel(8);
    let second = sender.subscribe();
    (0..3).for_each(|_| _ = sender.send(Dropped(value.clone())).ok());
    assert_eq!(count(), 4);
    drop(first.recv().unwrap());
    assert_eq!(count(), 4, "the second has not got it");
    drop(second);
    assert_eq!(count(), 3, "the values that the first has not got");
    drop(first.recv().unwrap());
    assert_eq!(count(), 2);
    drop(first);
    assert_eq!(count(), 1);
    assert!(sender.send(Dropped(value.clone())).is_err(), "there is no receiver");
    assert_eq!(count(), 1);
    let mut third = sender.subscribe();
    sender.send(Dropped(value.clone())).ok().unwrap();
    assert!(third.try_recv().is_ok());
}

#[test]
fn kills_deadlines_and_no_switch_end_waits_of_a_broadcast() {
    run(|| {
        let (sender, mut receiver) = broadcast::channel(4);
        let mut theirs = sender.subscribe();
        let victim = spawn(move || theirs.recv());
        yield_now();
        victim.kill();
        is_killed(victim);
        assert_eq!(sender.receiver_count(), 1);
        let late = Err(broadcast::RecvError::TimedOut);
        assert_eq!(timeout(MS, || receiver.recv()), late);
        assert_eq!(receiver.recv_timeout(MS), late);
        assert_eq!(timeout(MS, || receiver.iter().count()), 0, "a deadline ends the iteration");
        assert_eq!(no_switch(|| receiver.recv()), Err(broadcast::RecvError::WouldBlock));
        sender.send(1).unwrap();
        assert_eq!(no_switch(|| receiver.recv()), Ok(1));
        assert_eq!(
            format!("{sender:?} {receiver:?}"),
            "Sender { receivers: 1, .. } Receiver { next: 1, .. }"
        );
    })
    .unwrap();
}

#[test]
fn a_watch_returns_the_last_value_and_knows_whether_it_is_new() {
    run(|| {
        let (sender, mut receiver) = watch::channel(0);
        assert_eq!(receiver.has_changed(), Ok(false), "the first value is no news");
        let mut other = receiver.clone();
        (1..=3).for_each(|n| sender.send(n).unwrap());
        assert_eq!((receiver.has_changed(), *receiver.borrow()), (Ok(true), 3));
        receiver.changed().unwrap();
        assert_eq!(receiver.has_changed(), Ok(false));
        assert_eq!(other.has_changed(), Ok(true), "each has its own mark");
        assert_eq!(*other.borrow_and_update(), 3);
        assert_eq!(other.has_changed(), Ok(false));
        assert_eq!(sender.subscribe().has_changed(), Ok(false));
        assert_eq!(*sender.send_replace(4), 3);
        drop((receiver, other));
        assert_eq!(sender.send(5).unwrap_err().0, 5);
        assert_eq!(*sender.borrow(), 4);
        sender.send_replace(6);
        let mut last = sender.subscribe();
        assert_eq!((*last.borrow(), sender.receiver_count()), (6, 1));
        sender.send(7).unwrap();
        drop(sender);
        assert_eq!(last.has_changed(), Err(watch::RecvError::Closed));
        assert_eq!(last.changed(), Ok(()), "an unseen value comes first");
        assert_eq!(last.changed(), Err(watch::RecvError::Closed));
        assert_eq!(*last.borrow(), 7);
    })
    .unwrap();
}

#[test]
fn all_waiters_of_a_watch_wake_up_in_all_threads() {
    let (sender, receiver) = watch::channel(0);
    let wait =
        |mut receiver: watch::Receiver<u32>| move || *receiver.wait_for(|n| *n >= 100).unwrap();
    let outside = thread::spawn(wait(receiver.clone()));
    let seen = Config::new().threads(2).run(move || {
        let waiting = place_on_each(move |_| {
            let pair = [receiver.clone(), receiver].map(|it| spawn(wait(it)));
            pair.map(|one| one.join().unwrap())
        });
        for n in 1..=100 {
            sender.send_replace(n);
            yield_now();
        }
        waiting.unwrap().into_iter().flat_map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(seen.unwrap(), [100; 4]);
    assert_eq!(outside.join().unwrap(), 100);
}

#[test]
fn kills_deadlines_and_no_switch_end_waits_of_a_watch() {
    run(|| {
        let (sender, mut receiver) = watch::channel(1);
        let mut theirs = receiver.clone();
        let victim = spawn(move || theirs.changed());
        yield_now();
        victim.kill();
        is_killed(victim);
        assert_eq!(sender.receiver_count(), 1);
        assert_eq!(timeout(MS, || receiver.changed()), Err(watch::RecvError::TimedOut));
        assert_eq!(no_switch(|| receiver.changed()), Err(watch::RecvError::WouldBlock));
        let late = timeout(MS, || receiver.wait_for(|n| *n == 2));
        assert_eq!(late, Err(watch::RecvError::TimedOut));
        let news = Rc::new(Cell::new(0));
        scope(|s| {
            let (count, receiver) = (news.clone(), receiver.clone());
            s.spawn(move || receiver.into_iter().for_each(|n| count.set(count.get() + *n)));
            for n in [10, 20] {
                yield_now();
                sender.send(n).unwrap();
            }
            yield_now();
            drop(sender);
        });
        assert_eq!(news.get(), 30);
        assert_eq!(timeout(MS, || receiver.iter().count()), 1);
        assert_eq!(format!("{receiver:?}"), "Receiver { value: 20, .. }");
    })
    .unwrap();
}
