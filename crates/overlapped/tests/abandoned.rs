//! Tasklets that outlive the grace time of a shutdown: no other tasklet waits for them or behind
//! them, and the thread-locals that they lend stay.
//!
//! A test that abandons tasklets runs them on a thread of its own, which never ends and is not
//! joined.

mod support;

use std::any::Any;
use std::cell::Cell;
use std::io::Read;
use std::net::UdpSocket;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use overlapped::sync::{self, Barrier, Condvar, Event, Mutex, RwLock, Semaphore, oneshot};
use overlapped::task::{self, Placed, TaskletGroup, shield, unblock};
use overlapped::time::sleep;
use overlapped::{Channel, Config, JoinError, Select, run, scope, spawn, yield_now};
use rustix::fs::{FlockOperation, flock};
use support::wait_until;

const GRACE: Duration = Duration::from_millis(30);
const FOR_EVER: Duration = Duration::from_secs(100_000);

/// Calls `f` on a thread of its own. Returns the receiver of its result.
fn aside<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (done, wait) = mpsc::channel();
    thread::spawn(move || done.send(f()));
    wait
}

/// Receives a value within an ample time.
fn soon<T>(wait: &Receiver<T>, what: &str) -> T {
    wait.recv_timeout(Duration::from_secs(30)).unwrap_or_else(|_| panic!("{what}: never"))
}

/// Waits as [`soon`] does, for the result of [`aside`].
fn in_time<T: Send + 'static>(what: &str, f: impl FnOnce() -> T + Send + 'static) -> T {
    soon(&aside(f), what)
}

/// A run that abandons a tasklet which is inside `wait`, shielded.
fn abandons(what: &str, wait: impl FnOnce() + Send + 'static) {
    in_time(what, move || {
        let parked = Config::new().grace(GRACE).run_until(move || {
            let parked = spawn(move || shield(wait));
            yield_now();
            parked
        });
        assert!(matches!(parked.unwrap().join(), Err(JoinError::Abandoned)));
    });
}

/// A run that abandons a tasklet which has been woken inside `wait` and has not run since. `wake`
/// wakes it, and takes the time that it needs: the shutdown begins after it.
fn abandons_ready(what: &str, wait: impl FnOnce() + 'static, wake: impl FnOnce() + 'static) {
    let parked = Config::new().grace(GRACE).run_until(move || {
        let parked = spawn(move || shield(wait));
        let has_ended = Rc::new(Cell::new(false));
        // All of them run before the tasklet that has been woken. The first one holds the thread
        // until the grace time ends. Their number makes the scheduler read the clock before the
        // last one.
        for _ in 0..70 {
            let has_ended = Rc::clone(&has_ended);
            spawn(move || {
                shield(|| {
                    loop {
                        yield_now();
                        if has_ended.take() {
                            thread::sleep(GRACE * 2);
                        }
                    }
                })
            });
        }
        yield_now();
        wake();
        has_ended.set(true);
        parked
    });
    let ended = parked.unwrap().join();
    assert!(matches!(ended, Err(JoinError::Abandoned)), "{what}: {ended:?}");
}

/// Spawns a tasklet that holds the thread from the beginning of the shutdown to the end of the
/// grace time.
fn uses_the_time_up() {
    drop(spawn(|| {
        shield(|| {
            yield_now();
            thread::sleep(GRACE * 2);
        });
    }));
    yield_now();
}

