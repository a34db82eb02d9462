//! Helpers that the tests share: the testkit, and tasklets by this library.
#![allow(dead_code, unused_imports, reason = "every test program uses a part of it")]

pub(crate) mod c;
mod place;

use std::cell::Cell;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

pub(crate) use place::path;
pub(crate) use testkit::{
    Rng, again, eventually, eventually_with, is_emulated, ms, report, rounds,
};

/// Skips a test, aloud, where there can be no such tasklets.
pub(crate) fn install() {
    // SAFETY: nothing here takes gettid for its own identity.
    match unsafe { overlapped_install::install() } {
        Ok(_) => {}
        Err(overlapped_install::WhyNot::ThreadLocals(why)) => {
            // Past libtest, which would keep it, and lose it at the exit.
            let mut out = io::stdout();
            writeln!(out, "\nSKIPPED: no thread-locals of a tasklet's own: {why}").unwrap();
            std::process::exit(0);
        }
        Err(error) => panic!("{error}"),
    }
}

/// Runs `f` as a tasklet.
pub(crate) fn within<T>(f: impl FnOnce() -> T) -> T {
    install();
    overlapped_install::run(f).unwrap()
}

/// Twenty times `f`, which takes 100 ms, at once: far less than two seconds.
pub(crate) fn overlap(f: impl Fn(usize) + Copy + 'static) {
    within(|| {
        let begin = Instant::now();
        let all: Vec<_> =
            (0..20).map(|number| overlapped_install::spawn(move || f(number))).collect();
        all.into_iter().for_each(|one| one.join().unwrap());
        let one = {
            let begin = Instant::now();
            f(20);
            begin.elapsed()
        };
        // Each of them alone, one after the other, would have taken twenty times as long.
        assert!(begin.elapsed() < one * 12 + ms(400), "{:?}, one {one:?}", begin.elapsed());
    });
}

/// Counts the turns of neighbours while `f` ran.
pub(crate) fn ticks(f: impl FnOnce()) -> u32 {
    let (count, end) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let (theirs, ended) = (count.clone(), end.clone());
    let ticker = overlapped::spawn(move || {
        while !ended.get() {
            theirs.set(theirs.get() + 1);
            overlapped::time::sleep(ms(1));
        }
    });
    f();
    let ticks = count.get();
    end.set(true);
    ticker.join().unwrap();
    ticks
}

pub(crate) fn sleep_program(seconds: &str) -> Command {
    let mut command = Command::new("sleep");
    command.arg(seconds);
    command
}

/// connect(2), to an IPv4 address.
pub(crate) fn connect(fd: &OwnedFd, address: SocketAddr) -> io::Result<()> {
    let SocketAddr::V4(address) = address else { panic!("not IPv4") };
    let name = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    };
    // SAFETY: an address, lent for the call.
    let outcome = unsafe {
        libc::connect(fd.as_raw_fd(), (&raw const name).cast(), size_of_val(&name) as u32)
    };
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Runs `f` at once by tasklets of this thread, by a thread, and by tasklets of another scheduler.
pub(crate) fn everywhere(each: usize, f: impl Fn() + Send + Sync + 'static) {
    let f = std::sync::Arc::new(f);
    let (by_thread, by_others) = (f.clone(), f.clone());
    let plain = std::thread::spawn(move || (0..each).for_each(|_| by_thread()));
    let other = std::thread::spawn(move || {
        within(|| {
            let all: Vec<_> = (0..each)
                .map(|_| {
                    let f = by_others.clone();
                    overlapped_install::spawn(move || f())
                })
                .collect();
            all.into_iter().for_each(|one| one.join().unwrap());
        });
    });
    within(|| {
        overlapped_install::scope(|s| (0..each).for_each(|_| drop(s.spawn(|| f()))));
    });
    plain.join().unwrap();
    other.join().unwrap();
}
