//! The watchdog reports tasklets that hold their thread, and no others.

mod support;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use overlapped::task::{Stall, running_on};
use overlapped::time::sleep;
use overlapped::{Builder, Config, spawn, yield_now};
use support::{ms, wait_until};

static WARNINGS: AtomicUsize = AtomicUsize::new(0);

/// Standard error, counting warnings.
struct Counted;

impl Write for Counted {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        std::io::stderr().write_all(buf)?;
        WARNINGS.fetch_add(String::from_utf8_lossy(buf).matches("has held").count(), Relaxed);
        Ok(buf.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Waits for a warning: looking up symbols for the first time takes a while.
fn wait_for_warnings(count: usize) {
    wait_until("a warning comes", || WARNINGS.load(Relaxed) >= count);
}

/// Writes warnings to standard error, as programs do.
fn listen() {
    tracing_subscriber::fmt()
        .with_writer(|| Counted)
        .with_ansi(false)
        .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
        .init();
}

/// Computes, and so holds the thread.
#[inline(never)]
fn computes_for(time: Duration) -> u64 {
    let begin = Instant::now();
    let mut sum = 0_u64;
    while begin.elapsed() < time {
        for i in 0..10_000 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(i));
        }
    }
    sum
}

#[inline(never)]
fn locks_and_waits(lock: &Mutex<u32>) {
    let mut guard = lock.lock().unwrap();
    // Here another tasklet runs, with the lock held.
    sleep(ms(20));
    *guard += 1;
}

#[inline(never)]
fn wants_the_lock(lock: &Mutex<u32>) {
    *lock.lock().unwrap() += 1;
}

