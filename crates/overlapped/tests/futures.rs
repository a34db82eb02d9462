//! Async code: futures in tasklets, and tasklets' ends as futures.

mod support;

use std::cell::{Cell, RefCell};
use std::future::{self, Future};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures::channel::{mpsc, oneshot};
use futures::executor::LocalPool;
use futures::stream::FuturesUnordered;
use futures::task::LocalSpawnExt;
use futures::{FutureExt, SinkExt, StreamExt};
use overlapped::task::{block_on, no_switch, stats};
use overlapped::time::{Duration, Instant, sleep, timeout};
use overlapped::{Channel, JoinError, run, scope, spawn, yield_now};

const MS: Duration = Duration::from_millis(1);
const FOR_EVER: Duration = Duration::from_secs(60);

#[test]
fn a_future_blocks_its_tasklet_alone() {
    run(|| {
        let (tx, rx) = oneshot::channel();
        let waits = spawn(move || block_on(rx));
        let turns = Rc::new(Cell::new(0));
        let seen = turns.clone();
        let others = spawn(move || {
            for _ in 0..100 {
                yield_now();
                seen.set(seen.get() + 1);
            }
        });
        others.join().unwrap();
        assert!(!waits.is_finished());
        tx.send(5).unwrap();
        assert_eq!(waits.join().unwrap(), Ok(5));
        assert_eq!(turns.get(), 100);
    })
    .unwrap();
}

#[test]
fn another_thread_may_wake_a_future() {
    run(|| {
        for i in 0..100 {
            let (tx, rx) = oneshot::channel();
            let thread = std::thread::spawn(move || tx.send(i).unwrap());
            assert_eq!(block_on(rx), Ok(i));
            thread.join().unwrap();
        }
    })
    .unwrap();
}

#[test]
fn outside_a_scheduler_a_future_parks_the_thread() {
    let (tx, rx) = oneshot::channel();
    let caller = support::thread_number();
    let thread = std::thread::spawn(move || {
        support::wait_until_blocked(caller);
        tx.send(1).unwrap();
    });
    assert_eq!(block_on(rx), Ok(1));
    thread.join().unwrap();
    assert_eq!(block_on(async { block_on(future::ready(2)) }), 2);
}

#[test]
#[cfg_attr(miri, ignore = "Miri takes its time")]
fn combinators_and_streams_work() {
    run(|| {
        let (tx, rx) = mpsc::channel::<u32>(2);
        for i in 0..4 {
            let mut tx = tx.clone();
            drop(spawn(move || {
                for j in 0..25 {
                    block_on(tx.send(i * 25 + j)).unwrap();
                    yield_now();
                }
            }));
        }
        drop(tx);
        let mut all = block_on(rx.collect::<Vec<_>>());
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());

        let nap = |ms: u64| {
            spawn(move || {
                sleep(Duration::from_millis(ms));
                ms
            })
        };
        let joined = block_on(futures::future::join_all([nap(9), nap(1), nap(5)]));
        let joined: Vec<u64> = joined.into_iter().map(Result::unwrap).collect();
        assert_eq!(joined, [9, 1, 5]);
        let mut unordered: FuturesUnordered<_> = [nap(20), nap(1), nap(10)].into_iter().collect();
        let ends = block_on(async {
            let mut ends = Vec::new();
            while let Some(end) = unordered.next().await {
                ends.push(end.unwrap());
            }
            ends
        });
        assert_eq!(ends, [1, 10, 20]);
        let (mut quick, mut slow) = (nap(1), nap(10).fuse());
        let first = block_on(async {
            futures::select! {
                end = (&mut quick).fuse() => ("quick", end.unwrap()),
                end = slow => ("slow", end.unwrap()),
            }
        });
        assert_eq!(first, ("quick", 1));
        assert_eq!(block_on(slow).unwrap(), 10, "the other future stays");
        assert!(matches!(quick.join(), Err(JoinError::Taken)));
    })
    .unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri too long")]
