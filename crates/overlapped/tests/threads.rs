//! Many schedulers, one per thread.

mod support;

use std::collections::HashSet;
use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use overlapped::net::{BindOptions, TcpListener, TcpStream};
use overlapped::task::{self, Placed, place, place_on, place_on_each, spawner};
use overlapped::{Channel, Config, JoinError, RunError, SpawnError, spawn, time, yield_now};
use support::{wait_until, wait_until_others_wait};

fn threads(n: usize) -> Config {
    Config::new().threads(n)
}

/// Counts its drops, and checks the stack on which they happen.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        assert!(task::in_tasklet(), "dropped on a tasklet's stack");
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
#[cfg_attr(miri, ignore = "under Miri each tasklet is a thread")]
fn each_scheduler_has_a_thread_of_its_own() {
    let ids = threads(3).run(|| {
        assert_eq!(task::schedulers(), 3);
        let all = place_on_each(|index| (index, thread::current().id())).unwrap();
        all.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    let ids = ids.unwrap();
    assert_eq!(ids.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(ids.iter().map(|(_, id)| *id).collect::<HashSet<_>>().len(), 3);
    assert_eq!(ids[0].1, thread::current().id());
}

#[test]
fn a_run_ends_when_the_last_tasklet_anywhere_has_ended() {
    let done = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&done);
    threads(3)
        .run(move || {
            let all = place_on_each(move |_| {
                let (first, second) = (count.clone(), count);
                spawn(move || {
                    time::sleep(Duration::from_millis(20));
                    first.fetch_add(1, SeqCst);
                });
                // From there a closure goes to the next scheduler, and no tasklet waits for it.
                drop(place_on(1, move || {
                    time::sleep(Duration::from_millis(40));
                    second.fetch_add(1, SeqCst);
                }));
            });
            drop(all);
        })
        .unwrap();
    assert_eq!(done.load(SeqCst), 6);
}

#[test]
#[cfg_attr(miri, ignore = "under Miri each tasklet is a thread")]
fn work_goes_where_the_fewest_placed_tasklets_are() {
    threads(4)
        .run(|| {
            let release = Arc::new(AtomicBool::new(false));
            let all: Vec<Placed<_>> = (0..8)
                .map(|_| {
                    let release = release.clone();
                    place(move || {
                        wait_until("it is let go", || release.load(SeqCst));
                        thread::current().id()
                    })
                })
                .collect();
            release.store(true, SeqCst);
            let ids: Vec<_> = all.into_iter().map(|one| one.join().unwrap()).collect();
            for id in &ids {
                assert_eq!(ids.iter().filter(|other| *other == id).count(), 2);
            }
        })
        .unwrap();
}

#[test]
fn results_panics_and_kills_reach_the_join() {
    threads(2)
        .run(|| {
            assert_eq!(place_on(1, || "done").unwrap().join().unwrap(), "done");
            let panicked = place_on(1, || panic!("over there")).unwrap().join();
            match panicked {
                Err(JoinError::Panicked(payload)) => {
                    assert_eq!(payload.message(), Some("over there"));
                }
                other => panic!("{other:?}"),
            }
            let sleeping = place_on(1, || time::sleep(Duration::MAX)).unwrap();
            place_on(1, wait_until_others_wait).unwrap().join().unwrap();
            sleeping.kill();
            assert!(matches!(sleeping.join(), Err(JoinError::Killed)));
        })
        .unwrap();
}

#[test]
fn a_kill_before_the_start_drops_the_closure_on_a_tasklets_stack() {
    let drops = Arc::new(AtomicUsize::new(0));
    let counted = Counted(drops.clone());
    threads(1)
        .run(move || {
            let never = place(move || drop(counted));
            never.kill();
            assert!(matches!(never.join(), Err(JoinError::Killed)));
        })
        .unwrap();
    assert_eq!(drops.load(SeqCst), 1);
}

#[test]
fn run_until_kills_all_tasklets_on_all_threads() {
    let drops = Arc::new(AtomicUsize::new(0));
    let inner = drops.clone();
    let begin = Instant::now();
    threads(3)
        .grace(Duration::from_secs(120))
        .run_until(move || {
            let begun = Arc::new(AtomicUsize::new(0));
            let all = place_on_each({
                let begun = begun.clone();
                move |_| {
                    let _counted = Counted(inner);
                    begun.fetch_add(1, SeqCst);
                    time::sleep(Duration::MAX);
                }
            })
            .unwrap();
            wait_until("all have begun", || begun.load(SeqCst) >= 3);
            drop(all);
        })
        .unwrap();
    assert_eq!(drops.load(SeqCst), 3);
    assert!(begin.elapsed() < Duration::from_secs(60), "no grace time was needed");
}

#[test]
fn a_panic_of_the_first_tasklet_ends_all_threads() {
    let result = thread::spawn(|| {
        threads(3).run(|| -> () {
            drop(place_on_each(|_| time::sleep(Duration::MAX)));
            for thread in 0..3 {
                place_on(thread, wait_until_others_wait).unwrap().join().unwrap();
            }
            panic!("the first");
        })
    })
    .join();
    assert_eq!(result.unwrap_err().downcast_ref(), Some(&"the first"));
}

#[test]
fn a_deadlock_across_all_schedulers_is_named() {
    let error = threads(3).run(|| Channel::<()>::new().recv()).unwrap();
    assert!(matches!(error, Err(overlapped::RecvError::Deadlock(_))), "{error:?}");
    // A tasklet without a waiter, on another thread.
    let report = threads(3).run(|| {
        drop(place_on(2, || {
            let error = Channel::<()>::new().recv().unwrap_err();
            assert!(matches!(error, overlapped::RecvError::Deadlock(_)), "{error:?}");
        }));
    });
    report.unwrap();
    let report = threads(2).run(|| {
        drop(place_on(1, task::pause));
    });
    assert!(matches!(report, Err(RunError::Deadlock(_))), "{report:?}");
}

#[test]
fn a_spawner_brings_work_from_plain_threads_and_ends_with_the_run() {
    let spawner = threads(2).run(|| {
        let there = place_on(1, || spawner().unwrap()).unwrap().join().unwrap();
        let clone = there.clone();
        let thread = thread::spawn(move || clone.spawn(|| 5).unwrap().join().unwrap());
        assert_eq!(task::unblock(move || thread.join().unwrap()).unwrap(), 5);
        there
    });
    let refused = spawner.unwrap().spawn(|| ());
    assert!(matches!(refused, Err(SpawnError::Ended)), "{refused:?}");
}

#[test]
fn a_plain_thread_may_join_what_it_placed() {
    overlapped::run(|| {
        let spawner = spawner().unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let placed = spawner.spawn(|| {
                yield_now();
                7
            });
            tell.send(placed.unwrap().join().unwrap()).unwrap();
        });
        wait_until("the thread ends", || thread.is_finished());
        assert_eq!(told.recv().unwrap(), 7);
    })
    .unwrap();
}

