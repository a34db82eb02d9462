//! Lost wakes and locks that stay locked: few rounds here, all under `OVERLAPPED_TORTURE=1`.
#![allow(missing_docs)]
mod support;

use std::cell::Cell;
use std::collections::VecDeque;
use std::ffi::{c_int, c_void};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Condvar, LazyLock, Mutex, OnceLock, RwLock, mpsc};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use overlapped::task::is_killed;
use overlapped::time::timeout;
use overlapped_install::{scope, spawn};
use support::c::{Attributes, CMutex, CSemaphore};
use support::{Rng, everywhere, ms, report, rounds, run_in_tasklet};

/// Parks until its turn comes, `rounds` times, and reports each turn.
struct Turns {
    thread: Thread,
    turn: AtomicU64,
    seen: AtomicU64,
}

impl Turns {
    fn of_caller() -> Arc<Turns> {
        let (turn, seen) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Turns { thread: thread::current(), turn, seen })
    }

    fn take(&self, all: u64) {
        for turn in 1..=all {
            while self.turn.load(SeqCst) < turn {
                thread::park();
            }
            self.seen.store(turn, SeqCst);
        }
    }

    /// Hands out the turns; waits before each until the last one has been reported.
    fn give(&self, all: u64) {
        for turn in 1..=all {
            self.turn.store(turn, SeqCst);
            self.thread.unpark();
            while self.seen.load(SeqCst) < turn {
                thread::yield_now();
            }
        }
    }
}

#[test]
fn i1_no_unpark_of_two_parked_tasklets_of_one_thread_is_lost() {
    let all = rounds(1000, 100_000) as u64;
    run_in_tasklet(|| {
        let (sender, receiver) = mpsc::channel();
        let parked = [(); 2].map(|()| {
            let sender = sender.clone();
            spawn(move || {
                let turns = Turns::of_caller();
                sender.send(turns.clone()).unwrap();
                turns.take(all);
            })
        });
        let givers = [(); 2].map(|()| {
            let turns = receiver.recv().unwrap();
            thread::spawn(move || turns.give(all))
        });
        parked.into_iter().for_each(|one| one.join().unwrap());
        givers.into_iter().for_each(|one| one.join().unwrap());
    });
    report("I1", 2 * all as usize, "unparks by threads of two tasklets of one thread, none lost");
}

#[test]
fn i1_no_unpark_is_lost_among_neighbours_schedulers_and_threads() {
    let all = rounds(300, 20_000) as u64;
    let (sender, receiver) = mpsc::channel();
    // A plain thread, a tasklet of another scheduler and one of this scheduler: each is parked, and
    // each unparks.
    let by_thread = sender.clone();
    let parked = thread::spawn(move || {
        let turns = Turns::of_caller();
        by_thread.send(turns.clone()).unwrap();
        turns.take(all);
    });
    let by_other = sender.clone();
    let other = thread::spawn(move || {
        run_in_tasklet(|| {
            let parked = spawn(move || {
                let turns = Turns::of_caller();
                by_other.send(turns.clone()).unwrap();
                turns.take(all);
            });
            parked.join().unwrap();
        });
    });
    run_in_tasklet(|| {
        let own = spawn(move || {
            let turns = Turns::of_caller();
            sender.send(turns.clone()).unwrap();
            turns.take(all);
        });
        let turns = [(); 3].map(|()| receiver.recv().unwrap());
        scope(|s| turns.iter().for_each(|turns| drop(s.spawn(|| turns.give(all)))));
        own.join().unwrap();
    });
    parked.join().unwrap();
    other.join().unwrap();
    report("I1", 3 * all as usize, "unparks by tasklets of a thread and of tasklets, none lost");
}