#[test]
fn a_std_lock_held_across_a_switch_is_found() {
    const NAME: &str = "a_std_lock_held_across_a_switch_is_found";
    if support::asked().is_some() {
        listen();
        return Config::new()
            .stall_limit(ms(100))
            .run(|| {
                let lock = Rc::new(Mutex::new(0));
                let theirs = lock.clone();
                let holder = Builder::new().name("holder").spawn(move || locks_and_waits(&theirs));
                yield_now();
                let wants = Builder::new().name("wants").spawn(move || wants_the_lock(&lock));
                // This never returns: the thread is stopped, and with it the holder of the lock.
                drop((holder.unwrap().join(), wants.unwrap().join()));
            })
            .unwrap();
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([NAME, "--exact", "--nocapture", "--test-threads=1"])
        .env("OVERLAPPED_TEST_CHILD", "child")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    while !said.contains("overlapped::sched::run::body") {
        let line = lines.next().expect("a report before the end").unwrap();
        writeln!(said, "{line}").unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(said.contains("'wants' has held its thread"), "{said}");
    assert!(said.contains("wants_the_lock"), "{said}");
    assert!(said.contains("lock_contended"), "{said}");
    assert!(!said.contains("'holder'"), "{said}");
}

#[test]
fn a_long_computation_is_reported_and_so_is_its_end() {
    const NAME: &str = "a_long_computation_is_reported_and_so_is_its_end";
    if support::asked().is_some() {
        listen();
        let config = Config::new().stall_limit(ms(100)).threads(2);
        return config
            .run(|| {
                spawn(|| sleep(ms(1)));
                let busy = Builder::new().name("busy").spawn(|| computes_for(ms(500))).unwrap();
                busy.join().unwrap();
                wait_for_warnings(1);
                sleep(ms(200));
            })
            .unwrap();
    }
    let output = support::child(NAME, "child");
    let said = support::said(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("'busy' has held its thread"), "{said}");
    assert!(said.contains("computes_for"), "{said}");
    assert!(said.contains("released its thread after"), "{said}");
    // At the limit, and at twice and four times the time.
    let times = said.matches("'busy' has held").count();
    assert!((1..=3).contains(&times), "{said}");
}

#[test]
fn tasklets_that_wait_or_yield_are_not_reported() {
    const NAME: &str = "tasklets_that_wait_or_yield_are_not_reported";
    if support::asked().is_some() {
        listen();
        return Config::new()
            .stall_limit(ms(400))
            .run(|| {
                let yields = spawn(|| {
                    let begin = Instant::now();
                    while begin.elapsed() < ms(900) {
                        computes_for(Duration::from_micros(50));
                        yield_now();
                    }
                });
                yields.join().unwrap();
                sleep(ms(900));
            })
            .unwrap();
    }
    let output = support::child(NAME, "child");
    assert!(output.status.success());
    assert!(!support::said(&output).contains("has held"), "{}", support::said(&output));
}

#[test]
fn system_calls_go_on_and_errno_stays() {
    const NAME: &str = "system_calls_go_on_and_errno_stays";
    if support::asked().is_some() {
        listen();
        return Config::new()
            .stall_limit(ms(30))
            .run(|| {
                let begin = Instant::now();
                std::thread::sleep(ms(150));
                assert!(begin.elapsed() >= ms(150));
                let (mut rx, mut tx) = std::io::pipe().unwrap();
                let writer = std::thread::spawn(move || {
                    std::thread::sleep(ms(150));
                    tx.write_all(b"late").unwrap();
                });
                let mut buf = [0; 4];
                // One read(2) that blocks the thread, and is not interrupted.
                assert_eq!(rx.read(&mut buf).unwrap(), 4);
                writer.join().unwrap();
                // The signals for those two stalls may have merged, while the watchdog was looking
                // up symbols.
                wait_for_warnings(1);
                let (told, begin) = (WARNINGS.load(Relaxed), Instant::now());
                // This may take several tries, if the watchdog, too, has to wait for a processor.
                while WARNINGS.load(Relaxed) == told {
                    assert!(begin.elapsed() < Duration::from_secs(60), "no warning");
                    // SAFETY: the place is this thread's own.
                    unsafe { *libc::__errno_location() = 4711 };
                    computes_for(ms(150));
                    assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(4711));
                    sleep(ms(100));
                }
            })
            .unwrap();
    }
    let output = support::child(NAME, "child");
    let said = support::said(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.matches("has held").count() >= 2, "{said}");
}

static SEEN: AtomicUsize = AtomicUsize::new(0);

extern "C" fn before(_: i32) {
    SEEN.fetch_add(1, Relaxed);
}

#[test]
fn a_handler_that_was_there_before_gets_its_signals() {
    const NAME: &str = "a_handler_that_was_there_before_gets_its_signals";
    if support::asked().is_some() {
        listen();
        // SAFETY: the handler only counts.
        unsafe { libc::signal(libc::SIGURG, before as *const () as usize) };
        return Config::new()
            .stall_limit(ms(20))
            .run(|| {
                let begin = Instant::now();
                // This may take several tries, if the watchdog has to wait for a processor.
                while WARNINGS.load(Relaxed) == 0 {
                    assert!(begin.elapsed() < Duration::from_secs(60), "no warning");
                    computes_for(ms(100));
                    sleep(ms(100));
                }
                assert_eq!(
                    SEEN.load(Relaxed),
                    0,
                    "the handler does not get the watchdog's signals"
                );
                for _ in 0..10 {
                    // SAFETY: sends a signal to this thread.
                    unsafe { libc::raise(libc::SIGURG) };
                }
                assert_eq!(SEEN.load(Relaxed), 10);
            })
            .unwrap();
    }
    let output = support::child(NAME, "child");
    assert!(output.status.success(), "{}", support::said(&output));
    assert!(support::said(&output).contains("has held"), "{}", support::said(&output));
}

#[test]
fn asking_at_any_instruction_does_no_harm() {
    const NAME: &str = "asking_at_any_instruction_does_no_harm";
    if support::asked().is_some() {
        listen();
        let rounds = support::rounds(60, 5_000);
        return Config::new()
            .stall_limit(Duration::from_nanos(1))
            .run(|| {
                for round in 0..rounds {
                    let length = Duration::from_micros(2_500 + round as u64 * 7 % 500);
                    // Calls everything that has locks and tables: allocation, formatting,
                    // unwinding, thread-locals, signals.
                    let tasklet = Builder::new().name(format!("round {round}")).spawn(move || {
                        let begin = Instant::now();
                        let mut kept = Vec::new();
                        while begin.elapsed() < length {
                            kept.push(format!("{:?}", begin.elapsed()));
                            let _ = std::panic::catch_unwind(|| support::quiet_panic(7));
                            kept.truncate(100);
                        }
                        // Also makes many switches, so that signals hit some of them.
                        let partner = spawn(|| (0..2_000).for_each(|_| yield_now()));
                        (0..2_000).for_each(|_| yield_now());
                        partner.join().unwrap();
                        kept.len()
                    });
                    assert!(tasklet.unwrap().join().unwrap() > 0);
                }
                wait_for_warnings(1);
                println!("SURVIVED");
            })
            .unwrap();
    }
    let output = support::child(NAME, "child");
    let said = support::said(&output);
    assert!(output.status.success() && said.contains("SURVIVED"), "{}: {said}", output.status);
    println!("{} questions", said.matches("has held").count());
    assert!(said.contains("has held"), "not tested: no thread was asked");
}

#[test]
fn a_program_that_handles_stalls_keeps_them_out_of_the_log() {
    const NAME: &str = "a_program_that_handles_stalls_keeps_them_out_of_the_log";
    static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());
    fn on_stall(stall: &Stall) -> bool {
        let text = match stall {
            Stall::Lasts(stalled) => {
                assert!(stalled.is_again || stalled.time >= ms(100));
                // /proc may be missing, or lack the entry.
                let call = stalled.system_call.unwrap_or(libc::SYS_clock_nanosleep);
                let name = stalled.name.as_deref().unwrap_or_default();
                format!("{name} in {call}{}", stalled.trace())
            }
            Stall::Over { time, .. } => {
                assert!(*time >= ms(100));
                "over".to_owned()
            }
            _ => "something else".to_owned(),
        };
        TOLD.lock().unwrap().push(text);
        false
    }
    if support::asked().is_some() {
        listen();
        let config = Config::new().stall_limit(ms(100)).on_stall(on_stall);
        config
            .run(|| {
                let sleeps = || std::thread::sleep(ms(500));
                Builder::new().name("sleeps").spawn(sleeps).unwrap().join().unwrap();
                let is_over = || TOLD.lock().unwrap().last().is_some_and(|last| last == "over");
                wait_until("the end is reported", is_over);
            })
            .unwrap();
        let told = TOLD.lock().unwrap();
        let first = format!("sleeps in {}", libc::SYS_clock_nanosleep);
        assert!(told[0].starts_with(&first) && told[0].contains("sleeps"), "{told:?}");
        return assert_eq!(WARNINGS.load(Relaxed), 0);
    }
    let output = support::child(NAME, "child");
    assert!(output.status.success(), "{}", support::said(&output));
}

