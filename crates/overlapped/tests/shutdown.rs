//! Shutdowns of tasklets that resist, and kills in the middle of other calls.

mod support;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use overlapped::task::{self, ChannelEvent, Observer, pause, shield, unblock};
use overlapped::time::sleep;
use overlapped::{
    Builder, Channel, Config, JoinError, RecvError, RunError, SpawnError, run, run_until, scope,
    spawn, yield_now,
};

const GRACE: Duration = Duration::from_millis(50);

/// Runs `f` on a thread of its own and fails when it takes longer than 20 s (under Miri 200).
fn ends(f: impl FnOnce() + Send + 'static) -> Duration {
    let begin = Instant::now();
    let (done, wait) = mpsc::channel();
    std::thread::spawn(move || {
        f();
        let _ = done.send(());
    });
    let seconds = if cfg!(miri) { 200 } else { 20 };
    wait.recv_timeout(Duration::from_secs(seconds)).expect("it ends");
    begin.elapsed()
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri too long")]
fn a_tasklet_that_outlives_the_grace_time_is_parked_for_good() {
    static ADDRESS: AtomicUsize = AtomicUsize::new(0);
    ends(|| {
        let survivor = Config::new().grace(GRACE).run_until(|| {
            let survivor = spawn(|| {
                let pattern = [0xa5u8; 4096];
                ADDRESS.store(pattern.as_ptr().addr(), Ordering::Relaxed);
                shield(|| {
                    loop {
                        sleep(Duration::from_millis(1));
                    }
                });
                std::hint::black_box(&pattern);
            });
            yield_now();
            survivor
        });
        let survivor = survivor.unwrap();
        assert!(survivor.is_finished());
        survivor.kill();
        assert!(matches!(survivor.join(), Err(JoinError::Abandoned)));
        for _ in 0..10 {
            run(|| (0..100).for_each(|_| drop(spawn(yield_now)))).unwrap();
        }
        let pattern: *const [u8; 4096] =
            std::ptr::with_exposed_provenance(ADDRESS.load(Ordering::Relaxed));
        // SAFETY: the stack of a tasklet that was parked for good is never unmapped.
        let pattern = unsafe { pattern.read_volatile() };
        assert!(pattern.iter().all(|&byte| byte == 0xa5), "its stack was used again");
    });
}

#[test]
fn the_grace_time_ends_while_the_scheduler_sleeps() {
    let took = ends(|| {
        let job = Config::new().grace(GRACE).run_until(|| {
            let job = spawn(|| {
                shield(|| drop(unblock(|| std::thread::sleep(Duration::from_secs(3600)))));
            });
            yield_now();
            job
        });
        assert!(matches!(job.unwrap().join(), Err(JoinError::Abandoned)));
    });
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn the_grace_time_ends_against_a_loop_that_swallows_its_exits() {
    ends(|| {
        let ended = Config::new().grace(GRACE).run_until(|| {
            drop(spawn(|| {
                loop {
                    let _ = catch_unwind(AssertUnwindSafe(yield_now));
                }
            }));
            yield_now();
        });
        ended.unwrap();
    });
}

#[test]
#[cfg_attr(miri, ignore = "Miri starts no processes")]
fn a_run_never_leaves_threads_behind_that_borrow_from_its_caller() {
    // Main's frames may lend the caller's values to a `std::thread::scope`. So `run` must never
    // return while main is suspended inside one.
    static RETURNED: AtomicBool = AtomicBool::new(false);
    static VIOLATED: AtomicBool = AtomicBool::new(false);
    if support::asked().is_none() {
        let name = "a_run_never_leaves_threads_behind_that_borrow_from_its_caller";
        let said = support::said(&support::child(name, "park main"));
        assert!(!said.contains("the borrowed value was dropped"), "{said}");
        return;
    }
    let outer = String::from("borrowed");
    let ended = Config::new().grace(GRACE).run(|| {
        std::thread::scope(|threads| {
            threads.spawn(|| {
                // The thread would read `outer` here.
                let _lent = &outer;
                for _ in 0..500 {
                    if RETURNED.load(Ordering::Acquire) {
                        VIOLATED.store(true, Ordering::Release);
                        println!("the borrowed value was dropped");
                        std::process::exit(1);
                    }
                    std::thread::sleep(Duration::from_millis(2));
                }
            });
            shield(pause);
        });
    });
    RETURNED.store(true, Ordering::Release);
    drop(ended);
    std::thread::sleep(Duration::from_secs(2));
}

#[test]
fn a_scope_takes_no_tasklets_of_another_scheduler() {
    // Such a tasklet could be parked for good while its scope, which sees no scheduler, goes on.
    let refused = scope(|s| run(|| Builder::new().spawn_scoped(s, || ()).map(drop)));
    assert_eq!(refused.unwrap(), Err(SpawnError::NoScheduler));
}

#[test]
fn a_pause_and_resume_do_not_change_why_a_wait_ended() {
    run(|| {
        let channel = Channel::<u8>::new();
        let inner = channel.clone();
        let tasklet = spawn(move || inner.recv());
        yield_now();
        channel.close();
        tasklet.pause().unwrap();
        tasklet.resume().unwrap();
        assert_eq!(tasklet.join().unwrap(), Err(RecvError::Closed));
        let timed = Channel::<u8>::new();
        let tasklet = spawn(move || timed.recv_timeout(Duration::from_millis(1)));
        yield_now();
        std::thread::sleep(Duration::from_millis(3));
        // The tasklet becomes ready during this loop. It is paused and resumed in each state.
        for _ in 0..100 {
            if tasklet.pause().is_ok() {
                tasklet.resume().unwrap();
            }
            yield_now();
        }
        assert_eq!(tasklet.join().unwrap(), Err(RecvError::TimedOut));
    })
    .unwrap();
}

#[test]
fn a_value_that_arrived_survives_a_pause_and_a_kill() {
    run(|| {
        let channel = Channel::new();
        channel.set_handover(overlapped::Handover::Neither);
        let (inner, got) = (channel.clone(), Rc::new(Cell::new(0)));
        let seen = got.clone();
        let tasklet = spawn(move || {
            seen.set(inner.recv().unwrap());
            yield_now();
        });
        yield_now();
        channel.send(7).unwrap();
        tasklet.pause().unwrap();
        tasklet.kill();
        assert!(matches!(tasklet.join(), Err(JoinError::Killed)));
        assert_eq!(got.get(), 7, "the send succeeded, so the value must be seen");
    })
    .unwrap();
}

#[test]
fn a_completion_that_arrived_survives_a_pause_and_a_kill() {
    run(|| {
        let blocker = spawn(|| unblock(|| std::thread::sleep(Duration::from_millis(5))).unwrap());
        let (a, b) = std::os::unix::net::UnixStream::pair().unwrap();
        drop((a, b));
        yield_now();
        for _ in 0..2_000 {
            if blocker.is_finished() || blocker.pause().is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_micros(20));
            yield_now();
        }
        blocker.kill();
        let joined = blocker.join();
        assert!(matches!(joined, Ok(()) | Err(JoinError::Killed)), "{joined:?}");
    })
    .unwrap();
}

#[test]
fn a_kill_is_not_held_up_by_a_pause() {
    run(|| {
        let tasklet = spawn(|| {
            loop {
                yield_now();
            }
        });
        yield_now();
        tasklet.kill();
        tasklet.pause().unwrap();
        assert!(matches!(tasklet.join(), Err(JoinError::Killed)));
    })
    .unwrap();
}

/// Calls functions that may deliver a kill, in each of its callbacks.
struct Nosy;

impl Observer for Nosy {
    fn switched(&self, _: Option<u64>, _: u64) {
        let _ = Channel::<u8>::new().try_recv();
    }

    fn channel(&self, event: ChannelEvent) {
        if event.will_block {
            let _ = task::stats();
        }
    }
}

#[test]
fn an_observer_does_not_swallow_a_kill() {
    let ended = Config::new().observer(Nosy).run(|| {
        let tasklet = spawn(|| sleep(Duration::MAX));
        yield_now();
        tasklet.kill();
        tasklet.join().map_err(|error| matches!(error, JoinError::Killed))
    });
    assert_eq!(ended.unwrap(), Err(true));
}

#[test]
fn a_tasklet_spawned_in_a_shutdown_is_killed_before_it_starts() {
    let drops = Rc::new(Cell::new(0));
    let inner = drops.clone();
    run_until(|| {
        drop(spawn(move || {
            struct OnExit(Rc<Cell<u32>>);
            impl Drop for OnExit {
                fn drop(&mut self) {
                    let count = Count(self.0.clone());
                    drop(spawn(move || {
                        count.0.set(1_000);
                        drop(count);
                    }));
                }
            }
            struct Count(Rc<Cell<u32>>);
            impl Drop for Count {
                fn drop(&mut self) {
                    self.0.set(self.0.get() + 1);
                }
            }
            let _on_exit = OnExit(inner);
            pause();
        }));
        yield_now();
    })
    .unwrap();
    assert_eq!(drops.get(), 1, "its closure was dropped, not run");
}

#[test]
fn mains_panic_comes_before_a_deadlock_report() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            let _ = catch_unwind(AssertUnwindSafe(pause));
        }
    }
    let result = catch_unwind(AssertUnwindSafe(|| {
        run(|| {
            let _panics = Panics;
            let exit = catch_unwind(AssertUnwindSafe(pause));
            assert!(exit.is_err(), "nothing resumes it, so the report kills it");
            support::quiet_panic(9);
        })
    }));
    assert_eq!(result.unwrap_err().downcast_ref::<i32>(), Some(&9));
}

