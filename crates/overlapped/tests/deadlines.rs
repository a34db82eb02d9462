//! Deadlines of `timeout`: queries of them, and sleeps under them.

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read, Write};
use std::rc::Rc;

use overlapped::task::no_switch;
use overlapped::time::{
    Duration, Instant, deadline, expired, sleep, sleep_until, timeout, try_sleep, try_sleep_until,
};
use overlapped::{io, run, spawn, yield_now};

const MS: Duration = Duration::from_millis(1);
const FOR_EVER: Duration = Duration::from_secs(60);

#[test]
fn a_tasklet_knows_the_earliest_deadline_around_it() {
    assert!(deadline().is_none() && !expired());
    assert_eq!(timeout(MS, deadline), None, "outside a scheduler there is none");
    run(|| {
        assert!(deadline().is_none() && !expired());
        timeout(FOR_EVER, || {
            let outer = deadline().unwrap();
            assert!(outer > Instant::now() && !expired());
            timeout(2 * FOR_EVER, || assert_eq!(deadline(), Some(outer), "the outer is earlier"));
            timeout(MS, || {
                assert!(deadline().unwrap() < outer);
                sleep_until(deadline().unwrap());
                assert!(expired());
            });
            assert_eq!((deadline(), expired()), (Some(outer), false));
            let spawned = spawn(deadline);
            assert_eq!(spawned.join().unwrap(), None, "it has none by itself");
        });
        timeout(Duration::MAX, || assert!(deadline().is_none() && !expired()));
        timeout(Duration::ZERO, || assert!(expired()));
    })
    .unwrap();
}

#[test]
fn try_sleep_says_that_the_deadline_has_ended_it() {
    try_sleep(MS).unwrap();
    run(|| {
        let begin = Instant::now();
        try_sleep(MS).unwrap();
        try_sleep_until(begin + 2 * MS).unwrap();
        assert!(begin.elapsed() >= 2 * MS);
        timeout(FOR_EVER, || try_sleep(MS)).unwrap();
        let begin = Instant::now();
        for cut in [
            timeout(2 * MS, || try_sleep(FOR_EVER)),
            timeout(2 * MS, || try_sleep_until(begin + FOR_EVER)),
        ] {
            assert_eq!(cut.unwrap_err().kind(), ErrorKind::TimedOut);
        }
        assert!(begin.elapsed() >= 4 * MS && begin.elapsed() < FOR_EVER);
    })
    .unwrap();
}

#[test]
fn try_sleep_that_may_not_wait_says_so_at_once() {
    struct Sleeper(Rc<RefCell<Option<std::io::Error>>>);
    impl Drop for Sleeper {
        fn drop(&mut self) {
            *self.0.borrow_mut() = try_sleep(FOR_EVER).err();
        }
    }
    let said = Rc::new(RefCell::new(None));
    let error = said.clone();
    run(move || {
        let refused = no_switch(|| try_sleep(FOR_EVER));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::WouldBlock);
        let victim = spawn(move || {
            let _sleeper = Sleeper(error);
            sleep(FOR_EVER);
        });
        yield_now();
        victim.kill();
        assert!(victim.join().is_err());
    })
    .unwrap();
    assert_eq!(said.take().unwrap().kind(), ErrorKind::WouldBlock);
}

/// Loops without regard to its deadline, until its neighbours have finished or too much time has
/// passed.
fn spin(nap: impl Fn()) {
    run(|| {
        let (mut input, mut output) = io::pipe().unwrap();
        let done = Rc::new(Cell::new(false));
        let told = done.clone();
        spawn(move || {
            sleep(MS);
            output.write_all(b"x").unwrap();
        });
        spawn(move || {
            input.read_exact(&mut [0]).unwrap();
            told.set(true);
        });
        let begin = Instant::now();
        timeout(Duration::ZERO, || {
            while !done.get() {
                nap();
                assert!(begin.elapsed() < FOR_EVER, "the neighbours starve");
            }
        });
    })
    .unwrap();
}

#[test]
fn a_loop_of_sleeps_past_its_deadline_lets_neighbours_run_and_operations_end() {
    spin(|| sleep(FOR_EVER));
    spin(|| sleep_until(Instant::now() + FOR_EVER));
    spin(|| assert_eq!(try_sleep(FOR_EVER).unwrap_err().kind(), ErrorKind::TimedOut));
    spin(|| sleep(Duration::ZERO));
}
