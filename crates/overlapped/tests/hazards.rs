//! The hazards of tasklets that share a thread: each example of the documents, with its effect and
//! its remedy. Examples that stop their thread or end their process run in a child.

mod support;

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::Output;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

use overlapped::task::{self, Local, no_switch, unblock};
use overlapped::time::sleep;
use overlapped::{Channel, JoinError, RecvError, Tasklet, run, run_until, spawn, sync, yield_now};
use support::ms;

/// Records that a hazard has its documented effect, and that its remedy helps.
fn holds(hazard: &str) {
    support::report("S18", 1, hazard);
}

/// Runs `test` in a child and returns its output.
fn in_child(test: &str, what: &str) -> (Output, String) {
    let output = support::child(test, what);
    let said = support::said(&output);
    (output, said)
}

/// Tells whether this process is the child that runs the example.
fn is_example() -> bool {
    support::asked().as_deref() == Some("the example")
}

/// Runs an example that stops its thread. Tells whether it did. `test` runs it by [`stops`].
fn stops_its_thread(test: &str) -> bool {
    in_child(test, "the example").1.contains("STOPPED")
}

/// For a child: runs `example`, and reports when no tasklet of this thread has run for a second.
fn stops(example: impl FnOnce()) -> ! {
    static TICKS: AtomicU64 = AtomicU64::new(0);
    std::thread::spawn(|| {
        loop {
            let before = TICKS.load(SeqCst);
            std::thread::sleep(ms(1_000));
            if TICKS.load(SeqCst) == before {
                println!("STOPPED");
                std::process::exit(0);
            }
        }
    });
    run_until(|| {
        spawn(|| {
            loop {
                sleep(ms(5));
                TICKS.fetch_add(1, SeqCst);
            }
        });
        example();
    })
    .unwrap();
    println!("WENT ON");
    std::process::exit(0)
}

/// Returns the results of two tasklets.
fn both<T: 'static>(
    f: impl Fn() -> T + Copy + 'static,
) -> (Result<T, JoinError>, Result<T, JoinError>) {
    let (a, b) = (spawn(f), spawn(f));
    (a.join(), b.join())
}

/// A value, and a flag that says whether the value lives. A test reads the flag, and never a
/// dropped value.
struct Settings {
    lives: Arc<AtomicBool>,
}

impl Settings {
    fn new() -> Settings {
        Settings { lives: Arc::new(AtomicBool::new(true)) }
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        self.lives.store(false, SeqCst);
    }
}

thread_local! {
    static FIRST: Cell<bool> = const { Cell::new(true) };
    /// The first caller waits, as for a file or a connection.
    static CONFIG: Settings = {
        if FIRST.replace(false) {
            yield_now();
            yield_now();
        }
        Settings::new()
    };
    /// The remedy: a call that would wait returns an error, and the value is made in another way.
    static GUARDED: Settings = no_switch(|| {
        assert_eq!(Channel::<()>::new().recv(), Err(RecvError::WouldBlock));
        Settings::new()
    });
}

/// A closure that uses a tasklet's value.
type Borrows<'a> = &'a mut dyn FnMut(&Settings);

