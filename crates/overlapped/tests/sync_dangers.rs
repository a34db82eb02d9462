//! Locks and channels between schedulers and threads, under kills and time limits: no lock is held
//! twice, and nothing is lost, duplicated or forgotten.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use overlapped::sync::mpsc::{self, RecvTimeoutError, SyncSender, TrySendError};
use overlapped::sync::{Condvar, Mutex, RwLock, Semaphore};
use overlapped::time::{sleep, timeout};
use overlapped::{JoinError, Tasklet, run, spawn, yield_now};
use support::Rng;

const PERMITS: usize = 3;
const WORKERS: usize = 8;

/// The value for which all tasklets compete.
struct Arena {
    mutex: Mutex<()>,
    /// Set while a tasklet has the mutex, or writes.
    alone: [AtomicBool; 2],
    lock: RwLock<()>,
    readers: AtomicUsize,
    semaphore: Semaphore,
    inside: AtomicUsize,
    changed: Condvar,
    /// All tasklets are to stop.
    over: AtomicBool,
    done: AtomicUsize,
}

/// Counts down when it is dropped, also by a kill.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn up(counter: &'a AtomicUsize, most: usize) -> Counted<'a> {
        assert!(counter.fetch_add(1, Ordering::Relaxed) < most, "too many");
        Counted(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a single tasklet, as [`Counted`] does.
struct Alone<'a>(&'a AtomicBool);

