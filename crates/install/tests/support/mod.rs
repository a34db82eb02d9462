//! The helpers that the tests share: the testkit, and tasklets by this library.
#![allow(dead_code, unused_imports, reason = "every test program uses a part of it")]

pub(crate) mod c;
mod temp;
mod turns;
mod waits;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;
use std::time::{Duration, Instant};

pub(crate) use temp::path;
pub(crate) use testkit::{
    Rng, again, is_emulated, ms, report, rounds, wait_until, wait_until_with,
};
pub(crate) use turns::{LONG, Turns};
pub(crate) use waits::{
    WAITS, thread_number, until_a_thread_is_in, until_blocked, until_waits, until_waits_for,
};

/// Installs. If tasklets cannot have thread-locals of their own here, prints a line and skips the
/// test program.
pub(crate) fn install() {
    // SAFETY: nothing here takes gettid for its own identity.
    match unsafe { overlapped_install::install() } {
        Ok(_) => {}
        Err(overlapped_install::WhyNot::ThreadLocals(why)) => {
            // The line bypasses libtest, which would capture it and lose it at the exit.
            let mut out = io::stdout();
            writeln!(out, "\nSKIPPED: no thread-locals of a tasklet's own: {why}").unwrap();
            std::process::exit(0);
        }
        Err(error) => panic!("{error}"),
    }
}

/// Runs `f` as a tasklet.
pub(crate) fn run_in_tasklet<T>(f: impl FnOnce() -> T) -> T {
    install();
    overlapped_install::run(f).unwrap()
}

/// Runs `f`, which takes 100 ms, twenty times at once, and checks that this takes far less than two
/// seconds.
pub(crate) fn overlap(f: impl Fn(usize) + Copy + 'static) {
    run_in_tasklet(|| {
        let begin = Instant::now();
        let all: Vec<_> =
            (0..20).map(|number| overlapped_install::spawn(move || f(number))).collect();
        all.into_iter().for_each(|one| one.join().unwrap());
        let one = {
            let begin = Instant::now();
            f(20);
            begin.elapsed()
        };
        // One after the other they would have taken twenty times as long.
        assert!(begin.elapsed() < one * 12 + ms(400), "{:?}, one {one:?}", begin.elapsed());
    });
}

/// Counts how often another tasklet ran while `f` did.
pub(crate) fn ticks(f: impl FnOnce()) -> u32 {
    Turns::default().count_during(f)
}

pub(crate) fn sleep_program(seconds: &str) -> Command {
    let mut command = Command::new("sleep");
    command.arg(seconds);
    command
}

/// Calls connect(2) with an IPv4 address.
pub(crate) fn connect(fd: &OwnedFd, address: SocketAddr) -> io::Result<()> {
    let SocketAddr::V4(address) = address else { panic!("not IPv4") };
    let name = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    };
    // SAFETY: an address, borrowed for the call.
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
        run_in_tasklet(|| {
            let all: Vec<_> = (0..each)
                .map(|_| {
                    let f = by_others.clone();
                    overlapped_install::spawn(move || f())
                })
                .collect();
            all.into_iter().for_each(|one| one.join().unwrap());
        });
    });
    run_in_tasklet(|| {
        overlapped_install::scope(|s| (0..each).for_each(|_| drop(s.spawn(|| f()))));
    });
    plain.join().unwrap();
    other.join().unwrap();
}