/// Tells whether the second tasklet's value still lives after a wait, during which it is borrowed.
fn lives_on(with: fn(Borrows<'_>)) -> bool {
    run(move || {
        let first = spawn(move || with(&mut |_| ()));
        let second = spawn(move || {
            let mut lives_on = false;
            with(&mut |settings| {
                let lives = settings.lives.clone();
                (0..4).for_each(|_| yield_now());
                lives_on = lives.load(SeqCst);
            });
            lives_on
        });
        first.join().unwrap();
        second.join().unwrap()
    })
    .unwrap()
}

#[test]
#[cfg_attr(miri, ignore = "the first tasklet has a reference to the dropped value")]
fn s18_an_initialiser_of_a_thread_local_that_waits_has_a_neighbours_value_dropped() {
    fn slow() -> Settings {
        yield_now();
        Settings::new()
    }
    static OF_TASKLETS: Local<Settings> = Local::new(slow);
    static OF_ALL: sync::OnceLock<Settings> = sync::OnceLock::new();
    assert!(!lives_on(|f| CONFIG.with(|settings| f(settings))), "dropped under a reference");
    assert!(lives_on(|f| GUARDED.with(|settings| f(settings))));
    assert!(lives_on(|f| OF_TASKLETS.with(|settings| f(settings))));
    assert!(lives_on(|f| f(OF_ALL.get_or_init(slow))));
    holds("an initialiser of a thread_local! that waits");
}

/// Has a name.
fn receives_nothing() {}

/// Looks up a name, and calls `inside` while backtrace's lock is held.
fn resolve(mut inside: impl FnMut()) {
    let mut calls = 0;
    backtrace::resolve(((receives_nothing as fn()) as *mut u8).wrapping_add(1).cast(), |_| {
        calls += 1;
        if calls == 1 {
            inside();
        }
    });
    assert!(calls > 0, "a function of this program has a name");
}

#[test]
fn s18_a_lock_that_is_reentrant_by_thread_lets_neighbours_in_and_then_a_thread() {
    const NAME: &str =
        "s18_a_lock_that_is_reentrant_by_thread_lets_neighbours_in_and_then_a_thread";
    static IS_INSIDE: AtomicBool = AtomicBool::new(false);
    if is_example() {
        run(|| {
            let leave = Channel::<()>::new();
            let theirs = leave.clone();
            let first = spawn(move || resolve(|| theirs.recv().unwrap()));
            yield_now();
            spawn(|| {
                resolve(|| {
                    IS_INSIDE.store(true, SeqCst);
                    task::pause();
                })
            });
            yield_now();
            assert!(IS_INSIDE.load(SeqCst), "past the first one's lock");
            leave.send(()).unwrap();
            first.join().unwrap();
            let other = std::thread::spawn(|| {
                let mut are_two = false;
                resolve(|| are_two = IS_INSIDE.load(SeqCst));
                are_two
            });
            println!("TWO THREADS INSIDE: {}", other.join().unwrap());
            // The second tasklet must not go on in there.
            std::process::exit(0)
        })
        .unwrap();
    }
    assert!(in_child(NAME, "the example").1.contains("TWO THREADS INSIDE: true"));
    let refused = run(|| {
        let channel = Channel::<()>::new();
        let mut refused = None;
        no_switch(|| resolve(|| refused = Some(channel.recv())));
        refused
    });
    assert_eq!(refused.unwrap(), Some(Err(RecvError::WouldBlock)));
    holds("a lock that is re-entrant by thread, with a flag");
}

#[test]
fn s18_stds_lock_of_standard_output_does_not_keep_neighbours_out() {
    const NAME: &str = "s18_stds_lock_of_standard_output_does_not_keep_neighbours_out";
    fn mixed<W: Write + 'static>(lock: fn() -> W) {
        run(move || {
            (0..3).for_each(|n| {
                spawn(move || {
                    let mut out = lock();
                    for _ in 0..2 {
                        write!(out, "<{n}").unwrap();
                        yield_now();
                        write!(out, "{n}>").unwrap();
                    }
                });
            });
        })
        .unwrap();
        println!();
    }
    match support::asked().as_deref() {
        Some("the example") => return mixed(|| std::io::stdout().lock()),
        Some(_) => {
            mixed(|| overlapped::io::stdout().lock());
            return overlapped::io::stdout().flush().unwrap();
        }
        None => {}
    }
    assert!(in_child(NAME, "the example").1.contains("<0<1<20>"));
    assert!(in_child(NAME, "the remedy").1.contains("<00><00><11><11><22><22>"));
    holds("a lock that is re-entrant by thread, with a count");
}

#[test]
fn s18_an_initialiser_of_stds_lazy_lock_that_waits_stops_the_thread() {
    const NAME: &str = "s18_an_initialiser_of_stds_lazy_lock_that_waits_stops_the_thread";
    fn slow() -> u8 {
        yield_now();
        7
    }
    static OF_STD: LazyLock<u8> = LazyLock::new(slow);
    static ONCE: OnceLock<u8> = OnceLock::new();
    static OURS: sync::LazyLock<u8> = sync::LazyLock::new(slow);
    if is_example() {
        stops(|| drop(both(|| *OF_STD)));
    }
    assert!(stops_its_thread(NAME));
    let seven = |got: (Result<u8, JoinError>, Result<u8, JoinError>)| {
        assert!(matches!(got, (Ok(7), Ok(7))), "{got:?}");
    };
    run(move || {
        seven(both(|| *OURS));
        // The other remedy: the initialiser does not wait.
        seven(both(|| *ONCE.get_or_init(|| no_switch(|| 7))));
    })
    .unwrap();
    holds("an initialiser of std's LazyLock that waits");
}

