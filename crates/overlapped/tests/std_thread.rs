//! The behaviour of `thread` beyond std's: tasklets behind std's names. (`std_sync.rs` checks that
//! the names do the same.)

mod support;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use overlapped::task::{Local, no_switch};
use overlapped::thread::{self, JoinHandle, Thread};
use overlapped::time::{Instant, timeout};
use overlapped::{Config, JoinError, run, run_until, spawn, yield_now};

const MOMENT: Duration = Duration::from_millis(5);
const FOR_EVER: Duration = Duration::MAX;

/// Returns the reason for a missing result, other than a panic.
fn why<T: std::fmt::Debug>(joined: thread::Result<T>) -> JoinError {
    *joined.unwrap_err().downcast::<JoinError>().unwrap()
}

#[test]
fn a_handle_is_joined_from_any_thread() {
    static KEPT: Mutex<Option<JoinHandle<String>>> = Mutex::new(None);
    run(|| {
        let handle = thread::spawn(|| {
            thread::sleep(MOMENT);
            "from a tasklet".to_owned()
        });
        *KEPT.lock().unwrap() = Some(handle);
        let elsewhere = std::thread::spawn(|| {
            let handle = KEPT.lock().unwrap().take().unwrap();
            handle.join().unwrap()
        });
        let in_turn = overlapped::task::unblock(move || elsewhere.join().unwrap());
        assert_eq!(in_turn.unwrap(), "from a tasklet");
        let handle = thread::spawn(thread::park);
        let other = handle.thread().clone();
        std::thread::spawn(move || other.unpark());
        handle.join().unwrap();
        // Joins from another scheduler.
        let handle = thread::spawn(|| 7);
        let other = std::thread::spawn(move || run(|| handle.join().unwrap()).unwrap());
        assert_eq!(overlapped::task::unblock(move || other.join().unwrap()).unwrap(), 7);
    })
    .unwrap();
}

#[test]
fn a_closure_need_not_be_send() {
    run(|| {
        let shared = Rc::new(Cell::new(1));
        let own = shared.clone();
        let back = thread::spawn(move || {
            own.set(2);
            own
        });
        assert_eq!(back.join().unwrap().get(), 2);
        assert_eq!(Rc::strong_count(&shared), 1);
    })
    .unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri too long")]
fn thousands_sleep_at_once() {
    run(|| {
        let begin = Instant::now();
        let sleepers: Vec<_> =
            (0..2_000).map(|_| thread::spawn(|| thread::sleep(MOMENT))).collect();
        sleepers.into_iter().for_each(|sleeper| sleeper.join().unwrap());
        assert!(begin.elapsed() < support::within(Duration::from_secs(5)), "they overlap");
    })
    .unwrap();
}

#[test]
fn a_killed_tasklet_has_no_result() {
    run(|| {
        let handle = thread::spawn(|| overlapped::current().remote());
        assert!(handle.join().unwrap().is_finished());
        let (sender, remote) = overlapped::sync::oneshot::channel();
        let handle = thread::spawn(move || {
            sender.send(overlapped::current().remote()).unwrap();
            thread::park();
        });
        let remote = remote.recv().unwrap();
        remote.kill();
        assert!(matches!(why(handle.join()), JoinError::Killed));
        assert!(remote.is_finished());
    })
    .unwrap();
    // Kills it before it has run.
    let handle = run_until(|| thread::spawn(|| unreachable!("the run has ended"))).unwrap();
    assert!(handle.is_finished());
    assert!(matches!(why::<()>(handle.join()), JoinError::Killed));
}

#[test]
#[cfg_attr(windows, ignore = "the end of the thread ends the process")]
fn a_join_of_a_tasklet_parked_for_good_returns_an_error() {
    let (sender, handle) = std::sync::mpsc::channel();
    // This runs on a thread that does not end.
    std::thread::spawn(move || {
        let ended = Config::new().grace(MOMENT).run_until(|| {
            let handle = thread::spawn(|| overlapped::task::shield(|| thread::sleep(FOR_EVER)));
            yield_now();
            handle
        });
        sender.send(ended.unwrap()).unwrap();
    });
    let handle = handle.recv().unwrap();
    assert!(handle.is_finished());
    assert!(matches!(why(handle.join()), JoinError::Abandoned));
}

#[test]
fn a_join_says_why_it_did_not_wait() {
    run(|| {
        let sleeper = || thread::spawn(|| thread::sleep(4 * MOMENT));
        let late = timeout(MOMENT, || sleeper().join());
        assert!(matches!(why(late), JoinError::TimedOut));
        let refused = no_switch(|| sleeper().join());
        assert!(matches!(why(refused), JoinError::WouldBlock));
    })
    .unwrap();
}

#[test]
fn outside_a_scheduler_the_calls_are_about_the_thread() {
    let refused = thread::Builder::new().spawn(|| ()).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::Unsupported);
    assert!(refused.to_string().contains("overlapped::run"), "{refused}");
    let panicked = std::panic::catch_unwind(|| thread::spawn(|| ())).unwrap_err();
    assert!(panicked.downcast::<String>().unwrap().contains("overlapped::run"));
    assert_eq!(thread::current().name(), std::thread::current().name());
    assert_eq!(thread::current().id(), thread::current().id());
    thread::current().unpark();
    thread::park();
    std::thread::current().unpark();
    thread::park_timeout(FOR_EVER);
    let inner: Thread = run(thread::current).unwrap();
    assert_ne!(inner.id(), thread::current().id());
    inner.unpark();
    assert_eq!(thread::scope(|_| 5), 5);
}