#[test]
fn i1_every_lock_of_std_is_right_in_all_directions() {
    let each = rounds(20, 2000);
    let mutex = Arc::new(Mutex::new(0_usize));
    let lock = Arc::new(RwLock::new(0_usize));
    let changed = Arc::new((Mutex::new(VecDeque::new()), Condvar::new()));
    let made = Arc::new(AtomicUsize::new(0));
    let calls = Arc::new(AtomicUsize::new(0));
    let (sender, receiver) = mpsc::sync_channel(3);
    let receiver = Arc::new(Mutex::new(receiver));
    let seen = (mutex.clone(), lock.clone(), made.clone(), calls.clone());
    everywhere(each, move || {
        static LAZY: LazyLock<usize> = LazyLock::new(|| {
            thread::sleep(ms(1));
            7
        });
        let pause = || thread::sleep(Duration::from_micros(20));
        let number = calls.fetch_add(1, SeqCst);
        {
            let mut held = mutex.lock().unwrap();
            let before = *held;
            pause();
            *held = before + 1;
        }
        if number.is_multiple_of(4) {
            let mut held = lock.write().unwrap();
            let before = *held;
            pause();
            *held = before + 1;
        } else {
            let held = lock.read().unwrap();
            let before = *held;
            pause();
            assert_eq!(*held, before);
        }
        // Each tasklet puts a value, and takes one.
        let (queue, change) = &*changed;
        queue.lock().unwrap().push_back(number);
        change.notify_one();
        let held = queue.lock().unwrap();
        change.wait_while(held, |queue| queue.is_empty()).unwrap().pop_front().unwrap();
        made.fetch_add(*LAZY, SeqCst);
        // The lock is held across the wait for a value.
        if number.is_multiple_of(2) {
            sender.send(number).unwrap();
        } else {
            receiver.lock().unwrap().recv().unwrap();
        }
    });
    let (mutex, lock, made, calls) = seen;
    let all = calls.load(SeqCst);
    assert_eq!(*mutex.lock().unwrap(), all);
    assert_eq!(*lock.read().unwrap(), all.div_ceil(4));
    assert_eq!(made.load(SeqCst), 7 * all);
    report(
        "I1",
        all,
        "turns with Mutex, RwLock, Condvar, LazyLock and a channel held across waits",
    );
}

#[test]
fn i1_a_barrier_lets_all_go_in_every_round() {
    let all = rounds(50, 5000);
    let leaders = AtomicUsize::new(0);
    let barrier = Barrier::new(6);
    let wait = |barrier: &Barrier, leaders: &AtomicUsize| {
        for _ in 0..all {
            leaders.fetch_add(usize::from(barrier.wait().is_leader()), SeqCst);
        }
    };
    thread::scope(|threads| {
        threads.spawn(|| wait(&barrier, &leaders));
        threads.spawn(|| wait(&barrier, &leaders));
        threads.spawn(|| {
            run_in_tasklet(|| {
                scope(|s| (0..2).for_each(|_| drop(s.spawn(|| wait(&barrier, &leaders)))))
            });
        });
        run_in_tasklet(|| {
            scope(|s| (0..2).for_each(|_| drop(s.spawn(|| wait(&barrier, &leaders)))))
        });
    });
    assert_eq!(leaders.load(SeqCst), all);
    report("I1", all, "rounds at a Barrier of threads and tasklets, one leader each");
}

/// The state that the tasklets of a round share.
struct Stage {
    mutex: Mutex<u64>,
    recursive: CMutex,
    in_recursive: Cell<u64>,
    semaphore: CSemaphore,
    lock: RwLock<u64>,
    changed: (Mutex<()>, Condvar),
    /// The number of entries, counted inside the locks.
    turns: [Cell<u64>; 4],
    /// The numbers of bytes written and read.
    bytes: [Cell<u64>; 2],
}

impl Stage {
    fn new() -> Stage {
        Stage {
            mutex: Mutex::new(0),
            recursive: CMutex::with_attributes(
                libc::PTHREAD_MUTEX_RECURSIVE,
                Attributes::default(),
            ),
            in_recursive: Cell::new(0),
            semaphore: CSemaphore::from_value(1),
            lock: RwLock::new(0),
            changed: (Mutex::new(()), Condvar::new()),
            turns: [const { Cell::new(0) }; 4],
            bytes: [const { Cell::new(0) }; 2],
        }
    }

    fn add(cell: &Cell<u64>, count: u64) {
        cell.set(cell.get() + count);
    }