impl<'a> Alone<'a> {
    fn here(flag: &'a AtomicBool) -> Alone<'a> {
        assert!(!flag.swap(true, Ordering::Relaxed), "two at a time");
        Alone(flag)
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Sometimes lets others run, in different ways.
fn dally(rng: &mut Rng) {
    match rng.below(8) {
        0 => sleep(Duration::from_micros(50)),
        1..4 => yield_now(),
        _ => {}
    }
}

impl Arena {
    fn work(&self, rng: &mut Rng) {
        while !self.over.load(Ordering::Relaxed) {
            match rng.below(6) {
                0 | 1 => {
                    let _guard = self.mutex.lock().unwrap_or_else(PoisonError::into_inner);
                    let _alone = Alone::here(&self.alone[0]);
                    dally(rng);
                }
                2 => {
                    let _guard = self.lock.write().unwrap_or_else(PoisonError::into_inner);
                    let _alone = Alone::here(&self.alone[1]);
                    assert_eq!(self.readers.load(Ordering::Relaxed), 0);
                    dally(rng);
                }
                3 => {
                    let _guard = self.lock.read().unwrap_or_else(PoisonError::into_inner);
                    let _counted = Counted::up(&self.readers, usize::MAX);
                    assert!(!self.alone[1].load(Ordering::Relaxed));
                    dally(rng);
                }
                4 => {
                    let permits = 1 + rng.below(PERMITS);
                    let limit = Duration::from_micros(20 * rng.below(20) as u64);
                    let had = if rng.below(2) == 0 {
                        Some(self.semaphore.acquire_many(permits))
                    } else {
                        self.semaphore.acquire_timeout(permits, limit)
                    };
                    if had.is_some() {
                        let counted: Vec<_> =
                            (0..permits).map(|_| Counted::up(&self.inside, PERMITS)).collect();
                        dally(rng);
                        drop(counted);
                    }
                }
                _ => {
                    let guard = self.mutex.lock().unwrap_or_else(PoisonError::into_inner);
                    self.changed.notify_one();
                    let limit = Duration::from_micros(20 * rng.below(20) as u64);
                    let waited = self.changed.wait_timeout(guard, limit);
                    let _guard = waited.unwrap_or_else(PoisonError::into_inner).0;
                    let _alone = Alone::here(&self.alone[0]);
                    dally(rng);
                }
            }
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Ends the process if a test hangs: something was forgotten.
fn watch(name: &'static str) -> impl Drop {
    struct Watched(Arc<AtomicBool>);
    impl Drop for Watched {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let ended = Arc::new(AtomicBool::new(false));
    let own = ended.clone();
    thread::spawn(move || {
        for _ in 0..1_200 {
            thread::sleep(Duration::from_millis(100));
            if own.load(Ordering::Relaxed) {
                return;
            }
        }
        eprintln!("{name} hangs");
        std::process::abort();
    });
    Watched(ended)
}

/// Keeps `WORKERS` tasklets at work, and kills and replaces one after another, up to `kills` times:
/// it stops when one has ended by itself. Returns the number of kills.
fn rule(kills: usize, seed: u64, work: impl Fn(u64) + Clone + 'static) -> usize {
    let mut rng = Rng(seed);
    let mut next = seed << 32;
    let mut hire = || {
        next += 1;
        let (seed, work) = (next, work.clone());
        spawn(move || work(seed))
    };
    let mut workers: Vec<Tasklet<()>> = (0..WORKERS).map(|_| hire()).collect();
    let mut killed = 0;
    while killed < kills {
        dally(&mut rng);
        (0..rng.below(20)).for_each(|_| yield_now());
        let victim = std::mem::replace(&mut workers[rng.below(WORKERS)], hire());
        victim.kill();
        match victim.join() {
            Err(JoinError::Killed) => killed += 1,
            // The worker had already ended.
            Ok(()) => break,
            Err(error) => panic!("{error}"),
        }
    }
    killed
}

#[test]
fn k1_locks_survive_kills_in_all_their_queues() {
    let _watched = watch("k1");
    let kills = support::rounds(2_000, 50_000);
    let arena = Arc::new(Arena {
        mutex: Mutex::new(()),
        alone: Default::default(),
        lock: RwLock::new(()),
        readers: AtomicUsize::new(0),
        semaphore: Semaphore::new(PERMITS),
        inside: AtomicUsize::new(0),
        changed: Condvar::new(),
        over: AtomicBool::new(false),
        done: AtomicUsize::new(0),
    });
    let plain = {
        let arena = arena.clone();
        thread::spawn(move || arena.work(&mut Rng(99)))
    };
    let schedulers: Vec<_> = [1, 2]
        .map(|seed| {
            let arena = arena.clone();
            thread::spawn(move || {
                let own = arena.clone();
                let killed = run(|| {
                    let killed = rule(kills / 2, seed, move |seed| own.work(&mut Rng(seed)));
                    arena.over.store(true, Ordering::Relaxed);
                    killed
                });
                killed.unwrap()
            })
        })
        .into();
    let killed: usize = schedulers.into_iter().map(|each| each.join().unwrap()).sum();
    plain.join().unwrap();
    let free =
        (arena.mutex.try_lock(), arena.lock.try_write(), arena.semaphore.available_permits());
    assert!(
        !matches!(free.0, Err(overlapped::sync::TryLockError::WouldBlock)),
        "the mutex is lost"
    );
    assert!(!matches!(free.1, Err(overlapped::sync::TryLockError::WouldBlock)), "the lock is lost");
    assert_eq!(free.2, PERMITS);
    assert!(killed >= kills / 2);
    let done = arena.done.load(Ordering::Relaxed);
    assert!(done > kills / 4, "they got something done");
    let figure = format!("kills among 17 in 2 schedulers and a thread, {done} turns, nothing lost");
    support::report("K1", killed, &figure);
}

/// A value whose receipt and drop are counted.
struct Watched {
    number: usize,
    fates: Arc<Fates>,
}

struct Fates {
    /// For each value: 1 for each receipt, 256 for each other drop.
    each: Vec<AtomicUsize>,
    next: AtomicUsize,
    /// For each value: whether its send has succeeded.
    sent: Vec<AtomicBool>,
}

const DROPPED: usize = 256;

impl Fates {
    fn new(most: usize) -> Arc<Fates> {
        Arc::new(Fates {
            each: (0..most).map(|_| AtomicUsize::new(0)).collect(),
            next: AtomicUsize::new(0),
            sent: (0..most).map(|_| AtomicBool::new(false)).collect(),
        })
    }

    fn value(self: &Arc<Fates>) -> Option<Watched> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < self.each.len()).then(|| Watched { number, fates: self.clone() })
    }
}

impl Watched {
    fn receive(self) {
        self.fates.each[self.number].fetch_add(1, Ordering::Relaxed);
        // This keeps its drop from counting.
        self.fates.each[self.number].fetch_sub(DROPPED, Ordering::Relaxed);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.fates.each[self.number].fetch_add(DROPPED, Ordering::Relaxed);
    }
}

/// Sends values in every way, until none is left.
fn send_all(fates: &Arc<Fates>, sender: &SyncSender<Watched>, rng: &mut Rng) {
    while let Some(value) = fates.value() {
        let number = value.number;
        let sent = match rng.below(4) {
            0 => match sender.try_send(value) {
                Ok(()) => true,
                Err(TrySendError::Full(_)) => false,
                Err(TrySendError::Disconnected(_)) => return,
            },
            1 => {
                let limit = Duration::from_micros(rng.below(200) as u64);
                timeout(limit, || sender.send(value)).is_ok()
            }
            _ => sender.send(value).is_ok(),
        };
        fates.sent[number].store(sent, Ordering::Relaxed);
        if rng.below(8) == 0 {
            yield_now();
        }
    }
}

fn k2(bound: usize, values: usize) -> (usize, usize) {
    let fates = Fates::new(values);
    let (sender, receiver) = mpsc::sync_channel(bound);
    let senders: Vec<_> = [1, 2]
        .map(|seed| {
            let (fates, sender) = (fates.clone(), sender.clone());
            thread::spawn(move || {
                let own = fates.clone();
                let work = move |seed| send_all(&own, &sender, &mut Rng(seed));
                run(move || rule(values / 40, seed, work)).unwrap()
            })
        })
        .into();
    drop(sender);
    let receiving = {
        let fates = fates.clone();
        move || {
            let receiver = Rc::new(receiver);
            let own = receiver.clone();
            let killed = rule(values / 40, 3, move |seed| {
                let mut rng = Rng(seed);
                loop {
                    let limit = Duration::from_micros(rng.below(200) as u64);
                    match own.recv_timeout(limit) {
                        Ok(value) => value.receive(),
                        Err(RecvTimeoutError::Timeout) => yield_now(),
                        Err(RecvTimeoutError::Disconnected) => return,
                    }
                    if rng.below(4) == 0 {
                        match own.recv() {
                            Ok(value) => value.receive(),
                            Err(mpsc::RecvError) => return,
                        }
                    }
                }
            });
            receiver.iter().for_each(Watched::receive);
            drop(fates);
            killed
        }
    };
    let mut killed = run(receiving).unwrap();
    killed += senders.into_iter().map(|each| each.join().unwrap()).sum::<usize>();
    let mut received = 0;
    for (number, (fate, sent)) in fates.each.iter().zip(&fates.sent).enumerate() {
        match (fate.load(Ordering::Relaxed), sent.load(Ordering::Relaxed)) {
            (1, _) => received += 1,
            // The channel was full, the deadline had passed, or the sender was killed with the
            // value.
            (DROPPED, false) => {}
            (fate, sent) => panic!("bound {bound}: value {number}: fate {fate}, sent {sent}"),
        }
    }
    (received, killed)
}

#[test]
fn k2_channels_neither_lose_nor_duplicate_a_value() {
    let _watched = watch("k2");
    let values = support::rounds(8_000, 400_000);
    let (mut checks, mut kills) = (0, 0);
    for bound in [0, 1, 8] {
        let (received, killed) = k2(bound, values);
        assert!(received > values / 10 && killed > 0, "bound {bound}: {received} {killed}");
        checks += values;
        kills += killed;
    }
    let figure =
        format!("values between 3 schedulers, {kills} tasklets killed, none lost or doubled");
    support::report("K2", checks, &figure);
}

#[test]
fn s16_permits_beyond_the_maximum_panic_whether_they_are_free_or_taken() {
    const MOST: usize = Semaphore::MAX_PERMITS;
    let panics = |semaphore: &Semaphore, permits: usize| {
        let added = catch_unwind(AssertUnwindSafe(|| semaphore.add_permits(permits)));
        assert!(added.is_err(), "{permits} more than {MOST}");
    };
    let semaphore = Arc::new(Semaphore::new(MOST));
    panics(&semaphore, 1);
    panics(&semaphore, usize::MAX);
    let all = semaphore.acquire_many(MOST);
    panics(&semaphore, 1);
    panics(&semaphore, MOST);
    assert!(semaphore.try_acquire(1).is_none());
    drop(all);
    assert_eq!(semaphore.available_permits(), MOST);
    // Forgotten permits may be added again; leaked ones are still taken.
    semaphore.acquire_many(3).forget();
    semaphore.clone().acquire_owned(4).forget();
    panics(&semaphore, 8);
    semaphore.add_permits(7);
    assert_eq!(semaphore.available_permits(), MOST);
    std::mem::forget(semaphore.acquire());
    panics(&semaphore, 1);
    assert_eq!(semaphore.available_permits(), MOST - 1);
    let half = semaphore.try_acquire(MOST / 2).unwrap();
    let rest = semaphore.try_acquire(MOST - 1 - MOST / 2).unwrap();
    assert!(semaphore.try_acquire(1).is_none());
    drop((half, rest));
    assert_eq!(semaphore.available_permits(), MOST - 1);
    support::report("S16", 6, "permits beyond the maximum");
}