#[test]
fn every_tasklet_has_a_number_and_a_name_of_its_own() {
    run(|| {
        let ids: Vec<_> = (0..100).map(|_| thread::spawn(|| thread::current().id())).collect();
        let own = thread::current().id();
        let mut seen: HashSet<_> = ids.into_iter().map(|handle| handle.join().unwrap()).collect();
        seen.insert(own);
        seen.insert(std::thread::spawn(|| thread::current().id()).join().unwrap());
        assert_eq!(seen.len(), 102);
        assert_eq!(thread::current().id(), own);
        // Also for tasklets that were spawned by other calls.
        let named = overlapped::Builder::new().name("other");
        let name = named.spawn(|| thread::current().name().map(str::to_owned)).unwrap();
        assert_eq!(name.join().unwrap().as_deref(), Some("other"));
        let named = thread::Builder::new().name("mine".to_owned());
        let name = named.spawn(|| overlapped::current().name()).unwrap();
        assert_eq!(name.join().unwrap().as_deref(), Some("mine"));
    })
    .unwrap();
}

/// Reports its tasklet's name when it is dropped.
struct Says;

thread_local!(static SAID: RefCell<Vec<Option<String>>> = const { RefCell::new(Vec::new()) });

impl Drop for Says {
    fn drop(&mut self) {
        let name = thread::current().name().map(str::to_owned);
        SAID.with_borrow_mut(|said| said.push(name));
    }
}

#[test]
#[cfg_attr(miri, ignore = "under Miri each tasklet is a thread")]
fn nothing_is_left_of_a_joined_tasklet_and_it_keeps_its_name_to_the_end() {
    static LOCAL: Local<Says> = Local::new(|| Says);
    let body = || LOCAL.with(|_| ());
    run_until(|| {
        let handle = thread::Builder::new().name("mine".to_owned()).spawn(body).unwrap();
        handle.join().unwrap();
        assert_eq!(SAID.take(), [Some("mine".to_owned())]);
        let killed = thread::Builder::new().name("killed".to_owned()).spawn(move || {
            body();
            thread::park();
        });
        yield_now();
        assert!(!killed.unwrap().is_finished());
    })
    .unwrap();
    assert_eq!(SAID.take(), [Some("killed".to_owned())]);
}

#[test]
fn a_stack_has_the_size_that_is_asked_for() {
    const SIZE: usize = 600 * 1024;
    fn use_up(left: usize) -> usize {
        let frame = std::hint::black_box([1_u8; 1024]);
        let used = frame.len() + 512;
        if left > used { use_up(left - used) + usize::from(frame[left % 1024]) } else { 0 }
    }
    run(|| {
        let big = thread::Builder::new().stack_size(SIZE);
        assert!(big.spawn(|| use_up(SIZE - 32 * 1024)).unwrap().join().unwrap() > 100);
        let small = thread::Builder::new().stack_size(0);
        assert_eq!(small.spawn(|| use_up(8 * 1024).min(1)).unwrap().join().unwrap(), 1);
    })
    .unwrap();
}

#[test]
fn parking_is_ended_by_kills_and_not_by_deadlines() {
    run(|| {
        let victim = spawn(thread::park);
        yield_now();
        victim.kill();
        assert!(matches!(victim.join(), Err(JoinError::Killed)));
        let own = thread::current();
        let waker = spawn(move || {
            thread::sleep(4 * MOMENT);
            own.unpark();
        });
        let begin = Instant::now();
        timeout(MOMENT, thread::park);
        assert!(begin.elapsed() >= 3 * MOMENT);
        waker.join().unwrap();
        timeout(MOMENT, || thread::park_timeout(FOR_EVER));
        thread::current().unpark();
        no_switch(thread::park);
        let refused = std::panic::catch_unwind(|| no_switch(thread::park));
        assert!(refused.is_err());
    })
    .unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri too long")]
fn a_token_that_comes_while_parking_begins_is_not_lost() {
    let rounds = support::rounds(5_000, 100_000);
    let parked = Arc::new(AtomicUsize::new(0));
    run(|| {
        let own = parked.clone();
        let sleeper = thread::spawn(move || {
            for _ in 0..rounds {
                thread::park();
                own.fetch_add(1, Ordering::Relaxed);
            }
        });
        let other = sleeper.thread().clone();
        let waker = std::thread::spawn(move || {
            for round in 0..rounds {
                other.unpark();
                while parked.load(Ordering::Relaxed) <= round {
                    std::thread::yield_now();
                }
            }
        });
        sleeper.join().unwrap();
        waker.join().unwrap();
    })
    .unwrap();
}
