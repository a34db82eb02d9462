//! Select: exactly one alternative happens, and the others leave no trace.

mod support;

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use overlapped::task::{self, Observer, WaitError, no_switch};
use overlapped::time::{Duration, Instant, sleep, timeout};
use overlapped::{
    Builder, Channel, Config, Handover, JoinError, RecvError, RunError, Select, SendError, run,
    scope, spawn, yield_now,
};

const MS: Duration = Duration::from_millis(1);
const FOR_EVER: Duration = Duration::from_secs(60);

fn in_flight() -> usize {
    task::stats().unwrap().in_flight
}

#[test]
fn of_two_that_are_ready_one_happens_and_the_other_partner_waits_on() {
    run(|| {
        let (a, b) = (Channel::new(), Channel::new());
        let (left, right) = (a.clone(), b.clone());
        let left = spawn(move || left.send(1));
        let right = spawn(move || right.send(2));
        yield_now();
        let first = Select::new().recv(&a, |v| v).recv(&b, |v| v).wait().unwrap().unwrap();
        assert_eq!((a.balance(), b.balance()), if first == 1 { (0, 1) } else { (1, 0) });
        let second = Select::new().recv(&a, |v| v).recv(&b, |v| v).wait().unwrap().unwrap();
        assert_eq!(first + second, 3);
        assert_eq!((a.balance(), b.balance()), (0, 0));
        left.join().unwrap().unwrap();
        right.join().unwrap().unwrap();
    })
    .unwrap();
}

#[test]
fn alternatives_that_did_not_happen_leave_no_trace() {
    run(|| {
        let (a, b, c) = (Channel::<u8>::new(), Channel::<u8>::new(), Channel::<u8>::new());
        let (x, y, z) = (a.clone(), b.clone(), c.clone());
        let selects = spawn(move || {
            let mut value = Some(7);
            let (mut never, mut worker) = (None, Some(spawn(|| sleep(FOR_EVER))));
            let got = Select::new()
                .send(&y, &mut value, |_| 0)
                .recv(&x, |v| v.unwrap())
                .recv(&z, |v| v.unwrap())
                .send(&z, &mut never, |_| 0)
                .join(&mut worker, |_| 0)
                .after(FOR_EVER, || 0)
                .wait();
            worker.unwrap().kill();
            (got, value)
        });
        yield_now();
        assert_eq!((a.balance(), b.balance(), c.balance()), (-1, 1, -1), "it waits everywhere");
        a.send(5).unwrap();
        assert_eq!((a.balance(), b.balance(), c.balance()), (0, 0, 0));
        assert_eq!(b.try_recv(), Err(RecvError::WouldBlock), "7 is not offered any more");
        assert_eq!(selects.join().unwrap(), (Ok(5), Some(7)));
    })
    .unwrap();
}

#[test]
fn two_selects_meet_also_where_each_offers_both_sides() {
    run(|| {
        for handover in [Handover::Receiver, Handover::Sender, Handover::Neither, Handover::Yield] {
            let channel = Channel::with_handover(handover);
            let both = |channel: Channel<u32>, own: u32| {
                move || {
                    let mut value = Some(own);
                    let got = Select::new()
                        .send(&channel, &mut value, |sent| {
                            sent.unwrap();
                            None
                        })
                        .recv(&channel, |got| Some(got.unwrap()))
                        .wait()
                        .unwrap();
                    assert_eq!(value.is_none(), got.is_none(), "either sent or received");
                    got
                }
            };
            let first = spawn(both(channel.clone(), 1));
            yield_now();
            assert_eq!(channel.balance(), 0, "one sends and receives: +1 -1");
            let second = spawn(both(channel.clone(), 2));
            let got = (first.join().unwrap(), second.join().unwrap());
            assert!(matches!(got, (Some(2), None) | (None, Some(1))), "{got:?}");
            assert_eq!(channel.balance(), 0);
            assert!(matches!(channel.try_recv(), Err(RecvError::WouldBlock)));
        }
    })
    .unwrap();
}

