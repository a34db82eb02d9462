//! The user's code that the library calls: no lock of the library, or of a library that it uses,
//! is held meanwhile.

mod support;

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use overlapped::task::{UnblockError, dump, unblock};
use overlapped::time::sleep;
use overlapped::{Channel, Config, run, spawn};
use support::{ms, wait_until};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// A stream that becomes full when the first name of a function is written, and then waits for its
/// reader.
struct Full {
    is_waiting: std::rc::Rc<std::cell::Cell<bool>>,
    read: Channel<()>,
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if bytes.starts_with(b"    ") && !self.is_waiting.replace(true) {
            self.read.recv().unwrap();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_dump_that_waits_to_be_written_does_not_block_lookups_of_symbols() {
    run(|| {
        let (is_waiting, read) = (std::rc::Rc::default(), Channel::new());
        let mut stream = Full { is_waiting: std::rc::Rc::clone(&is_waiting), read: read.clone() };
        let dumps = spawn(move || write!(stream, "{:#}", dump()));
        wait_until("a dump has names of functions", || is_waiting.get());
        let other = std::thread::spawn(|| {
            let mut names = 0;
            backtrace::trace(|frame| {
                backtrace::resolve_frame(frame, |_| names += 1);
                true
            });
            names
        });
        wait_until("another thread need not wait for the dump's writer", || other.is_finished());
        read.send(()).unwrap();
        dumps.join().unwrap().unwrap();
        assert!(other.join().unwrap() > 0);
    })
    .unwrap();
}

/// A subscriber of the user's: calls `enabled` and `event` of its own.
struct Hears {
    enabled: fn(),
    event: fn(),
}

impl Subscriber for Hears {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let is_ours = metadata.target().starts_with("overlapped") && !metadata.is_span();
        if is_ours {
            (self.enabled)();
        }
        is_ours && *metadata.level() <= Level::WARN
    }

    fn register_callsite(&self, _: &'static Metadata<'static>) -> tracing::subscriber::Interest {
        tracing::subscriber::Interest::sometimes()
    }

    fn event(&self, _: &Event<'_>) {
        (self.event)();
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

static HEARD: AtomicUsize = AtomicUsize::new(0);

/// Stalls until `count` warnings have come.
fn stalls_until(count: usize) -> bool {
    let late = Instant::now() + Duration::from_secs(30);
    while HEARD.load(SeqCst) < count && Instant::now() < late {
        std::thread::sleep(ms(100));
        sleep(ms(20));
    }
    HEARD.load(SeqCst) >= count
}

/// Runs `test` again in a child, which must succeed and print `WELL`.
fn ends_well(test: &str) {
    let output = support::child(test, "child");
    let said = support::said(&output);
    assert!(output.status.success() && said.contains("WELL"), "{}: {said}", output.status);
}

#[test]
fn a_subscriber_that_panics_does_not_end_the_watchdog() {
    const NAME: &str = "a_subscriber_that_panics_does_not_end_the_watchdog";
    if support::asked().is_some() {
        let event = || assert!(HEARD.fetch_add(1, SeqCst) > 0, "the subscriber's own fault");
        tracing::subscriber::set_global_default(Hears { enabled: || (), event }).unwrap();
        Config::new()
            .stall_limit(ms(20))
            .run(|| {
                assert!(stalls_until(3), "the watchdog does not run any more");
                println!("WELL");
            })
            .unwrap();
        return;
    }
    ends_well(NAME);
}

#[test]
fn a_subscriber_may_begin_a_run_that_is_watched_itself() {
    const NAME: &str = "a_subscriber_may_begin_a_run_that_is_watched_itself";
    if support::asked().is_some() {
        static IS_ASKED: AtomicBool = AtomicBool::new(false);
        let enabled = || {
            if !IS_ASKED.swap(true, SeqCst) {
                Config::new().stall_limit(ms(20)).run(|| sleep(ms(1))).unwrap();
            }
        };
        let event = || _ = HEARD.fetch_add(1, SeqCst);
        // Ends the child if it hangs: the watchdog's lock would also block the end of the run.
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_secs(90));
            std::process::abort();
        });
        tracing::subscriber::set_global_default(Hears { enabled, event }).unwrap();
        Config::new()
            .stall_limit(ms(20))
            .run(|| {
                assert!(stalls_until(1), "the watchdog does not run any more");
                println!("WELL");
            })
            .unwrap();
        return;
    }
    ends_well(NAME);
}

/// From here on no thread can be started: there is no room for its stack.
fn forbid_threads() {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = text.split(' ').next().unwrap().parse().unwrap();
    let limit = pages * 4096 + (1 << 20);
    let limit = libc::rlimit { rlim_cur: limit, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: sets a limit of this process.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
    let started = std::thread::Builder::new().spawn(|| ());
    assert!(started.is_err(), "not tested: threads can be started");
}

#[test]
fn where_no_thread_can_be_started_a_closure_for_the_pool_is_not_run_and_files_are_read_in_place() {
    const NAME: &str = "where_no_thread_can_be_started_a_closure_for_the_pool_is_not_run_and_files_\
                        are_read_in_place";
    if support::asked().is_some() {
        let text = Config::new().port(overlapped::port::PortChoice::Poll).run(|| {
            forbid_threads();
            // In place, the job would block the thread that must wake it, so it is refused.
            let (tx, rx) = std::sync::mpsc::channel();
            let kept = std::sync::Arc::new(());
            let theirs = kept.clone();
            let refused = unblock(move || (theirs, rx.recv_timeout(ms(2_000))));
            assert!(matches!(refused, Err(UnblockError::NoThread)), "{refused:?}");
            assert_eq!(std::sync::Arc::strong_count(&kept), 1, "the closure has been dropped");
            assert!(tx.send(7).is_err());
            // Operations that only make system calls are done in place, as by std.
            (overlapped::fs::read_to_string("/proc/self/comm"), overlapped::fs::metadata("/"))
        });
        let (comm, root) = text.unwrap();
        assert!(!comm.unwrap().is_empty() && root.unwrap().is_dir());
        println!("WELL");
        return;
    }
    ends_well(NAME);
}