    /// Makes one wait of some kind, which a kill or a deadline may end.
    fn act(&self, which: usize, stream: &mut UnixStream) {
        let nap = || thread::sleep(Duration::from_micros(30));
        match which {
            0 => {
                let mut value = self.mutex.lock().unwrap();
                let before = *value;
                nap();
                *value = before + 1;
                Stage::add(&self.turns[0], 1);
            }
            1 => {
                assert_eq!(self.recursive.lock(), 0);
                assert_eq!(self.recursive.lock(), 0);
                let before = self.in_recursive.get();
                nap();
                self.in_recursive.set(before + 1);
                assert_eq!((self.recursive.unlock(), self.recursive.unlock()), (0, 0));
                Stage::add(&self.turns[1], 1);
            }
            2 => {
                assert_eq!(self.semaphore.wait(), 0);
                let before = self.turns[2].get();
                nap();
                self.turns[2].set(before + 1);
                assert_eq!(self.semaphore.post(), 0);
            }
            3 => {
                let mut value = self.lock.write().unwrap();
                let before = *value;
                nap();
                *value = before + 1;
                Stage::add(&self.turns[3], 1);
            }
            4 => {
                let held = self.changed.0.lock().unwrap();
                drop(self.changed.1.wait_timeout(held, Duration::from_micros(100)).unwrap());
            }
            5 => {
                let _ = mpsc::channel::<()>().1.recv_timeout(Duration::from_micros(100));
            }
            _ => {
                // A read that is cut here has taken nothing: the bytes stay.
                if let Ok(count) = stream.read(&mut [0; 8]) {
                    Stage::add(&self.bytes[1], count as u64);
                }
            }
        }
    }

    /// Checks that no lock is held, and no byte is lost.
    fn check(&self) {
        assert_eq!(*self.mutex.try_lock().unwrap(), self.turns[0].get());
        assert_eq!(self.recursive.try_lock(), 0);
        assert_eq!(self.in_recursive.get(), self.turns[1].get());
        self.recursive.unlock();
        assert_eq!(self.semaphore.wait(), 0);
        assert_eq!(*self.lock.try_write().unwrap(), self.turns[3].get());
        drop(self.changed.0.try_lock().unwrap());
        assert_eq!(self.bytes[0].get(), self.bytes[1].get());
    }
}

#[test]
fn i2_kills_and_deadlines_inside_of_calls_lose_nothing_and_leave_nothing_locked() {
    const AT_ONCE: usize = 50;
    let all = rounds(400, 100_000);
    let (kills, deadlines) = (Cell::new(0_usize), Cell::new(0_usize));
    run_in_tasklet(|| {
        let mut random = Rng(0x2026);
        for _ in 0..all / AT_ONCE {
            let stage = Rc::new(Stage::new());
            let tasklets: Vec<_> = (0..AT_ONCE)
                .map(|_| {
                    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
                    // Before there is a reader: a send may let other tasklets run.
                    ours.write_all(&[1; 9]).unwrap();
                    Stage::add(&stage.bytes[0], 9);
                    let mut random = Rng(random.next());
                    let by_deadline = random.below(2) == 0;
                    let own = stage.clone();
                    let tasklet = spawn(move || {
                        let span = match by_deadline {
                            true => Duration::from_micros(random.below(2000) as u64),
                            false => Duration::MAX,
                        };
                        let begin = Instant::now();
                        timeout(span, || {
                            while !is_killed() && begin.elapsed() < span {
                                own.act(random.below(8), &mut theirs);
                            }
                        });
                        // The rest is read without waiting.
                        theirs.set_nonblocking(true).unwrap();
                        while let Ok(count @ 1..) = theirs.read(&mut [0; 8]) {
                            Stage::add(&own.bytes[1], count as u64);
                        }
                    });
                    (tasklet, by_deadline, ours)
                })
                .collect();
            // All tasklets begin first: the closure of one that is killed before is dropped, with
            // its unread bytes.
            thread::yield_now();
            for (tasklet, by_deadline, _) in &tasklets {
                if *by_deadline {
                    deadlines.set(deadlines.get() + 1);
                    continue;
                }
                thread::sleep(Duration::from_micros(random.below(60) as u64));
                tasklet.kill();
                kills.set(kills.get() + 1);
            }
            for (tasklet, ..) in tasklets {
                // The tasklet was killed, or had already ended: it has not panicked.
                if let Err(error) = tasklet.join() {
                    assert!(matches!(error, overlapped::task::JoinError::Killed), "{error}");
                }
            }
            stage.check();
        }
    });
    let figure = format!(
        "tasklets ended inside calls: {} kills, {} deadlines; nothing lost, nothing left locked",
        kills.get(),
        deadlines.get()
    );
    report("I2", kills.get() + deadlines.get(), &figure);
}

