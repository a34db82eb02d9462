//! Deadlines, limits and dumps.

use std::io::Read;
use std::time::{Duration, Instant};

use overlapped::task::{self, UnblockError, pause, unblock};
use overlapped::time::{interval, sleep, timeout};
use overlapped::{
    Builder, Channel, Config, JoinError, RecvError, SpawnError, current, net, run, run_until,
    scope, spawn, yield_now,
};

const MS: Duration = Duration::from_millis(1);

#[test]
#[cfg_attr(miri, ignore = "Miri has no such I/O")]
fn a_deadline_makes_the_calls_inside_return_errors() {
    run(|| {
        let begin = Instant::now();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut socket = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let read = timeout(10 * MS, || socket.read(&mut [0]));
        assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
        let joined = timeout(10 * MS, || spawn(|| sleep(30 * MS)).join());
        assert!(matches!(joined, Err(JoinError::TimedOut)));
        let (go, goes) = std::sync::mpsc::channel::<()>();
        let job = timeout(10 * MS, || unblock(move || goes.recv()));
        assert!(matches!(job, Err(UnblockError::TimedOut)));
        drop(go);
        timeout(10 * MS, || sleep(Duration::MAX));
        assert!(begin.elapsed() >= 40 * MS);
        assert_eq!(timeout(Duration::ZERO, || 5), 5, "a call that does not wait is not affected");
    })
    .unwrap();
}

#[test]
fn of_nested_deadlines_the_earliest_counts_and_each_ends_with_its_closure() {
    run(|| {
        let channel = Channel::<u8>::new();
        let begin = Instant::now();
        timeout(10 * MS, || {
            let inner = timeout(Duration::from_secs(60), || channel.recv());
            assert_eq!(inner, Err(RecvError::TimedOut));
            assert_eq!(timeout(Duration::MAX, || channel.recv()), Err(RecvError::TimedOut));
        });
        timeout(Duration::from_secs(60), || {
            assert_eq!(timeout(5 * MS, || channel.recv()), Err(RecvError::TimedOut));
            sleep(5 * MS);
        });
        assert!(begin.elapsed() >= 20 * MS && begin.elapsed() < Duration::from_secs(30));
        sleep(MS);
        let mut child = None;
        timeout(5 * MS, || scope(|s| drop(s.spawn(|| child = Some(Channel::<u8>::new().recv())))));
        assert_eq!(child, Some(Err(RecvError::TimedOut)), "a scope's children have it too");
        let caught = std::panic::catch_unwind(|| {
            timeout(Duration::ZERO, || std::panic::resume_unwind(Box::new(())));
        });
        assert!(caught.is_err());
        let inner = channel.clone();
        drop(spawn(move || inner.send(1)));
        assert_eq!(channel.recv(), Ok(1), "a panic leaves no deadline behind");
    })
    .unwrap();
}

#[test]
fn a_limit_that_was_not_needed_does_not_end_a_later_wait() {
    run(|| {
        let channel = Channel::new();
        let inner = channel.clone();
        drop(spawn(move || inner.send_all([1, 2])));
        assert_eq!(channel.recv_timeout(5 * MS), Ok(1));
        let begin = Instant::now();
        sleep(30 * MS);
        assert!(begin.elapsed() >= 30 * MS, "the old limit ended it after {:?}", begin.elapsed());
        assert_eq!(channel.recv_timeout(5 * MS), Ok(2));
        assert_eq!(channel.recv_timeout(30 * MS), Err(RecvError::TimedOut));
        assert!(begin.elapsed() >= 60 * MS, "and neither does it end another limit");
        // The other way round: the entry of a farther limit does not delay a nearer one.
        let inner = channel.clone();
        drop(spawn(move || inner.send(3)));
        assert_eq!(channel.recv_timeout(Duration::from_secs(60)), Ok(3));
        assert_eq!(channel.recv_timeout(5 * MS), Err(RecvError::TimedOut));
        assert!(begin.elapsed() < Duration::from_secs(30));
    })
    .unwrap();
}

#[test]
fn an_interval_keeps_its_beat() {
    run(|| {
        let begin = Instant::now();
        let mut ticks = interval(5 * MS);
        let first = ticks.tick();
        sleep(12 * MS);
        let late = [ticks.tick(), ticks.tick()];
        assert_eq!(late.map(|tick| tick - first), [5 * MS, 10 * MS], "missed ticks come at once");
        ticks.tick();
        assert!(begin.elapsed() >= 20 * MS);
    })
    .unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no such I/O")]
fn the_limits_are_errors_or_waits() {
    let ended = Config::new().tasklets_max(3).run(|| {
        let (a, b) = (spawn(pause), spawn(|| 1));
        assert_eq!(Builder::new().spawn(|| ()).err(), Some(SpawnError::Limit));
        let scoped = scope(|s| Builder::new().spawn_scoped(s, || ()).err());
        assert_eq!(scoped, Some(SpawnError::Limit));
        assert_eq!(b.join().unwrap(), 1);
        spawn(|| ()).join().unwrap();
        a.kill();
    });
    ended.unwrap();
    let ended = Config::new().operations_max(2).run(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let mut socket = net::TcpStream::connect(address).unwrap();
                spawn(move || socket.read(&mut [0]).map_err(|error| error.kind()))
            })
            .collect();
        yield_now();
        assert_eq!(task::stats().unwrap().in_flight, 2);
        drop(listener);
        readers.into_iter().map(|reader| reader.join().unwrap()).collect::<Vec<_>>()
    });
    let kinds = ended.unwrap();
    let refused = Err(std::io::ErrorKind::QuotaExceeded);
    assert_eq!(kinds.iter().filter(|&&kind| kind == refused).count(), 1, "{kinds:?}");
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no such I/O")]
fn stats_count_what_there_is() {
    assert!(task::stats().is_none());
    run_until(|| {
        let before = task::stats().unwrap();
        assert_eq!((before.spawned, before.live, before.runnable), (1, 1, 1));
        for _ in 0..3 {
            drop(spawn(|| sleep(Duration::MAX)));
        }
        let spawned = task::stats().unwrap();
        assert_eq!((spawned.spawned, spawned.live, spawned.runnable), (4, 4, 4));
        yield_now();
        let parked = task::stats().unwrap();
        assert_eq!((parked.live, parked.runnable, parked.waiting_for_stack), (4, 1, 0));
        assert!(parked.switches >= before.switches + 4);
        assert!(["uring", "poll"].contains(&parked.port));
        assert!(parked.stacks >= 4);
    })
    .unwrap();
}

