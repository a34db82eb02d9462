//! Intervals and nested deadlines.

use std::cell::Cell;
use std::io::{ErrorKind, Read};
use std::rc::Rc;

use overlapped::task::{TaskletGroup, WaitError, unblock, wait_any};
use overlapped::time::{Duration, Instant, MissedTickBehavior, interval, sleep, timeout};
use overlapped::{
    Channel, JoinError, RecvError, Select, SendError, SpawnError, net, run, run_until, scope,
    spawn, yield_now,
};

const MS: Duration = Duration::from_millis(1);
const FOR_EVER: Duration = Duration::from_secs(60);

/// Returns when the ticks after a stall of two and a half periods were due, and when they came, in
/// periods since the beginning.
fn after_a_stall(behavior: MissedTickBehavior, period: Duration) -> (Vec<f64>, Vec<f64>) {
    run(|| {
        let begin = Instant::now();
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(behavior);
        assert_eq!(ticks.missed_tick_behavior(), behavior);
        let periods = |at: Instant| at.duration_since(begin).as_secs_f64() / period.as_secs_f64();
        ticks.tick();
        std::thread::sleep(period * 5 / 2);
        let (mut due, mut came) = (Vec::new(), Vec::new());
        for _ in 0..4 {
            due.push(periods(ticks.tick()));
            came.push(periods(Instant::now()));
        }
        (due, came)
    })
    .unwrap()
}

/// Checks that ticks are never early, and less than half a period late. If the machine stalls, it
/// tries again, later with longer periods, of which a stall is a smaller part.
fn about(what: &str, expected: &[f64], round: impl Fn(Duration) -> Vec<f64>) {
    let mut last = Vec::new();
    for attempt in 0..18 {
        last = round(10 * MS * (1 << (attempt / 3 * 2)));
        let near = |(a, b): (&f64, &f64)| (-0.01..0.45).contains(&(a - b));
        if last.len() == expected.len() && last.iter().zip(expected).all(near) {
            return;
        }
    }
    panic!("{what}: {last:?}, expected about {expected:?}");
}

#[test]
#[cfg_attr(miri, ignore = "Miri takes its time")]
fn burst_catches_up_delay_begins_anew_and_skip_keeps_the_beat() {
    let came = |behavior| move |period| after_a_stall(behavior, period).1;
    // The stall lasts from 1.0 to 3.5 periods.
    about("burst", &[3.5, 3.5, 4.0, 5.0], came(MissedTickBehavior::Burst));
    about("delay", &[3.5, 4.5, 5.5, 6.5], came(MissedTickBehavior::Delay));
    about("skip", &[3.5, 4.0, 5.0, 6.0], came(MissedTickBehavior::Skip));
    let due = |behavior| move |period| after_a_stall(behavior, period).0;
    about("burst, meant for", &[2.0, 3.0, 4.0, 5.0], due(MissedTickBehavior::Burst));
    about("delay, meant for", &[2.0, 4.5, 5.5, 6.5], due(MissedTickBehavior::Delay));
    about("skip, meant for", &[2.0, 4.0, 5.0, 6.0], due(MissedTickBehavior::Skip));
}

#[test]
fn ticks_in_time_keep_the_beat_whatever_the_behavior() {
    run(|| {
        for behavior in [MissedTickBehavior::Delay, MissedTickBehavior::Skip] {
            let keeps = |period: Duration| {
                let mut ticks = interval(period);
                ticks.set_missed_tick_behavior(behavior);
                let first = ticks.tick();
                // The tick is late, but not by a whole period, so no tick was missed.
                sleep(period / 4);
                let is_in_time = first.elapsed() < period;
                let second = ticks.tick().duration_since(first);
                assert!(second == period || !is_in_time, "{behavior:?}: {second:?}");
                is_in_time
            };
            assert!([10, 100, 1_000, 10_000].into_iter().any(|ms| keeps(ms * MS)), "not tested");
        }
        assert_eq!(MissedTickBehavior::default(), MissedTickBehavior::Burst);
    })
    .unwrap();
}

#[test]
fn a_deadline_ends_a_tick_early_and_it_is_waited_for_again() {
    /// Returns false if the machine stalled until the tick was due.
    fn is_cut_at(period: Duration) -> bool {
        let begin = Instant::now();
        let mut ticks = interval(period);
        let due = ticks.due();
        assert_eq!(timeout(2 * MS, || ticks.tick()), due);
        if begin.elapsed() >= period {
            return false;
        }
        assert_eq!(ticks.tick(), due, "it had not come");
        assert!(begin.elapsed() >= period);
        ticks.reset();
        assert!(ticks.due() >= begin + 2 * period);
        assert_eq!(ticks.period(), period);
        true
    }
    run(|| {
        let begin = Instant::now();
        assert!([20, 200, 2_000, 20_000].into_iter().any(|ms| is_cut_at(ms * MS)), "not cut");
        let far = interval(Duration::MAX);
        assert!(far.due() > begin + 1_000_000 * FOR_EVER, "at the maximum of time");
    })
    .unwrap();
}