fn tokio_s_locks_and_channels_need_no_runtime() {
    run(|| {
        let mutex = Rc::new(tokio::sync::Mutex::new(0));
        let tasklets: Vec<_> = (0..50)
            .map(|_| {
                let mutex = mutex.clone();
                spawn(move || {
                    for _ in 0..10 {
                        let mut sum = block_on(mutex.lock());
                        let before = *sum;
                        yield_now();
                        *sum = before + 1;
                    }
                })
            })
            .collect();
        tasklets.into_iter().for_each(|tasklet| tasklet.join().unwrap());
        assert_eq!(*block_on(mutex.lock()), 500);

        let (tx, mut rx) = tokio::sync::mpsc::channel(4);
        let thread = std::thread::spawn(move || {
            for i in 0..1_000 {
                tx.blocking_send(i).unwrap();
            }
        });
        let sum = spawn(move || {
            let mut sum = 0;
            while let Some(i) = block_on(rx.recv()) {
                sum += i;
            }
            sum
        });
        assert_eq!(sum.join().unwrap(), 499_500);
        thread.join().unwrap();

        let notify = Rc::new(tokio::sync::Notify::new());
        let waits = {
            let notify = notify.clone();
            spawn(move || block_on(notify.notified()))
        };
        yield_now();
        notify.notify_one();
        waits.join().unwrap();
    })
    .unwrap();
}

/// Says when it is dropped.
struct Held(Rc<Cell<bool>>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[test]
fn a_kill_drops_the_future() {
    run(|| {
        let dropped = Rc::new(Cell::new(false));
        let held = Held(dropped.clone());
        let waits = spawn(move || {
            block_on(async move {
                let _held = held;
                future::pending::<()>().await;
            });
        });
        yield_now();
        assert!(!dropped.get());
        waits.kill();
        assert!(matches!(waits.join(), Err(JoinError::Killed)));
        assert!(dropped.get());
    })
    .unwrap();
}

#[test]
fn a_deadline_does_not_end_a_future() {
    run(|| {
        let (tx, rx) = oneshot::channel();
        drop(spawn(move || {
            sleep(20 * MS);
            tx.send(3).unwrap();
        }));
        let begin = Instant::now();
        assert_eq!(timeout(2 * MS, || block_on(rx)), Ok(3));
        assert!(begin.elapsed() >= 20 * MS);
        let inside = timeout(2 * MS, || block_on(async { Channel::<u8>::new().recv() }));
        assert_eq!(inside, Err(overlapped::RecvError::TimedOut), "calls inside obey the deadline");
    })
    .unwrap();
}

#[test]
fn a_future_that_wakes_itself_lets_the_others_run() {
    struct Restless(u32);
    impl Future for Restless {
        type Output = ();
        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            self.0 -= 1;
            cx.waker().wake_by_ref();
            if self.0 == 0 { Poll::Ready(()) } else { Poll::Pending }
        }
    }
    run(|| {
        let turns = Rc::new(Cell::new(0));
        let seen = turns.clone();
        drop(spawn(move || {
            for _ in 0..1_000 {
                yield_now();
                seen.set(seen.get() + 1);
            }
        }));
        block_on(Restless(200));
        assert!(turns.get() >= 150, "{}", turns.get());
        // The tasklet can be killed all the same.
        let restless = spawn(|| block_on(Restless(u32::MAX)));
        (0..5).for_each(|_| yield_now());
        restless.kill();
        assert!(matches!(restless.join(), Err(JoinError::Killed)));
    })
    .unwrap();
}

#[test]
fn where_a_call_may_not_wait_block_on_panics_unless_the_future_is_ready() {
    run(|| {
        assert_eq!(no_switch(|| block_on(future::ready(4))), 4);
        let refused = spawn(|| no_switch(|| block_on(future::pending::<()>())));
        let Err(JoinError::Panicked(payload)) = refused.join() else { panic!("it waited") };
        let message = payload.message().unwrap();
        assert!(message.contains("inside no_switch"), "{message}");
    })
    .unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "Miri starts no processes")]