type SigAction = unsafe extern "C" fn(c_int, *const libc::sigaction, *mut libc::sigaction) -> c_int;

/// Posts from a handler, while its thread does everything else; `sigaction` installs it.
fn posts_of_handlers(signal: c_int, sigaction: SigAction) -> u32 {
    static SEMAPHORE: OnceLock<CSemaphore> = OnceLock::new();
    static HANDLED: AtomicU32 = AtomicU32::new(0);
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    extern "C" fn post(_: c_int) {
        if let Some(semaphore) = SEMAPHORE.get() {
            semaphore.post();
        }
        HANDLED.fetch_add(1, SeqCst);
    }
    let _one = ONE_AT_A_TIME.lock().unwrap();
    let posts = rounds(2000, 100_000) as u32;
    SEMAPHORE.get_or_init(|| CSemaphore::from_value(0));
    HANDLED.store(0, SeqCst);
    run_in_tasklet(|| {
        // SAFETY: a handler that posts only; zeros are a valid action otherwise.
        let me = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = post as *const () as usize;
            action.sa_flags = libc::SA_RESTART;
            assert_eq!(sigaction(signal, &action, std::ptr::null_mut()), 0);
            libc::pthread_self()
        };
        let sender = thread::spawn(move || {
            for number in 0..posts {
                // Two pending signals would become one.
                // SAFETY: the tasklet lives until this has ended.
                assert_eq!(unsafe { libc::pthread_kill(me, signal) }, 0);
                while HANDLED.load(SeqCst) <= number {
                    thread::yield_now();
                }
            }
        });
        let waited = Cell::new(0);
        let mutex = Mutex::new(0);
        scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..posts / 4 {
                        assert_eq!(SEMAPHORE.get().unwrap().wait(), 0);
                        waited.set(waited.get() + 1);
                    }
                });
            }
            // The signals interrupt their thread while it allocates, wakes and switches.
            for _ in 0..3 {
                s.spawn(|| {
                    while waited.get() < posts {
                        let mut held = mutex.lock().unwrap();
                        *held += std::hint::black_box(vec![1_u8; 100]).len();
                        thread::yield_now();
                    }
                });
            }
        });
        sender.join().unwrap();
    });
    posts
}

#[test]
fn i3_posts_of_signal_handlers_at_any_instruction_are_not_lost() {
    let posts = posts_of_handlers(libc::SIGUSR1, libc::sigaction);
    report("I3", posts as usize, "posts by a signal handler to four tasklets, each seen");
}

#[test]
fn i3_nor_those_of_handlers_that_nobody_knows_of() {
    // SAFETY: names that end in zeros; libc's own function, past the symbol.
    let theirs = unsafe {
        let libc = libc::dlopen(c"libc.so.6".as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD);
        let found = libc::dlsym(libc, c"sigaction".as_ptr());
        assert!(!found.is_null() && found.addr() != libc::sigaction as *const () as usize);
        std::mem::transmute::<*mut c_void, SigAction>(found)
    };
    let posts = posts_of_handlers(libc::SIGUSR2, theirs);
    report("I3", posts as usize, "posts by a handler that was installed past sigaction, each seen");
}

#[test]
fn i3_posts_go_round_among_neighbours_schedulers_and_threads() {
    const STATIONS: usize = 4;
    let all = rounds(300, 20_000);
    let stations = Arc::new([0, 1, 0, 1].map(CSemaphore::from_value));
    let go_round = move |stations: &[CSemaphore; STATIONS], me: usize| {
        for _ in 0..all {
            assert_eq!(stations[me].wait(), 0);
            assert_eq!(stations[(me + 1) % STATIONS].post(), 0);
        }
    };
    let [by_thread, by_other] = [(); 2].map(|()| stations.clone());
    let plain = thread::spawn(move || go_round(&by_thread, 0));
    let other = thread::spawn(move || run_in_tasklet(|| go_round(&by_other, 1)));
    run_in_tasklet(|| {
        let stations = &*stations;
        scope(|s| (2..STATIONS).for_each(|me| drop(s.spawn(move || go_round(stations, me)))));
    });
    plain.join().unwrap();
    other.join().unwrap();
    report("I3", STATIONS * all, "posts by tasklets of two threads and by a thread, each seen");
}
