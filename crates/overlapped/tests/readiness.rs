//! Waits for any descriptor, with a limit of their own.

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::rc::Rc;

use overlapped::net::{wait_readable_timeout, wait_writable_timeout};
use overlapped::task::{Cancelled, kill_as_error, no_switch};
use overlapped::time::{Duration, Instant, timeout};
use overlapped::{run, spawn, yield_now};

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(600);

/// A full pipe.
fn full() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (rx, mut tx) = std::io::pipe().unwrap();
    while wait_writable_timeout(&tx, Duration::ZERO).unwrap() {
        tx.write_all(&[0; 4096]).unwrap();
    }
    (rx, tx)
}

fn scenario() {
    let (mut rx, mut tx) = std::io::pipe().unwrap();
    for limit in [Duration::ZERO, MS] {
        let begin = Instant::now();
        assert!(!wait_readable_timeout(&rx, limit).unwrap());
        assert!(begin.elapsed() >= limit);
    }
    assert!(wait_writable_timeout(&tx, LONG).unwrap());
    tx.write_all(&[7]).unwrap();
    for limit in [Duration::ZERO, LONG, Duration::MAX] {
        assert!(wait_readable_timeout(&rx, limit).unwrap());
    }
    rx.read_exact(&mut [0]).unwrap();
    drop(tx);
    assert!(wait_readable_timeout(&rx, LONG).unwrap(), "the end of a stream counts as readable");
    let (rx, tx) = full();
    assert!(!wait_writable_timeout(&tx, MS).unwrap());
    drop(rx);
    assert!(wait_writable_timeout(&tx, LONG).unwrap(), "an error is seen at once");
}

#[test]
fn a_limit_of_its_own_is_no_error() {
    scenario();
    run(scenario).unwrap();
}

#[test]
fn an_outer_deadline_a_kill_and_a_refusal_are_errors() {
    run(|| {
        let (rx, _tx) = std::io::pipe().unwrap();
        let outer = timeout(MS, || wait_readable_timeout(&rx, LONG)).unwrap_err();
        assert_eq!(Cancelled::of(&outer), Some(Cancelled::Deadline));
        let passed = timeout(Duration::ZERO, || wait_readable_timeout(&rx, LONG)).unwrap_err();
        assert_eq!(Cancelled::of(&passed), Some(Cancelled::Deadline));
        assert!(!timeout(LONG, || wait_readable_timeout(&rx, MS)).unwrap());
        let refused = no_switch(|| wait_readable_timeout(&rx, LONG)).unwrap_err();
        assert_eq!((refused.kind(), Cancelled::of(&refused)), (ErrorKind::WouldBlock, None));
        let waiter = spawn(move || kill_as_error(|| wait_readable_timeout(&rx, LONG)));
        yield_now();
        waiter.kill();
        let killed = waiter.join().unwrap().unwrap_err();
        assert_eq!(Cancelled::of(&killed), Some(Cancelled::Kill));
    })
    .unwrap();
}

#[test]
fn a_loop_of_polls_lets_others_run() {
    run(|| {
        let (rx, mut tx) = std::io::pipe().unwrap();
        let looks = Rc::new(Cell::new(0));
        let counted = looks.clone();
        let looking = spawn(move || {
            while !wait_readable_timeout(&rx, Duration::ZERO).unwrap() {
                counted.set(counted.get() + 1);
            }
        });
        while looks.get() == 0 {
            yield_now();
        }
        tx.write_all(&[7]).unwrap();
        looking.join().unwrap();
    })
    .unwrap();
}
