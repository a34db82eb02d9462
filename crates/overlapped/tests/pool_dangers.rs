//! P18: jobs that block delay the jobs behind them for a moment only.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use overlapped::task::unblock;
use overlapped::time::{sleep, timeout};
use overlapped::{JoinError, run, spawn, yield_now};

mod support;

/// Other jobs wait in front of it.
#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    opens: Condvar,
}

impl Gate {
    fn pass(&self) {
        let closed = self.opens.wait_while(self.is_open.lock().unwrap(), |is_open| !*is_open);
        drop(closed.unwrap());
    }

    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opens.notify_all();
    }
}

#[test]
fn p18_a_job_behind_others_that_block_begins_soon() {
    const BLOCKED: usize = 400;
    let strict = Duration::from_millis(100);
    let (mut slowest, mut checks) = (Duration::ZERO, 0);
    run(|| {
        for _ in 0..support::rounds(2, 100) {
            let gate = Arc::<Gate>::default();
            let blocked: Vec<_> = (0..BLOCKED)
                .map(|_| {
                    let gate = Arc::clone(&gate);
                    spawn(move || unblock(move || gate.pass()))
                })
                .collect();
            yield_now();
            let began = Instant::now();
            let waited = unblock(move || began.elapsed()).unwrap();
            slowest = slowest.max(waited);
            gate.open();
            for job in blocked {
                job.join().unwrap().unwrap();
                checks += 1;
            }
            // The superfluous threads become idle.
            sleep(Duration::from_millis(20));
        }
    })
    .unwrap();
    assert!(slowest < support::within(strict), "a job waited {slowest:?}");
    support::report("P18", checks, &format!("jobs that block, and one behind them: {slowest:.1?}"));
}

/// No job waits for longer to begin.
const PATIENCE: Duration = Duration::from_secs(30);

/// A payload whose destructor panics.
struct Payload;

impl Drop for Payload {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            support::quiet_panic("a payload's destructor")
        }
    }
}

/// A result whose destructor panics with it.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            support::quiet_panic(Payload)
        }
    }
}

#[test]
fn results_that_panic_when_they_are_dropped_leave_the_pool_intact() {
    run(|| {
        for _ in 0..support::rounds(600, 5_000) {
            let (begun, begins) = std::sync::mpsc::channel();
            let (go, goes) = std::sync::mpsc::channel();
            let waiter = spawn(move || {
                let job = unblock(move || {
                    begun.send(()).unwrap();
                    goes.recv().unwrap();
                    std::thread::sleep(Duration::from_micros(300));
                    Bomb
                });
                drop(job);
            });
            yield_now();
            begins.recv_timeout(PATIENCE).expect("no job begins any more");
            // No other code sees the result before the kill.
            go.send(()).unwrap();
            waiter.kill();
            assert!(matches!(waiter.join(), Err(JoinError::Killed)));
        }
        assert_eq!(timeout(PATIENCE, || unblock(|| 7)).expect("no job begins any more"), 7);
    })
    .unwrap();
}

/// A result whose destructor always panics.
struct Mine;

impl Drop for Mine {
    fn drop(&mut self) {
        support::quiet_panic("a result's destructor")
    }
}

#[test]
fn a_result_that_comes_together_with_a_kill_is_dropped_without_ending_the_process() {
    run(|| {
        for _ in 0..support::rounds(5, 50) {
            let (go, goes) = std::sync::mpsc::channel();
            let (begun, begins) = std::sync::mpsc::channel();
            let waiter = spawn(move || {
                let job = unblock(move || {
                    begun.send(support::thread_number()).unwrap();
                    goes.recv().unwrap();
                    Mine
                });
                std::mem::forget(job);
            });
            yield_now();
            let worker = begins.recv().unwrap();
            go.send(()).unwrap();
            // The thread is kept until the result has come, which its waiter cannot know: the
            // worker waits for another job, or has ended.
            support::wait_until_blocked(worker);
            waiter.kill();
            assert!(matches!(waiter.join(), Err(JoinError::Killed)));
        }
    })
    .unwrap();
}
