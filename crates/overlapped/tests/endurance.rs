//! Millions of spawns and wakes, and timers beside a tasklet that never rests.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use overlapped::task::{self, unblock};
use overlapped::time::sleep;
use overlapped::{Channel, JoinError, Remote, run, run_until, spawn, yield_now};

/// Spawns and joins tasklets, some of which wait, panic, are killed or named.
fn churn(tasklets: usize) {
    let channel = Channel::new();
    for i in (0..tasklets).step_by(8) {
        let batch: [_; 8] = std::array::from_fn(|k| {
            let channel = channel.clone();
            match k {
                0..5 => spawn(move || i + k),
                5 => spawn(move || channel.recv().unwrap()),
                6 => {
                    let named = overlapped::Builder::new().name("named");
                    named.spawn(move || support::quiet_panic(i)).unwrap()
                }
                _ => spawn(move || {
                    sleep(Duration::MAX);
                    i
                }),
            }
        });
        yield_now();
        channel.send(i).unwrap();
        let remote = batch[7].remote();
        batch[7].kill();
        for (k, tasklet) in batch.into_iter().enumerate() {
            match tasklet.join() {
                Ok(value) => assert!(value == i + k || k == 5),
                Err(JoinError::Panicked(_)) => assert_eq!(k, 6),
                Err(JoinError::Killed) => assert_eq!(k, 7),
                Err(other) => panic!("{other}"),
            }
        }
        assert!(remote.is_finished());
    }
}

#[test]
fn s4_a_million_tasklets_leave_no_memory_behind() {
    const SLACK_KIB: usize = 5 * 1024;
    // In a process of its own: other tests of this program allocate meanwhile.
    if support::asked().is_none() {
        let output = support::child("s4_a_million_tasklets_leave_no_memory_behind", "churn");
        let said = support::said(&output);
        assert!(output.status.success(), "{said}");
        let line = said.lines().find_map(|line| line.find("RELIABILITY").map(|at| &line[at..]));
        println!("{}", line.expect("the child reports"));
        return;
    }
    let tasklets = support::rounds(100_000, 1_000_000);
    run(|| {
        churn(10_000);
        let (rss, maps) = (support::status("VmRSS"), support::mappings());
        churn(tasklets);
        let (rss_after, maps_after) = (support::status("VmRSS"), support::mappings());
        let grown = rss_after.saturating_sub(rss);
        assert!(grown <= SLACK_KIB, "{grown} KiB more after {tasklets} tasklets");
        assert!(maps_after <= maps + 8, "{maps} mappings, later {maps_after}");
        assert_eq!(task::stats().unwrap().live, 1);
        support::report("S4", tasklets, &format!("tasklets, {grown} KiB grown"));
    })
    .unwrap();
}