/// Counts the drops.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// A call that waits, and the name of what it waits for.
type Named = (&'static str, Box<dyn FnOnce() + Send>);

/// Every kind of wait, each as a closure for a tasklet.
fn waits() -> Vec<Named> {
    fn wait(f: impl FnOnce() + Send + 'static) -> Box<dyn FnOnce() + Send> {
        Box::new(f)
    }
    vec![
        ("sleep", wait(|| sleep(FOR_EVER))),
        ("pause", wait(task::pause)),
        ("a receive", wait(|| drop(Channel::<u8>::new().recv()))),
        ("a send", wait(|| drop(Channel::new().send(1)))),
        ("a join", wait(|| drop(spawn(|| shield(task::pause)).join()))),
        ("a scope", wait(|| scope(|s| drop(s.spawn(|| shield(task::pause)))))),
        (
            "a group",
            wait(|| {
                let mut group = TaskletGroup::new(1);
                group.spawn(|| shield(task::pause)).unwrap();
                drop(group.join_next());
            }),
        ),
        ("map", wait(|| task::map(2, 0..2, |_| shield(task::pause)).for_each(drop))),
        (
            "a select",
            wait(|| {
                let (a, b) = (Channel::<u8>::new(), Channel::<u8>::new());
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                let all = Select::new().recv(&a, drop).recv(&b, drop).readable(&socket, drop);
                drop(all.wait());
            }),
        ),
        ("a placed join", wait(|| drop(task::place(|| shield(task::pause)).join()))),
        (
            "a thread's join",
            wait(|| drop(overlapped::thread::spawn(|| shield(task::pause)).join())),
        ),
        ("park", wait(overlapped::thread::park)),
        ("a future", wait(|| task::block_on(std::future::pending::<()>()))),
        ("unblock", wait(|| drop(unblock(|| thread::sleep(FOR_EVER))))),
        (
            "a mutex",
            wait(|| {
                let mutex = leaked(Mutex::new(()));
                let _held = hold(|| mutex.lock());
                drop(mutex.lock());
            }),
        ),
        (
            "a lock's writer",
            wait(|| {
                let lock = leaked(RwLock::new(()));
                let _held = hold(|| lock.read());
                drop(lock.write());
            }),
        ),
        (
            "a lock's reader",
            wait(|| {
                let lock = leaked(RwLock::new(()));
                let _held = hold(|| lock.write());
                drop(lock.read());
            }),
        ),
        ("a semaphore", wait(|| drop(Semaphore::new(0).acquire()))),
        ("a condition", wait(|| drop(Condvar::new().wait(Mutex::new(()).lock().unwrap())))),
        ("a barrier", wait(|| _ = Barrier::new(2).wait())),
        ("an event", wait(|| Event::new().wait())),
        ("a value made once", wait(|| _ = sync::OnceLock::<u8>::new().wait())),
        (
            "mpsc",
            wait(|| {
                let (_sender, receiver) = sync::mpsc::channel::<u8>();
                _ = receiver.recv();
            }),
        ),
        (
            "mpsc's room",
            wait(|| {
                let (sender, _receiver) = sync::mpsc::sync_channel(0);
                _ = sender.send(1);
            }),
        ),
        (
            "mpmc",
            wait(|| {
                let (_sender, receiver) = sync::mpmc::channel::<u8>();
                _ = receiver.recv();
            }),
        ),
        (
            "broadcast",
            wait(|| {
                let (_sender, mut receiver) = sync::broadcast::channel::<u8>(1);
                _ = receiver.recv();
            }),
        ),
        (
            "watch",
            wait(|| {
                let (_sender, mut receiver) = sync::watch::channel(1);
                _ = receiver.changed();
            }),
        ),
        (
            "oneshot",
            wait(|| {
                let (_sender, receiver) = oneshot::channel::<u8>();
                _ = receiver.recv();
            }),
        ),
    ]
}

/// The waits that Miri does not support, in the form of [`waits`].
fn waits_for_the_system() -> Vec<Named> {
    fn wait(f: impl FnOnce() + Send + 'static) -> Box<dyn FnOnce() + Send> {
        Box::new(f)
    }
    use overlapped::{fs, io, net, process, signal};
    vec![
        ("accept", wait(|| drop(net::TcpListener::bind("127.0.0.1:0").unwrap().accept()))),
        (
            "a datagram",
            wait(|| {
                drop(net::UdpSocket::bind("127.0.0.1:0").unwrap().recv(&mut [0; 8]));
            }),
        ),
        (
            "a pipe",
            wait(|| {
                let (mut from, _to) = io::pipe().unwrap();
                drop(from.read(&mut [0; 8]));
            }),
        ),
        (
            "readable",
            wait(|| {
                drop(net::wait_readable(UdpSocket::bind("127.0.0.1:0").unwrap()));
            }),
        ),
        ("a child", wait(|| drop(process::Command::new("sleep").arg("3").status()))),
        ("a signal", wait(|| drop(signal::Signals::new([signal::SIGUSR2]).unwrap().recv()))),
        (
            "an open",
            wait(|| {
                let folder = tempfile::tempdir().unwrap();
                let fifo = folder.path().join("fifo");
                let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
                assert!(made.success());
                drop(fs::File::open(&fifo));
            }),
        ),
        (
            "a file's lock",
            wait(|| {
                let file = tempfile::NamedTempFile::new().unwrap();
                flock(&file, FlockOperation::LockExclusive).unwrap();
                drop(fs::File::open(file.path()).unwrap().lock());
            }),
        ),
        (
            "a copy",
            wait(|| {
                let (mut from, _to) = io::pipe().unwrap();
                drop(io::copy(&mut from, &mut io::sink()));
            }),
        ),
    ]
}

/// Makes one run with a tasklet that is parked for good inside `wait`. Checks that every wait for
/// it ends with an answer, and every wait for its neighbours that have never begun. Returns the
/// number of answers.
fn all_waiters_are_answered(name: &'static str, wait: Box<dyn FnOnce() + Send>) -> usize {
    const NEIGHBOURS: usize = 100;
    let (sender, handles) = mpsc::channel::<Handles>();
    let dropped = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&dropped);
    let ended = aside(move || {
        Config::new().grace(GRACE).run_until(move || main_of(wait, &theirs, &sender)).unwrap()
    });
    let Handles { placed, thread, remote, neighbours, threads } = soon(&handles, name);
    let joined = in_time(name, move || placed.join());
    assert!(matches!(joined, Err(JoinError::Abandoned)), "{name}: {joined:?}");
    let joined = in_time(name, move || thread.join().unwrap_err().downcast::<JoinError>());
    assert!(matches!(*joined.unwrap(), JoinError::Abandoned), "{name}");
    let joined = in_time(name, || {
        let why = |payload: Box<dyn Any + Send>| *payload.downcast::<JoinError>().unwrap();
        let threads = threads.into_iter().map(|one| one.join().map_err(why));
        let all = neighbours.into_iter().map(Placed::join).chain(threads);
        all.collect::<Vec<_>>()
    });
    for joined in joined {
        assert!(matches!(joined, Err(JoinError::Killed)), "{name}: {joined:?}");
    }
    soon(&ended, name);
    assert!(remote.is_finished(), "{name}");
    assert_eq!(dropped.load(SeqCst), 2 * NEIGHBOURS, "{name}: closures that were dropped");
    return 3 + 4 * NEIGHBOURS;

    struct Handles {
        placed: Placed<()>,
        thread: overlapped::thread::JoinHandle<()>,
        remote: overlapped::Remote,
        neighbours: Vec<Placed<()>>,
        threads: Vec<overlapped::thread::JoinHandle<()>>,
    }

    /// The first tasklet: when it ends, the shutdown begins.
    fn main_of(
        wait: Box<dyn FnOnce() + Send>,
        dropped: &Arc<AtomicUsize>,
        sender: &Sender<Handles>,
    ) {
        let (says, has_begun) = mpsc::channel();
        let placed = task::place(move || {
            says.send(()).unwrap();
            shield(wait);
        });
        let (own, remotes) = mpsc::channel();
        let thread = overlapped::thread::spawn(move || {
            own.send(overlapped::current().remote()).unwrap();
            shield(task::pause);
        });
        wait_until("it has begun", || has_begun.try_recv().is_ok());
        uses_the_time_up();
        let counted = || Counted(Arc::clone(dropped));
        let neighbours = (0..NEIGHBOURS).map(|_| {
            let counted = counted();
            task::place(move || drop(counted))
        });
        let threads = (0..NEIGHBOURS).map(|_| {
            let counted = counted();
            overlapped::thread::spawn(move || drop(counted))
        });
        let (neighbours, threads) = (neighbours.collect(), threads.collect());
        let remote = remotes.recv().unwrap();
        sender.send(Handles { placed, thread, remote, neighbours, threads }).unwrap();
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri too long")]
fn s14_all_that_wait_for_the_abandoned_are_answered_and_closures_are_dropped() {
    let (mut answers, mut kinds) = (0, 0);
    for _ in 0..support::rounds(1, 20) {
        for (name, wait) in waits().into_iter().chain(waits_for_the_system()) {
            answers += all_waiters_are_answered(name, wait);
            kinds += 1;
        }
    }
    let figure =
        format!("answers, after {kinds} tasklets were parked for good in every kind of wait");
    support::report("S14", answers, &figure);
}

/// The values shared with tasklets that never end.
fn leaked<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// Calls `f` on a thread that has to wait in it, behind others.
fn behind<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (sender, receiver) = mpsc::channel();
    support::spawn_blocked(move || drop(sender.send(f())));
    receiver
}

fn a_mutex_goes_on() {
    let lock = leaked(Mutex::new(()));
    let held = lock.lock().unwrap();
    abandons("a mutex", || drop(lock.lock()));
    let next = behind(|| drop(lock.lock()));
    drop(held);
    soon(&next, "the mutex behind one that waited for it");
    let held = lock.lock().unwrap();
    abandons_ready("a mutex", || drop(lock.lock()), || drop(held));
    in_time("the mutex behind one that was on its way", || drop(lock.lock()));
}

fn a_lock_for_readers_goes_on() {
    let lock = leaked(RwLock::new(()));
    let held = lock.read().unwrap();
    abandons("a writer", || drop(lock.write()));
    in_time("a reader behind a writer", || drop(lock.read()));
    drop(held);
    let held = lock.write().unwrap();
    abandons_ready("a reader", || drop(lock.read()), || drop(held));
    in_time("a writer behind a reader that was let in", || drop(lock.write()));
}

fn a_semaphore_goes_on() {
    let semaphore = leaked(Semaphore::new(1));
    abandons("a semaphore", || drop(semaphore.acquire_many(2)));
    in_time("a permit behind one that wants two", || drop(semaphore.acquire()));
    let permit = semaphore.acquire();
    abandons_ready("a semaphore", || drop(semaphore.acquire()), || drop(permit));
    assert_eq!(semaphore.available_permits(), 1, "a permit that was handed over comes back");
}

fn a_condition_goes_on() {
    let (lock, changed) = (leaked(Mutex::new(())), leaked(Condvar::new()));
    let wait = move || drop(changed.wait(lock.lock().unwrap()));
    // A notification that comes before the thread waits would be lost.
    let behind = move || {
        let (tell, told) = mpsc::channel();
        let next = aside(move || {
            let held = lock.lock().unwrap();
            tell.send(()).unwrap();
            drop(changed.wait(held));
        });
        soon(&told, "a thread that waits for news");
        drop(lock.lock());
        next
    };
    abandons("a condition", wait);
    let next = behind();
    changed.notify_one();
    soon(&next, "the condition behind one that waited for it");
    // The abandoned tasklet has been notified; it has not run since, or waits for the mutex.
    for holds_mutex in [false, true] {
        let (tell, told) = mpsc::channel();
        abandons_ready("a condition", wait, move || {
            let next = behind();
            let held = holds_mutex.then(|| hold(|| lock.lock().unwrap()));
            changed.notify_one();
            if holds_mutex {
                (0..5).for_each(|_| yield_now());
            }
            tell.send((next, held)).unwrap();
        });
        let (next, held) = told.recv().unwrap();
        drop(held);
        soon(&next, "a notification that came to an abandoned tasklet");
    }
}

/// Makes a thread hold the result of `f` until the returned value is dropped.
fn hold<T>(f: impl FnOnce() -> T + Send + 'static) -> Sender<()> {
    let (release, wait) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let held = f();
        tell.send(()).unwrap();
        let _ = wait.recv();
        drop(held);
    });
    soon(&told, "what is to be held");
    release
}