fn while_unwinding_block_on_aborts_rather_than_switches() {
    struct Waits;
    impl Drop for Waits {
        fn drop(&mut self) {
            assert_eq!(block_on(future::ready(1)), 1);
            block_on(future::pending::<()>());
        }
    }
    if support::asked().is_some() {
        let _ = run(|| {
            let _waits = Waits;
            panic!("on purpose");
        });
        return;
    }
    let output = support::child("while_unwinding_block_on_aborts_rather_than_switches", "abort");
    let said = support::said(&output);
    assert!(!output.status.success());
    assert!(said.contains("block_on would wait, but this tasklet is unwinding"), "{said}");
}

#[test]
#[cfg_attr(miri, ignore = "Miri takes its time")]
fn every_ending_of_a_tasklet_comes_out_of_its_future() {
    run(|| {
        assert_eq!(block_on(spawn(|| 1)).unwrap(), 1);
        let panics = spawn(|| {
            yield_now();
            support::quiet_panic("boom")
        });
        let panicked: Result<(), _> = block_on(panics);
        assert!(matches!(panicked, Err(JoinError::Panicked(_))));
        let killed = spawn(|| sleep(FOR_EVER));
        let handle = killed.remote();
        drop(spawn(move || handle.kill()));
        assert!(matches!(block_on(killed), Err(JoinError::Killed)));
        let mut over = spawn(|| 7);
        yield_now();
        assert_eq!(block_on(&mut over).unwrap(), 7);
        assert!(matches!(block_on(&mut over), Err(JoinError::Taken)));
        drop(over);
        let mut sum = 0;
        let one = 1;
        scope(|s| {
            let child = s.spawn(|| {
                yield_now();
                one + 1
            });
            sum = block_on(child).unwrap();
        });
        assert_eq!(sum, 2);
        // A future that was abandoned leaves a tasklet that runs on.
        let done = Rc::new(Cell::new(false));
        let seen = done.clone();
        let mut given_up = spawn(move || {
            sleep(2 * MS);
            seen.set(true);
        });
        assert!(Pin::new(&mut given_up).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(given_up);
        support::wait_until("it has ended", || stats().unwrap().live == 1);
        assert!(done.get());
    })
    .unwrap();
}

#[test]
fn another_executor_in_a_tasklet_polls_handles() {
    run(|| {
        let mut pool = LocalPool::new();
        let log = Rc::new(RefCell::new(Vec::new()));
        for i in 0..3 {
            let tasklet = spawn(move || {
                (0..3 - i).for_each(|_| yield_now());
                i
            });
            let log = log.clone();
            let task = async move {
                let ended = tasklet.await.unwrap();
                log.borrow_mut().push(ended);
            };
            pool.spawner().spawn_local(task).unwrap();
        }
        // A plain `block_on` would park the thread, so the future is polled step by step.
        while log.borrow().len() < 3 {
            pool.run_until_stalled();
            yield_now();
        }
        assert_eq!(log.take(), [2, 1, 0]);
    })
    .unwrap();
}

#[test]
fn a_waker_that_panics_or_waits_harms_no_tasklet() {
    use std::sync::Arc;
    struct Bad;
    impl std::task::Wake for Bad {
        fn wake(self: Arc<Self>) {
            let channel = Channel::<u8>::new();
            assert_eq!(channel.recv(), Err(overlapped::RecvError::WouldBlock));
            support::quiet_panic("in a waker");
        }
    }
    run(|| {
        let mut tasklet = spawn(|| 3);
        let waker = Waker::from(Arc::new(Bad));
        assert!(Pin::new(&mut tasklet).poll(&mut Context::from_waker(&waker)).is_pending());
        yield_now();
        assert_eq!(tasklet.join().unwrap(), 3);
    })
    .unwrap();
}
