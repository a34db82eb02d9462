//! P19: runs that never end, and idle schedulers that burn a processor.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc as std_mpsc;
use std::thread;
use std::time::{Duration, Instant};

use overlapped::sync::mpsc;
use overlapped::time::sleep;
use overlapped::{Config, task, yield_now};
use support::Rng;

mod support;

/// No round takes longer than this on any machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `rounds` rounds on a thread of their own, so that a hang does not block the caller.
fn watched(what: &str, rounds: usize, round: impl Fn(usize) + Send + 'static) {
    let done = Arc::new(AtomicUsize::new(0));
    let (theirs, (over, ended)) = (Arc::clone(&done), std_mpsc::channel::<()>());
    let worker = thread::spawn(move || {
        let _over = over;
        for n in 0..rounds {
            round(n);
            theirs.store(n + 1, Relaxed);
        }
    });
    let (mut last, mut since) = (0, Instant::now());
    while ended.recv_timeout(Duration::from_secs(1)) == Err(std_mpsc::RecvTimeoutError::Timeout) {
        let now = done.load(Relaxed);
        if now > last {
            (last, since) = (now, Instant::now());
        }
        assert!(since.elapsed() < PATIENCE, "{what}: round {now} of {rounds} has not ended");
    }
    worker.join().unwrap();
}

/// Sends 20 numbers at random intervals of at most a few microseconds.
fn send_some(tx: &mpsc::Sender<u64>, seed: u64) {
    let mut rng = Rng(seed);
    for n in 0..20 {
        if tx.send(n).is_err() {
            return;
        }
        for _ in 0..rng.below(2_000) {
            std::hint::spin_loop();
        }
    }
}

#[test]
fn p19_short_runs_of_several_schedulers_all_end() {
    let rounds = support::rounds(500, 100_000);
    for threads in [2, 3] {
        watched(&format!("{threads} schedulers"), rounds, move |n| {
            let run = Config::new().threads(threads).run(move || {
                let (tx, rx) = mpsc::channel();
                let send = move || {
                    send_some(&tx, n as u64);
                    drop(tx);
                    yield_now();
                };
                drop(task::place_on(1, send).unwrap());
                assert_eq!(rx.iter().map(black_box).count(), 20);
            });
            run.unwrap();
        });
    }
    support::report("P19", 2 * rounds, "short runs of two and three schedulers, all ended");
}

/// Processor time of the calling thread.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a place for the result, which lives through the call.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The processor time that was used during idle times.
#[derive(Clone, Copy, Default)]
struct Taken {
    together: Duration,
    most: Duration,
}

/// Lets a scheduler be idle `times` times, each time after a burst from another thread.
fn idle(times: usize, seed: u64) -> Taken {
    let run = overlapped::run(|| {
        let mut taken = Taken::default();
        for n in 0..times {
            let (tx, rx) = mpsc::channel();
            let sender = thread::spawn(move || send_some(&tx, seed.wrapping_add(n as u64)));
            assert_eq!(rx.iter().map(black_box).count(), 20);
            let before = processor_time();
            sleep(IDLE);
            let took = processor_time() - before;
            taken = Taken { together: taken.together + took, most: taken.most.max(took) };
            sender.join().unwrap();
        }
        taken
    });
    run.unwrap()
}

/// The length of each idle time.
const IDLE: Duration = Duration::from_millis(50);

#[test]
fn p19_an_idle_scheduler_takes_no_processor_time() {
    const SCHEDULERS: usize = 16;
    // The long run has an hour of idle times, counted over all schedulers.
    let times = support::rounds(10, 4_500);
    let taken = thread::scope(|scope| {
        let idlers: Vec<_> =
            (0..SCHEDULERS).map(|n| scope.spawn(move || idle(times, (n * times) as u64))).collect();
        idlers.into_iter().map(|idler| idler.join().unwrap()).collect::<Vec<_>>()
    });
    let percent = |part: Duration, of: Duration| part.as_secs_f64() / of.as_secs_f64() * 100.0;
    let share = |taken: &Taken| percent(taken.together, IDLE * times as u32);
    let worst = taken.iter().map(share).fold(0.0, f64::max);
    let most = taken.iter().map(|taken| taken.most).max().unwrap_or_default();
    assert!(worst < 1.0, "an idle scheduler took {worst:.2} % of a processor");
    // A scheduler that does not sleep takes all of the processor. (Interrupts are counted, too.)
    assert!(most < IDLE / 5, "one idle time of {IDLE:?} took {most:?}");
    let figure = format!(
        "idle times of {IDLE:?} after wakes: {worst:.2} % of a processor, {:.1} % at most",
        percent(most, IDLE)
    );
    support::report("P19", SCHEDULERS * times, &figure);
}