fn a_barrier_goes_on() {
    let barrier = leaked(Barrier::new(2));
    abandons("a barrier", || _ = barrier.wait());
    let both = [(); 2].map(|()| aside(|| barrier.wait().is_leader()));
    let leaders = both.iter().filter(|one| soon(one, "a barrier for two")).count();
    assert_eq!(leaders, 1, "the abandoned tasklet does not count");
}

fn values_that_come_once_go_on() {
    let event = leaked(Event::new());
    abandons("an event", || event.wait());
    let next = behind(|| event.wait());
    event.set();
    soon(&next, "the event");
    let value = leaked(sync::OnceLock::new());
    abandons("a value", || _ = value.wait());
    let next = behind(|| *value.wait());
    value.set(1).unwrap();
    assert_eq!(soon(&next, "the value"), 1);
    // A wake for a value.
    let (sender, receiver) = oneshot::channel();
    let receiver = leaked(receiver);
    let (tell, told) = mpsc::channel();
    abandons_ready(
        "oneshot",
        || _ = receiver.recv(),
        move || {
            tell.send(behind(|| receiver.recv())).unwrap();
            sender.send(7).unwrap();
        },
    );
    assert_eq!(soon(&told.recv().unwrap(), "the value that woke an abandoned tasklet"), Ok(7));
}

