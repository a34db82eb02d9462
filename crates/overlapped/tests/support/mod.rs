//! Helpers for the library's tests: the testkit, waits that let other tasklets run, and sockets of
//! the library.
#![allow(dead_code, unused_imports, reason = "every test program uses a part of it")]

use overlapped::net::{TcpListener, TcpStream};
use overlapped::task;
pub(crate) use testkit::*;

/// Waits until `is_so` returns true. Other tasklets run meanwhile; outside of a scheduler the
/// thread sleeps.
#[track_caller]
pub(crate) fn wait_until(what: &str, is_so: impl FnMut() -> bool) {
    wait_until_with(overlapped::time::sleep, what, is_so);
}

/// Lets the other tasklets of this scheduler run until each of them waits, with its operation in
/// the kernel. A tasklet that waits for the pool, or for a timer, waits too.
#[track_caller]
pub(crate) fn wait_until_others_wait() {
    wait_until("all other tasklets wait", || task::stats().unwrap().runnable == 1);
    // The scheduler submits operations before it sleeps.
    overlapped::time::sleep(PAUSE);
}

/// Lets other tasklets run until `count` of them wait for what a dump describes by `what`, each
/// with its operation in the kernel.
#[track_caller]
pub(crate) fn wait_until_waiting(count: usize, what: &str) {
    // Without backtraces, for which the tasklets would run.
    let waiting = || {
        let dump = task::no_switch(task::dump);
        dump.lines().iter().filter(|line| line.tasklet.on.contains(what)).count()
    };
    wait_until(&format!("{count} tasklets wait for: {what}"), || waiting() >= count);
    overlapped::time::sleep(PAUSE);
}

/// Connects two of the library's sockets over the loopback: the one that connected, and the one
/// that was accepted.
pub(crate) fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (one, listener.accept().unwrap().0)
}