#[inline(never)]
fn the_function_that_waits(channel: &Channel<u8>) {
    drop(channel.recv());
    std::hint::black_box(());
}

#[test]
#[cfg_attr(miri, ignore = "under Miri each tasklet is a thread")]
fn a_dump_shows_every_tasklet_with_the_function_that_waits() {
    assert!(task::dump().lines().is_empty());
    run(|| {
        let channel = Channel::new();
        let inner = channel.clone();
        let waiter = Builder::new().name("waiter").spawn(move || the_function_that_waits(&inner));
        let sleeper = Builder::new().name("sleeper").spawn(|| sleep(Duration::MAX)).unwrap();
        yield_now();
        let fresh = Builder::new().name("fresh").spawn(|| ()).unwrap();
        sleep(5 * MS);
        let unstarted = Builder::new().name("unstarted").spawn(|| ()).unwrap();
        let dump = task::dump();
        let lines = dump.lines();
        assert_eq!(lines.len(), 4, "{dump}");
        assert_eq!(lines[0].tasklet.id, 1, "the oldest first");
        assert_eq!(lines[0].tasklet.on, "running");
        assert!(lines[1].tasklet.on.starts_with("receiving from channel"));
        assert!(lines[1].since >= 2 * MS, "{:?}", lines[1].since);
        assert_eq!(lines[2].tasklet.on, "sleeping");
        assert_eq!(lines[3].tasklet.on, "not started");
        assert!(lines[3].backtrace.is_empty() && !lines[1].backtrace.is_empty());
        let text = format!("{dump:#}");
        assert!(text.contains("the_function_that_waits"), "{text}");
        assert!(text.contains("a_dump_shows_every_tasklet"), "the caller's own trace: {text}");
        // A dump only reads: all tasklets go on waiting for what they waited for.
        (0..50).for_each(|_| drop(task::dump()));
        assert_eq!(channel.balance(), -1);
        sleeper.kill();
        channel.send(1).unwrap();
        waiter.unwrap().join().unwrap();
        drop((fresh, unstarted, sleeper));
    })
    .unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri too long")]
fn a_dump_of_many_tasklets_is_quick() {
    run_until(|| {
        for _ in 0..10_000 {
            drop(spawn(|| sleep(Duration::MAX)));
        }
        yield_now();
        let begin = Instant::now();
        let dump = task::dump();
        assert_eq!(dump.lines().len(), 10_001);
        assert!(dump.lines().iter().all(|line| !line.backtrace.is_empty()));
        println!("a dump of 10,001 tasklets: {:?}", begin.elapsed());
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    })
    .unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "under Miri each tasklet is a thread")]
fn a_destructor_that_runs_while_the_thread_ends_may_call_the_library() {
    struct Late(Channel<u8>);
    impl Drop for Late {
        fn drop(&mut self) {
            assert!(!task::in_tasklet());
            assert_eq!(self.0.try_recv(), Err(RecvError::WouldBlock));
            assert_eq!(run(|| spawn(|| current().id()).join().unwrap().to_string()).unwrap(), "2");
        }
    }
    thread_local!(static LATE: Late = Late(Channel::new()));
    let thread = std::thread::spawn(|| {
        LATE.with(|_| ());
        run(|| LATE.with(|_| ())).unwrap();
    });
    thread.join().unwrap();
}

#[test]
fn a_panic_hook_may_call_the_library() {
    run(|| {
        let channel = Channel::<u8>::new();
        let own = std::thread::current().id();
        let old = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().id() != own {
                return old(info);
            }
            yield_now();
            sleep(MS);
            assert!(!task::dump().lines().is_empty());
            assert!(task::stats().is_some());
        }));
        let panics = spawn(|| panic!("once"));
        assert!(matches!(panics.join(), Err::<(), _>(JoinError::Panicked(_))));
        drop(std::panic::take_hook());
        drop(channel);
    })
    .unwrap();
}

#[test]
fn a_dump_says_since_when_others_have_paused_a_tasklet() {
    let begin = Instant::now();
    run(|| {
        let tasklet = spawn(|| ());
        tasklet.pause().unwrap();
        let dump = task::dump();
        let line = dump.lines().iter().find(|line| line.tasklet.id == 2).unwrap();
        assert_eq!(line.tasklet.on, "paused");
        assert!(line.since <= begin.elapsed(), "{:?}", line.since);
        tasklet.resume().unwrap();
        tasklet.join().unwrap();
    })
    .unwrap();
}