#[test]
fn an_interval_and_a_channel_in_one_loop() {
    run(|| {
        let channel = Channel::new();
        let sender = channel.clone();
        drop(spawn(move || {
            for i in 0..5 {
                sleep(4 * MS);
                sender.send(i).unwrap();
            }
            sender.close();
        }));
        let mut ticks = interval(3 * MS);
        let (mut ticked, mut got) = (0, 0);
        loop {
            let ended = overlapped::select! {
                recv(channel) -> value => match value {
                    Ok(_) => got += 1,
                    Err(_) => break,
                },
                at(ticks.due()) => {
                    ticks.tick();
                    ticked += 1;
                }
            };
            ended.unwrap();
        }
        assert!(got == 5 && ticked >= 4, "{got} {ticked}");
    })
    .unwrap();
}

#[test]
#[should_panic(expected = "must not be zero")]
fn a_period_of_zero_is_refused() {
    let _ = interval(Duration::ZERO);
}

#[test]
fn of_nested_deadlines_the_earliest_counts() {
    run(|| {
        let cut_after = |limits: &[Duration]| {
            fn nest(limits: &[Duration], f: &dyn Fn()) {
                match limits {
                    [first, rest @ ..] => timeout(*first, || nest(rest, f)),
                    [] => f(),
                }
            }
            let begin = Instant::now();
            nest(limits, &|| assert_eq!(Channel::<u8>::new().recv(), Err(RecvError::TimedOut)));
            begin.elapsed()
        };
        for limits in [
            [5 * MS, FOR_EVER, FOR_EVER],
            [FOR_EVER, 5 * MS, FOR_EVER],
            [FOR_EVER, Duration::MAX, 5 * MS],
        ] {
            let took = cut_after(&limits);
            assert!((5 * MS..FOR_EVER / 2).contains(&took), "{limits:?} {took:?}");
        }
        // The end of the inner deadline leaves the outer one unchanged.
        let begin = Instant::now();
        timeout(30 * MS, || {
            for _ in 0..3 {
                assert_eq!(
                    timeout(2 * MS, || Channel::<u8>::new().recv()),
                    Err(RecvError::TimedOut)
                );
            }
            sleep(FOR_EVER);
            assert!((30 * MS..FOR_EVER / 2).contains(&begin.elapsed()));
        });
        assert_eq!(timeout(Duration::MAX, || timeout(MS, || 3)), 3);
    })
    .unwrap();
}

#[test]
fn spawned_tasklets_do_not_inherit_a_deadline_and_scoped_ones_do() {
    run(|| {
        let lasted = Rc::new(Cell::new(false));
        let seen = lasted.clone();
        let free = timeout(5 * MS, || {
            let free = spawn(move || {
                sleep(30 * MS);
                seen.set(true);
            });
            let begin = Instant::now();
            scope(|s| drop(s.spawn(|| sleep(FOR_EVER))));
            assert!(begin.elapsed() < FOR_EVER / 2);
            free
        });
        free.join().unwrap();
        assert!(lasted.get());
    })
    .unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no such I/O")]
fn every_call_that_waits_says_that_the_deadline_passed() {
    run_until(|| {
        let soon = 2 * MS;
        let channel = Channel::<u8>::new();
        assert_eq!(timeout(soon, || channel.recv()), Err(RecvError::TimedOut));
        assert!(matches!(timeout(soon, || channel.send(1)), Err(SendError::TimedOut(1))));
        assert_eq!(timeout(soon, || channel.recv_timeout(FOR_EVER)), Err(RecvError::TimedOut));
        let select = timeout(soon, || Select::new().recv(&channel, |_| ()).wait());
        assert_eq!(select, Err(WaitError::TimedOut));
        let joined = timeout(soon, || spawn(|| sleep(FOR_EVER)).join());
        assert!(matches!(joined, Err(JoinError::TimedOut)));
        let mut handles = vec![spawn(|| sleep(FOR_EVER))];
        assert_eq!(timeout(soon, || wait_any(&mut handles)).err(), Some(WaitError::TimedOut));
        let mut group = TaskletGroup::new(1);
        group.spawn(|| sleep(FOR_EVER)).unwrap();
        let full = timeout(soon, || group.spawn(|| ()));
        assert_eq!(full, Err(SpawnError::Wait(WaitError::TimedOut)));
        let (go, goes) = std::sync::mpsc::channel::<()>();
        let job = timeout(soon, || unblock(move || goes.recv()));
        assert!(job.is_err());
        drop(go);
        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let accepted = timeout(soon, || listener.accept());
        assert_eq!(accepted.unwrap_err().kind(), ErrorKind::TimedOut);
        let mut stream = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let read = timeout(soon, || stream.read(&mut [0]));
        assert_eq!(read.unwrap_err().kind(), ErrorKind::TimedOut);
        let (rx, _tx) = std::io::pipe().unwrap();
        let ready = timeout(soon, || net::wait_readable(&rx));
        assert_eq!(ready.unwrap_err().kind(), ErrorKind::TimedOut);
        // A deadline that has passed does not affect calls that need not wait.
        timeout(Duration::ZERO, || {
            let sender = channel.clone();
            drop(spawn(move || sender.send(4)));
            yield_now();
            assert_eq!(channel.recv(), Ok(4));
        });
    })
    .unwrap();
}