#[test]
fn p13_no_wake_from_another_thread_is_lost() {
    const SENDERS: usize = 4;
    let wakes = support::rounds(20_000, 1_000_000);
    // Victims for the threads: each kill wakes a tasklet that waits for ever.
    let victims: Arc<Mutex<Vec<Remote>>> = Arc::default();
    let (stop, posted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let senders: Vec<_> = (0..SENDERS)
        .map(|i| {
            let (victims, stop, posted) = (victims.clone(), stop.clone(), posted.clone());
            std::thread::spawn(move || {
                let mut rounds = i;
                while !stop.load(Ordering::Acquire) {
                    let victim = victims.lock().unwrap().pop();
                    match victim {
                        Some(victim) => {
                            victim.kill();
                            posted.fetch_add(1, Ordering::Relaxed);
                        }
                        None => std::thread::yield_now(),
                    }
                    rounds += 1;
                    // Now and then the scheduler gets the time to fall asleep.
                    if rounds % 64 == 0 {
                        std::thread::sleep(Duration::from_micros(50));
                    }
                }
            })
        })
        .collect();
    let mut unblocked = 0;
    run(|| {
        let mut woken = 0;
        while woken < wakes {
            let crowd: Vec<_> = (0..64)
                .map(|i| {
                    spawn(move || match i % 2 {
                        0 => task::pause(),
                        _ => sleep(Duration::MAX),
                    })
                })
                .collect();
            yield_now();
            victims.lock().unwrap().extend(crowd.iter().map(overlapped::Tasklet::remote));
            if woken % 1024 == 0 {
                let jobs: Vec<_> = (0..16).map(|i| spawn(move || unblock(move || i))).collect();
                for (i, job) in jobs.into_iter().enumerate() {
                    assert_eq!(job.join().unwrap().unwrap(), i);
                    unblocked += 1;
                }
            }
            for tasklet in crowd {
                // A lost wake is a hang here: nothing else wakes them.
                assert!(matches!(tasklet.join(), Err(JoinError::Killed)));
                woken += 1;
            }
        }
    })
    .unwrap();
    stop.store(true, Ordering::Release);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    let posted = posted.load(Ordering::Relaxed);
    assert!(posted >= wakes);
    support::report("P13", posted + unblocked, &format!("wakes by {SENDERS} threads, none lost"));
}

/// Reads the processor time of this thread alone.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills in a valid place.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Measures the delays of 1,000 timers of 10 ms beside a tasklet that does `turn` again and again.
/// The processor time counts, because it stands still while other programs have the processor, and
/// the thread always has something to do. With the full figures the clock's time counts.
fn lateness(turn: impl Fn(u32) + 'static) -> Vec<Duration> {
    const TIMERS: usize = 1_000;
    const NAP: Duration = Duration::from_millis(10);
    let late: Rc<RefCell<Vec<Duration>>> = Rc::default();
    let rounds = support::rounds(3, 30);
    let seen = late.clone();
    run_until(move || {
        let turns = Rc::new(Cell::new(0));
        let own = turns.clone();
        drop(spawn(move || {
            loop {
                turn(own.get());
                own.set(own.get() + 1);
                yield_now();
            }
        }));
        let timers: Vec<_> = (0..TIMERS)
            .map(|_| {
                let late = seen.clone();
                spawn(move || {
                    for _ in 0..rounds {
                        let (begin, ran) = (Instant::now(), processor_time());
                        sleep(NAP);
                        let (took, ran) = (begin.elapsed(), processor_time() - ran);
                        assert!(took >= NAP, "a timer came {:?} early", NAP - took);
                        let counted = if support::rounds(0, 1) == 1 { took } else { took.min(ran) };
                        late.borrow_mut().push(counted.saturating_sub(NAP));
                    }
                })
            })
            .collect();
        timers.into_iter().for_each(|timer| timer.join().unwrap());
        assert!(turns.get() > 0);
    })
    .unwrap();
    let mut late = late.take();
    late.sort_unstable();
    late
}

fn spin(time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        std::hint::spin_loop();
    }
}

#[test]
fn p14_timers_are_in_time_beside_a_tasklet_that_is_always_ready() {
    let mut checks = 0;
    let mut figures = Vec::new();
    type Turn = (&'static str, fn(u32));
    let turns: [Turn; 3] = [
        ("quick", |_| {}),
        ("1 ms", |_| spin(Duration::from_millis(1))),
        // Quick turns make the scheduler trust it, slow ones exploit that.
        ("mixed", |turn| {
            if turn % 128 >= 64 {
                spin(Duration::from_millis(2))
            }
        }),
    ];
    for (name, turn) in turns {
        // A busy machine is late by itself; the scheduler's own lateness is there every time.
        let mut best = Duration::MAX;
        for _ in 0..5 {
            let late = lateness(turn);
            checks += late.len();
            best = best.min(late[late.len() * 99 / 100]);
            if best < Duration::from_millis(50) {
                break;
            }
        }
        assert!(best < Duration::from_millis(50), "{name} turns: p99 is {best:?}");
        figures.push(format!("{name} p99 {} µs", best.as_micros()));
    }
    support::report("P14", checks, &format!("timers, {}", figures.join(", ")));
}
