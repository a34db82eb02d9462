//! The semantics of channels, as examples: the order of running, queues, callbacks, closing.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use overlapped::task::{ChannelEvent, Observer};
use overlapped::{
    Channel, Config, Handover, JoinError, RecvError, SendError, Tasklet, run, spawn, yield_now,
};

/// Returns the order in which tasklets end. `p` waits in the channel, and `c` calls. `a`, `b` and
/// `d` are ready, queued in this order behind `c`.
fn order(handover: Handover, sending: bool, bystanders: usize) -> String {
    let log = Rc::new(RefCell::new(String::new()));
    let says = |who: char| {
        let log = log.clone();
        move || log.borrow_mut().push(who)
    };
    run(|| {
        let channel = Channel::with_handover(handover);
        let act = |sending: bool| {
            let channel = channel.clone();
            move || match sending {
                true => channel.send(1).unwrap(),
                false => assert_eq!(channel.recv(), Ok(1)),
            }
        };
        let (partner, done) = (act(!sending), says('p'));
        drop(spawn(move || {
            partner();
            done();
        }));
        yield_now();
        assert_eq!(channel.balance(), if sending { -1 } else { 1 });
        let (caller, done) = (act(sending), says('c'));
        drop(spawn(move || {
            caller();
            done();
        }));
        for who in "abd".chars().take(bystanders) {
            drop(spawn(says(who)));
        }
    })
    .unwrap();
    log.take()
}

#[test]
fn the_order_of_running_is_that_of_the_table() {
    use Handover::{Neither, Receiver, Sender, Yield};
    let table = [
        // handover, send?     0     1      2       3 bystanders
        (Receiver, true, ["pc", "pac", "pabc", "pabdc"]),
        (Receiver, false, ["cp", "cap", "cabp", "cabdp"]),
        (Sender, true, ["cp", "cap", "cabp", "cabdp"]),
        (Sender, false, ["pc", "pac", "pabc", "pabdc"]),
        (Neither, true, ["cp", "cap", "cabp", "cabdp"]),
        (Neither, false, ["cp", "cap", "cabp", "cabdp"]),
        (Yield, true, ["pc", "apc", "abpc", "abdpc"]),
        (Yield, false, ["pc", "apc", "abpc", "abdpc"]),
    ];
    for (handover, sending, rows) in table {
        for (bystanders, expected) in rows.into_iter().enumerate() {
            let real = order(handover, sending, bystanders);
            assert_eq!(real, expected, "{handover:?}, sending={sending}, {bystanders} bystanders");
        }
    }
}

/// Starts tasklets that wait in a channel, in this order.
fn crowd(channel: &Channel<u32>, sending: bool) -> Vec<Tasklet<Option<u32>>> {
    let crowd = (0..4)
        .map(|i| {
            let channel = channel.clone();
            spawn(move || match sending {
                true => channel.send(i).ok().map(|()| i),
                false => channel.recv().ok(),
            })
        })
        .collect();
    yield_now();
    crowd
}

#[test]
fn waiters_are_served_in_the_order_they_came_and_leave_from_anywhere() {
    run(|| {
        let channel = Channel::new();
        let mut senders = crowd(&channel, true);
        assert_eq!(channel.balance(), 4);
        let second = senders.remove(1);
        second.kill();
        assert_eq!(channel.balance(), 3, "a killed waiter is out of the queue at once");
        assert!(matches!(second.join(), Err(JoinError::Killed)));
        assert_eq!([channel.recv(), channel.try_recv()], [Ok(0), Ok(2)]);
        assert_eq!((channel.recv(), channel.balance()), (Ok(3), 0));
        let receivers = crowd(&channel, false);
        assert_eq!(channel.balance(), -4);
        assert!(matches!(channel.try_send(9), Ok(())));
        assert_eq!(channel.send_all(10..13).unwrap(), 3);
        let got: Vec<_> = receivers.into_iter().map(|r| r.join().unwrap()).collect();
        assert_eq!(got, [Some(9), Some(10), Some(11), Some(12)]);
        assert!(matches!(channel.try_send(1), Err(SendError::WouldBlock(1))));
        assert_eq!(channel.try_recv(), Err(RecvError::WouldBlock));
    })
    .unwrap();
}

#[test]
fn close_wakes_all_waiters_and_returns_their_values_to_senders() {
    run(|| {
        let channel = Channel::new();
        let inner = channel.clone();
        let sender = spawn(move || inner.send(7));
        let receivers = Channel::<u32>::new();
        let waiting = crowd(&receivers, false);
        channel.close();
        receivers.close();
        assert_eq!((channel.balance(), receivers.balance()), (0, 0));
        assert!(channel.is_closing() && channel.is_closed());
        assert!(matches!(sender.join().unwrap(), Err(SendError::Closed(7))));
        for receiver in waiting {
            assert_eq!(receiver.join().unwrap(), None);
        }
        assert!(matches!(channel.send(1), Err(SendError::Closed(1))));
        assert!(matches!(channel.try_send(1), Err(SendError::Closed(1))));
        assert_eq!(channel.recv(), Err(RecvError::Closed));
        assert_eq!(channel.recv_timeout(Duration::MAX), Err(RecvError::Closed));
        channel.open();
        assert!(!channel.is_closing());
        assert_eq!(channel.try_recv(), Err(RecvError::WouldBlock));
    })
    .unwrap();
}

