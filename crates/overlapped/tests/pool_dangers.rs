//! P18: jobs that block hold up others behind them for a moment only.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use overlapped::task::unblock;
use overlapped::time::sleep;
use overlapped::{run, spawn, yield_now};

mod rig;

/// Jobs wait in front of it.
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
        for _ in 0..rig::rounds(2, 100) {
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
            // The threads that were too many become idle.
            sleep(Duration::from_millis(20));
        }
    })
    .unwrap();
    assert!(slowest < rig::within(strict), "it waited {slowest:?}");
    rig::report("P18", checks, &format!("jobs that block, and one behind them: {slowest:.1?}"));
}
