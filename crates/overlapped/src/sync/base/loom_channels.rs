//! Models of channels between threads. If a waiter is never woken, all threads sleep, which loom
//! reports.

use loom::sync::Arc;
use loom::thread::{self, JoinHandle};

use super::model;
use super::monitor::{Monitor, Unseen};
use super::rt::Life;
use super::shared::{NotReceived, Shared};

const FOR_EVER: u64 = u64::MAX;

/// Receives once, in a thread of its own.
fn receiver(
    channel: &Arc<Shared<u32>>,
    life: Option<&Life>,
) -> JoinHandle<Result<u32, NotReceived>> {
    let (channel, life) = (channel.clone(), life.cloned());
    thread::spawn(move || {
        if let Some(life) = life {
            life.begin();
        }
        channel.recv(None, FOR_EVER)
    })
}

/// Sends two values through a channel with this much room to two receivers.
fn two_values_for_two(room: usize) {
    model(move || {
        let channel = Arc::new(Shared::new(room));
        channel.add_receiver();
        let receivers = [0; 2].map(|_| receiver(&channel, None));
        for value in [1, 2] {
            channel.send(value).unwrap();
        }
        // The sender is still there, so no receiver gets the error for a closed channel.
        let [a, b] = receivers.map(|receiver| receiver.join().unwrap().unwrap());
        assert_eq!(a + b, 3, "each value once");
        assert_eq!(channel.len(), 0);
    });
}

#[test]
fn loom_each_receiver_gets_a_value_through_a_rendezvous() {
    two_values_for_two(0);
}

#[test]
fn loom_each_receiver_gets_a_value_through_a_little_room() {
    two_values_for_two(1);
}

#[test]
fn loom_each_receiver_gets_a_value_without_a_limit() {
    two_values_for_two(usize::MAX);
}

#[test]
fn loom_a_killed_receiver_passes_its_wake_on() {
    for room in [0, 1] {
        model(move || {
            let channel = Arc::new(Shared::new(room));
            channel.add_receiver();
            let life = Life::new();
            let victim = receiver(&channel, Some(&life));
            let next = receiver(&channel, None);
            let killer = thread::spawn(move || life.kill());
            channel.send(1).unwrap();
            killer.join().unwrap();
            if victim.join().unwrap().is_ok() {
                channel.send(1).unwrap();
            }
            assert_eq!(next.join().unwrap(), Ok(1));
        });
    }
}

#[test]
fn loom_a_killed_sender_has_its_value_or_has_sent_it() {
    model(|| {
        let channel = Arc::new(Shared::new(1));
        channel.send(1).unwrap();
        let life = Life::new();
        let victim = {
            let (channel, life) = (channel.clone(), life.clone());
            thread::spawn(move || {
                life.begin();
                channel.send(2).is_ok()
            })
        };
        let killer = thread::spawn(move || life.kill());
        assert_eq!(channel.recv(None, FOR_EVER), Ok(1));
        let is_sent = victim.join().unwrap();
        killer.join().unwrap();
        assert_eq!(channel.try_recv(None).is_ok(), is_sent);
    });
}

#[test]
fn loom_the_last_sender_ends_all_waits() {
    model(|| {
        let channel = Arc::new(Shared::new(1));
        channel.add_receiver();
        let receivers = [0; 2].map(|_| receiver(&channel, None));
        channel.send(1).unwrap();
        channel.remove_sender();
        let mut received = receivers.map(|receiver| receiver.join().unwrap());
        received.sort_by_key(|received| received.is_err());
        assert_eq!(received, [Ok(1), Err(NotReceived::Disconnected)]);
    });
}

/// Waits until the state is 2.
fn watcher(monitor: &Arc<Monitor<u32>>, life: Option<&Life>) -> JoinHandle<Result<(), Unseen>> {
    let (monitor, life) = (monitor.clone(), life.cloned());
    thread::spawn(move || {
        if let Some(life) = life {
            life.begin();
        }
        monitor.wait("", FOR_EVER, |state| (*state == 2).then_some(()))
    })
}

#[test]
fn loom_all_waiters_see_a_monitors_change() {
    model(|| {
        let monitor = Arc::new(Monitor::new(0));
        let watchers = [0; 2].map(|_| watcher(&monitor, None));
        (0..2).for_each(|_| monitor.change(|state| *state += 1));
        assert!(watchers.into_iter().all(|watcher| watcher.join().unwrap().is_ok()));
    });
}

#[test]
fn loom_a_killed_waiter_at_a_monitor_leaves_the_others_alone() {
    model(|| {
        let monitor = Arc::new(Monitor::new(1));
        let life = Life::new();
        let victim = watcher(&monitor, Some(&life));
        let other = watcher(&monitor, None);
        let killer = thread::spawn(move || life.kill());
        monitor.change(|state| *state += 1);
        victim.join().unwrap().ok();
        assert_eq!(other.join().unwrap(), Ok(()));
        killer.join().unwrap();
    });
}