#[test]
fn close_draining_lets_receivers_take_from_waiting_senders() {
    run(|| {
        let channel = Channel::new();
        let senders = crowd(&channel, true);
        channel.close_draining();
        assert!(channel.is_closing() && !channel.is_closed());
        assert!(matches!(channel.send(5), Err(SendError::Closed(5))), "it would block");
        assert_eq!(channel.iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert!(channel.is_closed());
        for (i, sender) in (0..).zip(senders) {
            assert_eq!(sender.join().unwrap(), Some(i));
        }
        let receivers = Channel::new();
        let waiting = crowd(&receivers, false);
        receivers.close_draining();
        assert!(waiting.into_iter().all(|receiver| receiver.join().unwrap().is_none()));
    })
    .unwrap();
}

#[test]
fn iteration_ends_when_the_channel_is_closed() {
    run(|| {
        let channel = Channel::new();
        let inner = channel.clone();
        drop(spawn(move || {
            assert_eq!(inner.send_all([1, 2, 3]).unwrap(), 3);
            inner.close();
        }));
        let mut sum = 0;
        for value in &channel {
            sum += value;
        }
        assert_eq!(sum, 6);
        assert_eq!(channel.into_iter().next(), None);
    })
    .unwrap();
}

#[test]
fn send_all_stops_at_the_item_that_was_not_sent() {
    run(|| {
        let channel = Channel::new();
        let inner = channel.clone();
        let receiver = spawn(move || (inner.recv(), inner.recv(), inner.close()));
        let mut items = 1..10;
        assert!(matches!(channel.send_all(&mut items), Err(SendError::Closed(3))));
        assert_eq!(items.next(), Some(4));
        drop(receiver.join().unwrap());
    })
    .unwrap();
}

#[test]
fn a_limit_ends_the_wait_and_leaves_the_queue() {
    run(|| {
        let channel = Channel::new();
        let begin = Instant::now();
        let limit = Duration::from_millis(10);
        assert_eq!(channel.recv_timeout(limit), Err(RecvError::TimedOut));
        assert!(matches!(channel.send_timeout(1, limit), Err(SendError::TimedOut(1))));
        assert!(begin.elapsed() >= 2 * limit);
        assert_eq!(channel.balance(), 0);
        let inner = channel.clone();
        let sender = spawn(move || inner.send(2));
        assert_eq!(channel.recv_timeout(Duration::from_secs(60)), Ok(2));
        sender.join().unwrap().unwrap();
        let early = overlapped::time::timeout(limit, || channel.recv_timeout(Duration::MAX));
        assert_eq!(early, Err(RecvError::TimedOut), "the earlier of the two counts");
        assert_eq!(channel.recv_timeout(Duration::ZERO), Err(RecvError::TimedOut));
    })
    .unwrap();
}

/// Records what it is called with.
struct Scribe(Rc<RefCell<Vec<String>>>);

impl Observer for Scribe {
    fn switched(&self, previous: Option<u64>, next: u64) {
        let previous = previous.map_or("-".to_owned(), |id| id.to_string());
        self.0.borrow_mut().push(format!("{previous}>{next}"));
    }

    fn channel(&self, event: ChannelEvent) {
        let way = if event.sending { "sends" } else { "receives" };
        let block = if event.will_block { " and blocks" } else { "" };
        self.0.borrow_mut().push(format!("{} {way}{block}", event.tasklet));
    }
}

#[test]
fn the_observer_gets_every_event_in_order() {
    let log: Rc<RefCell<Vec<String>>> = Rc::default();
    let ended = Config::new().observer(Scribe(log.clone())).run(|| {
        let channel = Channel::new();
        let inner = channel.clone();
        let other = spawn(move || {
            inner.recv().unwrap();
            inner.send(2).unwrap();
        });
        yield_now();
        channel.send(1).unwrap();
        channel.recv().unwrap();
        other.join().unwrap();
    });
    ended.unwrap();
    let expected = [
        "->1",
        "1>2",
        "2 receives and blocks",
        "2>1",
        "1 sends",
        "1>2",
        "2 sends and blocks",
        "2>1",
        "1 receives",
        "1>2",
        "2>1",
    ];
    assert_eq!(*log.borrow(), expected);
}

#[test]
fn a_panicking_observer_ends_nothing() {
    struct Panics;
    impl Observer for Panics {
        fn switched(&self, _: Option<u64>, _: u64) {
            std::panic::resume_unwind(Box::new("observer"));
        }

        fn channel(&self, _: ChannelEvent) {
            std::panic::resume_unwind(Box::new("observer"));
        }
    }
    let ended = Config::new().observer(Panics).run(|| {
        let channel = Channel::new();
        let inner = channel.clone();
        let other = spawn(move || inner.send(1).unwrap());
        let got = channel.recv().unwrap();
        other.join().unwrap();
        got
    });
    assert_eq!(ended.unwrap(), 1);
}
