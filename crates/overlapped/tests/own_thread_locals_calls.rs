//! The library's own calls, made by tasklets with thread-locals of their own: each works as from
//! any other tasklet.

mod own_locals;
mod support;

use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use overlapped::net::{TcpListener, TcpStream};
use overlapped::task::{self, Observer, no_switch, shield, unblock};
use overlapped::time::{sleep, timeout};
use overlapped::{
    Builder, Channel, Config, JoinError, RecvError, RunError, Select, SpawnError, run, run_until,
    spawn, sync, yield_now,
};
use own_locals::{each, own, with_own_locals};
use support::ms;

#[test]
fn sockets_channels_locks_timers_and_the_pool() {
    with_own_locals(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let server = own(move || {
            for _ in 0..10 {
                let (mut client, _) = listener.accept().unwrap();
                own(move || {
                    let mut word = [0; 5];
                    client.read_exact(&mut word).unwrap();
                    sleep(ms(1));
                    client.write_all(&word).unwrap();
                });
            }
        });
        let heard = each(10, move |n| {
            let mut stream = TcpStream::connect(addr).unwrap();
            write!(stream, "{n:05}").unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text.parse::<usize>().unwrap()
        });
        assert_eq!(heard, (0..10).collect::<Vec<_>>());
        server.join().unwrap();
        let mutex = std::rc::Rc::new(sync::Mutex::new(0));
        let (lock, channel) = (mutex.clone(), Channel::new());
        let out = channel.clone();
        each(10, move |n| {
            let mut guard = lock.lock().unwrap();
            *guard += unblock(move || n).unwrap();
            yield_now();
            drop(guard);
            let out = out.clone();
            drop(own(move || out.send(n).unwrap()));
        });
        assert_eq!(*mutex.lock().unwrap(), 45);
        let sum: usize = (0..10)
            .map(|_| {
                own({
                    let channel = channel.clone();
                    move || channel.recv().unwrap()
                })
                .join()
                .unwrap()
            })
            .sum();
        assert_eq!(sum, 45);
    });
}

#[test]
fn selects_kills_deadlines_shields_and_deadlock_reports() {
    with_own_locals(|| {
        let never = Channel::<u8>::new();
        let quiet = TcpListener::bind("127.0.0.1:0").unwrap();
        let (rx, waits) = (never.clone(), never.clone());
        let cut = own(move || timeout(ms(5), || rx.recv()));
        assert_eq!(cut.join().unwrap(), Err(RecvError::TimedOut));
        let cut = own(move || timeout(ms(5), || quiet.accept()).unwrap_err().kind());
        assert_eq!(cut.join().unwrap(), ErrorKind::TimedOut);
        let killed = own(move || shield(|| waits.recv()));
        let sleeps = own(|| sleep(Duration::from_secs(3600)));
        yield_now();
        let remote = sleeps.remote();
        std::thread::spawn(move || remote.kill()).join().unwrap();
        assert!(matches!(sleeps.join(), Err(JoinError::Killed)));
        killed.kill();
        never.send(3).unwrap();
        // The value had come, so the kill waits for the next suspension point; but there is none.
        assert_eq!(killed.join().unwrap(), Ok(3));
        let (a, b) = (Channel::new(), Channel::<u8>::new());
        let (sends, selects) = (a.clone(), (a.clone(), b.clone()));
        let chosen = own(move || {
            Select::new().recv(&selects.0, |v| v.unwrap()).recv(&selects.1, |v| v.unwrap()).wait()
        });
        own(move || sends.send(7).unwrap()).join().unwrap();
        assert_eq!(chosen.join().unwrap().unwrap(), 7);
        let alone = own(move || no_switch(|| b.recv()));
        assert_eq!(alone.join().unwrap(), Err(RecvError::WouldBlock));
        let report = own(move || a.recv()).join();
        let Ok(Err(RecvError::Deadlock(report))) = report else { panic!("{report:?}") };
        assert!(report.to_string().contains("receiving from channel"), "{report}");
        let runs = own(|| run(|| ())).join().unwrap();
        assert!(matches!(runs, Err(RunError::Nested)), "{runs:?}");
        assert!(matches!(own(|| support::quiet_panic(1)).join(), Err(JoinError::Panicked(_))));
    });
}

#[test]
fn a_dump_shows_where_tasklets_wait() {
    #[inline(never)]
    fn waits_in_here(channel: &Channel<u8>) {
        let _ = channel.recv();
    }
    with_own_locals(|| {
        let channel = Channel::new();
        let theirs = channel.clone();
        let one = own(move || waits_in_here(&theirs));
        yield_now();
        for _ in 0..3 {
            let dump = format!("{:#}", task::dump());
            assert!(dump.contains("waits_in_here"), "{dump}");
        }
        channel.send(1).unwrap();
        one.join().unwrap();
    });
}

#[test]
fn an_observer_sees_their_switches_and_pauses_end() {
    struct Counts;
    static SWITCHES: AtomicUsize = AtomicUsize::new(0);
    impl Observer for Counts {
        fn switched(&self, _: Option<u64>, _: u64) {
            SWITCHES.fetch_add(1, SeqCst);
        }
    }
    let ran = Config::new().observer(Counts).run(|| {
        let paused = match Builder::new().own_thread_locals(true).spawn(task::pause) {
            Ok(tasklet) => tasklet,
            Err(error) => return println!("SKIPPED {error}"),
        };
        yield_now();
        paused.resume().unwrap();
        paused.join().unwrap();
        assert!(SWITCHES.load(SeqCst) >= 4);
    });
    ran.unwrap();
}

