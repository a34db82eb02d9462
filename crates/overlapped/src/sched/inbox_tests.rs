//! Loom goes through every order of what the inbox's threads do:
//! `RUSTFLAGS="--cfg overlapped_loom" cargo test -p overlapped --release --lib loom_`.

use std::sync::Arc;

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use super::{Inbox, Line, Message};
use crate::op::Token;

/// The port as far as the inbox knows it: a place to sleep, and a way to be woken there.
struct Bed(loom::sync::Notify);

impl Bed {
    fn notify(&self) {
        self.0.notify();
    }

    /// As the port does: a wake that came earlier is not forgotten.
    fn sleep(&self) {
        self.0.wait();
    }
}

/// Every order with at most three preemptions; with two threads, every order.
fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

fn inbox() -> (Arc<Inbox>, Arc<Bed>) {
    let bed = Arc::new(Bed(loom::sync::Notify::new()));
    let own = bed.clone();
    (Arc::new(Inbox::new(move || own.notify())), bed)
}

/// What the scheduler does when nobody is ready; loom reports a deadlock where it sleeps for ever.
fn until(inbox: &Inbox, bed: &Bed, mut enough: impl FnMut(&[Message]) -> bool) {
    let mut seen = Vec::new();
    loop {
        inbox.drain(&mut seen);
        if enough(&seen) {
            return;
        }
        if inbox.fall_asleep() {
            // What is decided here must be decided on the truth: `enough` may look at the handles.
            if enough(&seen) {
                inbox.wake_up();
                return;
            }
            bed.sleep();
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
        let (inbox, bed) = inbox();
        let posters = [1, 2].map(|bits| {
            let inbox = inbox.clone();
            thread::spawn(move || inbox.post(Message::Wake(token(bits))).unwrap())
        });
        until(&inbox, &bed, |seen| seen.len() == 2);
        posters.into_iter().for_each(|poster| poster.join().unwrap());
    });
}

#[test]
fn loom_the_last_handle_wakes_the_scheduler() {
    model(|| {
        let (inbox, bed) = inbox();
        let line = Arc::new(Line::new(inbox.clone(), token(1)));
        let holders = [(); 2].map(|()| {
            line.add_handle();
            let line = line.clone();
            thread::spawn(move || line.remove_handle())
        });
        until(&inbox, &bed, |_| inbox.handles() == 0);
        holders.into_iter().for_each(|holder| holder.join().unwrap());
        assert_eq!(inbox.handles(), 0);
    });
}

#[test]
fn loom_handles_are_uncounted_once_when_the_tasklet_ends_meanwhile() {
    loom::model(|| {
        let (inbox, bed) = inbox();
        let line = Arc::new(Line::new(inbox.clone(), token(1)));
        line.add_handle();
        let own = line.clone();
        let holder = thread::spawn(move || {
            own.add_handle();
            own.remove_handle();
            own.remove_handle();
        });
        line.hang_up();
        until(&inbox, &bed, |_| inbox.handles() == 0);
        holder.join().unwrap();
        assert_eq!(inbox.handles(), 0);
    });
}

#[test]
fn loom_a_kill_that_meets_another_one_is_not_lost() {
    model(|| {
        let (inbox, bed) = inbox();
        let line = Arc::new(Line::new(inbox.clone(), token(1)));
        let meant = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        let killers = [0, 1].map(|i| {
            let (line, meant) = (line.clone(), meant.clone());
            thread::spawn(move || {
                meant[i].store(true, Ordering::Relaxed);
                line.kill();
            })
        });
        // Each killer's reason must be visible to the kill that serves it.
        let mut read = 0;
        let mut served = [false; 2];
        until(&inbox, &bed, |seen| {
            for _ in read..seen.len() {
                line.answer();
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
        let own = inbox.clone();
        let poster = thread::spawn(move || drop(own.post(Message::Wake(token(1)))));
        inbox.close();
        let mut seen = Vec::new();
        inbox.drain(&mut seen);
        assert!(seen.is_empty());
        assert!(inbox.post(Message::Wake(token(2))).is_err());
        poster.join().unwrap();
    });
}