#[test]
fn deeply_nested_scopes_are_killed_in_time() {
    // Each is a thread under Miri.
    const DEPTH: usize = if cfg!(miri) { 50 } else { 500 };
    fn nest(depth: usize) {
        if depth == 0 {
            sleep(Duration::MAX);
        } else {
            scope(|s| drop(s.spawn(move || nest(depth - 1))));
        }
    }
    let took = ends(|| {
        run(|| {
            let tasklet = spawn(|| nest(DEPTH));
            support::wait_until_others_wait();
            tasklet.kill();
            assert!(matches!(tasklet.join(), Err(JoinError::Killed)));
        })
        .unwrap();
        run_until(|| {
            drop(spawn(|| nest(DEPTH)));
            support::wait_until_others_wait();
        })
        .unwrap();
    });
    println!("{} nested scopes killed in {took:?}", 2 * DEPTH);
}

#[test]
fn a_stack_that_cannot_be_made_is_an_error_and_not_the_end() {
    let ended = run(|| Builder::new().stack_size(1 << 50).spawn(|| 1));
    if let Ok(tasklet) = ended.unwrap() {
        assert!(tasklet.join().is_err());
    }
    let ended: Result<_, RunError> = Config::new().stacks_max(2).run(|| {
        let huge = Builder::new().stack_size(1 << 50).spawn(|| 1);
        let small = spawn(|| 2);
        assert_eq!(small.join().unwrap(), 2);
        huge.map(|huge| huge.join().is_err())
    });
    assert!(!matches!(ended.unwrap(), Ok(false)));
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no such I/O")]
fn a_tasklet_parked_for_good_keeps_no_descriptor_open() {
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    // The thread of an abandoned tasklet does not end.
    ends(|| {
        for _ in 0..100 {
            let parked = Config::new().grace(Duration::from_millis(1)).run_until(|| {
                let parked = spawn(|| shield(|| sleep(Duration::from_secs(600))));
                yield_now();
                parked
            });
            assert!(matches!(parked.unwrap().join(), Err(JoinError::Abandoned)));
        }
    });
    // Other tests open some descriptors, too; a run has at least two.
    assert!(open() < before + 100, "{before}, then {}", open());
}