fn a_channel_with_many_receivers_goes_on() {
    let (sender, receiver) = sync::mpmc::channel();
    let (other, (tell, told)) = (receiver.clone(), mpsc::channel());
    abandons_ready(
        "mpmc",
        move || _ = receiver.recv(),
        move || {
            tell.send(behind(move || other.recv())).unwrap();
            sender.send(7).unwrap();
        },
    );
    assert_eq!(soon(&told.recv().unwrap(), "the value that woke an abandoned tasklet"), Ok(7));
}

fn a_full_channel_goes_on() {
    let (sender, receiver) = sync::mpsc::sync_channel(1);
    sender.send(0).unwrap();
    let theirs = sender.clone();
    abandons("room", move || _ = theirs.send(1));
    let next = behind(move || sender.send(2).unwrap());
    assert_eq!([(); 3].map(|()| receiver.recv().unwrap()), [0, 1, 2], "each has been sent");
    soon(&next, "the sender behind");
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri too long")]
fn s14_queues_go_on_without_the_abandoned() {
    let all: [(&str, fn()); 8] = [
        ("a mutex", a_mutex_goes_on),
        ("a lock for readers", a_lock_for_readers_goes_on),
        ("a semaphore", a_semaphore_goes_on),
        ("a condition", a_condition_goes_on),
        ("a barrier", a_barrier_goes_on),
        ("values that come once", values_that_come_once_go_on),
        ("many receivers", a_channel_with_many_receivers_goes_on),
        ("a full channel", a_full_channel_goes_on),
    ];
    let mut checks = 0;
    for _ in 0..support::rounds(2, 50) {
        for (name, goes_on) in all {
            // This runs on a thread that need not end.
            in_time(name, goes_on);
            checks += 1;
        }
    }
    support::report("S14", checks, "queues that went on");
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no such I/O")]
fn standard_input_goes_on_without_the_abandoned() {
    in_time("standard input", || {
        let lock = || drop(overlapped::io::stdin().lock());
        let held = hold(|| overlapped::io::stdin().lock());
        abandons("standard input", lock);
        let next = behind(lock);
        drop(held);
        soon(&next, "standard input behind one that waited for it");
    });
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no such I/O")]
fn a_files_lock_is_not_taken_for_the_abandoned() {
    let file = tempfile::NamedTempFile::new().unwrap();
    flock(&file, FlockOperation::LockExclusive).unwrap();
    let path = file.path().to_owned();
    abandons("a file's lock", move || {
        drop(overlapped::fs::File::open(path).unwrap().lock());
    });
    flock(&file, FlockOperation::Unlock).unwrap();
    thread::sleep(Duration::from_millis(200));
    let other = std::fs::File::open(file.path()).unwrap();
    flock(other, FlockOperation::NonBlockingLockExclusive).unwrap();
}

#[test]
fn the_result_of_a_job_is_dropped_if_its_waiter_was_abandoned() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let result = Counted(Arc::clone(&dropped));
    let (release, wait) = mpsc::channel::<()>();
    abandons("unblock", move || {
        drop(unblock(move || {
            let _ = wait.recv();
            result
        }));
    });
    drop(release);
    wait_until("the job's result is dropped", || dropped.load(SeqCst) > 0);
}

#[test]
fn a_channel_is_without_the_abandoned_in_the_next_run() {
    in_time("a channel", || {
        let channel = Channel::<u8>::new();
        let kept = channel.clone();
        let ended = Config::new().grace(GRACE).run_until(move || {
            for _ in 0..2 {
                let channel = channel.clone();
                drop(spawn(move || shield(|| channel.recv())));
            }
            let channel = channel.clone();
            drop(spawn(move || shield(|| Select::new().recv(&channel, drop).wait())));
            yield_now();
        });
        ended.unwrap();
        assert_eq!(kept.balance(), 0);
        let got = run(|| {
            let receiver = kept.clone();
            let receives = spawn(move || receiver.recv());
            kept.send(1).unwrap();
            receives.join().unwrap()
        });
        assert_eq!(got.unwrap(), Ok(1));
    });
}

/// Makes `count` tasklets that never begin, because a neighbour uses up the grace time. Calls
/// `among` in the run, before it makes them.
fn never_begun(stacks: usize, count: usize, among: impl FnOnce() + Send + 'static) {
    let dropped = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&dropped);
    let placed = in_time("a run", move || {
        let all = Config::new().stacks_max(stacks).grace(GRACE).run_until(move || {
            among();
            uses_the_time_up();
            let counted = || Counted(Arc::clone(&theirs));
            let all = (0..count).map(|_| {
                let counted = counted();
                task::place(move || drop(counted))
            });
            all.collect::<Vec<_>>()
        });
        all.unwrap()
    });
    for one in placed {
        let joined = in_time("a placed tasklet that never began", || one.join());
        assert!(matches!(joined, Err(JoinError::Killed)), "{joined:?}");
    }
    assert_eq!(dropped.load(SeqCst), count, "closures that were dropped");
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri too long")]
fn closures_that_never_began_are_dropped_and_answered_after_the_grace_time() {
    never_begun(1_000, 500, || ());
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri too long")]
fn the_stacks_of_the_abandoned_are_not_counted_any_more() {
    // All stacks are in use: by these three for ever, by the first tasklet, and by one that takes
    // long.
    never_begun(5, 50, || {
        for _ in 0..3 {
            drop(spawn(|| shield(task::pause)));
        }
        yield_now();
    });
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri too long")]
fn a_shutdown_ends_whatever_the_destructors_of_closures_do() {
    /// Waits for ever.
    struct Stays;
    impl Drop for Stays {
        fn drop(&mut self) {
            shield(|| sleep(FOR_EVER));
        }
    }
    /// Spawns another one of itself when it is dropped.
    struct Again;
    impl Drop for Again {
        fn drop(&mut self) {
            let again = Again;
            drop(spawn(move || drop(again)));
        }
    }
    in_time("the shutdown", || {
        let both = Config::new().grace(GRACE).run_until(|| {
            let (stays, again) = (Stays, Again);
            (spawn(move || drop(stays)), spawn(move || drop(again)))
        });
        let (stays, again) = both.unwrap();
        assert!(matches!(stays.join(), Err(JoinError::Abandoned)));
        assert!(matches!(again.join(), Err(JoinError::Killed)));
    });
}

#[test]
fn without_any_grace_time_closures_are_dropped_all_the_same() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&dropped);
    in_time("a run", move || {
        let ended = Config::new().grace(Duration::ZERO).run_until(move || {
            for _ in 0..100 {
                let counted = Counted(Arc::clone(&theirs));
                drop(spawn(move || drop(counted)));
            }
        });
        ended.unwrap();
    });
    assert_eq!(dropped.load(SeqCst), 100);
}

/// A thread-local that is lent to a thread. It records its drop.
struct Lent(Vec<AtomicUsize>);

/// The mark in a [`Lent`] value as long as it is there.
const THERE: usize = 0x600d;
static DROPPED: AtomicUsize = AtomicUsize::new(0);
static THREADS_END: AtomicUsize = AtomicUsize::new(0);

impl Drop for Lent {
    fn drop(&mut self) {
        self.0.iter().for_each(|word| word.store(0, SeqCst));
        DROPPED.fetch_add(1, SeqCst);
    }
}

thread_local! {
    static LENT: Lent = Lent((0..100).map(|_| AtomicUsize::new(THERE)).collect());
    static LENT_LATER: Lent = Lent((0..100).map(|_| AtomicUsize::new(THERE)).collect());
    static LAST: Last = const { Last };
}

/// Reports, when it is dropped, that its thread ends.
struct Last;

impl Drop for Last {
    fn drop(&mut self) {
        THREADS_END.fetch_add(1, SeqCst);
    }
}

/// Lends a thread-local to a thread that reads it for ever, and is parked for good meanwhile.
fn lends(local: &'static thread::LocalKey<Lent>) {
    local.with(|lent| {
        thread::scope(|s| {
            s.spawn(|| {
                loop {
                    let is_there = lent.0.iter().all(|word| word.load(SeqCst) == THERE);
                    if !is_there {
                        println!("a lent thread-local was dropped");
                        std::process::exit(101);
                    }
                    thread::sleep(Duration::from_millis(1));
                }
            });
            shield(|| sleep(FOR_EVER));
        });
    });
}

/// A run on the calling thread that abandons a tasklet which [`lends`].
fn lends_and_is_abandoned(local: &'static thread::LocalKey<Lent>) {
    let ended = Config::new().grace(GRACE).run_until(move || {
        drop(spawn(move || lends(local)));
        yield_now();
    });
    ended.unwrap();
}

/// Waits until a thread is at its end, and a moment longer.
fn wait_for_the_end_of_a_thread() {
    wait_until("a thread ends", || THREADS_END.load(SeqCst) > 0);
    thread::sleep(Duration::from_millis(500));
}

/// Runs in the child; its exit's code is the result.
fn as_child(what: &str) -> ! {
    match what {
        "a thread ends" => {
            aside(|| lends_and_is_abandoned(&LENT)).recv().unwrap();
            // The thread ends, which `LAST` reports: made after the run, it is dropped first.
            thread::spawn(|| {
                lends_and_is_abandoned(&LENT);
                LAST.with(|_| ());
            });
            wait_for_the_end_of_a_thread();
        }
        "a thread ends after two runs" => {
            thread::spawn(|| {
                lends_and_is_abandoned(&LENT);
                lends_and_is_abandoned(&LENT_LATER);
                LAST.with(|_| ());
            });
            wait_for_the_end_of_a_thread();
        }
        "a thread of the library ends" => {
            let ended = Config::new().threads(2).grace(GRACE).run_until(|| {
                let (begun, begins) = mpsc::channel();
                let begin_to_lend = move || {
                    begun.send(()).unwrap();
                    lends(&LENT)
                };
                let lends = task::place_on(1, begin_to_lend).unwrap();
                begins.recv().unwrap();
                lends
            });
            let joined = ended.unwrap().join();
            assert!(matches!(joined, Err(JoinError::Abandoned)));
            thread::sleep(Duration::from_millis(500));
        }
        "the process ends on such a thread" => {
            thread::spawn(|| {
                let parked = Config::new().grace(GRACE).run_until(|| {
                    drop(spawn(|| shield(task::pause)));
                    yield_now();
                });
                parked.unwrap();
                std::process::exit(7);
            });
            thread::sleep(Duration::from_secs(60));
        }
        _ => unreachable!("no such child"),
    }
    assert_eq!(DROPPED.load(SeqCst), 0, "a lent thread-local was dropped");
    std::process::exit(7);
}

#[test]
#[cfg_attr(miri, ignore = "Miri starts no processes")]
fn s14_no_thread_ends_while_it_lends_its_thread_locals() {
    const NAME: &str = "s14_no_thread_ends_while_it_lends_its_thread_locals";
    if let Some(what) = support::asked() {
        as_child(&what);
    }
    let said = |what: &str| {
        let output = support::child(NAME, what);
        assert_eq!(output.status.code(), Some(7), "{what}: {}", support::said(&output));
        support::said(&output)
    };
    let mut checks = 0;
    for _ in 0..support::rounds(1, 10) {
        let message = "does not end: a tasklet that outlived the grace time";
        for what in ["a thread ends", "a thread ends after two runs"] {
            assert!(said(what).contains(message), "{what}");
        }
        let quiet = ["a thread of the library ends", "the process ends on such a thread"];
        for what in quiet {
            let said = said(what);
            assert!(!said.contains(message), "{what}: {said}");
        }
        checks += 4;
    }
    support::report("S14", checks, "threads that did not end under what they lend");
}