#[test]
fn each_scheduler_of_a_run_has_its_own() {
    thread_local! { static LAST: std::cell::Cell<usize> = const { std::cell::Cell::new(0) }; }
    let spawn_there = |index: usize| {
        let build = || Builder::new().own_thread_locals(true);
        let all: Vec<_> = (0..50)
            .map(|n| {
                build().spawn(move || {
                    LAST.set(n + index * 1000);
                    (0..5).for_each(|_| yield_now());
                    sleep(ms(1));
                    (LAST.get() == n + index * 1000) as usize
                })
            })
            .collect();
        let ends = all.into_iter().map(|one| match one {
            Ok(tasklet) => tasklet.join().unwrap(),
            Err(SpawnError::OwnThreadLocals(_)) => 1,
            Err(error) => panic!("{error}"),
        });
        ends.sum::<usize>()
    };
    for _ in 0..support::rounds(3, 100) {
        let sums = Config::new().threads(3).run(|| {
            let all = task::place_on_each(spawn_there).unwrap();
            all.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(sums.unwrap(), [50; 3]);
    }
}

#[test]
fn closures_that_have_not_started_are_dropped_at_a_shutdown() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Counts;
    impl Drop for Counts {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, SeqCst);
        }
    }
    run_until(|| {
        for _ in 0..1_000 {
            let counts = Counts;
            drop(Builder::new().own_thread_locals(true).spawn(move || drop(counts)));
        }
    })
    .unwrap();
    assert_eq!(DROPPED.load(SeqCst), 1_000);
}

#[test]
fn a_tasklet_that_outlives_the_grace_time_is_parked_for_good_with_its_own() {
    const NAME: &str = "a_tasklet_that_outlives_the_grace_time_is_parked_for_good_with_its_own";
    struct Never;
    impl Drop for Never {
        fn drop(&mut self) {
            println!("DROPPED");
        }
    }
    thread_local! { static NEVER: Never = const { Never }; }
    if support::asked().is_none() {
        let output = support::child(NAME, "child");
        let said = support::said(&output);
        assert!(said.contains("ENDED") && !said.contains("DROPPED"), "{said}");
        return;
    }
    let ended = Config::new().grace(ms(10)).run_until(|| {
        let spawned = Builder::new().own_thread_locals(true).spawn(|| {
            NEVER.with(|_| ());
            shield(|| {
                Channel::<u8>::new().recv().is_err()
                    && loop {
                        shield(|| sleep(ms(1)))
                    }
            });
        });
        drop(spawned);
        yield_now();
    });
    println!("ENDED {ended:?}");
    std::process::exit(0);
}

#[test]
fn an_overflow_names_the_tasklet() {
    const NAME: &str = "an_overflow_names_the_tasklet";
    #[inline(never)]
    fn deeper(n: u64) -> u64 {
        let room = std::hint::black_box([n; 64]);
        if n == 0 { 0 } else { deeper(n + 1) + room[1] }
    }
    if support::asked().is_some() {
        return with_own_locals(|| {
            let builder = Builder::new().own_thread_locals(true).name("digger");
            drop(builder.spawn(|| deeper(1)).unwrap().join());
        });
    }
    let output = support::child(NAME, "child");
    let said = support::said(&output);
    if said.contains("SKIPPED") {
        return println!("SKIPPED {said}");
    }
    assert!(said.contains("tasklet 'digger'") && said.contains("overflowed its stack"), "{said}");
    assert_eq!(output.status.signal(), Some(libc::SIGSEGV));
}

#[test]
fn l4_a_million_own_thread_locals_leave_no_memory_behind() {
    const NAME: &str = "l4_a_million_own_thread_locals_leave_no_memory_behind";
    if support::asked().is_none() {
        let output = support::child(NAME, "in a process without neighbours");
        let said = support::said(&output);
        assert!(output.status.success(), "{said}");
        // The child's libtest may have begun the line.
        let figure = |line: &'_ str| {
            let at = line.find("RELIABILITY").or_else(|| line.find("SKIPPED"))?;
            Some(line[at..].to_owned())
        };
        return said.lines().filter_map(figure).for_each(|line| println!("{line}"));
    }
    fn resident() -> usize {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4
    }
    // Uses what libc and std keep for each thread, malloc's cache among it.
    fn wave(count: usize) {
        let ends = each(count, |n| {
            let text = format!("{:?} {n}", std::thread::current().id());
            yield_now();
            text.len()
        });
        assert_eq!(ends.len(), count);
    }
    with_own_locals(|| {
        let (waves, width) = (support::rounds(50, 1_000), 1_000);
        (0..5).for_each(|_| wave(width));
        let before = resident();
        (0..waves).for_each(|_| wave(width));
        let grown = resident().saturating_sub(before);
        assert!(grown < 4_096, "{grown} KiB after {} tasklets", waves * width);
        support::report("L4", waves * width, &format!("tasklets, {grown} KiB grown"));
    });
}

#[test]
fn the_pool_of_blocks_shrinks_to_what_is_kept() {
    with_own_locals(|| {
        each(2_000, |_| yield_now());
        // Superfluous blocks are freed when the scheduler has slept for more than a second.
        (0..25).for_each(|_| sleep(ms(100)));
        each(2_000, |_| std::thread::current().id());
        spawn(|| ()).join().unwrap();
    });
    with_own_locals(|| assert_eq!(each(600, |n| n).len(), 600));
}
