//! Loops that never wait. There is no preemption, so calls that could have waited let other
//! tasklets run every few hundred times.

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::rc::Rc;

use overlapped::sync::mpsc::{TryRecvError, TrySendError, channel, sync_channel};
use overlapped::sync::{Mutex, OnceLock, RwLock, Semaphore, broadcast, mpmc, oneshot, watch};
use overlapped::task::no_switch;
use overlapped::{JoinError, run, spawn, yield_now};

/// The maximum number of calls before another tasklet must have run.
const MOST: usize = 1000;

/// Calls `busy` until a ready neighbour has run. Returns the number of calls.
fn until_a_neighbour_runs(mut busy: impl FnMut()) -> usize {
    let ran = Rc::new(Cell::new(false));
    let theirs = ran.clone();
    spawn(move || theirs.set(true));
    let calls = (0..=MOST).take_while(|_| {
        busy();
        !ran.get()
    });
    calls.count()
}

#[test]
fn a_loop_that_never_waits_lets_its_neighbours_run() {
    run(|| {
        let check = |what: &str, busy: &mut dyn FnMut()| {
            let calls = until_a_neighbour_runs(busy);
            assert!((2..MOST).contains(&calls), "{what}: {calls} calls");
        };
        let (sender, receiver) = channel();
        check("send", &mut || sender.send(0).unwrap());
        while receiver.try_recv().is_ok() {}
        check("try_recv", &mut || {
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        });
        check("try_iter", &mut || assert_eq!(receiver.try_iter().next(), None));
        let (sender, receiver) = sync_channel(1);
        sender.send(0).unwrap();
        check("try_send", &mut || assert_eq!(sender.try_send(1), Err(TrySendError::Full(1))));
        drop(receiver);
        let (_sender, receiver) = oneshot::channel::<u8>();
        check("oneshot", &mut || assert!(receiver.try_recv().is_err()));
        let (sender, receiver) = mpmc::channel();
        check("mpmc's send", &mut || sender.send(0).unwrap());
        while receiver.try_recv().is_ok() {}
        check("mpmc's try_recv", &mut || assert!(receiver.try_recv().is_err()));
        let (sender, mut receiver) = broadcast::channel(1);
        check("broadcast's try_recv", &mut || assert!(receiver.try_recv().is_err()));
        check("broadcast's send", &mut || _ = sender.send(0).unwrap());
        let (sender, receiver) = watch::channel(0);
        check("watch's send", &mut || sender.send(0).unwrap());
        check("has_changed", &mut || _ = receiver.has_changed().unwrap());
        let (mutex, rwlock, semaphore) = (Mutex::new(()), RwLock::new(()), Semaphore::new(0));
        let _guards = (mutex.lock().unwrap(), rwlock.write().unwrap());
        check("Mutex::try_lock", &mut || assert!(mutex.try_lock().is_err()));
        check("RwLock::try_read", &mut || assert!(rwlock.try_read().is_err()));
        check("RwLock::try_write", &mut || assert!(rwlock.try_write().is_err()));
        let empty = OnceLock::<u8>::new();
        check("OnceLock::get", &mut || assert!(empty.get().is_none()));
        check("try_acquire", &mut || assert!(semaphore.try_acquire(1).is_none()));
        let (mut near, far) = overlapped::os::unix::net::UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        check("a socket's read", &mut || {
            assert_eq!(near.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        });
        while near.write(&[0; 4096]).is_ok() {}
        check("a socket's write", &mut || {
            assert_eq!(near.write(&[0; 4096]).unwrap_err().kind(), ErrorKind::WouldBlock);
        });
        drop(far);
        let mut child = overlapped::process::Command::new("sleep").arg("60").spawn().unwrap();
        check("try_wait", &mut || assert_eq!(child.try_wait().unwrap(), None));
        child.kill().unwrap();
        child.wait().unwrap();
    })
    .unwrap();
}

/// The loop of a program that was written for threads. If the receiver never ran, the values would
/// fill the memory.
#[test]
fn a_sender_that_goes_on_until_the_receiver_is_gone_ends() {
    run(|| {
        let (sender, receiver) = channel();
        spawn(move || _ = receiver.recv());
        let mut sent = 0;
        while sender.send(sent).is_ok() {
            sent += 1;
        }
        assert!(sent < 10 * MOST, "{sent} sent");
    })
    .unwrap();
}

#[test]
fn a_full_queue_and_a_busy_sender_get_on_with_each_other() {
    run(|| {
        let (sender, receiver) = sync_channel(2);
        let reader = spawn(move || receiver.iter().sum::<usize>());
        for number in 0..100 {
            let mut value = number;
            while let Err(TrySendError::Full(back)) = sender.try_send(value) {
                value = back;
            }
        }
        drop(sender);
        assert_eq!(reader.join().unwrap(), 4950);
    })
    .unwrap();
}

#[test]
fn a_loop_that_never_waits_can_be_killed() {
    run(|| {
        let (_sender, receiver) = channel::<u8>();
        let looping = spawn(move || {
            loop {
                assert!(receiver.try_recv().is_err());
            }
        });
        yield_now();
        looping.kill();
        assert!(matches!(looping.join(), Err(JoinError::Killed)));
    })
    .unwrap();
}

#[test]
fn no_switch_holds_in_a_loop_that_never_waits() {
    run(|| {
        let (_sender, receiver) = channel::<u8>();
        let calls = no_switch(|| until_a_neighbour_runs(|| _ = receiver.try_recv()));
        assert_eq!(calls, MOST + 1, "a neighbour ran inside of no_switch");
    })
    .unwrap();
}

/// Calls that are spread over many turns do not count as a loop.
#[test]
fn occasional_tries_let_no_other_tasklet_run() {
    run(|| {
        let mutex = Mutex::new(());
        let _guard = mutex.lock().unwrap();
        for _ in 0..10 * MOST {
            assert!(mutex.try_lock().is_err());
            yield_now();
            let order = Rc::new(Cell::new(0));
            let theirs = order.clone();
            let neighbour = spawn(move || theirs.set(1));
            assert!(mutex.try_lock().is_err());
            assert_eq!(order.get(), 0, "the neighbour ran in the middle of a try");
            neighbour.join().unwrap();
        }
    })
    .unwrap();
}