/// The duration does not include the time for symbols and for the program's function.
#[test]
fn a_stall_is_never_reported_as_longer_than_it_was() {
    const NAME: &str = "a_stall_is_never_reported_as_longer_than_it_was";
    static OVER: Mutex<Option<Duration>> = Mutex::new(None);
    fn on_stall(stall: &Stall) -> bool {
        match stall {
            Stall::Lasts(stalled) => {
                assert!(!stalled.trace().is_empty());
                std::thread::sleep(ms(1_500));
            }
            Stall::Over { time, .. } => *OVER.lock().unwrap() = Some(*time),
            _ => {}
        }
        false
    }
    if support::asked().is_some() {
        let config = Config::new().stall_limit(ms(100)).on_stall(on_stall);
        let (held, over) = config
            .run(|| {
                let begin = Instant::now();
                spawn(|| std::thread::sleep(ms(400))).join().unwrap();
                let held = begin.elapsed();
                wait_until("its end is reported", || OVER.lock().unwrap().is_some());
                (held, OVER.lock().unwrap().unwrap())
            })
            .unwrap();
        return assert!(over >= ms(100) && over <= held, "{over:?} of {held:?}");
    }
    let output = support::child(NAME, "child");
    assert!(output.status.success(), "{}", support::said(&output));
}