#[test]
fn too_many_placed_tasklets_are_an_error_value() {
    overlapped::Config::new()
        .threads(2)
        .tasklets_max(3)
        .run_until(|| {
            let mut kept = Vec::new();
            let refused = loop {
                match place_on(1, || time::sleep(Duration::MAX)) {
                    Ok(placed) => kept.push(placed),
                    Err(error) => break error,
                }
            };
            assert_eq!((refused, kept.len()), (SpawnError::Limit, 3));
            assert_eq!(place_on(2, || ()).unwrap_err(), SpawnError::NoScheduler);
        })
        .unwrap();
}

#[test]
fn the_grace_time_holds_on_every_thread() {
    let begin = Instant::now();
    let has_begun = Arc::new(AtomicBool::new(false));
    let joined = threads(2)
        .grace(Duration::from_millis(50))
        .run_until(|| {
            let says = Arc::clone(&has_begun);
            let stubborn = place_on(1, move || {
                let kept = Rc::new(());
                task::shield(|| {
                    says.store(true, SeqCst);
                    time::sleep(Duration::from_secs(3600));
                });
                drop(kept);
            });
            wait_until("it has begun", || has_begun.load(SeqCst));
            stubborn.unwrap()
        })
        .unwrap()
        .join();
    assert!(matches!(joined, Err(JoinError::Abandoned)), "{joined:?}");
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no such I/O")]
fn a_stream_may_be_accepted_here_and_served_there() {
    threads(2)
        .run(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = listener.local_addr().unwrap();
            let client = spawn(move || {
                let mut stream = TcpStream::connect(addr).unwrap();
                stream.write_all(b"over").unwrap();
                let mut answer = [0; 4];
                stream.read_exact(&mut answer).unwrap();
                answer
            });
            let (mut stream, _) = listener.accept().unwrap();
            let served = place_on(1, move || {
                let mut request = [0; 4];
                stream.read_exact(&mut request).unwrap();
                request.reverse();
                stream.write_all(&request).unwrap();
            });
            served.unwrap().join().unwrap();
            assert_eq!(&client.join().unwrap(), b"revo");
        })
        .unwrap();
}

/// The system spreads connections over all listeners of one address (socket(7), `SO_REUSEPORT`).
#[test]
#[cfg_attr(any(miri, windows), ignore = "there is no SO_REUSEPORT")]
fn one_address_is_served_on_every_scheduler() {
    const CLIENTS: usize = 200;
    let options = BindOptions::new().reuse_port(true);
    let first = TcpListener::bind_with("127.0.0.1:0", &options).unwrap();
    let addr = first.local_addr().unwrap();
    drop(first);
    let served_on = threads(3).run_until(move || {
        let (ready, listening) = std::sync::mpsc::channel();
        let servers = place_on_each(move |index| {
            let options = BindOptions::new().reuse_port(true);
            let listener = TcpListener::bind_with(addr, &options).unwrap();
            ready.send(()).unwrap();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                spawn(move || stream.write_all(&[index as u8]).unwrap());
            }
        })
        .unwrap();
        for _ in 0..servers.len() {
            wait_until("a server listens", || listening.try_recv().is_ok());
        }
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                spawn(move || {
                    let mut index = [0];
                    TcpStream::connect(addr).unwrap().read_exact(&mut index).unwrap();
                    index[0]
                })
            })
            .collect();
        let served_on: Vec<u8> = clients.into_iter().map(|one| one.join().unwrap()).collect();
        drop(servers);
        served_on
    });
    let served_on = served_on.unwrap();
    assert_eq!(served_on.len(), CLIENTS);
    // With 200 connections, one of three getting none has a chance of 1 in 10^35.
    assert_eq!(served_on.into_iter().collect::<HashSet<_>>(), HashSet::from([0, 1, 2]));
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri too long")]
fn storms_between_threads_lose_nothing() {
    const EACH: usize = 300;
    let done = Arc::new(AtomicUsize::new(0));
    let count = done.clone();
    threads(3)
        .run(move || {
            let all = place_on_each(move |index| {
                for n in 0..EACH {
                    let count = count.clone();
                    let placed = place_on((index + n) % 3, move || count.fetch_add(1, SeqCst));
                    match n % 3 {
                        0 => drop(placed),
                        1 => drop(placed.unwrap().join().unwrap()),
                        _ => yield_now(),
                    }
                }
            });
            all.unwrap().into_iter().for_each(|one| one.join().unwrap());
        })
        .unwrap();
    assert_eq!(done.load(SeqCst), 3 * EACH);
}