#[test]
fn s18_joining_a_thread_that_waits_for_a_tasklet_stops_the_thread() {
    const NAME: &str = "s18_joining_a_thread_that_waits_for_a_tasklet_stops_the_thread";
    let feeder = || {
        let (tx, rx) = std::sync::mpsc::channel();
        spawn(move || tx.send(7));
        rx
    };
    if is_example() {
        stops(|| {
            let rx = feeder();
            std::thread::scope(|s| s.spawn(move || rx.recv()).join().unwrap().unwrap());
        });
    }
    assert!(stops_its_thread(NAME));
    let got = run(|| {
        let rx = feeder();
        let thread = std::thread::spawn(move || rx.recv());
        unblock(move || thread.join().unwrap().unwrap())
    });
    assert_eq!(got.unwrap().unwrap(), 7);
    holds("joining a thread that waits for a tasklet");
}

#[test]
fn s18_an_executor_that_is_noted_in_a_thread_local_panics_in_the_second_tasklet() {
    fn wait() -> u8 {
        yield_now();
        7
    }
    run(|| {
        let (first, second) = both(|| futures::executor::block_on(async { wait() }));
        assert!(matches!((first, second), (Ok(7), Err(JoinError::Panicked(_)))));
        let (first, second) = both(|| task::block_on(async { wait() }));
        assert_eq!((first.unwrap(), second.unwrap()), (7, 7));
    })
    .unwrap();
    holds("an executor that notes in a thread-local that it runs");
}

/// Sorts by a callback of C's, which calls `wait`.
fn sort(wait: fn()) {
    thread_local! {
        static WAIT: Cell<fn()> = const { Cell::new(|| ()) };
    }
    extern "C" fn compare(_: *const libc::c_void, _: *const libc::c_void) -> libc::c_int {
        WAIT.get()();
        0
    }
    WAIT.set(wait);
    let mut numbers = [3, 1, 2];
    // SAFETY: three numbers, and a function that reads none.
    unsafe { libc::qsort(numbers.as_mut_ptr().cast(), 3, 4, Some(compare)) };
    yield_now();
}

/// Kills a tasklet after it has first run.
fn killed(f: impl FnOnce() + 'static) -> Result<(), JoinError> {
    let tasklet: Tasklet<()> = spawn(f);
    yield_now();
    tasklet.kill();
    tasklet.join()
}

#[test]
fn s18_a_kill_in_a_callback_of_c_ends_the_process_and_says_what_helps() {
    const NAME: &str = "s18_a_kill_in_a_callback_of_c_ends_the_process_and_says_what_helps";
    if is_example() {
        return run(|| drop(killed(|| sort(yield_now)))).unwrap();
    }
    let (output, said) = in_child(NAME, "the example");
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{said}");
    let parts = ["note: that was tasklet 2, spawned at", "being unwound by a kill", "no_switch"];
    assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    assert!(said.contains("::sort::compare"), "names the callback: {said}");
    let ended = run(|| {
        killed(|| {
            sort(|| {
                let refused = no_switch(|| Channel::<()>::new().recv());
                assert_eq!(refused, Err(RecvError::WouldBlock));
            });
        })
    });
    assert!(matches!(ended.unwrap(), Err(JoinError::Killed)));
    holds("a callback of C that waits");
}

/// Counts, when it is dropped, the locks that it can take.
struct Counts {
    count: Rc<sync::Mutex<u32>>,
    waits: bool,
}

impl Drop for Counts {
    fn drop(&mut self) {
        if self.waits {
            *self.count.lock().unwrap() += 1;
        } else if let Ok(mut count) = self.count.try_lock() {
            *count += 1;
        }
    }
}

