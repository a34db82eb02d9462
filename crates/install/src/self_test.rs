//! The self-test of [`install`](crate::install): waits of the commonest kinds.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use overlapped::{RunError, SpawnError};

use crate::spawn::{Builder, run, spawn};
use crate::why_not::WhyNot;

/// Tests waits of the commonest kinds. Another tasklet must end each: if one blocked the thread, it
/// would do so for good, or until its own limit.
pub(crate) fn self_test() -> Result<(), WhyNot> {
    let failed = |error: RunError| WhyNot::Run(error.to_string());
    match overlapped::run(|| Builder::new().spawn(|| ()).map(drop)).map_err(failed)? {
        Ok(()) => {}
        Err(SpawnError::OwnThreadLocals(why)) => return Err(WhyNot::ThreadLocals(why)),
        Err(error) => return Err(WhyNot::Run(error.to_string())),
    }
    if crate::hooks::flags_offset().is_none() {
        return Err(WhyNot::SelfTest("the layout of glibc's condition variables is unknown"));
    }
    let tests = [sleeps, locks, parks, sockets];
    run(|| tests.iter().try_for_each(|test| test())).map_err(failed)?.map_err(WhyNot::SelfTest)
}

/// Tests parks of two tasklets of one thread. std parks by a word in a thread-local.
fn parks() -> Result<(), &'static str> {
    let begin = Instant::now();
    let handles = [(); 2].map(|()| {
        let (sender, receiver) = mpsc::channel();
        let tasklet = spawn(move || {
            let _ = sender.send(thread::current());
            thread::park_timeout(Duration::from_secs(5));
        });
        (tasklet, receiver)
    });
    for (tasklet, receiver) in handles {
        let handle = receiver.recv().map_err(|_| "a tasklet did not run")?;
        handle.unpark();
        tasklet.join().map_err(|_| "a tasklet did not end")?;
    }
    let was_quick = begin.elapsed() < Duration::from_secs(5);
    if was_quick { Ok(()) } else { Err("a parked tasklet was not woken") }
}

fn sleeps() -> Result<(), &'static str> {
    static TICKS: AtomicU32 = AtomicU32::new(0);
    TICKS.store(0, Relaxed);
    let ticker = spawn(|| TICKS.fetch_add(1, Relaxed));
    thread::sleep(Duration::from_millis(1));
    let ticks = TICKS.load(Relaxed);
    ticker.join().map_err(|_| "a tasklet did not end")?;
    if ticks == 1 { Ok(()) } else { Err("a sleep blocked the thread") }
}

fn locks() -> Result<(), &'static str> {
    static LOCK: Mutex<u32> = Mutex::new(0);
    let lock = || LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    *lock() = 0;
    let add = move || {
        let mut value = lock();
        let before = *value;
        thread::sleep(Duration::from_micros(100));
        *value = before + 1;
    };
    let both = [spawn(add), spawn(add)];
    for one in both {
        one.join().map_err(|_| "a tasklet did not end")?;
    }
    if *lock() == 2 { Ok(()) } else { Err("a Mutex had two owners at a time") }
}

fn sockets() -> Result<(), &'static str> {
    let (mut here, mut there) = UnixStream::pair().map_err(|_| "socketpair failed")?;
    // The limit ends the read if it blocks the thread.
    let limit = Some(Duration::from_secs(5));
    here.set_read_timeout(limit).map_err(|_| "a socket takes no time limit")?;
    let other = spawn(move || there.write_all(b"x"));
    here.read_exact(&mut [0]).map_err(|_| "a read blocked the thread")?;
    match other.join() {
        Ok(Ok(())) => Ok(()),
        _ => Err("a write failed"),
    }
}