#[test]
fn two_selects_crosswise_over_two_channels_exchange_once() {
    run(|| {
        let (a, b) = (Channel::new(), Channel::new());
        let crosswise = |to: &Channel<u32>, from: &Channel<u32>, own| {
            let (to, from) = (to.clone(), from.clone());
            spawn(move || {
                let mut value = Some(own);
                Select::new()
                    .send(&to, &mut value, |sent| sent.map(|()| 0).unwrap())
                    .recv(&from, |got| got.unwrap())
                    .wait()
            })
        };
        let (left, right) = (crosswise(&a, &b, 1), crosswise(&b, &a, 2));
        let got = (left.join().unwrap(), right.join().unwrap());
        assert!(matches!(got, (Ok(0), Ok(1)) | (Ok(2), Ok(0))), "{got:?}");
        assert_eq!((a.balance(), b.balance()), (0, 0));
    })
    .unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri too long")]
fn ready_alternatives_get_equal_shares_and_biased_takes_the_first() {
    run(|| {
        let channels: Vec<Channel<usize>> = (0..4).map(|_| Channel::new()).collect();
        for (i, channel) in channels.iter().cloned().enumerate() {
            drop(spawn(move || while channel.send(i).is_ok() {}));
        }
        yield_now();
        // The second alternative is not ready, and its neighbours must not get its share.
        channels[1].close();
        channels[1].open();
        let mut shares = [0usize; 4];
        for _ in 0..3_000 {
            yield_now(); // Every tasklet is back in its queue.
            let select = channels
                .iter()
                .fold(Select::new(), |select, channel| select.recv(channel, |got| got.unwrap()));
            shares[select.wait().unwrap()] += 1;
        }
        println!("shares {shares:?}");
        assert_eq!(shares[1], 0);
        assert!([0, 2, 3].iter().all(|&i| (900..1_100).contains(&shares[i])), "{shares:?}");
        for _ in 0..100 {
            yield_now();
            let select = Select::new().biased();
            let select = select.recv(&channels[2], |got| got.unwrap());
            assert_eq!(select.recv(&channels[0], |got| got.unwrap()).wait(), Ok(2));
        }
        channels.iter().for_each(Channel::close);
    })
    .unwrap();
}

/// Selects that take turns must not see the same luck again and again.
#[test]
fn two_selects_that_alternate_starve_no_other_tasklet() {
    run(|| {
        let (a, b) = (Channel::new(), Channel::new());
        for (i, channel) in [&a, &b, &a, &b, &a, &b].into_iter().enumerate() {
            let channel = channel.clone();
            drop(spawn(move || while channel.send(i % 2).is_ok() {}));
        }
        let selecting = |rounds: usize| {
            let (a, b) = (a.clone(), b.clone());
            spawn(move || {
                let mut shares = [0; 2];
                for _ in 0..rounds {
                    let got = Select::new().recv(&a, |v| v).recv(&b, |v| v).wait();
                    shares[got.unwrap().unwrap()] += 1;
                    yield_now();
                }
                shares
            })
        };
        for tasklet in [selecting(400), selecting(400)] {
            let shares = tasklet.join().unwrap();
            assert!(shares.iter().all(|share| (140..260).contains(share)), "{shares:?}");
        }
        a.close();
        b.close();
    })
    .unwrap();
}

#[test]
fn waiters_are_served_first_come_first_whether_plain_or_in_a_select() {
    run(|| {
        let (channel, other) = (Channel::with_handover(Handover::Neither), Channel::<u32>::new());
        let got = Rc::new(RefCell::new(Vec::new()));
        for i in 0..8 {
            let (channel, other, got) = (channel.clone(), other.clone(), got.clone());
            drop(spawn(move || {
                let value = if i % 2 == 0 {
                    channel.recv()
                } else {
                    Select::new().recv(&other, |v| v).recv(&channel, |v| v).wait().unwrap()
                };
                got.borrow_mut().push((i, value.unwrap()));
            }));
        }
        yield_now();
        assert_eq!((channel.balance(), other.balance()), (-8, -4));
        for i in 0..8 {
            channel.send(i).unwrap();
            assert_eq!(channel.balance(), i as isize - 7);
        }
        assert_eq!(other.balance(), 0);
        yield_now();
        assert_eq!(*got.borrow(), (0..8).map(|i| (i, i)).collect::<Vec<_>>());
    })
    .unwrap();
}

/// The order of running around one meeting, with two bystanders.
fn order(
    handover: Handover,
    sender_waits: bool,
    waiter_selects: bool,
    caller_selects: bool,
) -> String {
    let log = Rc::new(RefCell::new(String::new()));
    let own = log.clone();
    run(move || {
        let (channel, idle) = (Channel::with_handover(handover), Channel::<u8>::new());
        let act = |sends: bool, selects: bool, name: char| {
            let (channel, idle, log) = (channel.clone(), idle.clone(), own.clone());
            move || {
                match (sends, selects) {
                    (true, false) => channel.send(1).unwrap(),
                    (false, false) => assert_eq!(channel.recv(), Ok(1)),
                    (true, true) => Select::new()
                        .recv(&idle, |_| ())
                        .send(&channel, &mut Some(1), |sent| sent.unwrap())
                        .wait()
                        .unwrap(),
                    (false, true) => Select::new()
                        .recv(&idle, |_| ())
                        .recv(&channel, |got| assert_eq!(got, Ok(1)))
                        .wait()
                        .unwrap(),
                }
                log.borrow_mut().push(name);
            }
        };
        let partner = spawn(act(sender_waits, waiter_selects, 'p'));
        yield_now();
        let log = own.clone();
        let bystander = |name: char| {
            let log = log.clone();
            spawn(move || log.borrow_mut().push(name))
        };
        let all = [bystander('a'), bystander('b')];
        act(!sender_waits, caller_selects, 'c')();
        yield_now();
        all.into_iter().chain([partner]).for_each(|tasklet| tasklet.join().unwrap());
    })
    .unwrap();
    log.take()
}

#[test]
fn the_handover_is_that_of_a_plain_meeting() {
    for handover in [Handover::Receiver, Handover::Sender, Handover::Neither, Handover::Yield] {
        for sender_waits in [false, true] {
            let plain = order(handover, sender_waits, false, false);
            let prefers_partner = match handover {
                Handover::Receiver => !sender_waits,
                Handover::Sender => sender_waits,
                _ => false,
            };
            let expected = match handover {
                _ if prefers_partner => "pabc",
                Handover::Yield => "abpc",
                _ => "cabp",
            };
            assert_eq!(plain, expected, "{handover:?} {sender_waits}");
            for (waiter, caller) in [(true, false), (false, true), (true, true)] {
                let what = format!("{handover:?} {sender_waits} {waiter} {caller}");
                assert_eq!(order(handover, sender_waits, waiter, caller), plain, "{what}");
            }
        }
    }
}

#[test]
fn an_alternative_on_a_closing_channel_happens_with_closed() {
    run(|| {
        let (open, closed) = (Channel::<u8>::new(), Channel::<u8>::new());
        closed.close();
        let got = Select::new().recv(&open, |v| v).recv(&closed, |v| v).wait();
        assert_eq!(got, Ok(Err(RecvError::Closed)));
        let mut value = Some(3);
        let sent = Select::new().recv(&open, |_| None).send(&closed, &mut value, Some).wait();
        assert_eq!(sent, Ok(Some(Err(SendError::Closed(3)))));
        assert_eq!(value, None, "it was given back");
        assert_eq!(open.balance(), 0);
    })
    .unwrap();
}

#[test]
fn a_close_wakes_selects_that_wait() {
    run(|| {
        let close = |channel: &Channel<u8>, draining: bool| {
            if draining { channel.close_draining() } else { channel.close() }
        };
        for draining in [false, true] {
            let (a, b) = (Channel::<u8>::new(), Channel::<u8>::new());
            let (x, y) = (a.clone(), b.clone());
            let receiver =
                spawn(move || Select::new().recv(&x, |v| v).recv(&y, |v| v).wait().unwrap());
            yield_now();
            close(&b, draining);
            assert_eq!((a.balance(), b.balance()), (0, 0));
            assert_eq!(receiver.join().unwrap(), Err(RecvError::Closed));
            b.open();
            let (x, y) = (a.clone(), b.clone());
            let sender = spawn(move || {
                let mut value = Some(4);
                let sent = Select::new().recv(&x, |_| None).send(&y, &mut value, Some).wait();
                (sent.unwrap(), value)
            });
            yield_now();
            close(&b, draining);
            if draining {
                assert_eq!((a.balance(), b.balance()), (-1, 1), "it may still be received from");
                assert_eq!(b.recv(), Ok(4));
                assert_eq!(sender.join().unwrap(), (Some(Ok(())), None));
            } else {
                assert_eq!(sender.join().unwrap(), (Some(Err(SendError::Closed(4))), None));
            }
            assert_eq!((a.balance(), b.balance()), (0, 0));
        }
    })
    .unwrap();
}

#[test]
fn times_happen_by_themselves_and_limits_are_errors() {
    run(|| {
        let channel = Channel::<u8>::new();
        let begin = Instant::now();
        let shared = begin + 20 * MS;
        let timed = || Select::new().recv(&channel, |_| "value");
        assert_eq!(timed().after(60 * MS, || "late").after(5 * MS, || "soon").wait(), Ok("soon"));
        assert_eq!(timed().at(shared, || "shared").after(FOR_EVER, || "late").wait(), Ok("shared"));
        assert!(begin.elapsed() >= 20 * MS);
        assert_eq!(timed().at(shared, || "past").wait(), Ok("past"), "it ends at once");
        assert_eq!(timed().at(shared, || "past").try_wait(), Ok("past"));
        assert_eq!(
            timed().after(FOR_EVER, || "late").wait_timeout(3 * MS),
            Err(WaitError::TimedOut)
        );
        assert_eq!(timed().after(3 * MS, || "soon").wait_timeout(FOR_EVER), Ok("soon"));
        assert_eq!(timed().try_wait(), Err(WaitError::WouldBlock));
        assert_eq!(timed().after(FOR_EVER, || "late").try_wait(), Err(WaitError::WouldBlock));
        let cut = timeout(3 * MS, || timed().after(FOR_EVER, || "late").wait());
        assert_eq!(cut, Err(WaitError::TimedOut), "the deadline");
        let kept = timeout(FOR_EVER, || timed().after(3 * MS, || "soon").wait());
        assert_eq!(kept, Ok("soon"), "before the deadline");
        assert_eq!(channel.balance(), 0);
        assert!(matches!(channel.recv(), Err(RecvError::Deadlock(_))), "no timer is left over");
    })
    .unwrap();
}

#[test]
fn a_tasklet_s_end_is_taken_with_its_handle_and_others_keep_theirs() {
    run(|| {
        let mut slow = Some(spawn(|| {
            sleep(5 * MS);
            1
        }));
        let mut quick = Some(spawn(|| 2));
        let got = Select::new().join(&mut slow, |r| r).join(&mut quick, |r| r).wait();
        assert_eq!(got.unwrap().unwrap(), 2);
        assert!(slow.is_some() && quick.is_none());
        let got = Select::new().join(&mut slow, |r| r).join(&mut quick, |r| r).wait();
        assert_eq!(got.unwrap().unwrap(), 1, "the other one takes no part");
        let mut panics = Some(spawn(|| support::quiet_panic("boom")));
        let got = Select::new().join(&mut panics, |r: Result<(), _>| r).wait().unwrap();
        assert!(matches!(got, Err(JoinError::Panicked(_))), "{got:?}");
        let mut killed = Some(spawn(|| sleep(FOR_EVER)));
        yield_now();
        killed.as_ref().unwrap().kill();
        let got = Select::new().join(&mut killed, |r| r).after(FOR_EVER, || Ok(())).wait();
        assert!(matches!(got, Ok(Err(JoinError::Killed))), "{got:?}");
        // A handle whose alternative did not happen works as before.
        let mut kept = Some(spawn(|| {
            sleep(2 * MS);
            3
        }));
        assert_eq!(Select::new().join(&mut kept, |_| 0).after(MS / 10, || 1).wait(), Ok(1));
        assert_eq!(kept.unwrap().join().unwrap(), 3);
        let mut sum = 0;
        let part = 5;
        scope(|s| {
            let mut child = Some(s.spawn(|| part * 2));
            sum = Select::new().join(&mut child, |r| r.unwrap()).wait().unwrap();
        });
        assert_eq!(sum, 10);
    })
    .unwrap();
}

/// Lends a descriptor, yields meanwhile, and records its own end.
struct Lender(OwnedFd, Rc<Cell<bool>>);

impl AsFd for Lender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        yield_now();
        self.0.as_fd()
    }
}