#[test]
fn s18_a_destructor_that_waits_for_a_neighbours_lock_ends_the_process_where_it_unwinds() {
    const NAME: &str =
        "s18_a_destructor_that_waits_for_a_neighbours_lock_ends_the_process_where_it_unwinds";
    fn kills_one_that_counts(waits: bool) -> Result<(), JoinError> {
        let count = Rc::new(sync::Mutex::new(0));
        let held = count.clone();
        spawn(move || {
            let _guard = held.lock().unwrap();
            (0..10).for_each(|_| yield_now());
        });
        killed(move || {
            let _counts = Counts { count, waits };
            task::pause();
        })
    }
    if is_example() {
        return run(|| drop(kills_one_that_counts(true))).unwrap();
    }
    let (output, said) = in_child(NAME, "the example");
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{said}");
    let parts = ["tasklet 3", "is unwinding", "a Mutex", "locked by tasklet 2", "use try_lock"];
    assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    let ended = run(|| kills_one_that_counts(false));
    assert!(matches!(ended.unwrap(), Err(JoinError::Killed)));
    holds("a destructor that waits for a lock, in a killed tasklet");
}

#[test]
fn s18_in_a_run_that_begins_while_its_thread_unwinds_no_tasklet_can_wait() {
    fn receives() -> Result<u8, String> {
        let result = run(|| {
            let channel = Channel::new();
            let sender = channel.clone();
            spawn(move || {
                yield_now();
                sender.send(7)
            });
            channel.recv()
        });
        result.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
    struct Runs<'a>(&'a RefCell<Vec<Result<u8, String>>>);
    impl Drop for Runs<'_> {
        fn drop(&mut self) {
            let here = receives();
            let elsewhere = std::thread::spawn(receives).join().unwrap();
            self.0.borrow_mut().extend([here, elsewhere]);
        }
    }
    let got = RefCell::new(Vec::new());
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _runs = Runs(&got);
        support::quiet_panic("something else");
    }));
    let got = got.into_inner();
    assert!(got[0].is_err(), "{got:?}");
    assert_eq!(got[1], Ok(7), "a thread of its own does not unwind");
    holds("a run in a destructor, while its thread unwinds");
}

#[test]
fn s18_a_borrow_or_a_lock_of_std_across_a_wait_meets_the_neighbours() {
    const NAME: &str = "s18_a_borrow_or_a_lock_of_std_across_a_wait_meets_the_neighbours";
    if is_example() {
        stops(|| {
            let lock = Rc::new(Mutex::new(0));
            let theirs = lock.clone();
            spawn(move || {
                let mut guard = theirs.lock().unwrap();
                yield_now();
                *guard += 1;
            });
            yield_now();
            *lock.lock().unwrap() += 1;
        });
    }
    assert!(stops_its_thread(NAME));
    run(|| {
        let cell = Rc::new(RefCell::new(0));
        let across = cell.clone();
        spawn(move || {
            let mut count = across.borrow_mut();
            yield_now();
            *count += 1;
        });
        yield_now();
        assert!(cell.try_borrow_mut().is_err(), "a panic, where borrow_mut is called");
        yield_now();
        let lock = Rc::new(sync::Mutex::new(0));
        let theirs = lock.clone();
        spawn(move || {
            let mut guard = theirs.lock().unwrap();
            yield_now();
            *guard += 1;
        });
        yield_now();
        *lock.lock().unwrap() += 1;
        assert_eq!(*lock.lock().unwrap(), 2, "a lock of this library waits as a tasklet does");
    })
    .unwrap();
    holds("a RefCell's borrow, or a guard of std's Mutex, across a wait");
}

#[test]
fn s18_a_call_that_blocks_the_thread_keeps_the_neighbours_from_running() {
    run(|| {
        let turns = Rc::new(Cell::new(0));
        let theirs = turns.clone();
        let neighbour = spawn(move || {
            for _ in 0..50 {
                sleep(ms(1));
                theirs.set(theirs.get() + 1);
            }
        });
        yield_now();
        std::thread::sleep(ms(100));
        assert_eq!(turns.get(), 0);
        let blocks = unblock({
            let until = std::time::Instant::now() + ms(100);
            move || {
                while std::time::Instant::now() < until {
                    std::thread::sleep(ms(1));
                }
            }
        });
        blocks.unwrap();
        neighbour.join().unwrap();
        assert_eq!(turns.get(), 50);
    })
    .unwrap();
    holds("a call that blocks the thread");
}
