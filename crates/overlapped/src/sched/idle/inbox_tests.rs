//! Model-checks the actions of the inbox's threads, in every order: `RUSTFLAGS="--cfg
//! overlapped_loom" cargo test -p overlapped --release --lib loom_`.

use std::sync::Arc;

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use super::super::group::{Group, IdleOutcome};
use super::{Inbox, Message, RemoteLink};
use crate::op::Token;

/// The port as far as the inbox knows it: a place to sleep, and a way to be woken there.
struct SleepingPlace(loom::sync::Notify);

impl SleepingPlace {
    fn notify(&self) {
        self.0.notify();
    }

    /// Sleeps, as the port does: a wake that came earlier is not forgotten.
    fn sleep(&self) {
        self.0.wait();
    }
}

/// Tries every order with at most three preemptions; with two threads, that is every order.
fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

fn inbox() -> (Arc<Inbox>, Arc<SleepingPlace>) {
    let port = Arc::new(SleepingPlace(loom::sync::Notify::new()));
    let own = port.clone();
    (Arc::new(Inbox::new(move || own.notify())), port)
}

/// Polls and sleeps as the scheduler does when no tasklet is ready. Loom reports a deadlock if it
/// sleeps for ever.
fn until(inbox: &Inbox, port: &SleepingPlace, mut enough: impl FnMut(&[Message]) -> bool) {
    let mut seen = Vec::new();
    loop {
        inbox.drain(&mut seen, &mut Vec::new(), 0);
        if enough(&seen) {
            return;
        }
        if inbox.fall_asleep() {
            // The decision must be made on exact counts, since `enough` may read the number of
            // handles.
            if enough(&seen) {
                inbox.wake_up();
                return;
            }
            port.sleep();
            inbox.wake_up();
        }
    }
}

fn token(bits: u64) -> Token {
    Token::from_bits(bits)
}

#[test]
fn loom_no_wake_is_lost() {
    model(|| {
        let (inbox, port) = inbox();
        let posters = [1, 2].map(|bits| {
            let inbox = inbox.clone();
            thread::spawn(move || inbox.post(Message::Wake(token(bits))).unwrap())
        });
        until(&inbox, &port, |seen| seen.len() == 2);
        posters.into_iter().for_each(|poster| poster.join().unwrap());
    });
}

#[test]
fn loom_no_message_that_was_left_is_lost() {
    model(|| {
        let (inbox, port) = inbox();
        let posters = [1, 2].map(|bits| {
            let inbox = inbox.clone();
            thread::spawn(move || {
                // The wake comes later, and only if it is necessary.
                if inbox.leave(Message::Wake(token(bits))).unwrap() {
                    thread::yield_now();
                    inbox.wake();
                }
            })
        });
        until(&inbox, &port, |seen| seen.len() == 2);
        posters.into_iter().for_each(|poster| poster.join().unwrap());
    });
}

/// Spins for a while before it sleeps, as the scheduler does, and is not notified meanwhile.
#[test]
fn loom_a_message_to_a_spinning_scheduler_needs_no_notification() {
    loom::model(|| {
        let (inbox, _) = inbox();
        let own = inbox.clone();
        let poster = thread::spawn(move || {
            let must_ring = own.leave(Message::Wake(token(1))).unwrap();
            assert!(!must_ring, "it is awake");
        });
        while !inbox.is_full() {
            thread::yield_now();
        }
        let mut seen = Vec::new();
        inbox.drain(&mut seen, &mut Vec::new(), 0);
        assert_eq!(seen.len(), 1, "what is seen is there");
        poster.join().unwrap();
    });
}

#[test]
fn loom_the_last_handle_wakes_the_scheduler() {
    model(|| {
        let (inbox, port) = inbox();
        let link = Arc::new(RemoteLink::new(inbox.clone(), token(1)));
        let holders = [(); 2].map(|()| {
            link.add_handle();
            let link = link.clone();
            thread::spawn(move || link.remove_handle())
        });
        until(&inbox, &port, |_| inbox.handles() == 0);
        holders.into_iter().for_each(|holder| holder.join().unwrap());
        assert_eq!(inbox.handles(), 0);
    });
}