/// A deadlock report counts the threads besides the library's own. A watchdog that has ended must
/// not be counted as the library's, or another thread would be overlooked.
#[test]
fn watchdogs_that_have_ended_hide_no_other_thread_from_a_deadlock_report() {
    const NAME: &str = "watchdogs_that_have_ended_hide_no_other_thread_from_a_deadlock_report";
    if support::asked().is_some() {
        for _ in 0..3 {
            Config::new().stall_limit(ms(20)).run(|| sleep(ms(50))).unwrap();
            std::thread::sleep(ms(100));
        }
        let event = std::sync::Arc::new(overlapped::sync::Event::new());
        let theirs = event.clone();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(ms(2_500));
            theirs.set();
        });
        let waits = move || assert!(event.wait_for_threads("a test", 0, None, None));
        Config::new().grace(ms(100)).run(|| spawn(waits).join().unwrap()).unwrap();
        return thread.join().unwrap();
    }
    let output = support::child(NAME, "child");
    assert!(output.status.success(), "{}", support::said(&output));
}

/// Tells whether a thread of this process has this name.
fn has_thread(name: &str) -> bool {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let names = threads.filter_map(|thread| {
        std::fs::read_to_string(thread.unwrap().path().join("comm")).ok() // It may have ended.
    });
    names.into_iter().any(|found| found.trim_end() == name)
}

#[test]
fn a_watched_run_has_one_helper_thread_until_there_is_a_finding() {
    const NAME: &str = "a_watched_run_has_one_helper_thread_until_there_is_a_finding";
    if support::asked().is_some() {
        let run = || {
            wait_until("the watchdog looks", || has_thread("overlapped-wdog"));
            sleep(ms(300));
            assert!(!has_thread("overlapped-tell"), "nothing is to be reported");
            computes_for(ms(900));
            wait_until("the stall is reported", || has_thread("overlapped-tell"));
        };
        Config::new().stall_limit(ms(500)).run(run).unwrap();
        return wait_until("both end", || {
            !has_thread("overlapped-wdog") && !has_thread("overlapped-tell")
        });
    }
    let output = support::child(NAME, "child");
    assert!(output.status.success(), "{}", support::said(&output));
}

#[test]
fn a_thread_says_which_tasklet_it_runs_to_those_who_ask() {
    let (number, over) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let (number, over) = (&number, &over);
        let run = move || {
            let works = move || {
                // SAFETY: the call has no conditions.
                number.store(unsafe { libc::gettid() } as usize, Relaxed);
                while over.load(Relaxed) == 0 {
                    computes_for(ms(1));
                }
            };
            overlapped::scope(|scope| {
                let builder = Builder::new().name("works");
                builder.spawn_scoped(scope, works).unwrap().join().unwrap();
            });
        };
        let scheduler = scope.spawn(move || Config::new().shown(true).run(run).unwrap());
        let mut running = None;
        wait_until("it runs there", || {
            let thread = number.load(Relaxed) as u32;
            running = running_on(thread).filter(|_| thread != 0);
            running.is_some()
        });
        let running = running.unwrap();
        assert_eq!(running.name.as_deref(), Some("works"));
        over.store(1, Relaxed);
        scheduler.join().unwrap();
        assert!(running_on(number.load(Relaxed) as u32).is_none());
    });
}