impl Drop for Lender {
    fn drop(&mut self) {
        self.1.set(true);
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no such I/O")]
fn a_select_takes_what_wait_readable_takes_and_keeps_it_open_to_its_end() {
    run(|| {
        let (rx, mut tx) = std::io::pipe().unwrap();
        tx.write_all(&[9]).unwrap();
        let borrowed = Select::new().readable(rx.as_fd(), |r| r.is_ok()).wait();
        let borrowed_again = Select::new().readable(&rx.as_fd(), |r| r.is_ok()).wait();
        assert_eq!((borrowed, borrowed_again), (Ok(true), Ok(true)));
        let shared = Rc::new(rx);
        let share = shared.clone();
        assert_eq!(Select::new().readable(share, |r| r.is_ok()).wait(), Ok(true));
        assert_eq!(Rc::strong_count(&shared), 1);
        assert_eq!(Select::new().writable(tx, |r| r.is_ok()).wait(), Ok(true));

        let (rx, mut tx) = std::io::pipe().unwrap();
        let closed = Rc::new(Cell::new(false));
        let lender = Lender(rx.into(), closed.clone());
        let seen = closed.clone();
        let idle = Channel::<()>::new();
        let waiting = spawn(move || {
            Select::new().readable(lender, move |_| seen.get()).recv(&idle, |_| true).wait()
        });
        (0..3).for_each(|_| yield_now());
        assert_eq!(in_flight(), 1);
        assert!(!closed.get(), "its operation is in flight");
        tx.write_all(&[9]).unwrap();
        assert_eq!(waiting.join().unwrap(), Ok(false), "open until its closure has run");
        assert!(closed.get());
    })
    .unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no such I/O")]
fn a_descriptor_s_readiness_is_one_of_the_alternatives() {
    run(|| {
        let (mut rx, mut tx) = std::io::pipe().unwrap();
        let channel = Channel::<u8>::new();
        let ready = || {
            Select::new()
                .recv(&channel, |_| "value")
                .readable(&rx, |ready| ready.map(|()| "readable").unwrap())
                .after(FOR_EVER, || "late")
        };
        assert_eq!(ready().try_wait(), Err(WaitError::WouldBlock));
        assert_eq!(ready().wait_timeout(2 * MS), Err(WaitError::TimedOut));
        assert_eq!(in_flight(), 0, "its operation has been reaped");
        let writer = spawn(move || {
            support::wait_until_others_wait();
            tx.write_all(&[9]).unwrap();
            tx
        });
        assert_eq!(ready().wait(), Ok("readable"));
        assert_eq!(ready().try_wait(), Ok("readable"), "ready at once");
        assert_eq!((in_flight(), channel.balance()), (0, 0));
        let mut byte = [0];
        rx.read_exact(&mut byte).unwrap();
        let tx = writer.join().unwrap();
        let written = Select::new().writable(&tx, |r| r.is_ok()).recv(&channel, |_| false).wait();
        assert_eq!(written, Ok(true));
    })
    .unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no such I/O")]
fn a_select_returns_after_its_operations_have_been_reaped() {
    run(|| {
        let channel = Channel::new();
        for round in 0..200 {
            let pipes: Vec<_> = (0..4).map(|_| std::io::pipe().unwrap()).collect();
            let sender = channel.clone();
            let sender = spawn(move || sender.send(round));
            let select = pipes.iter().fold(Select::new(), |select, (rx, _)| {
                select.readable(rx, |_| unreachable!("no byte is written"))
            });
            let got = select.recv(&channel, |got| got.unwrap()).wait();
            assert_eq!((got, in_flight()), (Ok(round), 0));
            // The next round reuses the numbers of the descriptors.
            drop(pipes);
            sender.join().unwrap().unwrap();
        }
    })
    .unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no such I/O")]
fn at_the_limit_of_operations_readiness_fails_and_the_others_are_given_up() {
    let config = Config::new().operations_max(2);
    config
        .run(|| {
            let pipes: Vec<_> = (0..3).map(|_| std::io::pipe().unwrap()).collect();
            let channel = Channel::<u8>::new();
            let select = pipes.iter().fold(Select::new(), |select, (rx, _)| {
                select.readable(rx, |ready| ready.map_err(|error| error.kind()))
            });
            let got = select.recv(&channel, |_| Ok(())).wait();
            assert_eq!(got, Ok(Err(std::io::ErrorKind::QuotaExceeded)));
            assert_eq!((in_flight(), channel.balance()), (0, 0));
        })
        .unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no such I/O")]
fn a_kill_ends_a_select_and_leaves_no_trace() {
    overlapped::run_until(|| {
        for with_operation in [false, true] {
            let (a, b) = (Channel::<u8>::new(), Channel::<u8>::new());
            let (x, y) = (a.clone(), b.clone());
            let dropped = Rc::new(Cell::new(false));
            struct Tell(Rc<Cell<bool>>);
            impl Drop for Tell {
                fn drop(&mut self) {
                    self.0.set(true);
                }
            }
            let tell = Tell(dropped.clone());
            let victim = spawn(move || {
                let _tell = tell;
                let (rx, _tx) = std::io::pipe().unwrap();
                let (mut value, mut worker) = (Some(1), Some(spawn(|| sleep(FOR_EVER))));
                let select = Select::new()
                    .recv(&x, |_| ())
                    .send(&y, &mut value, |_| ())
                    .join(&mut worker, |_| ());
                let select = if with_operation { select.readable(&rx, |_| ()) } else { select };
                select.wait().unwrap();
            });
            yield_now();
            assert_eq!((a.balance(), b.balance()), (-1, 1));
            victim.kill();
            assert_eq!((a.balance(), b.balance()), (0, 0), "at once");
            assert!(matches!(victim.join(), Err(JoinError::Killed)));
            assert!(dropped.get());
            assert_eq!(in_flight(), 0);
        }
    })
    .unwrap();
}

/// A value that was handed over while the select's operation is still being cancelled arrives, and
/// the kill comes at the next suspension point.
#[test]
#[cfg_attr(miri, ignore = "Miri has no such I/O")]
fn a_kill_after_the_meeting_does_not_lose_the_value() {
    run(|| {
        let channel = Channel::new();
        let (inner, got) = (channel.clone(), Rc::new(Cell::new(None)));
        let seen = got.clone();
        let victim = spawn(move || {
            let (rx, _tx) = std::io::pipe().unwrap();
            let select = Select::new().readable(&rx, |_| None);
            seen.set(select.recv(&inner, |got| got.ok()).wait().unwrap());
            yield_now();
            unreachable!("the kill is delivered here");
        });
        yield_now();
        channel.send(5).unwrap();
        victim.kill();
        let ended: Result<(), _> = victim.join();
        assert!(matches!(ended, Err(JoinError::Killed)));
        assert_eq!(got.get(), Some(5));
    })
    .unwrap();
}

#[test]
fn a_select_over_channels_and_joins_gets_the_deadlock_report() {
    run(|| {
        let (a, b) = (Channel::<u8>::new(), Channel::<u8>::new());
        let mut parked = Some(Builder::new().name("parked").spawn(task::pause).unwrap());
        yield_now();
        let mut value = Some(1);
        let waited = Select::new()
            .recv(&a, |_| ())
            .send(&b, &mut value, |_| ())
            .join(&mut parked, |_| ())
            .wait();
        let Err(WaitError::Deadlock(report)) = waited else { panic!("{waited:?}") };
        let text = report.to_string();
        assert!(text.contains("tasklet 1: selecting: receiving from channel 0x"), "{text}");
        assert!(text.contains(" or sending to channel 0x"), "{text}");
        assert!(text.contains(" or joining tasklet 2"), "{text}");
        assert_eq!((a.balance(), b.balance(), value), (0, 0, Some(1)));
        let parked = parked.unwrap();
        parked.resume().unwrap();
        parked.join().unwrap();
    })
    .unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no such I/O")]
fn a_time_or_a_descriptor_keeps_the_deadlock_report_away() {
    run(|| {
        let channel = Channel::<u8>::new();
        let (rx, tx) = std::io::pipe().unwrap();
        let late = Select::new().recv(&channel, |_| false).after(10 * MS, || true).wait();
        assert_eq!(late, Ok(true));
        let scheduler = support::thread_number();
        let thread = std::thread::spawn(move || {
            support::wait_until_blocked(scheduler);
            drop(tx);
        });
        let end = Select::new().recv(&channel, |_| false).readable(&rx, |r| r.is_ok()).wait();
        assert_eq!(end, Ok(true));
        thread.join().unwrap();
    })
    .unwrap();
}

#[test]
fn a_select_of_nothing_is_an_error_at_once() {
    run(|| {
        let channel = Channel::<u8>::new();
        assert_eq!(Select::<()>::new().wait(), Err(WaitError::Empty));
        let mut none = None;
        assert_eq!(Select::new().send(&channel, &mut none, |_| ()).wait(), Err(WaitError::Empty));
        assert_eq!(task::wait_any::<overlapped::Tasklet<()>>(&mut vec![]).err(), {
            Some(WaitError::Empty)
        });
    })
    .unwrap();
}

#[test]
fn where_the_caller_may_not_wait_one_attempt_is_made() {
    run(|| {
        let channel = Channel::with_handover(Handover::Sender);
        let attempt = || Select::new().recv(&channel, |got| got.unwrap()).wait();
        assert_eq!(no_switch(attempt), Err(WaitError::WouldBlock));
        let sender = channel.clone();
        let sender = spawn(move || sender.send(1));
        yield_now();
        assert_eq!(no_switch(attempt), Ok(1));
        sender.join().unwrap().unwrap();

        struct OnDrop(Channel<u8>, Rc<RefCell<Vec<Result<u8, WaitError>>>>);
        impl Drop for OnDrop {
            fn drop(&mut self) {
                for _ in 0..2 {
                    let got = Select::new().recv(&self.0, |got| got.unwrap()).after(FOR_EVER, || 0);
                    self.1.borrow_mut().push(got.wait());
                }
            }
        }
        let seen = Rc::new(RefCell::new(Vec::new()));
        let inside = OnDrop(channel.clone(), seen.clone());
        let sender = channel.clone();
        let sender = spawn(move || sender.send(2));
        yield_now();
        let unwinds = spawn(move || {
            let _inside = inside;
            support::quiet_panic("on purpose");
        });
        assert!(unwinds.join().is_err());
        sender.join().unwrap().unwrap();
        assert_eq!(seen.take(), [Ok(2), Err(WaitError::WouldBlock)]);
    })
    .unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no such I/O")]
fn outside_a_scheduler_times_and_descriptors_are_waited_for() {
    let channel = Channel::<u8>::new();
    let begin = Instant::now();
    assert_eq!(Select::new().recv(&channel, |_| 0).after(5 * MS, || 1).wait(), Ok(1));
    assert!(begin.elapsed() >= 5 * MS);
    let lonely = Select::new().recv(&channel, |_| 0).wait_timeout(FOR_EVER);
    assert!(matches!(lonely, Err(WaitError::Deadlock(_))), "no tasklet could send");
    assert_eq!(Select::new().recv(&channel, |_| 0).try_wait(), Err(WaitError::WouldBlock));
    let (rx, mut tx) = std::io::pipe().unwrap();
    let (idle, _open) = std::io::pipe().unwrap();
    let readable = || Select::new().readable(&idle, |_| 0).readable(&rx, |_| 1);
    assert_eq!(readable().wait_timeout(2 * MS), Err(WaitError::TimedOut));
    let caller = support::thread_number();
    let thread = std::thread::spawn(move || {
        support::wait_until_blocked(caller);
        tx.write_all(&[1]).unwrap();
    });
    assert_eq!(readable().wait(), Ok(1));
    thread.join().unwrap();
    channel.close();
    assert_eq!(Select::new().recv(&channel, |got| got).wait(), Ok(Err(RecvError::Closed)));
    let mut over = Some(run(|| spawn(|| 7)).unwrap());
    assert_eq!(Select::new().join(&mut over, |r| r.unwrap()).wait(), Ok(7));
}

#[test]
fn an_observer_sees_selects_as_plain_sends_and_receives() {
    #[derive(Clone, Default)]
    struct Log(Rc<RefCell<Vec<(bool, bool)>>>);
    impl Observer for Log {
        fn channel(&self, event: task::ChannelEvent) {
            self.0.borrow_mut().push((event.sending, event.will_block));
        }
    }
    let log = Log::default();
    let seen = log.0.clone();
    let config = Config::new().observer(log.clone());
    config
        .run(|| {
            let (a, b) = (Channel::<u8>::new(), Channel::<u8>::new());
            let (x, y) = (a.clone(), b.clone());
            let waits = spawn(move || {
                let mut value = Some(1);
                Select::new().recv(&x, |_| ()).send(&y, &mut value, |_| ()).wait().unwrap();
            });
            yield_now();
            assert_eq!(seen.take(), [(false, true), (true, true)], "both will block");
            let mut none = None;
            let got = Select::new().recv(&b, |got| got).send(&a, &mut none, |_| Ok(9)).wait();
            assert_eq!(got, Ok(Ok(1)));
            assert_eq!(
                seen.take(),
                [(false, false)],
                "the observer sees only the alternative that happens at once"
            );
            waits.join().unwrap();
        })
        .unwrap();
    // An observer that interferes.
    struct Meddler(Channel<u8>, Cell<bool>);
    impl Observer for Meddler {
        fn channel(&self, event: task::ChannelEvent) {
            if !event.will_block && self.1.replace(false) {
                assert_eq!(self.0.try_recv(), Ok(1), "it takes what the select was about to");
            }
        }
    }
    let channel = Channel::new();
    let config = Config::new().observer(Meddler(channel.clone(), Cell::new(true)));
    config
        .run(|| {
            let sender = channel.clone();
            drop(spawn(move || {
                sender.send(1).unwrap();
                sender.send(2).unwrap();
            }));
            yield_now();
            assert_eq!(Select::new().recv(&channel, |got| got).wait(), Ok(Ok(2)));
        })
        .unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no such I/O")]
fn leaving_the_run_ends_selects_of_every_kind() {
    for with_operation in [false, true] {
        let channel = Channel::<u8>::new();
        let inner = channel.clone();
        let ended = overlapped::run_until(move || {
            drop(spawn(move || {
                let (rx, _tx) = std::io::pipe().unwrap();
                let select = Select::new().recv(&inner, |_| ()).after(FOR_EVER, || ());
                let select = if with_operation { select.readable(&rx, |_| ()) } else { select };
                drop(select.wait());
            }));
            yield_now();
        });
        assert!(ended.is_ok());
        assert_eq!(channel.balance(), 0);
    }
    // A tasklet that catches every kill is parked for good, with its nodes unlinked. Its thread
    // does not end.
    let (sender, balance) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let channel = Channel::<u8>::new();
        let inner = channel.clone();
        let ended = Config::new().grace(5 * MS).run_until(move || {
            drop(spawn(move || {
                task::shield(|| {
                    let (rx, _tx) = std::io::pipe().unwrap();
                    drop(Select::new().recv(&inner, |_| ()).readable(&rx, |_| ()).wait());
                });
            }));
            yield_now();
        });
        sender.send(ended.map(|()| channel.balance())).unwrap();
    });
    assert_eq!(balance.recv().unwrap().unwrap(), 0);
}

#[test]
fn the_first_tasklet_s_select_may_end_the_run_with_a_deadlock_report() {
    let ended = run(|| drop(spawn(task::pause)));
    assert!(matches!(ended, Err(RunError::Deadlock(_))));
    let channel = Channel::<u8>::new();
    let ended = run(|| {
        drop(spawn(task::pause));
        yield_now();
        Select::new().recv(&channel, |_| ()).wait()
    });
    assert!(matches!(ended, Err(RunError::Deadlock(_))), "the paused one cannot get the report");
}