#[test]
fn loom_handles_are_uncounted_once_when_the_tasklet_ends_meanwhile() {
    loom::model(|| {
        let (inbox, port) = inbox();
        let link = Arc::new(RemoteLink::new(inbox.clone(), token(1)));
        link.add_handle();
        let own = link.clone();
        let holder = thread::spawn(move || {
            own.add_handle();
            own.remove_handle();
            own.remove_handle();
        });
        link.close();
        until(&inbox, &port, |_| inbox.handles() == 0);
        holder.join().unwrap();
        assert_eq!(inbox.handles(), 0);
    });
}

#[test]
fn loom_a_kill_that_meets_another_one_is_not_lost() {
    model(|| {
        let (inbox, port) = inbox();
        let link = Arc::new(RemoteLink::new(inbox.clone(), token(1)));
        let meant = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        let killers = [0, 1].map(|i| {
            let (link, meant) = (link.clone(), meant.clone());
            thread::spawn(move || {
                meant[i].store(true, Ordering::Relaxed);
                link.kill();
            })
        });
        // Each killer's write must be visible to the read that serves its kill.
        let mut read = 0;
        let mut served = [false; 2];
        until(&inbox, &port, |seen| {
            for _ in read..seen.len() {
                link.acknowledge_kill();
                for (served, meant) in served.iter_mut().zip(meant.iter()) {
                    *served |= meant.load(Ordering::Relaxed);
                }
            }
            read = seen.len();
            served == [true; 2]
        });
        killers.into_iter().for_each(|killer| killer.join().unwrap());
    });
}

#[test]
fn loom_a_closed_inbox_refuses_and_is_quiet() {
    loom::model(|| {
        let (inbox, _) = inbox();
        let group = Group::new(1, 1);
        group.enter(0, inbox.clone());
        let own = inbox.clone();
        let poster = thread::spawn(move || own.post(Message::Wake(token(1))).is_ok());
        let is_over = group.set_idle(0, false) == IdleOutcome::Over;
        assert_ne!(is_over, poster.join().unwrap(), "a message taken in keeps the group busy");
        assert_eq!(inbox.post(Message::Wake(token(2))).is_err(), is_over);
    });
}

/// Acts as a member of a group. Each message says how often it is still to be passed on. Returns
/// the number of messages that came.
fn member(group: &Group, index: usize, inbox: &Inbox, port: &SleepingPlace) -> usize {
    let (mut seen, mut count) = (Vec::new(), 0);
    loop {
        inbox.drain(&mut seen, &mut Vec::new(), 0);
        for message in seen.drain(..) {
            let Message::Wake(left) = message else { unreachable!("only wakes are sent") };
            count += 1;
            if left.to_bits() > 0 {
                let next = Message::Wake(token(left.to_bits() - 1));
                assert!(group.post(1 - index, next).is_ok(), "closed while a member is busy");
            }
        }
        if inbox.fall_asleep() {
            let outcome = group.set_idle(index, false);
            if outcome == IdleOutcome::Sleep {
                port.sleep();
                group.set_busy(index);
            }
            inbox.wake_up();
            if outcome == IdleOutcome::Over {
                return count;
            }
        }
    }
}

#[test]
fn loom_a_group_is_over_when_all_are_idle_and_no_message_is_on_its_way() {
    model(|| {
        let group = Arc::new(Group::new(2, 1));
        let members = [0, 1].map(|index| {
            let (inbox, port) = inbox();
            group.enter(index, inbox.clone());
            (inbox, port)
        });
        group.post(0, Message::Wake(token(2))).unwrap_or_else(|_| unreachable!());
        let [first, second] = members;
        let others = group.clone();
        let thread = thread::spawn(move || member(&others, 1, &second.0, &second.1));
        let count = member(&group, 0, &first.0, &first.1);
        assert_eq!((count, thread.join().unwrap()), (2, 1));
    });
}
